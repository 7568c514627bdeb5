'use strict';
// Pages that open another socket when one ends: in onerror, in onclose, or in both.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, calls, OPENED } = require('./page.js');

/** Opens a socket, and another in each of `handlers`, after `delay` milliseconds; returns all that were opened. */
function reopening(page, handlers, delay, tokenOf = () => 'token') {
  const opened = [];
  function open() {
    const more = {};
    for (const name of handlers) {
      more[name] = () => { if (delay) page.window.setTimeout(open, delay); else open(); };
    }
    opened.push(page.open(tokenOf(opened.length), more));
  }
  open();
  return opened;
}

/** Those that are not closed. */
function live(sockets) {
  return sockets.filter((socket) => socket.readyState !== 3);
}

async function answerOpens(page) {
  for (const request of page.waiting.filter((each) => each.path === 'open')) {
    await request.answer(200, { ...OPENED, socket: `S${page.requests.indexOf(request)}` });
  }
}

for (const delay of [0, 200]) {
  for (const fresh of [false, true]) {
    test(`in onerror and in onclose, ${delay} ms later, ${fresh ? 'with new tokens' : 'with the same token'}: one connection`, async () => {
      const page = new Page();
      const opened = reopening(page, ['onerror', 'onclose'], delay, (count) => (fresh ? `token${count}` : 'token'));
      await answerOpens(page);
      for (let turn = 1; turn <= 5; turn++) {
        await page.waiting.find((request) => request.path === 'poll').answer(410, 'Socket+gone.');
        await page.advance(1000);
        await answerOpens(page);
        assert.equal(live(opened).length, 1);
        assert.equal(opened.length, 1 + 2 * turn);
        assert.deepEqual(page.waiting.map((request) => request.path), ['poll']);
        assert.equal(live(opened)[0], opened[opened.length - 1]); // The last, which the page holds.
        await page.advance(20000);
      }
      // The one in between was never heard of.
      assert.ok(opened.slice(0, -1).filter((socket) => !calls(socket).includes('onclose')).length === 5);
    });
  }
}

test('with a token that is no good it neither multiplies nor storms', async () => {
  const page = new Page();
  const opened = reopening(page, ['onerror', 'onclose'], 0);
  const end = page.clock.now + 60000;
  while (page.clock.now < end) {
    for (const request of page.waiting) await request.answer(401, 'Token+timed+out.');
    assert.ok(live(opened).length <= 1);
    await page.advance(10);
  }
  assert.ok(page.requests.length < 40, `${page.requests.length} requests in a minute`);
});

test('while the emulator is away it does not multiply', async () => {
  const page = new Page();
  const opened = reopening(page, ['onerror', 'onclose'], 0);
  const end = page.clock.now + 120000;
  while (page.clock.now < end) {
    for (const request of page.waiting) await request.cut();
    assert.ok(live(opened).length <= 1);
    await page.advance(20);
  }
  await page.advance(20000);
  while (!page.waiting.length) await page.advance(100);
  await answerOpens(page);
  assert.equal(live(opened).length, 1);
});

test('two tabs that take the place of each other, --tabs=single, do so ever more slowly', async () => {
  const page = new Page();
  reopening(page, ['onclose'], 0);
  const end = page.clock.now + 60000;
  while (page.clock.now < end) {
    for (const request of page.waiting) {
      if (request.path === 'open') await request.answer(200, OPENED);
      else await request.answer(410, 'Replaced+by+a+newer+socket.');
    }
    await page.advance(10);
  }
  assert.ok(page.requests.length < 80, `${page.requests.length} requests in a minute`);
});

test('sockets that the page opens of its own accord stay, whatever their token', async () => {
  const page = new Page();
  const first = await page.connected();
  const second = page.open();
  await answerOpens(page);
  assert.deepEqual([first.readyState, second.readyState], [1, 1]);
  await page.waiting.find((request) => request.query.socket === 'S1').answer(410, 'Socket+gone.');
  await page.advance(10001);
  const third = page.open();
  const fourth = page.open();
  await answerOpens(page);
  assert.deepEqual([second, third, fourth].map((socket) => socket.readyState), [1, 1, 1]);
});

test('the socket of another client id is not touched', async () => {
  const page = new Page();
  const first = await page.connected({ client: 'anna' });
  await page.request.answer(410, 'Socket+gone.');
  const anna = page.open('a');
  await page.request.answer(200, { ...OPENED, client: 'anna' });
  const bert = page.open('b');
  await page.waiting.find((request) => request.path === 'open').answer(200, { ...OPENED, client: 'bert' });
  assert.deepEqual([first, anna, bert].map((socket) => socket.readyState), [3, 1, 1]);
});

test('the console is told once of what production did not have, unless the emulator is quiet', async () => {
  for (const quiet of [false, true]) {
    const page = new Page();
    for (let turn = 0; turn < 3; turn++) {
      const socket = new page.appengine.Channel('token').open(new page.appengine.Socket.Handler());
      await page.waiting.find((request) => request.path === 'open').answer(200, { ...OPENED, quiet });
      socket.send('x');
    }
    assert.deepEqual(page.notes.map((note) => /no (.*?)\. See docs\/browser-client\.md#production$/.exec(note)[1]),
      quiet ? [] : ['Socket.Handler', 'send()', 'second socket in a page']);
  }
});
