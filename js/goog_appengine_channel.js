/**
 * goog.appengine.Channel, for pages served by the Channel API emulator. Apache-2.0.
 *
 * A transport asks for one URL and answers once. A link polls through it, hides losses of the connection, and hands on
 * each message once and in order. A Socket is what the page holds.
 */
(function () {
  'use strict';

  // A page's own Closure library stays. (A top-level `const goog` is no property of window.)
  var root = typeof goog === 'undefined' ? window.goog = {} : goog;
  var api = root.appengine = root.appengine || {};
  var given = api.Socket || {}; // What the page set before the script arrived.
  var CONNECTING = 0, OPEN = 1, CLOSING = 2, CLOSED = 3;
  var CONNECT_SECONDS = 10; // How long open() tries before it says that nobody is there.
  var ANSWER_SECONDS = 10; // What an answer may take beyond the wait asked for.
  var sockets = []; // Those that are not closed.
  var newest, sendNoted; // The socket opened last; has the page been told about send()?

  if (api.Channel && api.Channel.emulated) return; // The script is on the page twice.

  function nothing() {}

  /** Milliseconds, by a clock that nobody sets. */
  function now() {
    return window.performance ? performance.now() : +new Date();
  }

  // Transports ask for `url`, call done(status, body, reason) once, status 0 for no answer, and return how to give up.

  /** Without credentials: browsers give such requests connections of their own, beside the app's. */
  function byFetch(url, done) {
    var abort = window.AbortController && new AbortController(), answer;
    fetch(url, {cache: 'no-store', credentials: 'omit', signal: abort ? abort.signal : undefined}).then(function (got) {
      answer = got;
      return got.text();
    }).then(function (body) {
      done(answer.status, body, answer.statusText);
    }, function () {
      done(0);
    });
    return function () { if (abort) abort.abort(); };
  }

  function byXhr(url, done) {
    var xhr = new XMLHttpRequest();
    xhr.open('GET', url, true);
    xhr.onreadystatechange = function () {
      if (xhr.readyState === 4) done(xhr.status, xhr.responseText, xhr.statusText);
    };
    xhr.send();
    return function () { xhr.abort(); };
  }

  function post(url, body, sync) {
    var xhr = new XMLHttpRequest();
    xhr.open('POST', url, !sync);
    xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    xhr.send(body);
  }

  /** Opens a socket of the emulator and polls it until it is closed or lost. */
  function connect(socket, base, token) {
    var transports = window.fetch ? [byFetch, byXhr] : [byXhr]; // The first is in use.
    var id, wait, over;
    var after = 0; // The number of the last message that arrived.
    var since = now(), patience = CONNECT_SECONDS; // Since when it does not work, or 0; for how long to try.
    var fails = 0, lost, quick; // Failures since all was well; did the last request fail? Polls that did not wait.
    var host = base, alias, probing, probes = 0; // Where to poll; another name of it, which may not work.
    var turn = 0, timer, cancel; // Of the request under way: between requests there is no `cancel`.

    /** Gives up the request under way, or the pause before one. */
    function stop() {
      var giveUp = cancel || nothing;
      turn++;
      cancel = null;
      clearTimeout(timer);
      giveUp();
    }

    /** `use` gets the JSON of the answer, and says whether it is of use. */
    function ask(url, seconds, use) {
      var mine = ++turn;
      function done(status, body, reason) {
        var reply;
        if (mine !== turn) return; // Given up.
        stop();
        body = (body || '').trim();
        if (status !== 200) return fail(status, body && body.length < 300 && body[0] !== '<' ? body : reason);
        try { reply = JSON.parse(body); } catch (error) { /* Half an answer, or HTML. */ }
        if (!reply || !use(reply)) fail(0);
      }
      function silent() { done(0); }
      timer = setTimeout(silent, seconds * 1000);
      try { cancel = transports[0](url, done); } catch (error) { setTimeout(silent, 0); }
    }

    function open() {
      ask(base + 'open?channel=' + encodeURIComponent(token), ANSWER_SECONDS, function (reply) {
        var path = base.replace(/^(https?:)?\/\/[^\/]*/, '');
        if (typeof reply.socket !== 'string') return false;
        id = reply.socket;
        if (over) return tell();
        if (!isInPage(socket)) return true;
        wait = reply.wait;
        patience = reply.resume;
        alias = path[0] === '/' && reply.alias && 'http://' + reply.alias + path;
        probing = alias;
        socket.client_ = reply.client;
        socket.readyState = OPEN;
        works(true);
        emit(socket, 'onopen', [{}]);
        return true;
      });
    }

    function poll() {
      var began = now(), pause = lost || probing ? 0 : wait;
      ask((probing || host) + 'poll?socket=' + id + '&after=' + after + '&wait=' + pause,
          probing ? 1.5 : pause + ANSWER_SECONDS, function (reply) {
            var messages = reply.messages, known; // How many of them the page has.
            if (!isInPage(socket)) return true;
            known = messages instanceof Array ? after - reply.next + messages.length : -1;
            if (!(known >= 0)) return false;
            after = Math.max(after, reply.next);
            messages = messages.slice(known);
            host = probing || host;
            probing = lost && host !== alias && probes++ < 3 && alias;
            works(messages.length || now() - began > 1000);
            emit(socket, 'onmessage', messages.map(function (text) { return {data: text}; }));
            return true;
          });
    }

    function next() {
      if (id) poll(); else open();
    }

    /** Goes on after a good answer; `well`: it shows that long polls work. */
    function works(well) {
      lost = false;
      since = 0;
      quick = well ? 0 : quick + 1;
      if (well) fails = 0;
      // By no timer, which is slow in a hidden page, and before the handlers, which may be slow anywhere.
      if (quick > 100) timer = setTimeout(poll, 100); else poll();
    }

    /** Tries again, at once and then ever more slowly; or gives up. */
    function fail(status, text) {
      // In the emulator's own words; others are a proxy's.
      var refused = (status === 401 || status === 410) && /^\w+(\+\w+)+\.$/.test(text);
      if (over) return;
      if (probing && !refused) {
        probing = null;
        return poll();
      }
      since = since || now();
      if (refused || now() - since >= patience * 1000 ||
          !id && status >= 400 && status < 500 && fails + 1 >= transports.length) {
        end(socket);
        if (text !== 'Replaced+by+a+newer+socket.') {
          emit(socket, 'onerror', [{code: status, description: text || 'Connection+lost.'}]);
        }
        return emit(socket, 'onclose', [{}]);
      }
      lost = true;
      host = base;
      if (!id) transports.push(transports.shift());
      if (!fails++) return next();
      timer = setTimeout(next, Math.min(2000, 25 << Math.min(fails, 9)) * (0.5 + Math.random() / 2));
    }

    /** Tells the emulator that the socket is closed, by a request that outlives the page. */
    function tell(leaving) {
      var url = base + 'close?socket=' + id;
      try {
        if (!navigator.sendBeacon || !navigator.sendBeacon(url)) post(url, '', leaving);
      } catch (error) { /* The emulator will notice. */ }
      return true;
    }

    return {
      open: open,
      pause: stop,
      /** Tries at once; if only `late`, not in place of a request under way. */
      wake: function (late) {
        if (cancel && (late || !id)) return;
        stop();
        lost = true;
        next();
      },
      /** Ends for good. The answer to an open() under way will name the socket to close. */
      end: function (byPage, leaving) {
        over = true;
        if (id || !cancel || leaving) stop();
        if (id && byPage) tell(leaving);
      }
    };
  }

  /**
   * An open channel. Pages may assign its onopen, onmessage, onerror and onclose.
   * @constructor
   * @param {string} token
   * @param {Object=} handler
   */
  function Socket(token, handler) {
    var from = handler || new Socket.Handler();
    this.readyState = CONNECTING;
    this.onopen = from.onopen;
    this.onmessage = from.onmessage;
    this.onerror = from.onerror;
    this.onclose = from.onclose;
    this.events_ = []; // To come: [name, argument].
    this.base_ = baseUrl();
    this.link_ = connect(this, this.base_, token);
    addFrame(this);
    sockets.push(this);
    this.opened_ = now();
    newest = this;
    this.link_.open();
  }

  /** Closes the socket at once; onclose follows. */
  Socket.prototype.close = function () {
    var socket = this;
    function report() { emit(socket, 'onclose', [{}]); }
    if (!end(socket, true)) return;
    if (window.Promise) Promise.resolve().then(report); else setTimeout(report, 0);
  };

  /**
   * Posts to the app's /_ah/channel/receive, as the SDK's script did.
   * @return {boolean} whether the socket is open
   */
  Socket.prototype.send = function (data) {
    if (this.readyState !== OPEN) return false;
    if (!sendNoted && window.console) console.log('goog.appengine.Socket.send(): production sent nothing.');
    sendNoted = true;
    post(this.base_ + 'receive', 'key=' + encodeURIComponent(this.client_) + '&msg=' + encodeURIComponent(data));
    return true;
  };

  /** @constructor */
  Socket.Handler = function () {};
  Socket.Handler.prototype = {onopen: nothing, onmessage: nothing, onerror: nothing, onclose: nothing};
  Socket.ReadyState = {CONNECTING: CONNECTING, OPEN: OPEN, CLOSING: CLOSING, CLOSED: CLOSED};

  /** Calls a handler with each of `args`; one call at a time, whatever the handlers do. */
  function emit(socket, name, args) {
    var events = socket.events_, event;
    args.forEach(function (arg) { events.push([name, arg]); });
    if (socket.busy_) return;
    socket.busy_ = true;
    while ((event = events.shift())) call(socket, event[0], event[1]);
    socket.busy_ = false;
  }

  function call(socket, name, arg) {
    try {
      if (typeof socket[name] === 'function') socket[name](arg);
    } catch (error) {
      setTimeout(function () { throw error; }, 0); // To window.onerror.
    }
  }

  /** @return {boolean} false if it was closed before */
  function end(socket, byPage, leaving) {
    var frame = socket.frame_;
    if (socket.readyState === CLOSED) return false;
    socket.readyState = CLOSED;
    if (byPage) socket.events_.length = 0;
    sockets.splice(sockets.indexOf(socket), 1);
    socket.link_.end(byPage, leaving);
    if (socket.observer_) socket.observer_.disconnect();
    if (frame.parentNode) frame.parentNode.removeChild(frame);
    return true;
  }

  /** Production's sockets had a hidden element, and pages remove it to be rid of the socket. */
  function addFrame(socket) {
    var frame = document.createElement('iframe');
    frame.id = 'wcs-iframe';
    frame.style.display = 'none';
    document.body.appendChild(frame);
    socket.observer_ = window.MutationObserver && new MutationObserver(function () { isInPage(socket); });
    watch(socket, frame);
  }

  function watch(socket, frame) {
    socket.frame_ = frame;
    frame.taken_ = true;
    if (socket.observer_) socket.observer_.observe(frame.parentNode, {childList: true});
    return true;
  }

  /** Closes the socket if its element is gone. */
  function isInPage(socket) {
    var copies = document.querySelectorAll('#wcs-iframe'), removed = now(), i;
    if (socket.readyState === CLOSED) return false;
    if (document.documentElement.contains(socket.frame_)) return watch(socket, socket.frame_);
    for (i = 0; i < copies.length; i++) {
      // `body.innerHTML += ...` leaves a copy in its place, not taken.
      if (!copies[i].taken_) return watch(socket, copies[i]);
    }
    end(socket, true);
    // Production called nothing. No onclose if the page opens another socket: it may do so in onclose, too, for ever.
    setTimeout(function () {
      if (newest === socket || newest.opened_ < removed - 50) emit(socket, 'onclose', [{}]);
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
   * Opens a socket with the onopen, onmessage, onerror and onclose of `handler`.
   * @param {Object=} handler
   * @return {Socket}
   */
  Channel.prototype.open = function (handler) {
    if (!document.body) throw 'document.body is not defined -- do not create socket from script in <head>.';
    return new Socket(this.token_, handler);
  };

  /** The folder of this script, less the page's own origin. */
  function scriptBase() {
    var scripts = document.currentScript ? [document.currentScript] : document.scripts, i, found;
    for (i = scripts.length; i-- && !found;) {
      found = /^(https?:\/\/[^\/?#]+)([^?#]*\/channel\/)jsapi([?#]|$)/.exec(scripts[i].src);
    }
    if (!found) return '/_ah/channel/';
    return (found[1] === location.protocol + '//' + location.host ? '' : found[1]) + found[2];
  }

  /** Pages put an origin before BASE_URL, even where it has one. */
  function baseUrl() {
    return String(Socket.BASE_URL).replace(/^(https?:\/\/.*?)https?:\/\/[^\/]*/, '$1').replace(/\/?$/, '/');
  }

  Socket.BASE_URL = given.BASE_URL || scriptBase();
  // Without effect: long polls bring messages sooner, and with less traffic, than any interval.
  Socket.POLLING_TIMEOUT_MS = given.POLLING_TIMEOUT_MS || 500;
  api.Socket = Socket;
  api.Channel = Channel;
}());
