'use strict';
// What a page sees of goog.appengine: names, handlers, states, and when it is called.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, calls, OPENED } = require('./page.js');

const HEAD_TEXT = 'document.body is not defined -- do not create socket from script in <head>.';

test('the names that pages use exist, and goog is the only global', () => {
  const bare = new Page({ load: false });
  const before = Object.keys(bare.window);
  bare.load();
  const { Channel, Socket } = bare.appengine;
  assert.deepEqual(Object.keys(bare.window).filter((name) => !before.includes(name)), ['goog']);
  assert.deepEqual({ ...Socket.ReadyState }, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
  assert.equal(Socket.BASE_URL, '/_ah/channel/');
  assert.equal(Socket.POLLING_TIMEOUT_MS, 500);
  assert.equal(typeof Channel.prototype.open, 'function');
  const handler = new Socket.Handler();
  ['onopen', 'onmessage', 'onerror', 'onclose'].forEach((name) => assert.equal(handler[name](), undefined));
});

test('a message travels from the emulator to onmessage', async () => {
  const page = new Page();
  const socket = page.open('to+ken/=');
  assert.equal(socket.readyState, 0);
  assert.equal(page.request.method, 'GET');
  assert.match(page.request.url, /^\/_ah\/channel\/open\?channel=to%2Bken%2F%3D&attempt=[\w.-]{1,64}$/);
  await page.request.answer(200, OPENED);
  assert.equal(socket.readyState, 1);
  assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '25', early: '1', pauses: '1' });
  await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
  assert.deepEqual(page.request.query, { socket: 'S1', after: '2', wait: '25', early: '1', pauses: '1' });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
  assert.deepEqual(socket.log.map(([, argument]) => Object.keys(argument)), [[], ['data'], ['data']]);
});

test('any text arrives as it was sent', async () => {
  const texts = ['\0', 'a\nb\r\n', '</script><!--', '"}]', '{"messages":[]}', '😀', '\u2028', 'ሰላም नमस्ते', 'x'.repeat(32767)];
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, { messages: texts, next: texts.length });
  assert.deepEqual(socket.log.slice(1).map(([, argument]) => argument.data), texts);
});

test('nothing is called inside open() or close()', async () => {
  for (const without of [[], ['Promise', 'fetch']]) {
    const page = new Page({ without });
    const socket = page.open();
    assert.deepEqual(calls(socket), []);
    await page.request.answer(200, OPENED);
    socket.close();
    assert.deepEqual(calls(socket), ['onopen']);
    assert.equal(socket.readyState, 3);
    await page.advance(1);
    assert.deepEqual(calls(socket), ['onopen', 'onclose']);
  }
});

test('handlers are copied at open(), and the socket\'s own are read at each call', async () => {
  const page = new Page();
  const seen = [];
  const handler = { onopen: () => seen.push('first'), onmessage: () => seen.push('never') };
  const socket = new page.appengine.Channel('token').open(handler);
  handler.onopen = () => seen.push('changed too late');
  socket.onmessage = (event) => seen.push(event.data);
  await page.request.answer(200, OPENED);
  await page.request.answer(200, { messages: ['one'], next: 1 });
  socket.onmessage = (event) => seen.push(event.data + '!');
  await page.request.answer(200, { messages: ['two'], next: 2 });
  assert.deepEqual(seen, ['first', 'one', 'two!']);
});

test('handlers may stand on a prototype', async () => {
  const page = new Page();
  const seen = [];
  class Handler extends page.appengine.Socket.Handler {
    onopen() { seen.push(this); }
  }
  const socket = new page.appengine.Channel('token').open(new Handler());
  await page.request.answer(200, OPENED);
  assert.deepEqual(seen, [socket]); // `this` is the socket.
});

test('missing, null and mistyped handlers are passed over', async () => {
  const page = new Page();
  for (const handler of [undefined, null, {}, { onopen: null, onmessage: 'text', onClose: () => assert.fail() }, () => assert.fail()]) {
    const socket = new page.appengine.Channel('token').open(handler);
    await page.request.answer(200, OPENED);
    await page.request.answer(200, { messages: ['one'], next: 1 });
    socket.close();
    await page.advance(1);
    assert.equal(socket.readyState, 3);
  }
  await page.advance(5000);
  assert.deepEqual(page.errors, []);
});

const NO_HANDLER = 'goog.appengine: a message came, and there is no onmessage (in lower case)';

test('a message that no onmessage takes is told in the console, once in a page', async () => {
  for (const name of ['onMessage', 'onmessaged', 'on_message', 'onopened']) {
    for (const make of [() => ({}), (page) => new page.appengine.Socket.Handler()]) {
      const page = new Page();
      const handler = Object.assign(make(page), { [name]: () => assert.fail() });
      new page.appengine.Channel('token').open(handler);
      await page.request.answer(200, OPENED);
      assert.deepEqual(page.warnings, []); // A page may want onopen alone.
      await page.request.answer(200, { messages: ['one', 'two'], next: 2 });
      assert.deepEqual(page.warnings, [NO_HANDLER]);
      assert.deepEqual(page.errors, []);
    }
  }
});

