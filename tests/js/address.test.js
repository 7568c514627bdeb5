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
