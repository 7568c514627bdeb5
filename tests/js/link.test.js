'use strict';
// The connection: numbers, refusals, losses, retries, and when it gives up.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, calls, OPENED } = require('./page.js');

const BROWSERS = { fetch: {}, 'XMLHttpRequest': { without: ['fetch', 'AbortController', 'Promise'] } };

/** Ways in which an answer is of no use. */
const LOSSES = {
  'a cut connection': (request) => request.cut(),
  'half an answer': (request) => request.answer(200, '{"messages":["a'),
  'far too much': (request) => request.answer(200, 'x'.repeat(20_000_000)),
  'far too much that begins well': (request) => request.answer(200, '{"next": 1, "messages": ["' + 'x'.repeat(20_000_000)),
  'no body': (request) => request.answer(200, ''),
  'a login page': (request) => request.answer(200, '<!DOCTYPE html><title>Login</title>'),
  'JSON of another kind': (request) => request.answer(200, 'null'),
  'JSON without messages': (request) => request.answer(200, {}),
  'messages without a number': (request) => request.answer(200, { messages: ['x'] }),
  'messages that are no list': (request) => request.answer(200, { messages: 'xy', next: 2 }),
  'status 500': (request) => request.answer(500, 'Internal Server Error', 'Internal Server Error'),
  'status 503 of a proxy': (request) => request.answer(503, '<html>busy</html>', 'Service Unavailable'),
  'status 404 of a proxy': (request) => request.answer(404, 'page not found', 'Not Found'),
  'status 401 of a proxy': (request) => request.answer(401, '<html>Sign in</html>', 'Unauthorized'),
  'status 302 without a target': (request) => request.answer(302, '', 'Found'),
};

for (const [browser, options] of Object.entries(BROWSERS)) {
  for (const [loss, lose] of Object.entries(LOSSES)) {
    test(`${browser}: the page does not notice ${loss}`, async () => {
      const page = new Page(options);
      const socket = await page.connected();
      await page.request.answer(200, { messages: ['a'], next: 1 });
      await lose(page.request);
      // At once, and without a wait, so that the page knows soon whether the emulator is there.
      assert.deepEqual(page.request.query, { socket: 'S1', after: '1', wait: '0', early: '1', pauses: '1' });
      assert.equal(page.request.at, page.clock.now);
      await page.request.answer(200, { messages: ['b'], next: 2 });
      assert.equal(page.request.query.wait, '25');
      assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
    });

    test(`${browser}: open() survives ${loss}`, async () => {
      if (/40[14]/.test(loss)) return; // Final: tested below.
      const page = new Page(options);
      const socket = page.open();
      await lose(page.request);
      await page.request.answer(200, OPENED);
      assert.deepEqual(calls(socket), ['onopen']);
    });
  }
}