test('a handler that was mistyped on the socket is told of, too, also where the emulator is quiet', async () => {
  const page = new Page();
  const socket = new page.appengine.Channel('token').open();
  socket.onMessage = () => assert.fail();
  await page.request.answer(200, { ...OPENED, quiet: true });
  await page.request.answer(200, { messages: ['one'], next: 1 });
  assert.deepEqual(page.warnings, [NO_HANDLER]);
  const seen = [];
  socket.onmessage = (event) => seen.push(event.data);
  await page.request.answer(200, { messages: ['two'], next: 2 });
  assert.deepEqual(seen, ['two']);
});

test('nothing is told of messages that a handler takes, nor where there is no console', async () => {
  const page = new Page();
  const handled = new page.appengine.Channel('token').open({ onmessage() {} });
  await page.request.answer(200, OPENED);
  await page.request.answer(200, { messages: ['one'], next: 1 });
  handled.close();
  await page.advance(1);
  assert.deepEqual(page.warnings, []);

  const without = new Page({ globals: { console: undefined } });
  new without.appengine.Channel('token').open();
  await without.request.answer(200, OPENED);
  await without.request.answer(200, { messages: ['one'], next: 1 });
  assert.deepEqual(without.errors, []);
});

test('a handler that throws is reported and stops nothing', async () => {
  const page = new Page();
  let count = 0;
  const broken = (name) => () => { throw new Error(`${name} ${++count}`); };
  const socket = await page.connected({}, { onopen: broken('open'), onmessage: broken('message'), onerror: broken('error'), onclose: broken('close') });
  await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
  await page.request.answer(401, 'Token+timed+out.');
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onerror 401 Token+timed+out.', 'onclose']);
  await page.advance(10);
  assert.deepEqual(page.errors.map(String), ['open 1', 'message 2', 'message 3', 'error 4', 'close 5'].map((text) => `Error: ${text}`));
});

test('close() while messages are handed out: the rest are not delivered', async () => {
  const page = new Page();
  const socket = await page.connected({}, { onmessage(event) { if (event.data === 'b') this.close(); } });
  await page.request.answer(200, { messages: ['a', 'b', 'c'], next: 3 });
  await page.advance(1);
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onclose']);
  assert.deepEqual(page.waiting, []);
});

