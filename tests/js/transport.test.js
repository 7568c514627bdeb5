'use strict';
// The transports: which one is in use, and that each is as good as the others.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, FakeMessageChannel, fakeBroadcastChannel, calls, settle, OPENED } = require('./page.js');

const ORIGIN = 'http://localhost:8080';
const JSAPI = `${ORIGIN}/_ah/channel/jsapi`;

function pageWith(transport, options = {}) {
  return new Page({ globals: { MessageChannel: FakeMessageChannel }, src: transport ? `${JSAPI}?transport=${transport}` : JSAPI, ...options });
}

/** Answers through the frame, whose ports take their time. */
async function answer(page, ...reply) {
  await page.request.answer(...reply);
  for (let turn = 0; turn < 4; turn++) await settle();
}

test('the script\'s address names the transport, and Socket.TRANSPORT overrides it', () => {
  assert.equal(new Page({ src: `${JSAPI}?v=1&transport=short#x` }).appengine.Socket.TRANSPORT, 'short');
  assert.equal(new Page({ src: `${JSAPI}?transport=iframe` }).appengine.Socket.TRANSPORT, 'iframe');
  assert.equal(new Page({ src: JSAPI }).appengine.Socket.TRANSPORT, undefined);
  const before = 'var goog = {appengine: {Socket: {TRANSPORT: "xhr"}}};';
  assert.equal(new Page({ src: `${JSAPI}?transport=iframe`, before }).appengine.Socket.TRANSPORT, 'xhr');
});

