'use strict';
// The stream: when it is tried, what it takes over from, what it says, and that nothing is lost at any switch.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, FakeMessageChannel, calls, settle } = require('./page.js');

const JSAPI = 'http://localhost:8080/_ah/channel/jsapi';
const STREAMS = { stream: true };
const EMPTY = (next) => ({ messages: [], next });

const streamsOf = (page) => page.requests.filter((request) => request.path === 'stream');
const streamOf = (page) => streamsOf(page).pop();
const pollOf = (page) => page.waiting.filter((request) => request.path === 'poll').pop();

/** A socket that a stream serves. */
async function streaming(page, more = {}) {
  const socket = await page.connected(STREAMS, more);
  const poll = pollOf(page);
  if (poll) await poll.answer(200, EMPTY(0));
  await streamOf(page).hear(EMPTY(0));
  return socket;
}

test('polls first; the stream takes over with its first frame', async () => {
  const page = new Page();
  const socket = await page.connected(STREAMS);
  assert.equal(pollOf(page).query.wait, '25');
  assert.equal(streamOf(page).asked, 'http://localhost:8080/_ah/channel/stream?socket=S1&after=0');
  await pollOf(page).answer(200, EMPTY(0)); // The emulator's way to say that something newer has taken over.
  assert.equal(pollOf(page), undefined);
  await streamOf(page).hear({ messages: ['a'], next: 1 });
  await streamOf(page).hear({ messages: ['b', 'c'], next: 3 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c']);
  assert.equal(page.waiting.length, 1);
});

test('a poll that is under way as the stream begins is given up, and what it brings too late is not needed', async () => {
  const page = new Page();
  const socket = await page.connected(STREAMS);
  const poll = pollOf(page);
  await streamOf(page).hear({ messages: ['a'], next: 1 });
  assert.equal(poll.state, 'aborted');
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  assert.deepEqual(page.waiting, [streamOf(page)]);
});

test('while a stream is tried, messages come by polls', async () => {
  const page = new Page();
  const socket = await page.connected(STREAMS);
  for (let number = 1; number <= 3; number++) await pollOf(page).answer(200, { messages: [`m${number}`], next: number });
  await streamOf(page).hear({ messages: ['m2', 'm3', 'm4'], next: 4 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage m1', 'onmessage m2', 'onmessage m3', 'onmessage m4']);
});

test('an upgrade that is refused, at once or by silence: polls stay, and the pauses between tries grow', async () => {
  for (const refuse of [(stream) => stream.cut(), null]) {
    const page = new Page();
    const socket = await page.connected(STREAMS);
    const start = page.clock.now;
    let number = 0;
    while (page.clock.now < start + 600000) {
      const stream = streamOf(page);
      if (refuse && stream.state === 'waiting') await refuse(stream);
      await pollOf(page).answer(200, { messages: ['x'], next: ++number });
      await page.advance(1000);
    }
    const times = streamsOf(page).map((request) => request.at - start);
    const pauses = times.slice(1).map((time, index) => time - times[index]);
    assert.ok(pauses.length >= 4 && pauses.length <= 9, `${pauses}`);
    assert.deepEqual(pauses, [...pauses].sort((a, b) => a - b));
    assert.equal(calls(socket).length, 1 + number);
  }
});

test('an emulator or a browser without streams is not asked for one, nor is any for a page that wants something else', async () => {
  const pages = [new Page({ without: ['WebSocket'] }), ...['xhr', 'short'].map((name) => new Page({ src: `${JSAPI}?transport=${name}` }))];
  for (const page of pages) {
    await page.connected(STREAMS);
    assert.deepEqual(page.waiting.map((request) => request.path), ['poll']);
  }
  const page = new Page();
  await page.connected();
  assert.deepEqual(page.waiting.map((request) => request.path), ['poll']);
});

test('a WebSocket that the page may not open is one that failed', async () => {
  const page = new Page();
  page.webSocketThrows = true;
  const socket = await page.connected(STREAMS);
  await page.advance(10);
  await pollOf(page).answer(200, { messages: ['a'], next: 1 });
  assert.equal(pollOf(page).query.after, '1');
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('it is cut: a poll at once, by the same socket and number, and a stream again once that works', async () => {
  const page = new Page();
  const socket = await streaming(page);
  await streamOf(page).hear({ messages: ['a'], next: 1 });
  await page.advance(30001);
  await streamOf(page).hear({ messages: ['b'], next: 2 });
  await streamOf(page).cut();
  await settle();
  assert.deepEqual(page.request.query, { socket: 'S1', after: '2', wait: '0', early: '1', pauses: '1' });
  await page.request.answer(200, { messages: ['c'], next: 3 });
  assert.deepEqual([page.request.path, page.request.query.after], ['stream', '3']); // It is known to work: no poll beside it.
  await page.request.hear({ messages: ['d'], next: 4 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c', 'onmessage d']);
});

test('a stream that a poll has overtaken is tried again at once', async () => {
  const page = new Page();
  await page.connected(STREAMS); // The poll left first, and arrives last.
  await streamOf(page).hear(EMPTY(0));
  await streamOf(page).cut();
  await settle();
  await page.request.answer(200, EMPTY(0));
  assert.deepEqual([page.request.path, streamsOf(page).length], ['stream', 2]);
});

test('so is one that was overtaken before its first frame, beside the poll that is held now', async () => {
  const page = new Page();
  const socket = await page.connected(STREAMS);
  const poll = pollOf(page);
  await streamOf(page).cut();
  await settle();
  assert.equal(streamsOf(page).length, 2);
  assert.equal(pollOf(page), poll);
  await streamOf(page).hear({ messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  assert.deepEqual(page.waiting, [streamOf(page)]);
});

test('the stream takes over at every message of a run, and is cut at every later one: each message once and in order', async () => {
  const count = 8;
  const texts = [...new Array(count).keys()].map((number) => `m${number + 1}`);
  const since = (request, sent) => ({ messages: texts.slice(+request.query.after, sent), next: sent });
  for (let begin = 0; begin <= count; begin++) {
    for (let end = begin; end <= count; end++) {
      for (const lost of [0, 1]) { // Does the last frame arrive?
        const page = new Page();
        const socket = await page.connected(STREAMS);
        for (let sent = 1; sent <= begin; sent++) await pollOf(page).answer(200, since(pollOf(page), sent));
        const stream = streamOf(page);
        await stream.hear(since(stream, begin));
        for (let sent = begin + 1; sent <= end - lost; sent++) await stream.hear({ messages: [texts[sent - 1]], next: sent });
        await stream.cut();
        await settle();
        for (let sent = end; sent <= count; sent++) {
          const poll = pollOf(page);
          if (poll) await poll.answer(200, since(poll, sent));
          else await streamOf(page).hear({ ...since(streamOf(page), sent) });
        }
        assert.deepEqual(calls(socket), ['onopen', ...texts.map((text) => `onmessage ${text}`)], `${begin} to ${end}`);
      }
    }
  }
});

test('a network that cuts every stream soon is not stormed', async () => {
  const page = new Page();
  const socket = await page.connected(STREAMS);
  const start = page.clock.now;
  while (page.clock.now < start + 60000) {
    for (const request of page.waiting) {
      if (request.path === 'stream') {
        await request.hear(EMPTY(0));
        await request.cut();
        await settle();
      } else if (request.query.wait === '0') await request.answer(200, EMPTY(0));
      else if (page.clock.now - request.at > 20000) await request.answer(200, EMPTY(0));
    }
    await page.advance(50);
  }
  assert.ok(page.requests.length < 40, `${page.requests.length} requests in a minute`);
  assert.deepEqual(calls(socket), ['onopen']);
});

test('40 s without a frame: polls again', async () => {
  const page = new Page();
  const socket = await streaming(page);
  await page.advance(39000);
  await streamOf(page).hear(EMPTY(0));
  await page.advance(39900);
  assert.deepEqual(page.waiting.map((request) => request.path), ['stream']);
  await page.advance(200);
  assert.equal(streamOf(page).state, 'closed');
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

const ENDS = {
  '{"error": 401, "reason": "Token+timed+out."}': ['onerror 401 Token+timed+out.', 'onclose'],
  '{"error": 410, "reason": "Backlog+exceeded."}': ['onerror 410 Backlog+exceeded.', 'onclose'],
  '{"error": 410, "reason": "Replaced+by+a+newer+socket."}': ['onclose'],
};

for (const [frame, expected] of Object.entries(ENDS)) {
  test(`a stream that ends with ${frame}`, async () => {
    const page = new Page();
    const socket = await streaming(page);
    await streamOf(page).hear(frame);
    assert.deepEqual(calls(socket), ['onopen', ...expected]);
    await page.advance(120000);
    assert.deepEqual(page.waiting, []);
  });
}

test('frames that are of no use are a broken connection', async () => {
  for (const frame of ['', 'x', 'null', '[]', '{"messages":["a', '{"messages":["a"]}', '{"error": 503, "reason": "busy"}', { messages: ['b'], next: 2 }]) {
    const page = new Page();
    const socket = await streaming(page);
    await streamOf(page).hear(frame);
    assert.equal(streamOf(page).state, 'closed');
    assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '0', early: '1', pauses: '1' });
    await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
    assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
  }
});

test('messages that come again are passed over', async () => {
  const page = new Page();
  const socket = await streaming(page);
  await streamOf(page).hear({ messages: ['a', 'b'], next: 2 });
  await streamOf(page).hear({ messages: ['a', 'b'], next: 2 });
  await streamOf(page).hear({ messages: ['b', 'c'], next: 3 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c']);
});

test('it says which number it has: to an empty frame at once, otherwise seldom', async () => {
  const page = new Page();
  await streaming(page);
  const { said } = streamOf(page);
  let number = 0;
  const hear = (count, size = 1) => {
    number += count;
    return streamOf(page).hear({ messages: new Array(count).fill('x'.repeat(size)), next: number });
  };
  assert.deepEqual(said, ['0']);
  await page.advance(200);
  await hear(1);
  assert.deepEqual(said.splice(0), ['0', '1']); // The last time is long ago.
  await hear(1);
  await hear(1);
  assert.deepEqual(said, []);
  await page.advance(199);
  assert.deepEqual(said, []);
  await page.advance(1);
  assert.deepEqual(said.splice(0), ['3']);
  await hear(63);
  assert.deepEqual(said, []);
  await hear(1);
  assert.deepEqual(said.splice(0), ['67']);
  await hear(4, 25000); // So much text that the emulator's window may be full.
  assert.deepEqual(said.splice(0), ['71']);
  await hear(1);
  await streamOf(page).hear(EMPTY(number));
  assert.deepEqual(said.splice(0), ['72']);
  await page.advance(1000);
  assert.deepEqual(said, []);
});

test('handlers run before it says so, unless they are slow', async () => {
  const page = new Page();
  let busy = 100;
  const seen = [];
  await streaming(page, { onmessage: () => { seen.push(streamOf(page).said.length); page.clock.pass(busy); } });
  await page.advance(200);
  await streamOf(page).hear({ messages: ['slow'], next: 1 });
  await page.advance(200);
  await streamOf(page).hear({ messages: ['after it'], next: 2 });
  assert.deepEqual(seen, [1, 3]);
});

test('once it has worked, other sockets of the page begin with it, until it fails', async () => {
  const page = new Page();
  await streaming(page);
  const second = page.open('other');
  await page.waiting.find((request) => request.path === 'open').answer(200, { socket: 'S2', client: 'bert', next: 0, wait: 25, resume: 60, stream: true });
  const stream = streamOf(page);
  assert.deepEqual([stream.query.socket, pollOf(page)], ['S2', undefined]);
  await stream.cut();
  await settle();
  await pollOf(page).answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual([pollOf(page).query.socket, pollOf(page).query.after], ['S2', '1']);
  assert.deepEqual(calls(second), ['onopen', 'onmessage a']);
});

test('close(): the stream is closed, and the emulator told', async () => {
  const page = new Page();
  const socket = await streaming(page);
  socket.close();
  await page.advance(1000);
  assert.deepEqual([calls(socket), page.waiting, page.beacons], [['onopen', 'onclose'], [], ['/_ah/channel/close?socket=S1']]);
});

test('a page that is left closes it before its listeners have ended, and goes on when it is back', async () => {
  for (const persisted of [true, false]) {
    const page = new Page();
    const socket = await streaming(page);
    await streamOf(page).hear({ messages: ['a'], next: 1 });
    page.listeners.pagehide.forEach((listener) => listener({ persisted }));
    assert.equal(streamOf(page).state, 'closed');
    await settle();
    assert.deepEqual([page.waiting, page.beacons.length], [[], persisted ? 0 : 1]);
    if (!persisted) continue;
    await page.fire('window', 'pageshow', { persisted });
    assert.deepEqual(page.request.query, { socket: 'S1', after: '1', wait: '0', early: '1', pauses: '1' });
    await page.request.answer(200, { messages: ['b'], next: 2 });
    await page.request.hear({ messages: ['c'], next: 3 });
    assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c']);
  }
});

test('another network: the stream may be dead, and is tried afresh behind a poll', async () => {
  const page = new Page();
  await streaming(page);
  await page.fire('document', 'visibilitychange');
  assert.equal(streamOf(page).state, 'waiting');
  await page.fire('window', 'online');
  assert.equal(streamOf(page).state, 'closed');
  await page.request.answer(200, EMPTY(0));
  assert.equal(page.request.path, 'stream');
});

test('asked for: the stream alone, whatever becomes of it', async () => {
  const page = new Page({ src: `${JSAPI}?transport=websocket` });
  const socket = await page.connected();
  for (let number = 1; number <= 6; number++) {
    while (!page.waiting.length) await page.advance(10);
    assert.deepEqual([page.request.path, page.request.query.after], ['stream', String(number - 1)]);
    await page.request.hear({ messages: [`m${number}`], next: number });
    await page.request.cut();
    await settle();
  }
  assert.deepEqual(calls(socket).slice(1), [1, 2, 3, 4, 5, 6].map((number) => `onmessage m${number}`));
});

test('asked for where it can never be: onerror and onclose after the resume window, and no storm before', async () => {
  const page = new Page({ src: `${JSAPI}?transport=websocket` });
  const socket = await page.connected({ resume: 20 });
  while (socket.readyState === 1) {
    for (const request of page.waiting) await request.cut();
    await page.advance(10);
  }
  assert.ok(page.clock.now >= 21000 && page.clock.now <= 23500, `after ${page.clock.now - 1000} ms`);
  assert.ok(page.requests.length < 30, `${page.requests.length} requests`);
  assert.deepEqual(calls(socket), ['onopen', 'onerror 0 Connection+lost.', 'onclose']);
});

test('a page that may frame but not ask streams through the frame', async () => {
  const page = new Page({ globals: { MessageChannel: FakeMessageChannel } });
  const pass = async (done) => { await done; for (let turn = 0; turn < 4; turn++) await settle(); };
  const socket = page.open();
  for (let attempt = 0; attempt < 3; attempt++) {
    await page.request.cut();
    if (!page.waiting.length) await page.advance(200);
  }
  await page.advance(400);
  await page.loadFrame();
  await pass(page.request.answer(200, { socket: 'S1', client: 'anna', next: 0, wait: 25, resume: 60, stream: true }));
  assert.deepEqual(page.waiting.map(({ kind, path }) => `${kind} ${path}`), ['frame fetch poll', 'frame websocket stream']);
  const poll = pollOf(page);
  await pass(streamOf(page).hear({ messages: ['a'], next: 1 }));
  assert.equal(poll.state, 'aborted');
  await pass(streamOf(page).hear({ messages: [], next: 1 }));
  assert.deepEqual(streamOf(page).said, ['1', '1']);
  await pass(streamOf(page).cut());
  await pass(page.request.answer(200, { messages: ['b'], next: 2 }));
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
  socket.close();
  assert.equal(page.document.documentElement.children.length, 1);
});