test('a body that breaks off is a lost answer', async () => {
  const page = new Page();
  const socket = await page.connected();
  page.cutBodies = 1;
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.equal(page.request.query.after, '0');
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('XMLHttpRequest: the end of an answer is not waited for, and its request not aborted', async () => {
  const page = new Page({ without: ['fetch'] });
  const socket = await page.connected();
  const request = page.request;
  await request.part('');
  await request.part('{"messages":["a\\n');
  assert.deepEqual(calls(socket), ['onopen']);
  await request.part('{"messages":["a\\n"],"next":1}\n');
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a\n']);
  assert.equal(request.state, 'waiting');
  await request.cut(); // What becomes of it no longer matters.
  assert.equal(page.request.query.after, '1');
  await page.request.answer(200, { messages: ['b'], next: 2 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a\n', 'onmessage b']);
});

test('messages that come again are passed over', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
  await page.request.answer(200, { messages: ['a', 'b', 'c'], next: 3 });
  assert.equal(page.request.query.after, '3');
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.equal(page.request.query.after, '3');
  await page.request.answer(200, { messages: ['d'], next: 4 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b', 'onmessage c', 'onmessage d']);
});

test('a gap is a broken connection: nothing is delivered, and the missing message is asked for again', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, { messages: ['b'], next: 2 });
  assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '0', early: '1', pauses: '1' });
  await page.request.answer(200, { messages: [], next: 2 });
  assert.deepEqual(calls(socket), ['onopen']);
  await page.advance(100);
  await page.request.answer(200, { messages: ['a', 'b'], next: 2 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
});

test('an empty answer is followed by a poll at once', async () => {
  const page = new Page();
  await page.connected();
  for (let turn = 0; turn < 10; turn++) {
    await page.request.answer(200, { messages: [], next: 0 });
    assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '25', early: '1', pauses: '1' });
  }
  assert.equal(page.clock.now, 1000);
});

test('a server that never waits is not stormed', async () => {
  const page = new Page();
  await page.connected();
  const end = page.clock.now + 10000;
  while (page.clock.now < end) {
    if (page.waiting.length) await page.request.answer(200, { messages: [], next: 0 });
    else await page.advance(10);
  }
  assert.ok(page.requests.length < 220, `${page.requests.length} requests in 10 seconds`);
});

test('polls that fail between short ones that work are not a storm either', async () => {
  const page = new Page(); // A proxy that cuts whatever takes time.
  const socket = await page.connected();
  const end = page.clock.now + 60000;
  while (page.clock.now < end) {
    if (!page.waiting.length) await page.advance(10);
    else if (page.request.query.wait === '0') await page.request.answer(200, { messages: [], next: 0 });
    else await page.request.answer(502, 'Bad gateway');
  }
  assert.ok(page.requests.length < 160, `${page.requests.length} requests in a minute`);
  assert.deepEqual(calls(socket), ['onopen']);
});

for (const text of ['Invalid+token.', 'Token+timed+out.']) {
  test(`401 ${text} at open()`, async () => {
    const page = new Page();
    const socket = page.open();
    await page.request.answer(401, text + '\n', 'Unauthorized'); // The body counts: HTTP/2 has no reason phrase.
    assert.equal(socket.readyState, 3);
    assert.deepEqual(calls(socket), [`onerror 401 ${text}`, 'onclose']);
    await page.advance(120000);
    assert.equal(page.requests.length, 1);
    assert.deepEqual(page.beacons, []);
  });

  test(`401 ${text} in mid-connection, by the reason phrase`, async () => {
    const page = new Page();
    const socket = await page.connected();
    await page.request.answer(401, '', text);
    assert.deepEqual(calls(socket), ['onopen', `onerror 401 ${text}`, 'onclose']);
    const [, error] = socket.log[1];
    assert.ok(Number.isInteger(error.code));
    await page.advance(120000);
    assert.deepEqual([page.waiting, page.beacons], [[], []]);
  });
}

test('a refusal after the head of the answer: the status is in the body', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, '{"error": 401, "reason": "Token+timed+out."}\n');
  assert.deepEqual(calls(socket), ['onopen', 'onerror 401 Token+timed+out.', 'onclose']);
  await page.advance(120000);
  assert.deepEqual([page.waiting, page.beacons], [[], []]);
});

for (const text of ['Socket+gone.', 'Backlog+exceeded.']) {
  test(`410 ${text}`, async () => {
    const page = new Page();
    const socket = await page.connected();
    await page.request.answer(410, text);
    assert.deepEqual(calls(socket), ['onopen', `onerror 410 ${text}`, 'onclose']);
  });
}

test('410 for a newer socket: onclose alone', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(410, 'Replaced+by+a+newer+socket.');
  assert.deepEqual(calls(socket), ['onopen', 'onclose']);
  assert.equal(socket.readyState, 3);
});

test('a client error at open() is final', async () => {
  const page = new Page();
  const socket = page.open();
  await page.request.answer(421, 'Unknown host: --allow-host app.test', 'Misdirected Request');
  assert.equal(page.requests.length, 1);
  assert.deepEqual(calls(socket), ['onerror 421 Unknown host: --allow-host app.test', 'onclose']);
});

test('a page of HTML is no error text', async () => {
  const page = new Page({ without: ['fetch'] });
  const socket = page.open();
  await page.request.answer(404, '<html>no such page</html>', 'Not Found');
  assert.deepEqual(calls(socket), ['onerror 404 Not Found', 'onclose']);
});

