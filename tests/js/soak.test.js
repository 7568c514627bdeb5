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
  }

  send(text) {
    this.unread.push([++this.last, text]);
  }

  /** The answer to a poll, or null while there is nothing to say. */
  poll({ after, wait }, waited) {
    assert.ok(+after >= this.acknowledged && +after <= this.last, `after=${after} was never possible`);
    this.acknowledged = +after;
    this.unread = this.unread.filter(([number]) => number > +after);
    if (!this.unread.length && waited < wait * 1000) return null;
    const messages = this.unread.slice(0, 20);
    return { messages: messages.map(([, text]) => text), next: messages.length ? messages[messages.length - 1][0] : +after };
  }
}

async function react(page, emulator, request, chance) {
  if (page.clock.now < emulator.downUntil) return request.cut();
  const luck = chance();
  if (luck < 0.05) return request.cut(); // Before it arrived.
  if (luck < 0.08) return request.answer(503, '<html>busy</html>', 'Service Unavailable');
  if (luck < 0.09) return request.answer(200, '<!DOCTYPE html>Login');
  const reply = emulator.poll(request.query, page.clock.now - request.at);
  if (!reply) return undefined;
  const text = JSON.stringify(reply);
  if (luck < 0.2) return request.cut(); // The answer is lost.
  if (luck < 0.25) return request.answer(200, text.slice(0, Math.floor(text.length * chance())));
  if (luck < 0.26) return undefined; // Silent; it may come back later, or the watchdog ends it.
  return request.answer(200, text);
}

for (const seed of [1, 2, 3]) {
  for (const without of [[], ['fetch', 'AbortController']]) {
    test(`seed ${seed}, ${without.length ? 'XMLHttpRequest' : 'fetch'}: 1,000 messages once and in order`, async () => {
      const chance = random(seed);
      const page = new Page({ without });
      const emulator = new Emulator();
      const socket = page.open();
      await page.request.answer(200, OPENED);
      const wanted = [];
      while (socket.log.length < 1001) {
        while (wanted.length < 1000 && chance() < 0.6) {
          wanted.push(`${wanted.length} ${'é😀\0</script>'.repeat(Math.floor(chance() * 3))}`);
          emulator.send(wanted[wanted.length - 1]);
        }
        if (chance() < 0.002) emulator.downUntil = page.clock.now + chance() * 20000;
        if (chance() < 0.01) await page.fire('window', 'online');
        for (const request of page.waiting) await react(page, emulator, request, chance);
        await page.advance(chance() < 0.02 ? 3000 : 20 * chance());
        assert.ok(page.clock.now < 3600e3, `after an hour only ${socket.log.length} calls`);
      }
      assert.deepEqual(socket.log.slice(1).map(([name, event]) => [name, event.data]), wanted.map((text) => ['onmessage', text]));
      assert.deepEqual(page.errors, []);
    });
  }
}
