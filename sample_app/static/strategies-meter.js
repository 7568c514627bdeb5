// Counts what requests cost, also those of the channel's script, which is to be loaded after this. Plain ES5.
//
// An account is charged with the requests whose address has one of its keys. Received is what the browser says
// (transferSize: the body, and 300 bytes for the head, whatever that was); sent is the address, the body, and the head
// as the app has counted it. The iframe's requests are asked for in the iframe itself.
var Meter = (function () {
  'use strict';

  var ANSWER_HEAD = 300;
  var FRAME_HEAD = [[126, 2], [65536, 4], [Infinity, 10]]; // of WebSocket frames, by size
  var MASK = 4;
  var KEPT = 130000; // milliseconds that requests are kept
  var accounts = [];
  var head = 0;

  // requests: {from, to, app, cut}, of which the last may run (to is null). held: milliseconds of the app's.
  function account(keys) {
    var made = {
      keys: keys, requests: [], app: 0, platform: 0, sent: 0, received: 0, held: 0, cut: 0,
      stream: null, // does the platform offer WebSockets?
      sockets: 0, // WebSockets that are open
      inFrame: false
    };
    accounts.push(made);
    return made;
  }

  function find(url) {
    return accounts.filter(function (one) {
      return one.keys.some(function (key) { return url.indexOf(key) >= 0; });
    })[0];
  }

  function path(url) {
    return String(url).replace(/^\w+:\/\/[^\/]*/, '').replace(/#.*/, '');
  }

  function begin(charged, url, size, from) {
    var last = charged.requests[charged.requests.length - 1];
    var one = {url: path(url), from: from || Date.now(), to: null, app: /^\/strategies/.test(path(url)), cut: false};
    // Each way has one request at a time; one whose end went unseen has ended.
    if (last) {
      end(charged, last, one.from);
    }
    charged.requests.push(one);
    charged[one.app ? 'app' : 'platform'] += 1;
    charged.sent += one.url.length + head + size;
    return one;
  }

  function end(charged, one, to, status) {
    if (one.to === null) {
      one.to = to;
    }
    if (status >= 500 && !one.cut) {
      one.cut = true;
      charged.cut += 1;
    }
  }

  function opens(url) {
    return /\/open\?/.test(url);
  }

  // The answer to open() names the socket, which later addresses have.
  function learn(charged, text) {
    var answer;
    try { answer = JSON.parse(text); } catch (error) { return; } // Half of it.
    charged.keys.push('socket=' + answer.socket);
    charged.stream = !!answer.stream;
  }

  function watchXhr() {
    var open = XMLHttpRequest.prototype.open;
    var send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.open = function (method, url) {
      var xhr = this;
      var charged = find(url);
      xhr.meterUrl = url;
      if (charged && opens(url)) {
        // Before the script's own listener, which polls at once.
        xhr.addEventListener('readystatechange', function () {
          if (xhr.readyState > 2) {
            learn(charged, xhr.responseText);
          }
        });
      }
      return open.apply(xhr, arguments);
    };
    XMLHttpRequest.prototype.send = function (body) {
      var xhr = this;
      var charged = find(this.meterUrl);
      if (charged) {
        var one = begin(charged, this.meterUrl, body ? body.length : 0);
        this.addEventListener('loadend', function () { end(charged, one, Date.now(), xhr.status); });
      }
      return send.apply(this, arguments);
    };
  }

  function watchFetch() {
    var real = window.fetch;
    window.fetch = real && function (url) {
      var answer = real.apply(window, arguments);
      var charged = find(String(url));
      if (charged) {
        var one = begin(charged, String(url), 0);
        answer.then(function (got) {
          if (got.status >= 500) {
            end(charged, one, Date.now(), got.status);
          }
          if (opens(url)) {
            got.clone().text().then(function (text) { learn(charged, text); });
          }
        }, function () { end(charged, one, Date.now()); });
      }
      return answer;
    };
  }

  function frameHead(size) {
    return FRAME_HEAD.filter(function (one) { return size < one[0]; })[0][1];
  }

  function watchWebSocket() {
    var Real = window.WebSocket;
    if (!Real) {
      return;
    }
    window.WebSocket = function (url, protocols) {
      var socket = protocols === undefined ? new Real(url) : new Real(url, protocols);
      var charged = find(String(url));
      if (charged) {
        meterWebSocket(charged, socket, begin(charged, url, 0));
      }
      return socket;
    };
    window.WebSocket.prototype = Real.prototype;
    ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'].forEach(function (name, value) { window.WebSocket[name] = value; });
  }

  // All that is sent here is ASCII: one byte a character.
  function meterWebSocket(charged, socket, one) {
    var send = socket.send;
    socket.send = function (text) {
      charged.sent += text.length + frameHead(text.length) + MASK;
      return send.call(socket, text);
    };
    socket.addEventListener('open', function () {
      charged.sockets += 1;
      charged.received += ANSWER_HEAD;
      socket.addEventListener('close', function () { charged.sockets -= 1; });
    });
    socket.addEventListener('message', function (event) {
      charged.received += event.data.length + frameHead(event.data.length);
    });
    socket.addEventListener('close', function () { end(charged, one, Date.now()); });
  }

  // What the browser has noted about requests that are over.

  function entries(view) {
    var found = view.performance.getEntriesByType('resource');
    view.performance.clearResourceTimings();
    return found;
  }

  function note(charged, one, entry, startOfClock) {
    end(charged, one, startOfClock + entry.responseEnd);
    charged.received += entry.transferSize || 0;
    if (one.app) {
      // Not while it waited for one of the browser's connections.
      charged.held += entry.responseEnd - (entry.requestStart || entry.startTime);
    }
  }

  // Of the page's own requests all have begun before, but for the iframe itself.
  function collectPage(startOfClock) {
    entries(window).forEach(function (entry) {
      var charged = find(entry.name);
      var from = startOfClock + entry.startTime;
      var begun = charged && charged.requests.filter(function (one) {
        return one.url === path(entry.name) && Math.abs(one.from - from) < 100;
      })[0];
      if (charged && (begun || entry.initiatorType === 'iframe')) {
        note(charged, begun || begin(charged, entry.name, 0, from), entry, startOfClock);
      }
    });
  }

  // Here requests show up when they are over.
  function collectFrame(charged, view) {
    var startOfClock = Date.now() - view.performance.now();
    entries(view).forEach(function (entry) {
      note(charged, begin(charged, entry.name, 0, startOfClock + entry.startTime), entry, startOfClock);
    });
  }

  function collect() {
    var now = Date.now();
    var framed = accounts.filter(function (one) { return one.inFrame; })[0];
    collectPage(now - window.performance.now());
    if (framed) {
      Array.prototype.forEach.call(document.querySelectorAll('iframe[src*="/channel/frame"]'), function (frame) {
        try {
          collectFrame(framed, frame.contentWindow);
        } catch (error) { /* It is about to load, or of another origin. */ }
      });
    }
    accounts.forEach(function (charged) {
      charged.requests = charged.requests.filter(function (one) { return one.to === null || now - one.to < KEPT; });
    });
  }

  watchXhr();
  watchFetch();
  watchWebSocket();
  return {
    account: account,
    collect: collect,
    setHead: function (size) { head = size; },
    knowsBytes: 'PerformanceResourceTiming' in window && 'transferSize' in PerformanceResourceTiming.prototype
  };
}());
