/**
 * goog.appengine.Channel, for pages served by the Channel API emulator. Apache-2.0.
 *
 * A link polls by a transport, and hands on each message once and in order. A Socket is what the page holds. See
 * docs/browser-client.md.
 */
(function () {
'use strict';

// A page's own stays; a top-level `const goog` is no property of window.
var root = typeof goog === 'undefined' ? window.goog = {} : goog;
/** @type {any} */
var api = root.appengine = root.appengine || {};
var given = api.Socket || {}; // By the page.
var OPEN = 1, CLOSED = 3; // readyState.
var PATIENCE = 10; // Seconds to try open(), and that an answer may be late.
var sockets = []; // Not closed.
var newest; // The socket opened last.
var lost = {}; // What ended lately, by token, and by '@' and client id.
var encode = encodeURIComponent;
var origin = location.protocol + '//' + location.host; // The page's.

if (api.Channel && api.Channel.emulated) return; // Loaded twice.

function nothing() {}

/** Milliseconds; nobody sets this clock. */
function now() {
  return window.performance ? performance.now() : +new Date();
}

function note(socket, topic) {
  if (socket.quiet_ || note[topic] || !window.console) return;
  note[topic] = true;
  console.log('goog.appengine: production had no ' + topic + '. See docs/browser-client.md#production');
}

function hidden(parent) {
  var frame = document.createElement('iframe');
  frame.style.display = 'none';
  return parent.appendChild(frame);
}

function remove(element) {
  if (element && element.parentNode) element.parentNode.removeChild(element);
}

// Transports call done(status, body, reason), status 0 for no answer, and return how to give up.

/** On connections beside the app's. On another name XHR is sooner. */
function byFetch(url, done) {
  var abort = window.AbortController && new AbortController();
  fetch(url, {cache: 'no-store', credentials: 'omit', signal: abort && abort.signal}).then(function (got) {
    return got.text().then(function (body) { done(got.status, body, got.statusText); });
  }).then(null, function () { done(0); });
  return function () { if (abort) abort.abort(); };
}

/** A POST if there is a body. */
function byXhr(url, done, body, sync) {
  var xhr = new XMLHttpRequest(), post = body !== undefined;
  xhr.open(post ? 'POST' : 'GET', url, !sync);
  if (post) xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
  xhr.onreadystatechange = function () {
    // A line feed ends an answer, and comes before the browser says so.
    if (xhr.readyState > (/\n$/.test(xhr.response) ? 2 : 3)) done(xhr.status, xhr.responseText, xhr.statusText);
  };
  xhr.send(body);
  return function () { xhr.abort(); };
}

/** Through frame.js in a hidden iframe, whose name for its port is a secret. */
function byFrame(base) {
  var frame, name, port, current, request, count = 0;
  function drop() {
    remove(frame);
    removeEventListener('message', hear, false);
    port = current = null;
  }
  function hear(event) {
    if (event.data !== name) return;
    port = event.ports[0];
    port.onmessage = function (event) {
      var answer = event.data, done = current;
      if (!done || answer[0] !== count) return;
      current = null;
      done.apply(null, answer.slice(1));
    };
    port.postMessage(request);
  }
  function ask(url, done) {
    request = [++count, url.slice(base.length)];
    current = done;
    if (port) {
      port.postMessage(request);
    } else {
      name = String(Math.random());
      addEventListener('message', hear, false);
      frame = hidden(document.documentElement);
      frame.onload = function () {
        setTimeout(function () { if (!port && current) current(0); }, 1000); // An error page.
      };
      frame.src = base + 'frame#' + name;
    }
    return function () { if (current) drop(); };
  }
  ask.drop = drop;
  return ask;
}

/** Opens a socket, and polls. */
function connect(socket, base, token) {
  var forced = Socket.TRANSPORT, inFrame = byFrame(base), framed, usual; // In a frame? Did that work?
  var attempt = Math.random(); // Of this open() in retries.
  var id, over, wait, held, began; // Seconds that a poll may be held, and that this one may; its start.
  var after = 0; // The last message that arrived.
  var since = now(), patience = PATIENCE; // Since when it does not work, or 0; for how long to try.
  var fails = 0, broken; // Failures since all was well; did the last request fail?
  var quick = 0, cuts = 0, brief; // Answers too soon, long polls that failed, in a row. Polling briefly?
  var host = base, alias, probing, probes = 0; // Where to poll; another name, which may not work.
  var turn = 0, timer, cancel; // Between requests there is no `cancel`.
  var slow; // Were the handlers?

  function transport() {
    // While it fails, sometimes the other.
    framed = window.MessageChannel && (forced ? forced === 'iframe' : !usual === (fails % 4 === 3));
    return framed ? inFrame : window.fetch && held && cuts < 3 && host === base ? byFetch : byXhr;
  }

  /** Gives up the request, or the pause before it. */
  function stop() {
    var giveUp = cancel || nothing;
    turn++;
    cancel = null;
    clearTimeout(timer);
    giveUp();
  }

  /** `use` gets an answer's JSON, and says whether it is of use. */
  function ask(url, seconds, use) {
    var mine = ++turn;
    function done(status, body, reason) {
      var reply = {};
      if (mine !== turn) return; // Given up, or told.
      if (status) cancel = null;
      stop();
      body = (body || '').trim();
      if (status !== 200) return fail(status, /^[^<]{1,299}$/.test(body) ? body : reason);
      try { reply = JSON.parse(body) || reply; } catch (error) { /* Half of it, or HTML. */ }
      usual = framed;
      if (!use(reply)) fail(reply.error || 0, reply.reason);
    }
    function silent() { done(0); }
    began = now();
    timer = setTimeout(silent, seconds * 1000);
    try { cancel = transport()(url, done); } catch (error) { setTimeout(silent, 0); }
  }

  function open() {
    ask(base + 'open?channel=' + encode(token) + '&attempt=' + attempt, PATIENCE, opened);
  }

  function opened(reply) {
    var path = base.replace(/^(https?:)?\/\/[^\/]*/, '');
    if (typeof reply.socket !== 'string') return false;
    id = reply.socket;
    if (over) return tell();
    if (!isInPage(socket)) return true;
    wait = reply.wait;
    patience = reply.resume;
    alias = path[0] === '/' && reply.alias && 'http://' + reply.alias + path;
    probing = !framed && alias;
    socket.client_ = reply.client;
    socket.quiet_ = reply.quiet;
    succeed(socket, '@' + reply.client);
    if (socket.handled_) note(socket, 'Socket.Handler');
    if (sockets[1]) note(socket, 'second socket in a page');
    socket.readyState = OPEN;
    works(true);
    emit(socket, 'onopen');
    return true;
  }

  function poll() {
    // Where they fail, long polls are rare.
    brief = forced === 'short' || !forced && cuts > 4 && ++probes % 20;
    held = broken || probing || brief ? 0 : wait;
    ask((probing || host) + 'poll?socket=' + id + '&after=' + after + '&wait=' + held + '&early=1',
        probing ? 1.5 : held + PATIENCE, polled);
  }

  function polled(reply) {
    var messages = reply.messages, start = now(), well, known; // How many of them the page has.
    if (!isInPage(socket)) return true;
    known = messages instanceof Array ? after - reply.next + messages.length : -1;
    if (!(known >= 0)) return false;
    after = Math.max(after, reply.next);
    messages = messages.slice(known);
    host = probing || host;
    probing = broken && host !== alias && !framed && probes++ < 3 && alias;
    if (held) cuts = 0;
    well = messages[0] || reply.shaken || start - began > 1000;
    // Handlers first: a poll takes long to send. But some show an alert.
    if (slow) works(well);
    emit(socket, 'onmessage', messages.map(function (text) { return {data: text}; }));
    if (!slow) works(well);
    slow = now() - start > 50;
    return true;
  }

  function next() {
    if (id) poll(); else open();
  }

  /** Goes on after an answer; `well`: it shows that all is well. */
  function works(well) {
    broken = false;
    since = 0;
    quick = well ? 0 : quick + 1;
    if (well) fails = 0;
    if (over) return;
    // By no timer, slow in hidden pages.
    if (!brief && quick <= 100) return poll();
    timer = setTimeout(poll, brief ? Math.min(3000, Math.max(50, Socket.POLLING_TIMEOUT_MS) || 500) : 100);
  }

  /** Tries again, ever more slowly, or gives up. */
  function fail(status, text) {
    // In the emulator's own words, not a proxy's.
    var refused = (status === 401 || status === 410) && /^\w+(\+\w+)+\.$/.test(text);
    if (over) return;
    if (probing && !refused) {
      probing = null;
      return poll();
    }
    since = since || now();
    if (refused || now() - since >= patience * 1000 || !id && status >= 400 && status < 500) {
      end(socket);
      lost[token] = lost['@' + socket.client_] =
        {at: now(), tries: now() - socket.opened_ < 20000 ? socket.tries_ + 1 : 0};
      if (!/^(Replaced|Closed)\+by/.test(text)) {
        emit(socket, 'onerror', [{code: status, description: text || 'Connection+lost.'}]);
      }
      return emit(socket, 'onclose');
    }
    broken = true;
    host = base;
    if (held) cuts++;
    held = 0;
    if (!fails++) return next();
    timer = setTimeout(next, Math.min(2000, 25 << Math.min(fails, 9)) * (0.5 + Math.random() / 2));
  }

  /** Tells the emulator, by a request that outlives the page. */
  function tell(leaving) {
    var url = base + 'close?socket=' + id;
    try {
      if (!navigator.sendBeacon || !navigator.sendBeacon(url)) byXhr(url, nothing, '', leaving);
    } catch (error) { /* The emulator will notice. */ }
    return true;
  }

  return {
    open: function (delay) {
      if (delay) timer = setTimeout(open, delay); else open();
    },
    pause: stop,
    /** Tries at once; if only `late`, not in place of a request under way. */
    wake: function (late) {
      if (cancel && (late || !id)) return;
      stop();
      broken = true;
      next();
    },
    /** The answer to an open() under way will name the socket to close. */
    end: function (byPage, leaving) {
      over = true;
      if (id || !cancel || leaving) {
        stop();
        inFrame.drop();
      }
      if (id && byPage) tell(leaving);
    }
  };
}

/**
 * Pages may assign its handlers.
 * @constructor
 * @param {string} token
 * @param {Object=} handler
 */
function Socket(token, handler) {
  var from = handler || new Socket.Handler();
  this.readyState = 0;
  this.onopen = from.onopen;
  this.onmessage = from.onmessage;
  this.onerror = from.onerror;
  this.onclose = from.onclose;
  this.events_ = []; // To come: [name, argument].
  this.handled_ = handler instanceof Socket.Handler;
  this.tries_ = 0; // How many before it ended soon.
  this.client_ = '';
  this.base_ = baseUrl();
  this.link_ = connect(this, this.base_, token);
  addFrame(this);
  sockets.push(this);
  this.opened_ = now();
  newest = this;
  succeed(this, token);
  this.link_.open(this.tries_ > 2 && 25 << Math.min(this.tries_, 9));
}

/** Closes the socket at once; onclose follows. */
Socket.prototype.close = function () {
  var socket = this;
  if (end(socket, true)) setTimeout(function () { emit(socket, 'onclose'); }, 0);
};

/**
 * Posts to /_ah/channel/receive, as the SDK's script did.
 * @return {boolean} whether the socket is open
 */
Socket.prototype.send = function (data) {
  if (this.readyState !== OPEN) return false;
  note(this, 'send()');
  byXhr(this.base_ + 'receive', nothing, 'key=' + encode(this.client_) + '&msg=' + encode(data));
  return true;
};

/** @constructor */
Socket.Handler = function () {};
Socket.Handler.prototype = {onopen: nothing, onmessage: nothing, onerror: nothing, onclose: nothing};
Socket.ReadyState = {CONNECTING: 0, OPEN: OPEN, CLOSING: 2, CLOSED: CLOSED};

/** Calls a handler with each of `args`, one call at a time. */
function emit(socket, name, args) {
  var events = socket.events_, event;
  (args || [{}]).forEach(function (arg) { events.push([name, arg]); });
  if (socket.busy_) return;
  socket.busy_ = true;
  while ((event = events.shift())) {
    try {
      if (typeof socket[event[0]] === 'function') socket[event[0]](event[1]);
    } catch (error) {
      setTimeout(function () { throw error; }, 0); // To window.onerror.
    }
  }
  socket.busy_ = false;
}

/** @return {boolean} was it not closed before? */
function end(socket, byPage, leaving) {
  if (socket.readyState === CLOSED) return false;
  socket.readyState = CLOSED;
  if (byPage) socket.events_.length = 0;
  sockets.splice(sockets.indexOf(socket), 1);
  socket.link_.end(byPage, leaving);
  if (socket.observer_) socket.observer_.disconnect();
  remove(socket.frame_);
  return true;
}

/** Pages reopen in onerror, and in onclose: the last stays, as in production. */
function succeed(socket, key) {
  var place = lost[key];
  if (!place || now() - place.at > 10000) return;
  if (place.heir && place.heir !== socket) end(place.heir, true);
  place.heir = socket;
  socket.tries_ = place.tries;
}

/** Pages remove production's hidden element to close the socket. */
function addFrame(socket) {
  var frame = hidden(document.body);
  frame.id = 'wcs-iframe';
  socket.observer_ = window.MutationObserver && new MutationObserver(function () { isInPage(socket); });
  watch(socket, frame);
}

function watch(socket, frame) {
  socket.frame_ = frame;
  frame.taken_ = true;
  if (socket.observer_) socket.observer_.observe(frame.parentNode, {childList: true});
  return true;
}

/** If not, closes the socket. */
function isInPage(socket) {
  var copies = document.querySelectorAll('#wcs-iframe'), removed = now(), i;
  if (socket.readyState === CLOSED) return false;
  if (document.documentElement.contains(socket.frame_)) return watch(socket, socket.frame_);
  for (i = 0; i < copies.length; i++) {
    // `body.innerHTML += ...` leaves a copy.
    if (!copies[i].taken_) return watch(socket, copies[i]);
  }
  end(socket, true);
  // Unless another was opened by then: pages do so in onclose, too.
  setTimeout(function () {
    if (newest === socket || newest.opened_ < removed - 50) emit(socket, 'onclose');
  }, 1000);
  return false;
}

function on(target, type, listener) {
  target.addEventListener(type, function (event) {
    sockets.slice().forEach(function (socket) { listener(socket.link_, event.persisted, socket); });
  }, false);
}

on(window, 'onpagehide' in window ? 'pagehide' : 'unload', function (link, kept, socket) {
  if (kept) link.pause(); else end(socket, true, true); // A page with a request under way is not kept.
});
on(window, 'pageshow', function (link, kept) { if (kept) link.wake(); });
on(window, 'online', function (link) { link.wake(); });
on(document, 'visibilitychange', function (link) { if (!document.hidden) link.wake(true); });

/**
 * @constructor
 * @param {string} token from create_channel
 */
function Channel(token) {
  this.token_ = token;
}

Channel.emulated = true;

/**
 * Opens a socket with the handlers of `handler`.
 * @param {Object=} handler
 * @return {Socket}
 */
Channel.prototype.open = function (handler) {
  if (!document.body) throw 'document.body is not defined -- do not create socket from script in <head>.';
  return new Socket(this.token_, handler);
};

/** The folder of this script, less the page's own origin. */
function scriptBase() {
  var scripts = document.currentScript ? [document.currentScript] : document.scripts, i;
  // A <base> that came after the script has changed its `src`, but not where it runs.
  var found = /(https?:\/\/[^\/?#\s]+)([^?#\s]*\/channel\/)jsapi([?#]\S*)?:\d+:\d+/.exec(new Error().stack);
  for (i = scripts.length; i-- && !found;) {
    found = /^(https?:\/\/[^\/?#]+)([^?#]*\/channel\/)jsapi([?#].*)?$/.exec(scripts[i].src);
  }
  if (!found) return '/_ah/channel/';
  Socket.TRANSPORT = (/[?&]transport=(\w+)/.exec(found[3]) || [])[1];
  return (found[1] === origin ? '' : found[1]) + found[2];
}

/** Pages put an origin before BASE_URL, even where it has one. What has none is the page's, whatever its <base>. */
function baseUrl() {
  var base = String(Socket.BASE_URL).replace(/^(https?:\/\/.*?)https?:\/\/[^\/]*/, '$1').replace(/\/?$/, '/');
  return (/^\/(?!\/)/.test(base) && location.host ? origin : '') + base;
}

var folder = scriptBase();
Socket.BASE_URL = given.BASE_URL || folder;
Socket.TRANSPORT = given.TRANSPORT || Socket.TRANSPORT; // 'xhr', 'iframe', 'short', or none: what works.
Socket.POLLING_TIMEOUT_MS = given.POLLING_TIMEOUT_MS || 500; // Of short polls.
api.Socket = Socket;
api.Channel = Channel;
}());