test('long polls have connections of their own, beside the app\'s; what is quick has not', async () => {
  const page = new Page();
  page.open();
  assert.equal(page.request.kind, 'xhr'); // Or it would wait behind the polls of other tabs.
  await page.request.answer(200, OPENED);
  assert.deepEqual([page.request.kind, page.request.options.credentials], ['fetch', 'omit']);
  await page.request.cut();
  assert.equal(page.request.kind, 'xhr');
  await page.request.answer(200, { messages: [], next: 0 });
  assert.equal(page.request.kind, 'fetch');
});

test('where fetch fails, as behind a proxy that wants cookies, XMLHttpRequest takes over', async () => {
  const page = new Page();
  const socket = await page.connected();
  for (let turn = 0; turn < 20 && page.request.query.wait === '0' || page.request.kind === 'fetch'; turn++) {
    if (page.request.kind === 'fetch') await page.request.answer(401, '<html>Sign in</html>', 'Unauthorized');
    while (!page.waiting.length) await page.advance(10);
    if (page.request.query.wait === '0') await page.request.answer(200, { messages: [], next: 0 });
  }
  assert.deepEqual([page.request.kind, page.request.query.wait], ['xhr', '25']);
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('a fetch that throws is a failed one', async () => {
  const page = new Page();
  const socket = await page.connected();
  page.fetchThrows = true;
  await page.request.answer(200, { messages: ['a'], next: 1 });
  await page.advance(1);
  const retry = page.requests[page.requests.length - 1];
  assert.equal(retry.kind, 'xhr');
  await retry.answer(200, { messages: ['b'], next: 2 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
});

/** Fails every request for `milliseconds`; returns the times of the attempts. */
async function outage(page, milliseconds) {
  const start = page.clock.now;
  const first = page.requests.length;
  while (page.clock.now < start + milliseconds) {
    for (const request of page.waiting) await request.cut();
    await page.advance(5);
  }
  return page.requests.slice(first).map((request) => request.at - start);
}

test('retries: the first at once, then ever slower, with jitter, never more than 2 s apart', async () => {
  const page = new Page();
  await page.connected();
  const times = await outage(page, 30000);
  assert.equal(times[0], 0);
  const pauses = times.slice(1).map((time, index) => time - times[index]);
  [100, 200, 400, 800, 1600].forEach((pause, index) => {
    assert.ok(pauses[index] >= pause / 2 - 5 && pauses[index] <= pause + 5, `pause ${index}: ${pauses[index]} ms`);
  });
  assert.ok(Math.max(...pauses) <= 2005);
  assert.ok(new Set(pauses.slice(5)).size > 1, 'no jitter');
});

test('the emulator away for less than the resume window: the page notices nothing', async () => {
  const page = new Page();
  const socket = await page.connected();
  await page.request.answer(200, { messages: ['a'], next: 1 });
  await outage(page, 58000);
  while (!page.waiting.length) await page.advance(10);
  await page.request.answer(200, { messages: ['b'], next: 2 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a', 'onmessage b']);
  // All is well again: a new window, and the next retry is immediate.
  assert.equal((await outage(page, 58000))[0], 0);
  while (!page.waiting.length) await page.advance(10);
  await page.request.answer(200, { messages: [], next: 2 });
  assert.equal(socket.readyState, 1);
});

test('the emulator away for longer: onerror and onclose, once, and no more requests', async () => {
  const page = new Page();
  const socket = await page.connected({ resume: 20 });
  const times = await outage(page, 60000);
  assert.ok(Math.max(...times) >= 19000 && Math.max(...times) <= 22500, `last attempt after ${Math.max(...times)} ms`);
  assert.deepEqual(calls(socket), ['onopen', 'onerror 0 Connection+lost.', 'onclose']);
});

test('a server that answers nonsense for longer than the resume window: its status is reported', async () => {
  const page = new Page();
  const socket = await page.connected({ resume: 5 });
  while (socket.readyState === 1) {
    for (const request of page.waiting) await request.answer(503, '<html>', 'Service Unavailable');
    await page.advance(10);
  }
  assert.deepEqual(calls(socket), ['onopen', 'onerror 503 Service Unavailable', 'onclose']);
});

test('open() while the emulator starts: it connects', async () => {
  const page = new Page();
  const socket = page.open();
  await outage(page, 8000);
  while (!page.waiting.length) await page.advance(10);
  await page.request.answer(200, OPENED);
  assert.deepEqual(calls(socket), ['onopen']);
});

test('open() with nobody there: onerror and onclose within some 10 s', async () => {
  const page = new Page();
  const socket = page.open();
  const start = page.clock.now;
  while (socket.readyState !== 3 && page.clock.now < start + 20000) {
    for (const request of page.waiting) await request.cut();
    await page.advance(10);
  }
  assert.ok(page.clock.now - start >= 10000 && page.clock.now - start <= 12100, `after ${page.clock.now - start} ms`);
  assert.deepEqual(calls(socket), ['onerror 0 Connection+lost.', 'onclose']);
});

test('open() with a silent server ends as soon', async () => {
  const page = new Page();
  const socket = page.open();
  await page.advance(12100);
  assert.deepEqual(calls(socket), ['onerror 0 Connection+lost.', 'onclose']);
});

test('a poll that is silent 10 s longer than it should be is given up', async () => {
  for (const options of Object.values(BROWSERS)) {
    const page = new Page(options);
    const socket = await page.connected();
    const silent = page.request;
    await page.advance(34900);
    assert.equal(silent.state, 'waiting');
    await page.advance(200);
    if (!options.without) assert.equal(silent.state, 'aborted');
    const retry = page.waiting.find((request) => request !== silent);
    assert.deepEqual(retry.query, { socket: 'S1', after: '0', wait: '0', early: '1', pauses: '1' });
    await retry.answer(200, { messages: ['a'], next: 1 });
    await silent.answer(200, { messages: ['a'], next: 1 }); // Far too late; ignored.
    assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  }
});

test('a page whose timers were asleep wakes with its connection', async () => {
  const page = new Page();
  const socket = await page.connected();
  page.clock.now += 8 * 3600 * 1000; // A closed lid: every timer is overdue, the poll's connection is dead.
  await page.advance(0);
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('without performance.now, Date serves', async () => {
  const page = new Page({ without: ['performance'] });
  const socket = await page.connected();
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
});

test('online: a pause between attempts ends at once, and a poll is tried afresh', async () => {
  const page = new Page();
  const socket = await page.connected();
  const dead = page.request;
  await page.fire('window', 'online'); // Another network: the poll's connection may be gone.
  assert.equal(dead.state, 'aborted');
  assert.deepEqual(page.request.query, { socket: 'S1', after: '0', wait: '0', early: '1', pauses: '1' });
  await page.request.cut();
  await page.request.cut();
  assert.deepEqual(page.waiting, []);
  await page.fire('window', 'online');
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  await page.advance(5000);
  assert.equal(page.waiting.length, 1); // The retry that was due is not made twice.
});

test('online while it connects: a pause ends, a request under way goes on', async () => {
  const page = new Page();
  page.open();
  await page.fire('window', 'online');
  await page.request.cut();
  await page.request.cut();
  await page.fire('window', 'online');
  await page.request.answer(200, OPENED);
  assert.equal(page.requests.filter((request) => request.path === 'open').length, 3);
});

test('a page that is shown again retries at once; one that is hidden, or polls, does not', async () => {
  const page = new Page();
  await page.connected();
  await page.fire('document', 'visibilitychange');
  assert.equal(page.requests.length, 2);
  await page.request.cut();
  await page.request.cut();
  page.document.hidden = true;
  await page.fire('document', 'visibilitychange');
  assert.deepEqual(page.waiting, []);
  page.document.hidden = false;
  await page.fire('document', 'visibilitychange');
  assert.equal(page.waiting.length, 1);
});

test('handlers run before the next poll leaves, unless they are slow; it leaves by no timer', async () => {
  const page = new Page();
  const seen = [];
  let busy = 0;
  await page.connected({}, { onmessage: () => { seen.push(page.waiting.length); page.clock.pass(busy); } });
  for (const [number, milliseconds] of [100, 100, 0, 0].entries()) {
    busy = milliseconds;
    await page.request.answer(200, { messages: ['x'], next: number + 1 });
  }
  assert.deepEqual(seen, [0, 1, 1, 0]);
  assert.equal(page.clock.timers.size, 1); // The watchdog of that poll.
});
