'use strict';
// A page without a browser: the real script, run in a context whose clock, network and document are ours.

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const SCRIPT = path.join(__dirname, '..', '..', 'js', 'goog_appengine_channel.js');
const SOURCE = fs.readFileSync(SCRIPT, 'utf8');
const FRAME_SOURCE = fs.readFileSync(path.join(path.dirname(SCRIPT), 'frame.js'), 'utf8');

/** A clock that stands still until it is told. */
class Clock {
  constructor() {
    this.now = 1000;
    this.timers = new Map();
    this.lastId = 0;
  }

  set(task, delay) {
    this.timers.set(++this.lastId, { at: this.now + Math.max(0, delay || 0), task });
    return this.lastId;
  }

  clear(id) {
    this.timers.delete(id);
  }

  /** What a handler that takes so long does to it: no timer runs. */
  pass(milliseconds) {
    this.now += milliseconds;
  }

  /** Runs the timers of the next `milliseconds`, in due order, and lets promises settle after each. */
  async advance(milliseconds, onError) {
    const end = this.now + milliseconds;
    await settle();
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end)
        .sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      try {
        due[1].task();
      } catch (error) {
        onError(error);
      }
      await settle();
    }
    this.now = end;
  }
}

/** Lets every promise that can settle do so. */
function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One request of the page, answered by the test. `url` is `asked` without the page's own origin. */
class Request {
  constructor(page, kind, method, asked, body) {
    Object.assign(this, { page, kind, method, asked, url: page.shortened(asked), body, state: 'waiting', options: null });
    this.at = page.clock.now;
    this.settled = new Promise((resolve) => { this.resolve = resolve; });
  }

