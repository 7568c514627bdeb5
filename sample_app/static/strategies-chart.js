// Draws the lanes of strategies.js and fills its table. Plain ES5.
//
// Each lane has a few paths whose `d` is written anew at each turn: hundreds of elements would keep the page busy, and
// what keeps the page busy makes news late.
var Chart = (function () {
  'use strict';

  var SVG = 'http://www.w3.org/2000/svg';
  var SPAN = 120000; // milliseconds that the chart shows at most
  var SECOND = 6; // pixels
  var SCALE = 46; // pixels for the names of the lines, on the left
  var HEIGHT = 92;
  var PLOT = {top: 8, bottom: 64, decades: 4}; // 1 ms to 10 s
  var BAND = {top: 73, height: 14};
  var LINES = [[10, '10 ms'], [100, ''], [1000, '1 s']];
  var COLUMNS = [
    ['news', 'News'], ['latest', 'Latest, ms'], ['median', 'Median, ms'], ['worst', 'Worst, ms'],
    ['app', 'App asked'], ['platform', 'Platform asked'], ['bytes', 'KB'], ['held', 'App held, s'], ['cut', 'Cut']
  ];

  function shape(kind, attributes, text) {
    var made = document.createElementNS(SVG, kind);
    Object.keys(attributes).forEach(function (name) { made.setAttribute(name, attributes[name]); });
    made.textContent = text || '';
    return made;
  }

  function html(kind, className, text) {
    var made = document.createElement(kind);
    made.className = className;
    made.textContent = text || '';
    return made;
  }

  function yOf(latency) {
    var decade = Math.log(Math.max(1, latency)) / Math.LN10;
    return (PLOT.bottom - Math.min(decade, PLOT.decades) / PLOT.decades * (PLOT.bottom - PLOT.top)).toFixed(1);
  }

  // Made once.

  function makeStrip(lane) {
    var svg = shape('svg', {'class': 'strip', role: 'img', height: HEIGHT});
    LINES.forEach(function (line) {
      svg.appendChild(shape('path', {'class': 'line', d: 'M' + SCALE + ' ' + yOf(line[0]) + 'H4000'}));
      svg.appendChild(shape('text', {x: SCALE - 8, y: +yOf(line[0]) + 4, 'text-anchor': 'end'}, line[1]));
    });
    lane.paths = {};
    ['sent', 'asked', 'held', 'news', 'cut'].forEach(function (name) {
      lane.paths[name] = svg.appendChild(shape('path', {'class': name}));
    });
    return svg;
  }

  function makeLane(lane) {
    var made = html('li', 'lane ' + lane.name);
    var head = made.appendChild(html('div', 'what'));
    head.appendChild(html('h3', '', lane.title));
    lane.hintShown = head.appendChild(html('p', 'hint', lane.hint));
    lane.strip = made.appendChild(makeStrip(lane));
    var figure = made.appendChild(html('p', 'figure'));
    lane.medianShown = figure.appendChild(html('b', ''));
    lane.medianNamed = figure.appendChild(html('small', ''));
    return made;
  }

  function cell(kind, role, text) {
    var made = html(kind, '', text);
    made.setAttribute('role', role);
    return made;
  }

  function makeRow(lane) {
    var row = cell('tr', 'row');
    row.className = lane.name;
    row.appendChild(cell('th', 'rowheader', lane.fullTitle)).scope = 'row';
    lane.cells = {};
    COLUMNS.forEach(function (column) {
      var made = row.appendChild(cell('td', 'cell', '\u2013'));
      made.className = column[0];
      made.setAttribute('data-label', column[1]);
      lane.cells[column[0]] = made;
    });
    return row;
  }

  function make(lanes) {
    lanes.forEach(function (lane, place) {
      document.getElementById(place < 2 ? 'app-lanes' : 'channel-lanes').appendChild(makeLane(lane));
      document.getElementById('rows').appendChild(makeRow(lane));
    });
  }

  // Drawn at each turn.

  function drawRequests(lane, xOf, now) {
    var asked = '';
    var held = '';
    var cut = '';
    var requests = lane.account.requests;
    var last = requests[requests.length - 1];
    if (lane.account.inFrame && lane.state === 'open' && last && last.to !== null) {
      requests = requests.concat({from: last.to, to: null}); // Seen when it is over.
    }
    requests.forEach(function (one) {
      var from = Math.max(SCALE, xOf(one.from));
      var to = xOf(one.to === null ? now : one.to);
      var middle = BAND.top + BAND.height / 2;
      if (to < SCALE) {
        return;
      }
      if (to - from < 3) {
        asked += 'M' + to.toFixed(1) + ' ' + BAND.top + 'v' + BAND.height;
      } else {
        held += 'M' + from.toFixed(1) + ' ' + BAND.top + 'H' + (to - 1.5).toFixed(1) + 'v' + BAND.height +
          'H' + from.toFixed(1) + 'z';
      }
      if (one.cut) {
        cut += 'M' + (to - 6).toFixed(1) + ' ' + (middle - 6) + 'l12 12m0 -12l-12 12';
      }
    });
    lane.paths.asked.setAttribute('d', asked);
    lane.paths.held.setAttribute('d', held);
    lane.paths.cut.setAttribute('d', cut);
  }

  function drawNews(lane, xOf) {
    var dots = '';
    var sent = '';
    lane.news.forEach(function (one) {
      var x = xOf(one.at);
      if (x > SCALE) {
        dots += 'M' + x.toFixed(1) + ' ' + yOf(one.latency) + 'h0';
        sent += 'M' + x.toFixed(1) + ' ' + yOf(one.latency) + 'V' + PLOT.bottom;
      }
    });
    lane.paths.news.setAttribute('d', dots);
    lane.paths.sent.setAttribute('d', sent);
  }

  function inWords(latency) {
    return latency < 1000 ? latency + ' ms' : (latency / 1000).toFixed(latency < 10000 ? 1 : 0) + ' s';
  }

  function write(node, text) {
    if (node.textContent !== text) {
      node.textContent = text;
    }
  }

  function fillRow(lane, knowsBytes, now) {
    var account = lane.account;
    var last = account.requests[account.requests.length - 1];
    var running = last && last.app && last.to === null ? now - last.from : 0;
    var missing = lane.state === 'missing';
    var values = {
      news: lane.count, latest: lane.latest, median: lane.median, worst: lane.worst, app: account.app,
      platform: account.platform, bytes: knowsBytes ? ((account.sent + account.received) / 1000).toFixed(1) : null,
      held: ((account.held + running) / 1000).toFixed(1), cut: account.cut
    };
    Object.keys(values).forEach(function (name) {
      var value = missing ? null : values[name];
      write(lane.cells[name], value === null ? '\u2013' : String(value));
    });
    lane.strip.setAttribute('aria-label', missing ? lane.note : [
      lane.fullTitle + ': ' + lane.count + ' pieces of news',
      'median ' + (lane.median === null ? 'unknown' : inWords(lane.median)),
      account.app + account.platform + ' requests'
    ].join(', '));
  }

  function draw(lanes, knowsBytes) {
    var now = Date.now();
    var right = lanes[0].strip.getBoundingClientRect().width - 8;
    var span = Math.min(SPAN, Math.max(1, Math.floor((right - SCALE) / SECOND / 20)) * 20000);
    var xOf = function (time) { return right - (now - time) / span * (right - SCALE); };
    lanes.forEach(function (lane) {
      drawRequests(lane, xOf, now);
      drawNews(lane, xOf);
      fillRow(lane, knowsBytes, now);
      write(lane.hintShown, lane.note || lane.hint);
      write(lane.medianShown, lane.median === null ? '' : inWords(lane.median));
      write(lane.medianNamed, lane.median === null ? '' : 'median');
      lane.strip.parentNode.classList.toggle('missing', lane.state === 'missing');
    });
    write(document.getElementById('axis-from'), Math.round(span / 1000) + ' s ago');
    write(document.getElementById('axis-half'), Math.round(span / 2000) + ' s ago');
  }

  return {SPAN: SPAN, make: make, draw: draw};
}());
