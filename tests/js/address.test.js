'use strict';
// Where the script finds the emulator, and how it shares a page with other scripts.

const assert = require('node:assert/strict');
const vm = require('node:vm');
const { test } = require('node:test');
const { Page, calls, OPENED } = require('./page.js');

const ORIGIN = 'http://localhost:8080';

/** The address of an open(), without the name of the attempt. */
function openUrl(page) {
  return page.request.url.replace(/&attempt=[^&]*$/, '');
}

function baseOf(src, options = {}) {
  return new Page({ src, ...options }).appengine.Socket.BASE_URL;
}

test('BASE_URL comes from the script\'s own address', () => {
  assert.equal(baseOf(`${ORIGIN}/_ah/channel/jsapi`), '/_ah/channel/');
  assert.equal(baseOf(`${ORIGIN}/_ah/channel/jsapi?transport=x/y/jsapi#z`), '/_ah/channel/');
  assert.equal(baseOf('http://127.0.0.1:9999/_ah/channel/jsapi'), 'http://127.0.0.1:9999/_ah/channel/');
  assert.equal(baseOf('https://localhost:8080/_ah/channel/jsapi'), 'https://localhost:8080/_ah/channel/');
  assert.equal(baseOf('http://proxy/prefix/_ah/channel/jsapi?v=1'), 'http://proxy/prefix/_ah/channel/');
  // A copy of the script, and another script of that name, say nothing about the emulator.
  assert.equal(baseOf(`${ORIGIN}/static/channel.js`), '/_ah/channel/');
  assert.equal(baseOf('https://cdn.example/jsapi'), '/_ah/channel/');
  assert.equal(baseOf('https://cdn.example/google/jsapi?key=1'), '/_ah/channel/');
  assert.equal(baseOf(undefined, { src: '' }), '/_ah/channel/');
});

test('in a browser without document.currentScript the last script of that name counts', () => {
  const page = new Page({ load: false });
  page.noCurrentScript = true;
  page.document.scripts.push({ src: 'http://other/_ah/channel/jsapi' }, { src: `${ORIGIN}/app.js` });
  page.load(`${ORIGIN}/late.js`);
  assert.equal(page.appengine.Socket.BASE_URL, 'http://other/_ah/channel/');
});

test('a <base> that came after the script has changed its src, but not where it runs', () => {
  const src = 'http://cdn.example/_ah/channel/jsapi';
  const stacks = {
    [`${ORIGIN}/_ah/channel/jsapi`]: '/_ah/channel/',
    [`${ORIGIN}/_ah/channel/jsapi?transport=short`]: '/_ah/channel/',
    'http://127.0.0.1:9999/_ah/channel/jsapi': 'http://127.0.0.1:9999/_ah/channel/',
    [`${ORIGIN}/static/copy.js`]: 'http://cdn.example/_ah/channel/',
  };
  for (const [from, base] of Object.entries(stacks)) {
    const page = new Page({ load: false });
    page.load(src, from);
    assert.equal(page.appengine.Socket.BASE_URL, base);
    assert.equal(page.appengine.Socket.TRANSPORT, /transport/.test(from) ? 'short' : undefined);
  }
});

test('the transport is in the src where a browser leaves it out of where the script runs', () => {
  const page = new Page({ load: false });
  page.load(`${ORIGIN}/_ah/channel/jsapi?transport=short`, `${ORIGIN}/_ah/channel/jsapi`);
  assert.equal(page.appengine.Socket.TRANSPORT, 'short');
});

test('what has no origin of its own is asked of the page\'s, which a <base> may have changed for others', async () => {
  const page = new Page();
  const socket = page.open();
  assert.match(page.request.asked, new RegExp(`^${ORIGIN}/_ah/channel/open`));
  await page.request.answer(200, OPENED);
  assert.match(page.request.asked, new RegExp(`^${ORIGIN}/_ah/channel/poll`));
  socket.send('text');
  assert.equal(page.waiting[1].asked, `${ORIGIN}/_ah/channel/receive`);
  for (const base of ['//other.example/x/', 'relative/']) {
    page.appengine.Socket.BASE_URL = base;
    page.open();
    assert.match(page.waiting[page.waiting.length - 1].asked, new RegExp(`^${base}open`));
  }
});

test('BASE_URL is read when a socket is opened', async () => {
  const page = new Page();
  page.appengine.Socket.BASE_URL = 'http://other:1/_ah/channel/';
  page.open();
  assert.equal(openUrl(page), 'http://other:1/_ah/channel/open?channel=token');
  page.appengine.Socket.BASE_URL = '/elsewhere/';
  await page.request.answer(200, OPENED);
  assert.match(page.request.url, /^http:\/\/other:1\/_ah\/channel\/poll\?/);
});

test('a page that puts an origin before BASE_URL gets that origin', () => {
  for (const src of [undefined, 'http://script:2/_ah/channel/jsapi']) {
    const page = new Page({ src });
    page.appengine.Socket.BASE_URL = 'http://page:3' + page.appengine.Socket.BASE_URL;
    page.open();
    assert.equal(openUrl(page), 'http://page:3/_ah/channel/open?channel=token');
  }
});

test('a BASE_URL without its last slash works', () => {
  const page = new Page();
  page.appengine.Socket.BASE_URL = 'http://page:3/_ah/channel';
  page.open();
  assert.equal(openUrl(page), 'http://page:3/_ah/channel/open?channel=token');
});

test('what the page set before the script arrived stands', () => {
  const before = 'var goog = {appengine: {Socket: {BASE_URL: "http://early/_ah/channel/", POLLING_TIMEOUT_MS: 9}}};';
  const { Socket } = new Page({ before }).appengine;
  assert.equal(Socket.BASE_URL, 'http://early/_ah/channel/');
  assert.equal(Socket.POLLING_TIMEOUT_MS, 9);
  assert.equal(typeof Socket.Handler, 'function');
});

test('an existing Closure library survives, wherever it stands', () => {
  for (const declared of ['var', 'const', 'let']) {
    const page = new Page({ before: `${declared} goog = {require: function () { return 'closure'; }, appengine: {other: 1}};` });
    assert.equal(vm.runInContext('goog.require()', page.window), 'closure');
    assert.equal(page.appengine.other, 1);
    assert.equal(typeof page.appengine.Channel, 'function');
  }
});

test('the script loaded again changes nothing under the sockets of the page', async () => {
  const page = new Page();
  const { Channel, Socket } = page.appengine;
  Socket.BASE_URL = 'http://set:4/_ah/channel/';
  const socket = await page.connected();
  page.load(`${ORIGIN}/_ah/channel/jsapi?again`);
  assert.equal(page.appengine.Channel, Channel);
  assert.equal(page.appengine.Socket.BASE_URL, 'http://set:4/_ah/channel/');
  await page.request.answer(200, { messages: ['a'], next: 1 });
  assert.deepEqual(calls(socket), ['onopen', 'onmessage a']);
  await page.fire('window', 'pagehide', { persisted: false });
  assert.equal(page.beacons.length, 1);
});

test('it takes the place of Google\'s script, which has no such mark', () => {
  const before = 'var goog = {appengine: {Channel: function () {}, Socket: function () {}}}; goog.appengine.Socket.BASE_URL = "/_ah/channel/";';
  const page = new Page({ before });
  page.open();
  assert.equal(openUrl(page), '/_ah/channel/open?channel=token');
});