test('iframe: opens, polls and hands on messages, and leaves nothing behind', async () => {
  const page = pageWith('iframe');
  const socket = page.open();
  await page.loadFrame();
  assert.deepEqual([page.request.kind, page.request.path], ['frame xhr', 'open']);
  await answer(page, 200, OPENED);
  assert.deepEqual([page.request.kind, page.request.query], ['frame fetch', { socket: 'S1', after: '0', wait: '25', early: '1', pauses: '1' }]);
  await answer(page, 200, { messages: ['a', 'b'], next: 2 });
  await answer(page, 200, { messages: ['c'], next: 3 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c']);
  assert.equal(page.document.documentElement.children.length, 2); // The body, and the frame beside it.
  socket.close();
  assert.equal(page.document.documentElement.children.length, 1);
  assert.deepEqual(page.beacons, ['/_ah/channel/close?socket=S1']);
});

test('iframe: a refusal keeps its text', async () => {
  const page = pageWith('iframe');
  const socket = page.open();
  await page.loadFrame();
  await answer(page, 401, 'Invalid+token.', 'Invalid+token.');
  assert.deepEqual(calls(socket), ['onerror 401 Invalid+token.', 'onclose']);
  assert.equal(page.document.documentElement.children.length, 1);
});

test('iframe: a port that does not come with the name which the page made up is not used', async () => {
  const page = pageWith('iframe');
  const socket = page.open();
  const foreign = new FakeMessageChannel();
  let heard = 0;
  foreign.port1.onmessage = () => heard++;
  for (const data of ['', '#', undefined, null, {}, ['x'], '0.5']) {
    await page.fire('window', 'message', { data, ports: [foreign.port2], source: {} });
  }
  await settle();
  assert.equal(heard, 0);
  const { data } = await page.loadFrame();
  assert.match(data, /^0\.\d{6,}|\de-\d+$/);
  await answer(page, 200, OPENED);
  assert.deepEqual(calls(socket), ['onopen']);
  socket.close();
  assert.deepEqual(page.listeners.message, []);
});

test('iframe: an answer lost, a frame that does not load, and one that falls silent', async () => {
  const page = pageWith('iframe');
  const socket = page.open();
  await page.loadFrame(false);
  await page.advance(1001); // An error page.
  await page.loadFrame();
  await answer(page, 200, OPENED);
  await page.request.cut();
  for (let turn = 0; turn < 4; turn++) await settle();
  assert.deepEqual([page.request.kind, page.request.query.wait], ['frame xhr', '0']);
  await answer(page, 200, { messages: ['a'], next: 1 });
  await page.advance(35001); // Silent for longer than the wait and 10 s.
  await page.loadFrame();
  const retry = page.waiting[page.waiting.length - 1];
  assert.deepEqual(retry.query, { socket: 'S1', after: '1', wait: '0', early: '1', pauses: '1' });
  await retry.answer(200, { messages: ['b'], next: 2 });
  for (let turn = 0; turn < 4; turn++) await settle();
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
});

test('iframe without MessageChannel: XMLHttpRequest serves', async () => {
  const page = pageWith('iframe', { globals: {} });
  page.open();
  assert.equal(page.request.kind, 'xhr');
});

test('the frame asks for nothing but open, poll and stream', async () => {
  const page = pageWith('iframe');
  page.open();
  const { ports: [port] } = await page.loadFrame();
  for (const path of ['/_emu/events', '../../_emu/events', 'close?socket=S1', 'open', 'poll?socket=S1#x', 'open?x=/../..', 'http://localhost/poll?x=1',
    'poll?socket=S1\n', '//evil/poll?socket=S1', 'receive?key=x', 'poll?socket=S1', 'stream?socket=S1']) {
    port.postMessage(path, [new FakeMessageChannel().port2]);
    await settle();
    await settle();
  }
  assert.deepEqual(page.waiting.map((request) => request.path), ['open', 'poll', 'stream']);
});

test('by itself: an iframe where the page may not ask, and it stays', async () => {
  const page = pageWith(null);
  const socket = page.open();
  for (let attempt = 0; attempt < 3; attempt++) {
    assert.equal(page.request.kind, 'xhr');
    await page.request.cut(); // Content-Security-Policy: connect-src
    if (!page.waiting.length) await page.advance(200);
  }
  await page.advance(400);
  await page.loadFrame();
  await answer(page, 200, OPENED);
  await answer(page, 200, { messages: ['a'], next: 1 });
  assert.equal(page.request.kind, 'frame fetch');
  await page.request.cut();
  for (let turn = 0; turn < 4; turn++) await settle();
  assert.equal(page.request.kind, 'frame xhr');
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('short: polls that do not wait, every POLLING_TIMEOUT_MS', async () => {
  for (const [set, pause] of [[undefined, 500], [100, 100], [20000, 3000], [1, 50], ['x', 500]]) {
    const page = pageWith('short');
    if (set !== undefined) page.appengine.Socket.POLLING_TIMEOUT_MS = set;
    const socket = await page.connected();
    await page.request.answer(200, { messages: [], next: 0 });
    assert.deepEqual(page.waiting, []);
    await page.advance(pause - 1);
    assert.deepEqual(page.waiting, []);
    await page.advance(1);
    assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '0', early: '1', pauses: '1' });
    await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
    assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
  }
});

test('by itself: short polls where long ones are cut, and long ones again where they work again', async () => {
  const page = pageWith(null, { globals: {} });
  const socket = await page.connected();
  for (let turn = 0; turn < 30; turn++) {
    while (!page.waiting.length) await page.advance(10);
    if (page.request.query.wait !== '0') await page.request.cut();
    else await page.request.answer(200, { messages: [], next: 0 });
  }
  const start = page.clock.now;
  while (!page.waiting.length) await page.advance(10);
  await page.request.answer(200, { messages: ['a'], next: 1 });
  await page.advance(490);
  assert.ok(page.clock.now - start <= 1010); // Half a second, whatever failed before.
  for (let turn = 0; turn < 40 && !(page.waiting.length && page.request.query.wait !== '0'); turn++) {
    if (page.waiting.length) await page.request.answer(200, { messages: [], next: 1 });
    await page.advance(500);
  }
  await page.request.answer(200, { messages: ['b'], next: 2 });
  assert.equal(page.request.query.wait, '25');
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
});

test('a poll that was released is followed by the next at once, however often', async () => {
  const page = new Page();
  await page.connected();
  for (let turn = 0; turn < 300; turn++) await page.request.answer(200, { messages: [], next: 0, released: true });
  assert.equal(page.clock.now, 1000);
});

/** The only request of each. */
function askedBy(pages) {
  return pages.map((page) => page.waiting.map((request) => `${request.query.after} ${request.query.wait}`).join());
}

test('told to pause, a page polls half a second later', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, { messages: ['a'], next: 1, released: true, pause: 'me' });
  await page.advance(499);
  assert.deepEqual(page.waiting, []);
  await page.advance(1);
  assert.deepEqual(askedBy([page]), ['1 25']);
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('or at once, when another page of the browser calls it', async () => {
  const BroadcastChannel = fakeBroadcastChannel();
  const pages = [1, 2, 3].map(() => new Page({ globals: { BroadcastChannel } }));
  const [called, other, calling] = pages;
  for (const page of pages) await page.connected();
  await called.request.answer(200, { messages: [], next: 0, released: true, pause: 'me' });
  await other.request.answer(200, { messages: [], next: 0, released: true, pause: 'another' });
  await calling.request.answer(200, { messages: [], next: 0, released: true, call: ['me', 'nobody'] });
  await settle();
  assert.deepEqual(askedBy(pages), ['0 0', '', '0 25']);
  await called.request.answer(200, { messages: ['a'], next: 1 });
  await called.advance(600);
  assert.deepEqual(askedBy([called]), ['1 25']); // The pause is over.
  await calling.request.answer(200, { messages: [], next: 0, released: true, call: ['me'] });
  await settle();
  assert.equal(called.requests.length, 4); // A call that comes late is none.
  assert.deepEqual(BroadcastChannel.all.map((each) => each.name), ['me', 'another']);
});

test('or at once, though a stream is tried, which browsers may put off', async () => {
  const BroadcastChannel = fakeBroadcastChannel();
  const pages = [1, 2].map(() => new Page({ globals: { BroadcastChannel } }));
  const [called, calling] = pages;
  for (const page of pages) await page.connected({ stream: true });
  const [stream, poll] = ['stream', 'poll'].map((path) => called.waiting.find((request) => request.path === path));
  await poll.answer(200, { messages: [], next: 0, released: true, pause: 'me' });
  assert.deepEqual(called.waiting, [stream]);
  await calling.waiting.find((request) => request.path === 'poll')
    .answer(200, { messages: [], next: 0, released: true, call: ['me'] });
  await settle();
  assert.deepEqual(called.waiting.map((request) => request.path), ['stream', 'poll']);
  assert.equal(called.waiting[0], stream); // It goes on.
});

test('no BroadcastChannel is there before one is needed', async () => {
  const BroadcastChannel = fakeBroadcastChannel();
  const page = new Page({ globals: { BroadcastChannel } });
  await page.connected();
  await page.request.answer(200, { messages: ['a'], next: 1 });
  await page.request.answer(200, { messages: [], next: 1, released: true });
  assert.equal(BroadcastChannel.all.length, 0);
  for (let turn = 0; turn < 3; turn++) {
    await page.request.answer(200, { messages: [], next: 1, released: true, pause: 'me' });
    await page.advance(500);
  }
  assert.equal(BroadcastChannel.all.length, 1);
});

test('a BroadcastChannel that the page may not have costs no message', async () => {
  const page = new Page({ globals: { BroadcastChannel: class { constructor() { throw new Error('SecurityError'); } } } });
  const socket = await page.connected();
  await page.request.answer(200, { messages: ['a'], next: 1, released: true, call: ['another'] });
  await page.request.answer(200, { messages: ['b'], next: 2, released: true, pause: 'me' });
  await page.advance(500);
  await page.request.answer(200, { messages: ['c'], next: 3 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c']);
});

test('a page that pauses can be closed, and can become visible', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, { messages: [], next: 0, released: true, pause: 'me' });
  await page.fire('document', 'visibilitychange');
  assert.deepEqual(askedBy([page]), ['0 0']);
  await page.request.answer(200, { messages: [], next: 0 });
  await page.request.answer(200, { messages: [], next: 0, released: true, pause: 'me' });
  socket.close();
  await page.advance(60000);
  assert.deepEqual(page.waiting, []);
});

test('open() is tried again under the same name, and each open() has its own', async () => {
  const page = new Page();
  page.open();
  const name = page.request.query.attempt;
  await page.request.cut();
  assert.equal(page.request.query.attempt, name);
  page.open();
  assert.notEqual(page.waiting[1].query.attempt, name);
});
