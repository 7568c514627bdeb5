// Waits for the same news in every way there is, and shows what each costs. Plain ES5.
(function () {
  'use strict';

  var POLL_PAUSE = 1000; // milliseconds
  var TICK = 500;
  var PATIENCE = 10000; // for sockets that do not open, before news begins
  var REOPEN_PAUSE = 5000;

  var feed;
  var begun = Date.now();
  var started = false;
  var watching = false; // has the app been told?
  var clock = {offset: 0, doubt: Infinity}; // milliseconds that the app's is ahead
  var due = 0; // when the next news comes, by the app's clock
  var lanes = [
    make('poll', 'Short polling', 'asks every second', ['/strategies/poll']),
    make('hold', 'Long poll', 'each request is held', ['/strategies/hold'])
  ];

  function make(name, title, hint, keys) {
    return {
      name: name, title: title, fullTitle: title, hint: hint, note: '', state: 'connecting',
      account: Meter.account(keys), after: 0, news: [], count: 0, latest: null, median: null, worst: null, all: []
    };
  }

  function element(id) {
    return document.getElementById(id);
  }

  function appNow() {
    return Date.now() + clock.offset;
  }

  function isConnecting(lane) {
    return lane.state === 'connecting';
  }

  // `done(status, value)` has status 0 when there was no answer.
  function request(method, path, fields, done) {
    var xhr = new XMLHttpRequest();
    var body = Object.keys(fields).map(function (name) {
      return name + '=' + encodeURIComponent(fields[name]);
    }).join('&');
    xhr.open(method, method === 'GET' ? path + '?' + body : path);
    if (method === 'POST') {
      xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    }
    xhr.onload = function () {
      done(xhr.status, xhr.status === 200 ? JSON.parse(xhr.responseText) : null);
    };
    xhr.onerror = function () { done(0, null); };
    xhr.send(method === 'GET' ? null : body);
  }

  // What arrives.

  function arrived(lane, news, sent) {
    var now = Date.now();
    if (!watching || news <= lane.after) {
      return;
    }
    lane.after = news;
    lane.latest = Math.max(0, Math.round(now + clock.offset - sent));
    lane.news = lane.news.filter(function (one) { return now - one.at < Chart.SPAN; });
    lane.news.push({at: now, latency: lane.latest});
    lane.all.push(lane.latest);
    lane.all.sort(function (a, b) { return a - b; });
    lane.count += 1;
    lane.median = lane.all[Math.floor((lane.count - 1) / 2)];
    lane.worst = lane.all[lane.count - 1];
  }

  function allArrived(lane, answer) {
    answer.news.forEach(function (news) { arrived(lane, news, news); });
    due = answer.due;
  }

  // As NTP does it: the quicker an answer, the surer the time that it tells. Doubt grows, so that clocks may be set.
  function hearClock(now, asked) {
    var doubt = (Date.now() - asked) / 2;
    var ahead = now - (asked + doubt);
    if (doubt <= clock.doubt) {
      clock = {offset: Math.abs(ahead) <= doubt + 1 ? 0 : ahead, doubt: doubt};
      say('clocks', clock.offset === 0 ?
        'The app\u2019s clock and this page\u2019s agree (to ' + Math.ceil(doubt + 1) + ' ms).' :
        'The app\u2019s clock is ' + Math.abs(Math.round(ahead)) + ' ms ' + (ahead > 0 ? 'ahead of' : 'behind') +
        ' this page\u2019s; latencies are corrected for that, to within ' + Math.ceil(doubt + 1) + ' ms.');
    } else {
      clock.doubt += 0.02;
    }
  }

  // The ways. Pages that nobody sees do not ask: browsers have six connections to a host for all of their tabs.

  function whenShown(lane, next) {
    function shown() {
      if (!document.hidden) {
        document.removeEventListener('visibilitychange', shown);
        lane.after = appNow();
        next(lane);
      }
    }
    if (document.hidden) {
      document.addEventListener('visibilitychange', shown);
    } else {
      next(lane);
    }
  }

  function again(lane, next, pause) {
    setTimeout(function () { whenShown(lane, next); }, pause);
  }

  function shortPoll(lane) {
    var asked = Date.now();
    request('GET', '/strategies/poll', {feed: feed, after: Math.floor(lane.after)}, function (status, answer) {
      if (answer) {
        hearClock(answer.now, asked);
        allArrived(lane, answer);
        connection('open', 'connected');
      } else if (status === 410) {
        watch(); // The app was restarted.
      } else {
        connection('waiting', 'the app does not answer; trying again');
      }
      again(lane, shortPoll, POLL_PAUSE);
    });
  }

  function longPoll(lane) {
    var asked = Date.now();
    request('GET', '/strategies/hold', {feed: feed, after: Math.floor(lane.after)}, function (status, answer) {
      if (answer) {
        allArrived(lane, answer);
      }
      // One that was cut is asked for again at once, as real pages did.
      again(lane, longPoll, answer || Date.now() - asked > POLL_PAUSE ? 0 : POLL_PAUSE);
    });
  }

  function channelLanes() {
    var Socket = window.goog && goog.appengine && goog.appengine.Socket;
    if (!Socket) {
      return [];
    }
    // The SDK's own script has one transport.
    return !('TRANSPORT' in Socket) ? [channelLane('channel', 'Channel', 'as the SDK\u2019s script asks')] : [
      channelLane('short', 'Short polls', 'asks twice a second'),
      channelLane('xhr', 'Long polls', 'each request is held'),
      channelLane('iframe', 'Hidden iframe', 'a page in the page asks'),
      channelLane('websocket', 'WebSocket', 'one connection, both ways')
    ];
  }

  function channelLane(way, title, hint) {
    var lane = make(way, title, hint, ['/strategies/token?way=' + way]);
    if (way !== 'channel') {
      lane.fullTitle = 'Channel: ' + title;
    }
    if (way === 'iframe') {
      lane.account.keys.push('/channel/frame');
      lane.account.inFrame = true;
    }
    return lane;
  }

  function openChannel(lane) {
    request('POST', '/strategies/token?way=' + lane.name, {feed: feed}, function (status, answer) {
      if (!answer) {
        return setTimeout(function () { openChannel(lane); }, REOPEN_PAUSE);
      }
      lane.account.keys.push(encodeURIComponent(answer.token));
      if (lane.name !== 'channel') {
        goog.appengine.Socket.TRANSPORT = lane.name; // Read by open().
      }
      lane.socket = new goog.appengine.Channel(answer.token).open({
        onopen: function () { lane.state = 'open'; lane.opened = Date.now(); },
        onmessage: function (message) {
          var news = JSON.parse(message.data);
          arrived(lane, news.news, news.sent);
        },
        onerror: function () {},
        onclose: function () {
          if (lane.state !== 'missing') {
            lane.state = 'closed';
            setTimeout(function () { openChannel(lane); }, REOPEN_PAUSE);
          }
        }
      });
    });
  }

  function judge(lane) {
    var account = lane.account;
    var lacks = !window.WebSocket ? 'this browser has no WebSockets' :
      account.stream === false ? 'this server has no WebSockets' : '';
    if (lane.name === 'websocket' && lane.state === 'open') {
      if (lacks) {
        lane.state = 'missing';
        lane.socket.close();
      }
      var refused = !account.sockets && Date.now() - lane.opened > PATIENCE;
      lane.note = lacks || (refused ? 'no WebSocket comes about' : '');
    } else if (lane.state !== 'missing') {
      lane.note = lane.state === 'closed' ? 'closed; opens again soon' : '';
    }
  }

  // The page.

  function say(id, text) {
    if (element(id).textContent !== text) {
      element(id).textContent = text;
    }
  }

  function connection(kind, text) {
    element('connection').className = kind;
    say('connection', text);
  }

  function watch(done) {
    var ways = lanes.filter(function (lane) { return lane.socket && lane.state !== 'missing'; });
    var names = ways.map(function (lane) { return lane.name; }).join(' ');
    request('POST', '/strategies/watch', {feed: feed, ways: names}, function (status, answer) {
      if (answer && done) {
        done(answer.now);
      } else if (done) {
        setTimeout(function () { watch(done); }, REOPEN_PAUSE);
      }
    });
  }

  function start() {
    watch(function (now) {
      watching = true;
      lanes.forEach(function (lane) { lane.after = now; });
      shortPoll(lanes[0]);
      longPoll(lanes[1]);
    });
  }

  function sayNext() {
    var seconds = Math.max(0, Math.ceil((due - appNow()) / 1000));
    say('next', !due ? 'The first news is about to come.' : 'Next news in ' + seconds + ' s.' +
      (seconds > 7 ? ' This silence is longer than App Engine lets a request be held.' : ''));
  }

  function tick() {
    Meter.collect();
    lanes.forEach(judge);
    if (!started && (Date.now() - begun > PATIENCE || !lanes.slice(2).some(isConnecting))) {
      started = true;
      start();
    }
    sayNext();
    if (element('pause').getAttribute('aria-pressed') === 'false') {
      Chart.draw(lanes, Meter.knowsBytes);
    }
  }

  function join() {
    request('POST', '/strategies/join', {}, function (status, answer) {
      if (!answer) {
        connection('waiting', 'the app does not answer; trying again');
        return setTimeout(join, REOPEN_PAUSE);
      }
      feed = answer.feed;
      Meter.setHead(answer.head);
      lanes = lanes.concat(channelLanes());
      if (lanes.length === 2) {
        say('chart-note', 'The channel\u2019s script could not be loaded: this server is no channel emulator.');
      }
      Chart.make(lanes);
      lanes.slice(2).forEach(openChannel);
      setInterval(tick, TICK);
      tick();
    });
  }

  element('pause').onclick = function () {
    var paused = this.getAttribute('aria-pressed') === 'true';
    this.setAttribute('aria-pressed', String(!paused));
  };
  join();
}());
