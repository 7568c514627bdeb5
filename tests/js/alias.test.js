'use strict';
// Another name of the emulator to poll on: browsers open only six connections to one host and port.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, calls } = require('./page.js');

const ALIAS = 'c7.localhost:8080';

function hostOf(request) {
  return (/^http:\/\/([^/]*)/.exec(request.url) || [])[1];
}

test('an alias is tried by one short poll, and then used', async () => {
  const page = new Page();
  const socket = await page.connected({ alias: ALIAS });
  assert.deepEqual(calls(socket), ['onopen']); // Which does not wait for the alias.
  assert.equal(page.request.url, `http://${ALIAS}/_ah/channel/poll?socket=S1&after=0&wait=0&early=1`);
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.equal(page.request.url, `http://${ALIAS}/_ah/channel/poll?socket=S1&after=1&wait=25&early=1`);
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  socket.close();
  assert.deepEqual(page.beacons, ['/_ah/channel/close?socket=S1']); // On the page's own origin.
});

test('an alias that fails is left alone', async () => {
  for (const fail of [(r) => r.cut(), (r) => r.answer(404, 'no'), (r) => r.answer(200, '<html>'), (r) => r.answer(401, '', 'Unauthorized')]) {
    const page = new Page();
    const socket = await page.connected({ alias: ALIAS });
    await fail(page.request);
    assert.equal(page.request.url, '/_ah/channel/poll?socket=S1&after=0&wait=25&early=1');
    await page.request.answer(200, { messages: ['a'], next: 1 });
    assert.equal(page.request.url, '/_ah/channel/poll?socket=S1&after=1&wait=25&early=1');
    assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  }
});

test('an alias that does not answer within 1.5 s is left alone', async () => {
  const page = new Page();
  await page.connected({ alias: ALIAS });
  const probe = page.request;
  await page.advance(1501);
  assert.equal(probe.state, 'aborted');
  assert.equal(page.request.url, '/_ah/channel/poll?socket=S1&after=0&wait=25&early=1');
});

test('a socket that ends while the alias is tried ends', async () => {
  const page = new Page();
  const socket = await page.connected({ alias: ALIAS });
  await page.request.answer(401, 'Token+timed+out.');
  assert.deepEqual(calls(socket), ['onopen', 'onerror 401 Token+timed+out.', 'onclose']);
});

test('after a loss it looks for the emulator on its own name, then goes back to the alias', async () => {
  const page = new Page();
  const socket = await page.connected({ alias: ALIAS });
  await page.request.answer(200, { messages: [], next: 0 });
  await page.request.cut(); // The emulator restarts.
  assert.equal(page.request.url, '/_ah/channel/poll?socket=S1&after=0&wait=0&early=1');
  await page.request.cut();
  await page.advance(100);
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.equal(page.request.url, `http://${ALIAS}/_ah/channel/poll?socket=S1&after=1&wait=0&early=1`);
  await page.request.answer(200, { messages: [], next: 1 });
  assert.equal(page.request.url, `http://${ALIAS}/_ah/channel/poll?socket=S1&after=1&wait=25&early=1`);
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('an alias that has stopped working is not tried for ever', async () => {
  const page = new Page();
  await page.connected({ alias: ALIAS });
  await page.request.answer(200, { messages: [], next: 0 });
  for (let turn = 0; turn < 200; turn++) {
    if (!page.waiting.length) await page.advance(100);
    else if (hostOf(page.request) === ALIAS) await page.request.cut();
    else if (turn % 5) await page.request.answer(200, { messages: [], next: 0 });
    else await page.request.cut();
  }
  assert.ok(page.requests.filter((request) => hostOf(request) === ALIAS).length <= 5);
});

test('with a BASE_URL relative to the page there is no alias', async () => {
  const page = new Page();
  page.appengine.Socket.BASE_URL = 'channel/';
  await page.connected({ alias: ALIAS });
  assert.equal(page.request.url, 'channel/poll?socket=S1&after=0&wait=25&early=1');
});

test('with an absolute BASE_URL the alias takes its path', async () => {
  const page = new Page({ src: 'http://localhost:8080/prefix/_ah/channel/jsapi', origin: 'http://front:1' });
  await page.connected({ alias: ALIAS });
  assert.equal(page.request.url, `http://${ALIAS}/prefix/_ah/channel/poll?socket=S1&after=0&wait=0&early=1`);
});
