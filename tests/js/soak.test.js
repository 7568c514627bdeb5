'use strict';
// A model of the emulator behind a network that loses, repeats, cuts and delays at random, from a seed.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Page, OPENED } = require('./page.js');

/** Random numbers from 0 to 1, the same for each run of a seed (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class Emulator {
  constructor() {
    this.unread = [];
    this.last = 0;
    this.acknowledged = 0;
    this.downUntil = 0;
    this.stream = null; // The request that is one.
  }

  send(text) {
    this.unread.push([++this.last, text]);
  }

  acknowledge(number) {
    assert.ok(number <= this.last, `${number} was never possible`);
    this.acknowledged = Math.max(this.acknowledged, number);
    this.unread = this.unread.filter(([each]) => each > this.acknowledged);
  }

  /** The answer to a poll, or null while there is nothing to say. */
  poll({ after, wait }, waited) {
    assert.ok(+after >= this.acknowledged, `after=${after} was never possible`);
    this.acknowledge(+after);
    if (!this.unread.length && waited < wait * 1000) return null;
    return this.answer(+after);
  }

  answer(after) {
    const messages = this.unread.filter(([number]) => number > after).slice(0, 20);
    return { messages: messages.map(([, text]) => text), next: messages.length ? messages[messages.length - 1][0] : after };
  }

  /** A stream takes over, and says what waits. */
  async upgrade(request) {
    this.acknowledge(+request.query.after);
    this.stream = request;
    request.sent = this.acknowledged;
    await this.flush(true);
  }

  async flush(always) {
    const stream = this.stream;
    if (stream.state !== 'waiting') return this.leave();
    stream.said.splice(0).forEach((number) => this.acknowledge(+number));
    const frame = this.answer(stream.sent);
    stream.sent = frame.next;
    if (always || frame.messages.length) await stream.hear(frame);
  }

  leave() {
    this.stream = null;
  }
}

/** Whether it has been dealt with. */
async function lose(page, emulator, request, chance) {
  if (page.clock.now < emulator.downUntil) return [await request.cut()];
  const luck = chance();
  if (luck < 0.05) return [await request.cut()]; // Before it arrived.
  if (luck < 0.08) return [await request.answer(503, '<html>busy</html>', 'Service Unavailable')];
  if (luck < 0.09) return [await request.answer(200, '<!DOCTYPE html>Login')];
  return null;
}

async function reactToPoll(page, emulator, request, chance) {
  if (await lose(page, emulator, request, chance)) return undefined;
  if (!request.parked) {
    request.parked = true;
    if (emulator.stream) await emulator.stream.cut();
    emulator.leave();
  }
  const reply = emulator.stream ? { messages: [], next: +request.query.after } : emulator.poll(request.query, page.clock.now - request.at);
  if (!reply) return undefined;
  const text = JSON.stringify(reply);
  const luck = chance();
  if (luck < 0.11) return request.cut(); // The answer is lost.
  if (luck < 0.16) return request.answer(200, text.slice(0, Math.floor(text.length * chance())));
  if (luck < 0.17) return undefined; // Silent; it may come back later, or the watchdog ends it.
  return request.answer(200, text);
}

async function reactToStream(page, emulator, request, chance) {
  if (request !== emulator.stream) {
    if (request.refused || chance() < 0.3) return undefined; // On its way.
    if (page.clock.now < emulator.downUntil || chance() < 0.2) return request.cut();
    if (chance() < 0.05) { request.refused = true; return undefined; } // Silence.
    return emulator.upgrade(request);
  }
  if (page.clock.now < emulator.downUntil || chance() < 0.03) {
    emulator.leave();
    return request.cut();
  }
  return emulator.flush(chance() < 0.01);
}

const BROWSERS = { fetch: [], XMLHttpRequest: ['fetch', 'AbortController'], stream: null, 'stream alone': null };

for (const seed of [1, 2, 3]) {
  for (const [browser, without] of Object.entries(BROWSERS)) {
    test(`seed ${seed}, ${browser}: 1,000 messages once and in order`, async () => {
      const chance = random(seed);
      const page = new Page(without ? { without } : {});
      const emulator = new Emulator();
      if (browser === 'stream alone') page.appengine.Socket.TRANSPORT = 'websocket';
      const socket = page.open();
      await page.request.answer(200, { ...OPENED, stream: !without });
      const wanted = [];
      while (socket.log.length < 1001) {
        while (wanted.length < 1000 && chance() < 0.6) {
          wanted.push(`${wanted.length} ${'é😀\0</script>'.repeat(Math.floor(chance() * 3))}`);
          emulator.send(wanted[wanted.length - 1]);
        }
        if (chance() < 0.002) emulator.downUntil = page.clock.now + chance() * 20000;
        if (chance() < 0.01) await page.fire('window', 'online');
        for (const request of page.waiting.sort(() => chance() - 0.5)) {
          if (request.state !== 'waiting') continue;
          await (request.path === 'stream' ? reactToStream : reactToPoll)(page, emulator, request, chance);
        }
        await page.advance(chance() < 0.02 ? 3000 : 20 * chance());
        assert.ok(page.clock.now < 3600e3, `after an hour only ${socket.log.length} calls`);
      }
      assert.deepEqual(socket.log.slice(1).map(([name, event]) => [name, event.data]), wanted.map((text) => ['onmessage', text]));
      assert.deepEqual(page.errors, []);
      const paths = page.requests.map((request) => request.path);
      assert.equal(paths.includes('stream'), !without);
      assert.equal(paths.includes('poll'), browser !== 'stream alone');
    });
  }
}
