/**
 * goog.appengine.Channel, for pages served by the Channel API emulator. Apache-2.0.
 *
 * A Socket is what the page holds: its handlers, their order, and its end. Its Link keeps the connection: it opens,
 * polls or streams, retries, and hands on each message once and in order. Transports carry one request, and know of
 * neither. What pages can rely on is in docs/browser-client.md.
 */
(function () {
'use strict';

// A page's own stays; a top-level `const goog` is no property of window.
var root = typeof goog === 'undefined' ? window.goog = {} : goog;
/** @type {any} */
var api = root.appengine = root.appengine || {};
var PATIENCE = 10; // Seconds to try open() or a stream, and that an answer may be late.
var SILENCE = 40; // Seconds without a frame after which a stream is dead; the emulator sends one every 25.
var sockets = []; // Not closed.
var newest; // The socket opened last.
var lost = {}; // What ended lately, by token, and by '@' and client id.
var streams = {}; // The base addresses at which a stream has worked, and not failed since.
var calls = {}; // BroadcastChannels, by name: when a message comes on one, this page is to poll.
var origin = location.protocol + '//' + location.host; // The page's.

if (api.Channel && api.Channel.emulated) return; // Loaded twice.
if (api.serveParent) return api.serveParent(direct); // This is the page of frame.js.

function nothing() {}

/** Milliseconds; nobody sets this clock. */
function now() {
  return window.performance ? performance.now() : +new Date();
}

/** The JSON of an answer; {} if it is half of it, or HTML. */
function parse(text) {
  try { return JSON.parse(text) || {}; } catch (error) { return {}; }
}

/** Writes to the page's console, each text once. */
function once(level, text) {
  if (once[text] || !window.console) return;
  once[text] = true;
  console[level](text);
}

function note(socket, topic) {
  if (socket.quiet_) return;
  once('log', 'goog.appengine: production had no ' + topic + '. See docs/browser-client.md#production');
}

function hidden(parent) {
  var frame = document.createElement('iframe');
  frame.style.display = 'none';
  return parent.appendChild(frame);
}

function remove(element) {
  if (element && element.parentNode) element.parentNode.removeChild(element);
}

function post(url, body, sync) {
  var xhr = new XMLHttpRequest();
  xhr.open('POST', url, !sync);
  xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
  xhr.send(body);
}

// Transports carry one request each. They call done(status, body, reason), status 0 for no answer, and return an object
// whose stop() gives up. A stream is a request that calls hear(text) for each frame, and whose send() answers.

/** On connections beside the app's: browsers keep those without credentials apart. */
function byFetch(url, done) {
  var abort = window.AbortController && new AbortController();
  fetch(url, {cache: 'no-store', credentials: 'omit', signal: abort && abort.signal}).then(function (got) {
    return got.text().then(function (body) { done(got.status, body, got.statusText); });
  }).then(null, function () { done(0); });
  return {stop: function () { if (abort) abort.abort(); }};
}

function byXhr(url, done) {
  var xhr = new XMLHttpRequest();
  xhr.open('GET', url, true);
  xhr.onreadystatechange = function () {
    // A line feed ends an answer, and comes before the browser says so.
    if (xhr.readyState > 3 || /\n$/.test(xhr.response)) done(xhr.status, xhr.responseText, xhr.statusText);
  };
  xhr.send();
  return {stop: function () { xhr.abort(); }};
}

/** Beside the six connections to a host: browsers allow some 200 of these. */
function byWebSocket(url, done, hear) {
  var address = document.createElement('a'), socket;
  address.href = url; // In full, as a WebSocket wants it.
  socket = new WebSocket(address.href.replace('http', 'ws'));
  socket.onmessage = function (event) { hear(event.data); };
  socket.onclose = function () { done(0); };
  return {stop: function () { socket.close(); }, send: function (text) { socket.send(text); }};
}

/** The one that suits. XHR is sooner than fetch; what is quick need not wait behind the long polls of other tabs. */
function direct(url, done, hear) {
  var by = hear ? byWebSocket : window.fetch && /&wait=[1-9]/.test(url) ? byFetch : byXhr;
  return by(url, done, hear);
}

/**
 * Transport through a hidden iframe with the emulator's page, in which frame.js runs. Its port comes with a name that
 * was made up here, and is a secret: a sandboxed page has no origin to know the frame by, and who has that page in a
 * frame may put another page in place of ours. Each request takes a port of its own along: to it goes a text to send,
 * or null to give up; from it comes a text of a stream, or [status, body, reason] at the end.
 */
function byFrame(base) {
  var frame, name, port, waiting = []; // Until the port has come, or will not.

  function load() {
    name = String(Math.random());
    addEventListener('message', found);
    frame = hidden(document.documentElement);
    frame.onload = function () {
      setTimeout(function () { if (!port) drop(); }, 1000); // An error page.
    };
    frame.src = base + 'frame#' + name;
  }

  function found(event) {
    if (event.data !== name) return;
    port = event.ports[0];
    flush();
  }

  function flush() {
    waiting.splice(0).forEach(function (send) { send(); });
  }

  function drop() {
    remove(frame);
    removeEventListener('message', found);
    frame = port = null;
    flush();
  }

  function ask(url, done, hear) {
    var channel = new MessageChannel(), own = channel.port1;
    function send() {
      if (port) port.postMessage(url.slice(base.length), [channel.port2]); else done(0);
    }
    own.onmessage = function (event) {
      if (!event.data.pop) return hear(event.data);
      own.close(); // Or it is never collected.
      done.apply(null, event.data);
    };
    waiting.push(send);
    if (!frame) load();
    if (port) flush();
    return {
      stop: function (silent) {
        own.postMessage(null);
        own.close();
        // A frame that does not answer is of no use. A silent stream says nothing of it: a poll may be held there.
        if (!hear && (silent || !port)) drop();
      },
      send: function (text) { own.postMessage(text); }
    };
  }

  return {ask: ask, drop: drop};
}

/**
 * Sends a request by `transport`. done() is called once: with status 0, too, if there is no answer in `seconds`, or in
 * a stream no frame for SILENCE; after stop() nothing is called.
 */
function request(transport, url, seconds, done, hear) {
  var carried, timer, over;

  function stop(silent) {
    over = true;
    clearTimeout(timer);
    if (carried) carried.stop(silent);
  }

  function finish(status, body, reason) {
    if (over) return;
    if (status) carried = null; // The browser may not have closed its books on it: no reason to abort.
    stop();
    done(status, body, reason);
  }

  function watch(seconds) {
    clearTimeout(timer);
    timer = setTimeout(function () {
      stop(true);
      done(0);
    }, seconds * 1000);
  }

  watch(seconds);
  try {
    carried = transport(url, finish, hear && function (text) {
      if (over) return;
      watch(SILENCE);
      hear(text);
    });
  } catch (error) {
    watch(0);
  }
  return {stop: stop, send: function (text) { if (!over) carried.send(text); }};
}

/**
 * Says by send() which number the page has: at once to an empty frame, otherwise once in 200 ms, or 64 messages, or as
 * much text as surely fits the emulator's window: or a message might wait for a timer, and those of hidden pages are
 * slow.
 */
function acknowledger(link, send) {
  var last = 0, unsaid = 0, timer;

  function say() {
    clearTimeout(timer);
    timer = unsaid = 0;
    last = now();
    send('' + link.after);
  }

  return function (messages, characters) {
    unsaid += messages / 64 + characters / 1e5;
    if (!messages || unsaid >= 1 || now() - last >= 200) say(); else timer = timer || setTimeout(say, 200);
  };
}

/**
 * The connection of a socket. Its state is
 *
 * - opening: open() has not been answered yet,
 * - polling: one poll follows the other; beside them a stream may be tried,
 * - streaming: a stream has sent a frame; there are no polls,
 * - retrying: the last poll or stream has failed; polls that do not wait look for the emulator,
 * - over: the socket is closed.
 *
 * Whatever carries messages goes on after the number `after`, so that none is lost, doubled, or out of order when that
 * changes. What is under way: `request`, an open() or a poll; `stream`; `timer`, the pause before the next of them.
 * @constructor
 */
function Link(socket, token) {
  this.socket = socket;
  this.base = baseUrl();
  this.token = token;
  this.forced = Socket.TRANSPORT;
  this.frame = byFrame(this.base);
  this.attempt = Math.random(); // The name of this open() in retries.
  this.state = 'opening';
  this.after = 0; // The number of the last message that arrived.
  this.since = now(); // Since when it does not work, or 0.
  this.patience = PATIENCE; // Seconds to try for.
  this.fails = 0; // Since all was well.
  this.quick = 0; // Answers too soon, in a row.
  this.cuts = 0; // Long polls that failed, in a row.
  this.polls = 0; // Short ones.
  this.tries = 0; // Streams that failed or soon ended, in a row.
  this.due = 0; // When the next stream may be tried.
}

/** What is to be done now. */
function next(link) {
  if (!link.id) return open(link);
  if (!isStreamDue(link)) return poll(link);
  // One that is not sure to work has polls beside it.
  if (!link.forced && !streams[link.base]) poll(link);
  startStream(link);
}

function isStreamDue(link) {
  if (link.forced) return link.forced === 'websocket';
  return link.offered && link.state === 'polling' && !link.stream && now() >= link.due;
}

/** next(), after a pause. */
function later(link, milliseconds) {
  link.timer = setTimeout(function () {
    link.timer = 0;
    next(link);
  }, milliseconds);
}

/** `use` gets an answer's JSON, and says whether it is of use. */
function ask(link, path, seconds, use) {
  link.began = now();
  link.request = request(transport(link), link.base + path, seconds, function (status, body, reason) {
    var reply;
    link.request = null;
    body = (body || '').trim();
    if (status !== 200) return fail(link, status, /^[^<]{1,299}$/.test(body) ? body : reason);
    link.usual = link.framed;
    reply = parse(body);
    if (!use(link, reply)) fail(link, reply.error || 0, reply.reason);
  });
}

/** Of an open() or a poll. While it fails, sometimes the frame takes the place of the page, or the other way round. */
function transport(link) {
  link.framed = window.MessageChannel &&
    (link.forced ? link.forced === 'iframe' : !link.usual === (link.fails % 4 === 3));
  return link.framed ? link.frame.ask : link.cuts < 3 ? direct : byXhr;
}

function open(link) {
  ask(link, 'open?channel=' + encodeURIComponent(link.token) + '&attempt=' + link.attempt, PATIENCE, opened);
}

function opened(link, reply) {
  var socket = link.socket;
  link.id = reply.socket;
  if (!link.id) return false;
  if (link.state === 'over') return tell(link);
  if (!isInPage(socket)) return true;
  link.wait = reply.wait; // Seconds that a poll may be held.
  link.patience = reply.resume;
  link.offered = reply.stream && window.WebSocket;
  link.state = 'polling';
  socket.client_ = reply.client;
  socket.quiet_ = reply.quiet;
  succeed(socket, '@' + reply.client);
  if (socket.handled_) note(socket, 'Socket.Handler');
  if (sockets[1]) note(socket, 'second socket in a page');
  socket.readyState = 1; // OPEN.
  works(link, true);
  next(link);
  emit(socket, 'onopen');
  return true;
}

function poll(link) {
  // Where they fail, long polls are rare.
  link.short = link.forced ? link.forced === 'short' : link.cuts > 4 && ++link.polls % 20;
  link.held = link.state === 'retrying' || link.short ? 0 : link.wait;
  ask(link, 'poll?socket=' + link.id + '&after=' + link.after + '&wait=' + link.held + '&early=1&pauses=1',
    link.held + PATIENCE, polled);
}

function polled(link, reply) {
  var waited = now() - link.began, held = link.held, messages;
  if (!isInPage(link.socket)) return true;
  messages = take(link, reply);
  if (!messages) return false;
  if (held) link.cuts = 0;
  link.held = 0;
  try { call(reply); } catch (error) { /* No BroadcastChannel, or not for this page: its pause ends by itself. */ }
  hand(link, messages, function () {
    var useful = messages[0] || reply.released;
    works(link, useful || waited > 1000);
    if (link.state === 'over') return;
    link.state = 'polling';
    // A long poll that is answered empty and too soon: the stream has taken over, and will say so.
    if (link.stream && waited < held * 900 && !useful) return;
    if (link.short) return later(link, Math.min(3000, Math.max(50, Socket.POLLING_TIMEOUT_MS) || 500));
    // By no timer, slow in hidden pages.
    if (reply.pause || link.quick > 100) later(link, 500); else next(link);
  });
  return true;
}

/** Calls pages that pause, or has this one called. Each has a BroadcastChannel of its own: no other need wake. */
function call(reply) {
  var own = reply.pause;
  (reply.call || []).forEach(function (name) {
    var channel = new BroadcastChannel(name);
    channel.postMessage(0);
    channel.close();
  });
  if (!own || calls[own]) return;
  on(calls[own] = new BroadcastChannel(own), 'message', function (link) { wake(link); });
}

/** Opens a stream. Until its first frame it does not serve. */
function startStream(link) {
  var url = link.base + 'stream?socket=' + link.id + '&after=' + link.after;
  link.tried = now();
  link.stream = request(link.usual ? link.frame.ask : direct, url, PATIENCE,
    function () { cut(link, 0); }, function (text) { heard(link, text); });
  link.acknowledge = acknowledger(link, link.stream.send);
}

function heard(link, text) {
  var reply = parse(text), messages;
  if (!isInPage(link.socket)) return;
  messages = take(link, reply);
  if (!messages) return cut(link, reply.error || 0, reply.reason);
  if (link.state !== 'streaming') {
    pause(link, true); // A poll that is under way would take over from the stream when it arrives.
    link.state = 'streaming';
    link.held = link.cuts = 0;
    streams[link.base] = true;
  }
  hand(link, messages, function () {
    works(link, messages[0] || now() - link.tried > 1000);
    link.acknowledge(messages.length, text.length);
  });
}

/**
 * The stream has ended. The next is tried at once if polls go on beside it: it may only have been overtaken by one that
 * was sent before it and arrived after it. Others wait, ever longer, if several in a row have not served for long.
 */
function cut(link, status, text) {
  link.stream.stop();
  link.stream = null;
  if (link.state !== 'streaming') streams[link.base] = false;
  link.tries = link.state === 'streaming' && now() - link.tried > 30000 ? 0 : link.tries + 1;
  link.due = link.tries > 1 && now() + (500 << Math.min(link.tries, 9));
  if (!link.request && !link.timer) fail(link, status, text); else if (link.tries < 2) startStream(link);
}

/** Those of an answer or a frame that are new; null if some before them are missing. */
function take(link, reply) {
  var messages = reply.messages, known; // How many of them the page has.
  if (messages && messages.map) known = link.after - reply.next + messages.length;
  if (!(known >= 0)) return null;
  link.after = Math.max(link.after, reply.next);
  return messages.slice(known);
}

/** Calls the handlers, and goes on. Handlers first: a poll takes long to send. But some show an alert. */
function hand(link, messages, goOn) {
  var start = now(), slow = link.slow;
  if (slow) goOn();
  emit(link.socket, 'onmessage', messages.map(function (text) { return {data: text}; }));
  if (!slow) goOn();
  link.slow = now() - start > 50;
}

/** An answer or a frame has come; `well`: it shows that all is well. */
function works(link, well) {
  link.since = 0;
  if (well) link.quick = link.fails = 0; else link.quick++;
}

/** Tries again, ever more slowly, or gives up. */
function fail(link, status, text) {
  // In the emulator's own words, not a proxy's.
  var refused = /^4/.test(status) && (!link.id || /^\w+\+[\w+]+\.$/.test(text));
  if (link.state === 'over') return link.frame.drop();
  link.since = link.since || now();
  if (refused || now() - link.since >= link.patience * 1000) return lose(link, status, text);
  if (link.id) link.state = 'retrying';
  if (link.held) link.cuts++;
  link.held = 0;
  if (!link.fails++) return next(link);
  later(link, (25 << Math.min(link.fails, 6)) * (1 + Math.random()) / 2);
}

/** The socket has ended by itself: the page is told, and may open another. */
function lose(link, status, text) {
  var socket = link.socket;
  end(socket);
  lost[link.token] = lost['@' + socket.client_] =
    {at: now(), tries: now() - socket.opened_ < 20000 ? socket.tries_ + 1 : 0};
  if (!/^(Replaced|Closed)\+by/.test(text)) {
    emit(socket, 'onerror', [{code: status, description: text || 'Connection+lost.'}]);
  }
  emit(socket, 'onclose');
}

/** Tells the emulator, by a request that outlives the page. */
function tell(link, leaving) {
  var url = link.base + 'close?socket=' + link.id;
  link.frame.drop();
  try {
    if (!navigator.sendBeacon || !navigator.sendBeacon(url)) post(url, '', leaving);
  } catch (error) { /* The emulator will notice. */ }
  return true;
}

/** Gives up what is under way, but for the stream if that is to stay. */
function pause(link, keepStream) {
  clearTimeout(link.timer);
  if (link.request) link.request.stop();
  link.timer = link.request = null;
  if (keepStream) return;
  if (link.stream) link.stream.stop();
  link.stream = null;
  link.frame.drop();
}

/**
 * Tries at once; in place of what is under way only if that may be `dead`. A stream that is tried beside a pause does
 * not count: browsers put off a WebSocket where others have failed.
 */
function wake(link, dead) {
  if ((link.request || link.stream) && !link.timer && !(dead && link.id)) return;
  pause(link, !dead);
  if (link.id) link.state = 'retrying';
  next(link);
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
  this.link_ = new Link(this, token);
  addFrame(this);
  sockets.push(this);
  this.opened_ = now();
  newest = this;
  succeed(this, token);
  if (this.tries_ > 2) later(this.link_, 25 << Math.min(this.tries_, 9)); else open(this.link_);
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
  if (this.readyState !== 1) return false; // OPEN.
  note(this, 'send()');
  post(this.link_.base + 'receive', 'key=' + encodeURIComponent(this.client_) + '&msg=' + encodeURIComponent(data));
  return true;
};

/** @constructor */
Socket.Handler = function () {};
Socket.Handler.prototype = {onopen: nothing, onmessage: nothing, onerror: nothing, onclose: nothing};
Socket.ReadyState = {CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3};

/** Calls a handler with each of `args`, one call at a time. */
function emit(socket, name, args) {
  var events = socket.events_, event, handler;
  (args || [{}]).forEach(function (arg) { events.push([name, arg]); });
  if (socket.busy_) return;
  socket.busy_ = true;
  while ((event = events.shift())) {
    handler = socket[event[0]];
    try {
      if (typeof handler === 'function' && handler !== nothing) socket[event[0]](event[1]);
      else if (event[1].data) { // It may stand under a name such as onMessage.
        once('warn', 'goog.appengine: a message came, and there is no onmessage (in lower case)');
      }
    } catch (error) {
      setTimeout(function () { throw error; }, 0); // To window.onerror.
    }
  }
  socket.busy_ = false;
}

/** @return {boolean} was it not closed before? */
function end(socket, byPage, leaving) {
  var link = socket.link_;
  if (socket.readyState === 3) return false; // CLOSED.
  socket.readyState = 3;
  if (byPage) socket.events_.length = 0;
  sockets.splice(sockets.indexOf(socket), 1);
  link.state = 'over';
  if (link.id || !link.request || leaving) pause(link); // Or the answer will name the socket to close.
  if (link.id && byPage) tell(link, leaving);
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
  if (socket.readyState === 3) return false; // CLOSED.
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
    sockets.slice().forEach(function (socket) { listener(socket.link_, event); });
  });
}

