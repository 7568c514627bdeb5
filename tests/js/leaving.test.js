'use strict';
// Pages that go away, come back, or remove the socket's hidden element.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, calls, settle, OPENED } = require('./page.js');

function frames(page) {
  return page.document.querySelectorAll('#wcs-iframe');
}

test('a page that unloads tells the emulator, and calls nothing', async () => {
  const page = new Page();
  const first = await page.connected();
  const second = await page.open();
  await page.waiting.find((request) => request.path === 'open').answer(200, { ...OPENED, socket: 'S2' });
  await page.fire('window', 'pagehide', { persisted: false });
  assert.deepEqual(page.beacons, ['/_ah/channel/close?socket=S1', '/_ah/channel/close?socket=S2']);
  assert.deepEqual(page.waiting, []);
  await page.fire('window', 'online');
  await page.advance(120000);
  assert.deepEqual(page.waiting, []);
  assert.deepEqual([calls(first), calls(second)], [['onopen'], ['onopen']]);
});

test('a browser without beacons posts while the page unloads, and one without pagehide uses unload', async () => {
  const page = new Page({ without: ['sendBeacon', 'onpagehide'] });
  await page.connected();
  await page.fire('window', 'unload');
  assert.deepEqual([page.request.method, page.request.url, page.request.options.async], ['POST', '/_ah/channel/close?socket=S1', false]);
});

test('a page that unloads while it connects gives that up', async () => {
  const page = new Page();
  const socket = page.open();
  await page.fire('window', 'pagehide', { persisted: false });
  assert.deepEqual(page.waiting, []);
  assert.deepEqual(page.beacons, []);
  assert.deepEqual(calls(socket), []);
});

test('a page in the back-forward cache is quiet, and polls when it is back', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.fire('window', 'pagehide', { persisted: true });
  assert.deepEqual([page.waiting, page.beacons], [[], []]);
  await page.fire('window', 'pageshow', { persisted: true });
  assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '0', early: '1', pauses: '1' });
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('back too late: onerror, onclose', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.fire('window', 'pagehide', { persisted: true });
  await page.fire('window', 'pageshow', { persisted: true });
  await page.request.answer(410, 'Socket+gone.');
  assert.deepEqual(calls(socket), ['onopen', 'onerror 410 Socket+gone.', 'onclose']);
});

test('back in the middle of connecting: it connects', async () => {
  const page = new Page();
  const socket = page.open();
  await page.fire('window', 'pagehide', { persisted: true });
  assert.deepEqual(page.waiting, []);
  await page.fire('window', 'pageshow', { persisted: true });
  await page.request.answer(200, OPENED);
  assert.deepEqual(calls(socket), ['onopen']);
});

test('the first pageshow of a page, which is not persisted, means nothing', async () => {
  const page = new Page();
  await page.connected();
  await page.fire('window', 'pageshow', { persisted: false });
  assert.equal(page.requests.length, 2);
});

test('a hidden #wcs-iframe exists while a socket is open', async () => {
  const page = new Page();
  assert.equal(frames(page).length, 0);
  const first = await page.connected();
  const second = page.open();
  assert.equal(frames(page).length, 2);
  assert.equal(frames(page)[0].style.display, 'none');
  first.close();
  assert.equal(frames(page).length, 1);
  await page.request.answer(401, 'Invalid+token.');
  assert.equal(frames(page).length, 0);
  assert.equal(second.readyState, 3);
});

test('removing #wcs-iframe closes the socket', async () => {
  const page = new Page();
  const socket = await page.connected();
  page.document.body.removeChild(frames(page)[0]);
  await settle();
  assert.equal(socket.readyState, 3);
  assert.deepEqual(page.beacons, ['/_ah/channel/close?socket=S1']);
  await page.advance(1001);
  assert.deepEqual(calls(socket), ['onopen', 'onclose']);
});

test('without MutationObserver the removal is noticed at the next answer, whose messages are not delivered', async () => {
  for (const before of ['poll', 'open']) {
    const page = new Page({ without: ['MutationObserver'] });
    const socket = before === 'open' ? page.open() : await page.connected();
    page.document.body.removeChild(frames(page)[0]);
    await page.request.answer(200, before === 'open' ? OPENED : { messages: ['a'], next: 1 });
    await page.advance(1001);
    assert.equal(socket.readyState, 3);
    assert.deepEqual(calls(socket), before === 'open' ? ['onclose'] : ['onopen', 'onclose']);
    assert.deepEqual([page.waiting, page.beacons], [[], ['/_ah/channel/close?socket=S1']]);
  }
});

test('a page that reconnects by removing the element, and in onclose, settles to one socket', async () => {
  const page = new Page();
  let opens = 0;
  function reconnect() {
    if (frames(page)[0]) page.document.body.removeChild(frames(page)[0]);
    opens++;
    return page.open('token', { onclose: reconnect });
  }
  reconnect();
  await page.request.answer(200, OPENED);
  reconnect();
  await page.advance(0);
  await page.waiting.find((request) => request.path === 'open').answer(200, { ...OPENED, socket: 'S2' });
  await page.advance(20000);
  assert.equal(opens, 2);
  assert.deepEqual(page.waiting.map((request) => request.query.socket), ['S2']);
});

test('an element that moves keeps its socket, and still stands for it', async () => {
  const page = new Page();
  const { body } = page.document;
  const socket = await page.connected();
  const frame = frames(page)[0];
  const wrapper = body.appendChild(page.document.createElement('div'));
  body.removeChild(frame);
  wrapper.appendChild(frame);
  await settle();
  assert.equal(socket.readyState, 1);
  wrapper.removeChild(frame);
  await settle();
  assert.equal(socket.readyState, 3);
});

test('`body.innerHTML += ...` copies the elements: the copies stand for the sockets', async () => {
  const page = new Page();
  const { body } = page.document;
  const first = await page.connected();
  const second = page.open();
  body.rewrite();
  await settle();
  assert.deepEqual([first.readyState, second.readyState], [1, 0]);
  first.close();
  assert.equal(frames(page).length, 1);
  body.removeChild(frames(page)[0]);
  await settle();
  assert.equal(second.readyState, 3);
});

test('an element of that name of the page\'s own is left alone', async () => {
  const page = new Page();
  const own = page.document.body.appendChild(page.document.createElement('iframe'));
  own.id = 'wcs-iframe';
  const socket = await page.connected();
  page.document.body.removeChild(own);
  await settle();
  assert.equal(socket.readyState, 1);
  socket.close();
  assert.deepEqual(frames(page), []);
});
