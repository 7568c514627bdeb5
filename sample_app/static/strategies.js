// Waits for the same news in three ways, and draws what each costs. Plain ES5.
(function () {
  'use strict';

  var SVG = 'http://www.w3.org/2000/svg';
  var SPAN = 120000; // milliseconds that the chart shows
  var POLL_PAUSE = 1000;
  var PAUSES = [3000, 5000, 2000, 4000, 6000, 3000, 2000, 40000]; // between two pieces of news
  var LEFT = 104;
  var RIGHT = 890;
  var PLOT = {top: 20, bottom: 240, decades: 5};
  var LANES = {top: 285, height: 40};

  var feed;
  var number = 0;
  var sent = []; // when each piece of news was posted
  var strategies = [
    make('poll', 'short polling'),
    make('hold', 'a long poll'),
    make('channel', 'a channel')
  ];

  function make(name, title) {
    return {name: name, title: title, number: 0, latencies: [], news: [], requests: [], count: 0, held: 0, cut: 0};
  }

  function element(id) {
    return document.getElementById(id);
  }

  // Requests. `done(status, value)` has status 0 when there was no answer.

  function request(method, path, fields, done) {
    var xhr = new XMLHttpRequest();
    var parts = [];
    for (var name in fields) {
      parts.push(name + '=' + encodeURIComponent(fields[name]));
    }
    var body = parts.join('&');
    xhr.open(method, method === 'GET' ? path + '?' + body : path);
    if (method === 'POST') {
      xhr.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    }
    xhr.onload = function () {
      var value = null;
      if (xhr.status === 200 && xhr.responseText) {
        value = JSON.parse(xhr.responseText);
      }
      done(xhr.status, value);
    };
    xhr.onerror = function () {
      done(0, null);
    };
    xhr.send(method === 'GET' ? null : body);
  }

  // A request whose cost counts against `strategy`.
  function ask(strategy, method, path, fields, done) {
    var one = {from: Date.now(), to: null, cut: false};
    strategy.count += 1;
    strategy.requests.push(one);
    request(method, path, fields, function (status, value) {
      one.to = Date.now();
      strategy.held += one.to - one.from;
      if (status >= 500) {
        one.cut = true;
        strategy.cut += 1;
      }
      done(status, value);
    });
  }

  // What arrives.

  function arrived(strategy, latest) {
    var now = Date.now();
    while (strategy.number < latest) {
      strategy.number += 1;
      if (sent[strategy.number] !== undefined) {
        strategy.latencies.push(now - sent[strategy.number]);
        strategy.news.push({at: now, latency: now - sent[strategy.number]});
      }
    }
  }

  function shortPoll(strategy) {
    ask(strategy, 'GET', '/strategies/poll', {feed: feed}, function (status, value) {
      if (value) {
        arrived(strategy, value.number);
      }
      setTimeout(function () { shortPoll(strategy); }, POLL_PAUSE);
    });
  }

  function longPoll(strategy) {
    ask(strategy, 'GET', '/strategies/hold', {feed: feed, after: strategy.number}, function (status, value) {
      if (value) {
        arrived(strategy, value.number);
      }
      // A cut is asked for again at once, as real pages did; a server that is away is not.
      setTimeout(function () { longPoll(strategy); }, status ? 0 : POLL_PAUSE);
    });
  }

  function openChannel(strategy, token) {
    var socket = new goog.appengine.Channel(token).open();
    socket.onopen = function () { connection('open', 'connected'); };
    socket.onmessage = function (message) { arrived(strategy, JSON.parse(message.data).number); };
    socket.onerror = function () { connection('waiting', 'the channel has an error'); };
    socket.onclose = function () { connection('waiting', 'the channel is closed; reload the page'); };
  }

  function connection(kind, text) {
    element('connection').className = kind;
    element('connection').textContent = text;
  }

  function news() {
    number += 1;
    sent[number] = Date.now();
    request('POST', '/strategies/news', {feed: feed, number: number}, function () {});
    // By chance, since news that came in step with the short polls would flatter them.
    var pause = PAUSES[(number - 1) % PAUSES.length] + Math.random() * POLL_PAUSE;
    element('news').textContent =
      'news ' + number + ' has been posted; the next in ' + (pause / 1000).toFixed(1) + ' seconds';
    setTimeout(news, pause);
  }

  // Drawing.

  function shape(kind, attributes, text) {
    var made = document.createElementNS(SVG, kind);
    for (var name in attributes) {
      made.setAttribute(name, attributes[name]);
    }
    if (text !== undefined) {
      made.textContent = text;
    }
    return made;
  }

  function xOf(time, now) {
    return RIGHT - (now - time) / SPAN * (RIGHT - LEFT);
  }

  function yOf(latency) {
    var decade = Math.log(Math.max(1, latency)) / Math.LN10;
    return PLOT.bottom - Math.min(decade, PLOT.decades) / PLOT.decades * (PLOT.bottom - PLOT.top);
  }

  function drawScale(chart) {
    var labels = ['1 ms', '10 ms', '100 ms', '1 s', '10 s', '100 s'];
    for (var i = 0; i < labels.length; i++) {
      var y = yOf(Math.pow(10, i));
      chart.appendChild(shape('line', {'class': 'line', x1: LEFT, x2: RIGHT, y1: y, y2: y}));
      chart.appendChild(shape('text', {x: LEFT - 8, y: y + 4, 'text-anchor': 'end'}, labels[i]));
    }
    for (var ago = 0; ago <= SPAN / 1000; ago += 30) {
      var x = xOf(-ago * 1000, 0);
      var words = ago ? ago + ' s ago' : 'now';
      chart.appendChild(shape('text', {x: x, y: 260, 'text-anchor': ago ? 'middle' : 'end'}, words));
    }
  }

  function drawNews(chart, strategy, now) {
    strategy.news = strategy.news.filter(function (one) { return now - one.at < SPAN; });
    strategy.news.forEach(function (one) {
      chart.appendChild(shape('circle', {
        'class': strategy.name, cx: xOf(one.at, now), cy: yOf(one.latency), r: 4.5
      }));
    });
  }

  function drawRequests(chart, strategy, lane, now) {
    var top = LANES.top + lane * (LANES.height + 8);
    chart.appendChild(shape('line', {
      'class': 'line', x1: LEFT, x2: RIGHT, y1: top + LANES.height, y2: top + LANES.height
    }));
    chart.appendChild(shape('text', {
      'class': strategy.name, x: LEFT - 8, y: top + LANES.height / 2 + 4, 'text-anchor': 'end'
    }, strategy.title));
    strategy.requests = strategy.requests.filter(function (one) { return !one.to || now - one.to < SPAN; });
    strategy.requests.forEach(function (one) {
      var from = Math.max(LEFT, xOf(one.from, now));
      var to = xOf(one.to || now, now);
      chart.appendChild(shape('rect', {
        'class': strategy.name, x: from, y: top + 4, width: Math.max(1.5, to - from), height: LANES.height - 8, rx: 1.5
      }));
    });
    // Last, so that the next request does not cover half of it.
    strategy.requests.filter(function (one) { return one.cut; }).forEach(function (one) {
      var start = (xOf(one.to, now) - 8) + ' ' + (top + LANES.height / 2 - 8);
      chart.appendChild(shape('path', {'class': 'cut', d: 'M' + start + 'l16 16m0 -16l-16 16'}));
    });
  }

  function median(values) {
    var sorted = values.slice().sort(function (a, b) { return a - b; });
    return sorted[Math.floor((sorted.length - 1) / 2)];
  }

  function cells(strategy, now) {
    var running = strategy.requests.reduce(function (sum, one) { return sum + (one.to ? 0 : now - one.from); }, 0);
    var some = strategy.latencies.length > 0;
    return [
      strategy.latencies.length,
      some ? strategy.latencies[strategy.latencies.length - 1] : '\u2013',
      some ? median(strategy.latencies) : '\u2013',
      some ? Math.max.apply(null, strategy.latencies) : '\u2013',
      strategy.count,
      ((strategy.held + running) / 1000).toFixed(1),
      strategy.cut
    ];
  }

  function row(strategy, now) {
    var made = document.createElement('tr');
    made.className = strategy.name;
    var head = document.createElement('th');
    head.scope = 'row';
    head.textContent = strategy.title;
    made.appendChild(head);
    cells(strategy, now).forEach(function (value) {
      var cell = document.createElement('td');
      cell.textContent = value;
      made.appendChild(cell);
    });
    return made;
  }

  function empty(node) {
    while (node.firstChild) {
      node.removeChild(node.firstChild);
    }
    return node;
  }

  function draw() {
    var now = Date.now();
    var chart = empty(element('chart'));
    var rows = empty(element('rows'));
    drawScale(chart);
    strategies.forEach(function (strategy, lane) {
      drawNews(chart, strategy, now);
      drawRequests(chart, strategy, lane, now);
      rows.appendChild(row(strategy, now));
    });
  }

  ask(strategies[2], 'POST', '/strategies/join', {}, function (status, joined) {
    if (!joined) {
      connection('waiting', 'the app does not answer; reload the page');
      return;
    }
    feed = joined.feed;
    shortPoll(strategies[0]);
    longPoll(strategies[1]);
    openChannel(strategies[2], joined.token);
    setTimeout(news, POLL_PAUSE);
    setInterval(draw, 500);
    draw();
  });
}());