on(window, 'onpagehide' in window ? 'pagehide' : 'unload', function (link, event) {
  // A page with a request or a WebSocket is not kept.
  if (event.persisted) pause(link); else end(link.socket, true, true);
});
on(window, 'pageshow', function (link, event) { if (event.persisted) wake(link); });
on(window, 'online', wake);
on(document, 'visibilitychange', function (link) { if (!document.hidden) wake(link); });

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

/** Pages put an origin before BASE_URL, even where it has one. What has none is the page's, whatever its <base>. */
function baseUrl() {
  var base = String(Socket.BASE_URL).replace(/^(https?:\/\/.*?)https?:\/\/[^\/]*/, '$1').replace(/\/?$/, '/');
  return (/^\/(?!\/)/.test(base) && location.host ? origin : '') + base;
}

var given = api.Socket || {}; // By the page.

// Where this script came from. A <base> that came after it has changed its `src`, but not where it runs.
var scripts = document.currentScript ? [document.currentScript] : document.scripts, i, named;
/** @type {any} */
var found = /(https?:\/\/[^\/?#\s]+)([^?#\s]*\/channel\/)jsapi([?#]\S*)?:\d+/.exec(new Error().stack);
for (i = scripts.length; i-- && !named;) {
  named = /^(https?:\/\/[^\/?#\s]+)([^?#\s]*\/channel\/)jsapi([?#]\S*)?$/.exec(scripts[i].src);
}
found = found || named || [0, origin, '/_ah/channel/'];

// The script's folder, less the page's own origin.
Socket.BASE_URL = given.BASE_URL || (found[1] === origin ? '' : found[1]) + found[2];
// 'websocket', 'xhr', 'iframe', 'short', or none: what works. WebKit leaves the query out where the script runs.
Socket.TRANSPORT = given.TRANSPORT || (/[?&]transport=(\w+)/.exec(found[3] || named && named[3]) || [])[1];
Socket.POLLING_TIMEOUT_MS = given.POLLING_TIMEOUT_MS || 500; // Of short polls.
api.Socket = Socket;
api.Channel = Channel;
}());