  get path() {
    return this.url.replace(/^https?:\/\/[^/]*/, '').replace(/\?.*/, '').replace(/.*\//, '');
  }

  get query() {
    return Object.fromEntries(new URLSearchParams(this.url.split('?')[1] || ''));
  }

  /** Answers; lets the page react. */
  async answer(status, body, reason = '') {
    this.finish('answered', { status, body: typeof body === 'string' ? body : JSON.stringify(body), reason });
    await settle();
  }

  /** Some of the body has arrived, or all of it, but the end has not been told. Only where XMLHttpRequest asked. */
  async part(body) {
    this.tellPart(body);
    await settle();
  }

  /** A connection that breaks, or was refused. */
  async cut() {
    this.finish('cut', null);
    await settle();
  }

  finish(state, result) {
    if (this.state !== 'waiting') return;
    this.state = state;
    this.resolve(result);
    if (this.deliver) this.deliver(result);
  }
}

function fakeFetch(page) {
  return function fetch(url, options = {}) {
    const request = page.ask('fetch', options.method || 'GET', url, options.body);
    request.options = options;
    if (page.fetchThrows) throw new TypeError('fetch is broken');
    return new Promise((resolve, reject) => {
      request.settled.then((result) => {
        if (!result) return reject(new TypeError('Failed to fetch'));
        resolve({
          status: result.status, statusText: result.reason,
          text: () => page.cutBodies > 0 && page.cutBodies-- ? Promise.reject(new TypeError('cut')) : Promise.resolve(result.body),
        });
      });
      if (options.signal) options.signal.listeners.push(() => { request.finish('aborted', null); });
    });
  };
}

function fakeXhr(page) {
  return class XMLHttpRequest {
    open(method, url, async) {
      Object.assign(this, { method, url, async, readyState: 1, status: 0, statusText: '', responseText: '', headers: {} });
    }

    setRequestHeader(name, value) {
      this.headers[name] = value;
    }

    send(body) {
      const request = this.request = page.ask('xhr', this.method, this.url, body);
      request.options = { async: this.async, headers: this.headers };
      const tell = (readyState, result) => {
        Object.assign(this, { readyState });
        if (result) Object.assign(this, { status: result.status, statusText: result.reason, responseText: result.body, response: result.body });
        if (this.onreadystatechange) this.onreadystatechange();
      };
      request.deliver = (result) => tell(4, result);
      request.tellPart = (body) => tell(3, { status: 200, reason: 'OK', body });
    }

    abort() {
      this.request.finish('aborted', null);
    }
  };
}

/** A WebSocket is a request, too: the test lets it hear what the emulator says, reads what the page has said, and ends it. */
function fakeWebSocket(page) {
  return class WebSocket {
    constructor(url) {
      if (page.webSocketThrows) throw new Error('SecurityError');
      const request = this.request = page.ask('websocket', 'GET', url.replace(/^ws/, 'http'));
      Object.assign(request, {
        said: [],
        hear: async (frame) => {
          if (request.state !== 'waiting') return;
          this.onmessage({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
          await settle();
        },
        deliver: () => setImmediate(() => { if (this.onclose) this.onclose({}); }),
      });
    }

    send(text) {
      if (this.request.state === 'waiting') this.request.said.push(text);
    }

    close() {
      this.request.finish('closed', null);
    }
  };
}

class FakeAbortController {
  constructor() {
    this.signal = { listeners: [] };
  }

  abort() {
    this.signal.listeners.forEach((listener) => listener());
  }
}

/** Two ports; what is posted to one arrives at the other, which may be in another window by then. */
class FakeMessageChannel {
  constructor() {
    this.port1 = this.port('port2');
    this.port2 = this.port('port1');
  }

  port(other) {
    return {
      close: () => {},
      postMessage: (data, ports = []) => {
        const copy = JSON.parse(JSON.stringify(data));
        setImmediate(() => { if (this[other].onmessage) this[other].onmessage({ data: copy, ports }); });
      },
    };
  }
}

/** A BroadcastChannel class for the pages of one browser: what one posts arrives at all others. `all`: those open. */
function fakeBroadcastChannel() {
  const all = [];
  return class BroadcastChannel {
    static all = all;

    constructor(name) {
      Object.assign(this, { name, listeners: [] });
      all.push(this);
    }

    close() {
      all.splice(all.indexOf(this), 1);
    }

    addEventListener(type, listener) {
      this.listeners.push(listener);
    }

    postMessage(data) {
      const heard = all.filter((other) => other !== this && other.name === this.name);
      heard.forEach((other) => other.listeners.forEach((listener) => setImmediate(listener, { data })));
    }
  };
}

/** As much of the document as a socket's hidden element needs. */
class Node {
  constructor(document, name) {
    Object.assign(this, { document, tagName: name.toUpperCase(), id: '', style: {}, parentNode: null, children: [], src: '' });
  }

  /** A link's address in full. */
  set href(url) {
    this.full = url;
  }

  get href() {
    return this.full;
  }

  appendChild(child) {
    child.parentNode = this;
    this.children.push(child);
    this.document.changed(this);
    return child;
  }

  removeChild(child) {
    this.children.splice(this.children.indexOf(child), 1);
    child.parentNode = null;
    this.document.changed(this);
  }

  all() {
    return this.children.flatMap((child) => [child, ...child.all()]);
  }

  contains(other) {
    return this.all().includes(other);
  }

  /** What `body.innerHTML += '…'` does: every child is written out and read in again. */
  rewrite() {
    const old = this.children;
    this.children = old.map((child) => Object.assign(new Node(this.document, child.tagName), { id: child.id, parentNode: this }));
    old.forEach((child) => { child.parentNode = null; });
    this.document.changed(this);
  }
}

class FakeDocument {
  constructor() {
    this.observers = [];
    this.listeners = {};
    this.hidden = false;
    this.scripts = [];
    this.currentScript = null;
    this.documentElement = new Node(this, 'html');
    this.body = this.documentElement.appendChild(new Node(this, 'body'));
  }

  createElement(name) {
    return new Node(this, name);
  }

  querySelectorAll(selector) {
    return this.documentElement.all().filter((node) => '#' + node.id === selector);
  }

  getElementById(id) {
    return this.querySelectorAll('#' + id)[0] || null;
  }

  addEventListener(type, listener) {
    (this.listeners[type] = this.listeners[type] || []).push(listener);
  }

  changed(node) {
    this.observers.filter((observer) => observer.nodes.has(node)).forEach((observer) => observer.notify());
  }
}

function fakeMutationObserver(document) {
  return class MutationObserver {
    constructor(callback) {
      this.callback = callback;
      this.nodes = new Set();
      document.observers.push(this);
    }

    observe(node) {
      this.nodes.add(node);
    }

    disconnect() {
      this.nodes.clear();
      this.gone = true;
    }

    notify() {
      Promise.resolve().then(() => { if (!this.gone) this.callback(); });
    }
  };
}

/**
 * A page that has loaded the script.
 *
 * Options: without (names of globals the browser lacks), globals (more of them), src (the script's address), origin.
 */
class Page {
  constructor(options = {}) {
    this.clock = new Clock();
    this.requests = [];
    this.beacons = [];
    this.errors = [];
    this.notes = [];
    this.warnings = [];
    this.cutBodies = 0;
    this.document = new FakeDocument();
    this.origin = options.origin || 'http://localhost:8080';
    this.listeners = {};
    const window = this.window = {
      document: this.document,
      location: { protocol: this.origin.split('//')[0], host: this.origin.split('//')[1] },
      navigator: { sendBeacon: (url) => { this.beacons.push(this.shortened(url)); return true; } },
      performance: { now: () => this.clock.now },
      console: { log: (text) => this.notes.push(text), warn: (text) => this.warnings.push(text) },
      onpagehide: null,
      setTimeout: (task, delay) => this.clock.set(task, delay),
      clearTimeout: (id) => this.clock.clear(id),
      addEventListener: (type, listener) => { (this.listeners[type] = this.listeners[type] || []).push(listener); },
      removeEventListener: (type, listener) => { this.listeners[type] = (this.listeners[type] || []).filter((each) => each !== listener); },
      fetch: fakeFetch(this),
      XMLHttpRequest: fakeXhr(this),
      AbortController: FakeAbortController,
      WebSocket: fakeWebSocket(this),
      MutationObserver: fakeMutationObserver(this.document),
      ...options.globals,
    };
    (options.without || []).forEach((name) => { delete (name === 'sendBeacon' ? window.navigator : window)[name]; });
    window.window = window;
    vm.createContext(window);
    // Contexts have intrinsics of their own; a browser that lacks one has them deleted.
    (options.without || []).forEach((name) => vm.runInContext(`delete globalThis[${JSON.stringify(name)}]`, window));
    if (options.before) vm.runInContext(options.before, window);
    if (options.load !== false) this.load(options.src);
  }

  /** Runs the script as the page's `<script src>` would; `from`: where it runs, in the words of an error's stack. */
  load(src = this.origin + '/_ah/channel/jsapi', from = SCRIPT) {
    const script = { src };
    this.document.scripts.push(script);
    this.document.currentScript = this.noCurrentScript ? undefined : script;
    vm.runInContext(SOURCE, this.window, { filename: from });
    this.document.currentScript = null;
  }

  /** Loads the emulator's page into the iframe that waits for it; `works`: it is no error page. */
  async loadFrame(works = true) {
    const frame = this.document.documentElement.all().find((node) => /\/frame#/.test(node.src) && !node.loaded);
    const [base, name] = frame.src.split('frame#');
    const inside = Object.create(this, {
      ask: { value: (kind, method, url, body) => this.ask(`frame ${kind}`, method, base + url, body) },
    });
    const posted = [];
    const parent = { postMessage: (data, origin, ports) => posted.push({ data, ports }) };
    const window = {
      parent, location: { hash: '#' + name }, document: { createElement: (tag) => new Node(this.document, tag) }, MessageChannel: FakeMessageChannel,
      fetch: fakeFetch(inside), XMLHttpRequest: fakeXhr(inside), WebSocket: fakeWebSocket(inside), AbortController: FakeAbortController,
    };
    window.window = window;
    if (works) vm.runInContext(FRAME_SOURCE + SOURCE, vm.createContext(window));
    frame.loaded = true;
    frame.onload();
    for (const message of posted) await this.fire('window', 'message', message);
    await settle();
    await settle();
    await settle();
    return posted[0];
  }

  /** `url`, without the page's own origin. */
  shortened(url) {
    return url.startsWith(this.origin + '/') ? url.slice(this.origin.length) : url;
  }

  get appengine() {
    return vm.runInContext('goog.appengine', this.window);
  }

  ask(kind, method, url, body) {
    const request = new Request(this, kind, method, url, body);
    this.requests.push(request);
    return request;
  }

  /** The requests that wait for an answer. */
  get waiting() {
    return this.requests.filter((request) => request.state === 'waiting');
  }

  /** The one request that waits for an answer. */
  get request() {
    if (this.waiting.length !== 1) {
      throw new Error(`${this.waiting.length} requests are waiting: ${this.waiting.map((r) => r.url).join(' ')}`);
    }
    return this.waiting[0];
  }

  async advance(milliseconds) {
    await this.clock.advance(milliseconds, (error) => this.errors.push(error));
  }

  async fire(target, type, event = {}) {
    const listeners = target === 'document' ? this.document.listeners : this.listeners;
    (listeners[type] || []).forEach((listener) => listener(event));
    await settle();
  }

  /** Opens a socket; its calls are noted in socket.log as [name, argument]. */
  open(token = 'token', more = {}) {
    const log = [];
    const handler = {};
    for (const name of ['onopen', 'onmessage', 'onerror', 'onclose']) {
      handler[name] = function (argument) {
        log.push([name, argument]);
        if (more[name]) return more[name].call(this, argument);
      };
    }
    const socket = new this.appengine.Channel(token).open(handler);
    socket.log = log;
    return socket;
  }

  /** Opens a socket and answers its open(): the socket then waits in its first poll. */
  async connected(reply = {}, more = {}) {
    const socket = this.open('token', more);
    await this.request.answer(200, { ...OPENED, ...reply });
    return socket;
  }
}

const OPENED = { socket: 'S1', client: 'anna', next: 0, wait: 25, expires: 7200, resume: 60 };

/** The calls of a socket's handlers, in short: 'onopen', 'onmessage a', 'onerror 401 Invalid+token.', 'onclose'. */
function calls(socket) {
  return socket.log.map(([name, argument]) => {
    if (name === 'onmessage') return `onmessage ${argument.data}`;
    if (name === 'onerror') return `onerror ${argument.code} ${argument.description}`;
    return name;
  });
}

module.exports = { Page, Clock, FakeMessageChannel, fakeBroadcastChannel, calls, settle, SCRIPT, SOURCE, OPENED };