test('messages that arrive while a handler is at a dialogue wait for their turn', async () => {
  const page = new Page({ without: ['fetch'] });
  const seen = [];
  await page.connected({}, {
    onmessage(event) {
      if (event.data === 'slow') return page.clock.pass(100); // From here on polls leave before the handlers.
      seen.push(`${event.data} begins`);
      // Old browsers go on with the page's requests while alert() is open.
      if (event.data === 'a') page.request.finish('answered', { status: 200, reason: '', body: '{"messages":["c"],"next":4}' });
      seen.push(`${event.data} ends`);
    },
  });
  await page.request.answer(200, { messages: ['slow'], next: 1 });
  await page.request.answer(200, { messages: ['a', 'b'], next: 3 });
  assert.deepEqual(seen, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

test('a handler that opens another socket disturbs neither', async () => {
  const page = new Page();
  let second;
  const first = await page.connected({}, { onmessage() { second = second || page.open('other'); } });
  await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
  assert.deepEqual(calls(first), ['onopen', 'onmessage a', 'onmessage b']);
  await page.waiting.find((request) => request.path === 'open').answer(200, { ...OPENED, socket: 'S2' });
  await page.waiting.find((request) => request.query.socket === 'S2').answer(200, { messages: ['c'], next: 1 });
  assert.deepEqual(calls(second), ['onopen', 'onmessage c']);
  second.close();
  assert.equal(first.readyState, 1);
});

test('close() tells the emulator once, and onclose comes once', async () => {
  const page = new Page();
  const socket = await page.connected();
  socket.close();
  socket.close();
  await page.advance(120000);
  await page.fire('window', 'online');
  assert.deepEqual(calls(socket), ['onopen', 'onclose']);
  assert.deepEqual(page.beacons, ['/_ah/channel/close?socket=S1']);
  assert.ok(page.document.observers.every((observer) => observer.gone));
  assert.deepEqual(page.waiting, []);
});

test('close() in every handler: onclose comes once', async () => {
  const close = function () { this.close(); };
  const page = new Page();
  const refused = page.open('bad', { onerror: close, onclose: close });
  await page.request.answer(401, 'Invalid+token.');
  const opened = await page.connected({}, { onopen: close, onclose: close });
  await page.advance(120000);
  assert.deepEqual(calls(refused), ['onerror 401 Invalid+token.', 'onclose']);
  assert.deepEqual(calls(opened), ['onopen', 'onclose']);
});

test('close() while connecting: no onopen, and the socket that then opens is closed', async () => {
  const page = new Page();
  const socket = page.open();
  socket.close();
  assert.equal(socket.readyState, 3);
  await page.request.answer(200, OPENED);
  await page.advance(1);
  assert.deepEqual(calls(socket), ['onclose']);
  assert.deepEqual(page.beacons, ['/_ah/channel/close?socket=S1']);
  assert.deepEqual(page.waiting, []);
});

test('close() between two attempts to connect ends the attempts', async () => {
  const page = new Page();
  const socket = page.open();
  await page.request.cut();
  await page.request.cut();
  socket.close();
  await page.advance(60000);
  assert.equal(page.requests.length, 2);
  assert.deepEqual(calls(socket), ['onclose']);
});

test('a failed attempt to connect after close() is not repeated', async () => {
  const page = new Page();
  const socket = page.open();
  socket.close();
  await page.request.cut();
  await page.advance(60000);
  assert.equal(page.requests.length, 1);
  assert.deepEqual(calls(socket), ['onclose']);
});

test('without a beacon, close() posts', async () => {
  for (const globals of [{ navigator: {} }, { navigator: { sendBeacon: () => false } }]) {
    const page = new Page({ globals });
    const socket = await page.connected();
    socket.close();
    assert.deepEqual([page.request.kind, page.request.method, page.request.url, page.request.options.async],
      ['xhr', 'POST', '/_ah/channel/close?socket=S1', true]);
  }
});

test('no document.body: the documented string is thrown before any request', () => {
  const page = new Page();
  page.document.body = null;
  assert.throws(() => page.open(), (thrown) => thrown === HEAD_TEXT);
  assert.deepEqual(page.requests, []);
  assert.deepEqual(page.document.querySelectorAll('#wcs-iframe'), []);
});

test('a token of the wrong type is for the emulator to refuse', async () => {
  for (const token of [undefined, null, 42, true, {}, [], '', 'ü&=#?/ \ud83d\ude00']) {
    const page = new Page();
    const socket = page.open(token);
    if (token !== undefined) assert.equal(page.request.query.channel, String(token)); // undefined: the helper's own.
    await page.request.answer(401, 'Invalid+token.');
    assert.deepEqual(calls(socket), ['onerror 401 Invalid+token.', 'onclose']);
  }
});

test('one channel can be opened again, and two sockets live side by side', async () => {
  const page = new Page();
  const channel = new page.appengine.Channel('token');
  const log = [];
  for (const name of ['S1', 'S2']) {
    channel.open({ onmessage: (event) => log.push(`${name} ${event.data}`) });
    await page.waiting.find((request) => request.path === 'open').answer(200, { ...OPENED, socket: name });
  }
  for (const name of ['S2', 'S1']) {
    await page.waiting.find((request) => request.query.socket === name).answer(200, { messages: [`to ${name}`], next: 1 });
  }
  assert.deepEqual(log, ['S2 to S2', 'S1 to S1']);
});

test('send() posts as the development server\'s script did, if the socket is open', async () => {
  const page = new Page();
  const socket = page.open();
  assert.equal(socket.send('too soon'), false);
  await page.request.answer(200, { ...OPENED, client: 'a&b c@d/é' });
  assert.equal(socket.send('x=1&y +%'), true);
  assert.equal(socket.send('again'), true);
  const [first, second] = page.requests.filter((request) => request.path === 'receive');
  assert.equal(first.method, 'POST');
  assert.equal(first.options.headers['Content-Type'], 'application/x-www-form-urlencoded');
  assert.deepEqual([...new URLSearchParams(first.body)], [['key', 'a&b c@d/é'], ['msg', 'x=1&y +%']]);
  assert.equal(new URLSearchParams(second.body).get('msg'), 'again');
  assert.equal(page.notes.length, 1); // Production never sent; said once.
  socket.close();
  assert.equal(socket.send('too late'), false);
});

test('a failed send() does not harm the socket', async () => {
  const page = new Page();
  const socket = await page.connected();
  socket.send('x');
  await page.requests.find((request) => request.path === 'receive').answer(500, 'broken');
  assert.deepEqual(calls(socket), ['onopen']);
  assert.equal(socket.readyState, 1);
});

test('a slow POLLING_TIMEOUT_MS loses and delays nothing', async () => {
  const page = new Page();
  page.appengine.Socket.POLLING_TIMEOUT_MS = 20000;
  const socket = await page.connected();
  for (let number = 1; number <= 5; number++) {
    await page.request.answer(200, { messages: [`m${number}`], next: number });
  }
  assert.deepEqual(calls(socket), ['onopen', 'onmessage m1', 'onmessage m2', 'onmessage m3', 'onmessage m4', 'onmessage m5']);
});
