// The page of a game: it posts what its visitor does, and draws what arrives on its channel.
// Plain ES5, and text goes into the page as text only (textContent), never as HTML.
(function () {
  'use strict';

  var LONGEST_PAUSE = 10000; // milliseconds between two attempts to reconnect

  var key = /[?&]game=([a-z2-7]{8})(?:&|$)/.exec(location.search)[1];
  var me = {secret: recall(), number: null, mark: null};
  var socket = null;
  var pause = 0;
  var timer = null;
  var state = null;
  var lines = {};

  function element(id) {
    return document.getElementById(id);
  }

  // The visitor's secret is kept for this tab: a reload is the same player, a second tab another one.
  function recall() {
    try {
      return sessionStorage.getItem('tic-tac-toe ' + key) || '';
    } catch (forbidden) {
      return '';
    }
  }

  function remember(secret) {
    me.secret = secret;
    try {
      sessionStorage.setItem('tic-tac-toe ' + key, secret);
    } catch (forbidden) {
      // Without storage a reload makes a new visitor.
    }
  }

  // Talking to the app.

  function post(path, fields, done, failed) {
    var request = new XMLHttpRequest();
    var body = 'game=' + key + '&visitor=' + encodeURIComponent(me.secret);
    for (var name in fields) {
      body += '&' + name + '=' + encodeURIComponent(fields[name]);
    }
    request.open('POST', path);
    request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    request.onload = function () {
      if (request.status === 200) {
        done(request.responseText);
      } else {
        failed(request.status, request.responseText);
      }
    };
    request.onerror = function () {
      failed(0, 'The app cannot be reached.');
    };
    request.send(body);
  }

  function act(path, fields, isRetry) {
    notice('');
    post(path, fields, function () {}, function (status, text) {
      if (status === 410 && socket && !isRetry) {
        join(function () { act(path, fields, true); });
      } else {
        notice(text);
      }
    });
  }

  // An app that was restarted has forgotten its visitors: a page joins again, on the socket it has.
  function join(then) {
    post('/join', {}, function (text) {
      var answer = JSON.parse(text);
      remember(answer.visitor);
      me.number = answer.number;
      if (socket) {
        opened(then);
      } else {
        open(answer.token);
      }
    }, function (status, text) {
      notice(text);
      joinLater();
    });
  }

  function joinLater() {
    clearTimeout(timer);
    timer = setTimeout(function () { join(); }, pause);
    pause = Math.min(pause * 2 + 250, LONGEST_PAUSE);
  }

  function open(token) {
    socket = new goog.appengine.Channel(token).open({
      onopen: function () {
        connection('open', 'connected');
        opened();
      },
      onmessage: function (message) {
        receive(JSON.parse(message.data));
      },
      onerror: function () {
        // onclose follows, and there the page reconnects: a token lives for two hours only.
      },
      onclose: function () {
        socket = null;
        connection('waiting', 'reconnecting\u2026');
        joinLater();
      }
    });
  }

  // The answer holds what was sent while the page was still connecting.
  function opened(then) {
    post('/opened', {}, function (text) {
      var answer = JSON.parse(text);
      pause = 0;
      notice('');
      show(answer.state);
      answer.chat.forEach(addLine);
      if (then) {
        then();
      }
    }, joinLater);
  }

  function receive(message) {
    if (message.type === 'state') {
      show(message.state);
    } else if (message.type === 'chat') {
      addLine(message.line);
    }
  }

  // Drawing.

  function connection(name, text) {
    element('connection').className = name;
    element('connection').textContent = text;
  }

  function notice(text) {
    element('notice').textContent = text;
  }

  // Messages of two requests may overtake each other: the newest state counts.
  function show(next) {
    var isSameGame = state && state.started === next.started;
    if (isSameGame && next.version < state.version) {
      return;
    }
    if (!isSameGame) {
      lines = {};
      element('chat').textContent = '';
    }
    state = next;
    me.mark = null;
    state.visitors.forEach(function (visitor) {
      if (visitor.number === me.number) {
        me.mark = visitor.mark;
        if (document.activeElement !== element('name')) {
          element('name').value = visitor.name;
        }
      }
    });
    showBoard();
    showVisitors();
    showStatus();
  }

  function player(mark) {
    return state.visitors.filter(function (visitor) { return visitor.mark === mark; })[0] || null;
  }

  function other(mark) {
    return mark === 'X' ? 'O' : 'X';
  }

  function showBoard() {
    state.board.forEach(function (mark, place) {
      var cell = element('board').children[place];
      var free = !mark && !state.over && me.mark === state.turn;
      var won = Boolean(state.line) && state.line.indexOf(place) >= 0;
      var where = 'row ' + (Math.floor(place / 3) + 1) + ', column ' + (place % 3 + 1);
      cell.className = 'cell' + (free ? ' free' : '') + (won ? ' won' : '');
      cell.setAttribute('aria-disabled', String(!free));
      cell.setAttribute('aria-label', where + ': ' + (mark || 'empty') + (won ? ', part of the winning line' : ''));
      draw(cell, mark);
    });
  }

  function draw(cell, mark) {
    if (cell.getAttribute('data-mark') === (mark || '')) {
      return;
    }
    cell.setAttribute('data-mark', mark || '');
    cell.textContent = '';
    if (mark) {
      var namespace = 'http://www.w3.org/2000/svg';
      var picture = document.createElementNS(namespace, 'svg');
      var path = document.createElementNS(namespace, 'path');
      picture.setAttribute('viewBox', '0 0 100 100');
      picture.setAttribute('aria-hidden', 'true');
      path.setAttribute('class', mark.toLowerCase());
      path.setAttribute('d', mark === 'X'
        ? 'M12 14 Q50 46 89 87 M87 11 Q54 45 13 89'
        : 'M53 9 C20 8 8 34 9 53 C11 80 30 92 52 91 C78 90 92 70 91 49 C90 24 74 7 47 10');
      picture.appendChild(path);
      cell.appendChild(picture);
    }
  }

  function showVisitors() {
    var list = element('visitors');
    list.textContent = '';
    state.visitors.forEach(function (visitor) {
      var item = document.createElement('li');
      item.appendChild(span('mark ' + (visitor.mark || '').toLowerCase(), visitor.mark || '\u2022'));
      item.appendChild(bidi(visitor.name));
      if (visitor.number === me.number) {
        item.appendChild(span('', '(you)'));
      } else if (!visitor.here) {
        item.appendChild(span('away', 'away'));
      }
      list.appendChild(item);
    });
  }

  function showStatus() {
    var text = status();
    element('status').textContent = text;
    document.title = (me.mark && me.mark === state.turn ? '\u25B6 ' : '') + text + ' \u2013 Tic-tac-toe';
    var score = state.score;
    element('score').textContent = 'X ' + score.X + ' \u00B7 O ' + score.O + ' \u00B7 draws ' + score.draw;
    element('again').hidden = !(state.over && me.mark);
    var seated = state.visitors.filter(function (visitor) { return visitor.mark && visitor.here; });
    element('sit').hidden = me.mark !== null || seated.length === 2;
  }

  function status() {
    var mine = me.mark;
    if (state.winner) {
      return mine ? (mine === state.winner ? 'You win!' : 'You lose.') : state.winner + ' wins.';
    }
    if (state.over) {
      return 'A draw.';
    }
    if (!mine) {
      return 'You are watching. ' + state.turn + ' is to play.';
    }
    if (!player(other(mine))) {
      return 'You are ' + mine + '. Waiting for a friend\u2026';
    }
    if (!player(other(mine)).here) {
      return 'You are ' + mine + '. ' + other(mine) + ' is away.';
    }
    return 'You are ' + mine + '. ' + (state.turn === mine ? 'Your turn.' : 'Their turn.');
  }

  // A line may arrive twice (in an answer and on the channel), and two may swap.
  function addLine(line) {
    if (lines[line.number]) {
      return;
    }
    var item = document.createElement('li');
    lines[line.number] = item;
    item.appendChild(bidi(line.name, 'who'));
    item.appendChild(document.createTextNode(': '));
    item.appendChild(bidi(line.text));
    item.setAttribute('data-number', line.number);
    var chat = element('chat');
    var after = chat.lastElementChild;
    while (after && Number(after.getAttribute('data-number')) > line.number) {
      after = after.previousElementSibling;
    }
    chat.insertBefore(item, after ? after.nextElementSibling : chat.firstElementChild);
    chat.scrollTop = chat.scrollHeight;
  }

  function span(className, text) {
    var made = document.createElement('span');
    made.className = className;
    made.textContent = text;
    return made;
  }

  // Names and chat may be written from right to left: each keeps to itself.
  function bidi(text, className) {
    var made = document.createElement('bdi');
    made.className = className || '';
    made.textContent = text;
    return made;
  }

  // What the visitor can do.

  function makeBoard() {
    for (var place = 0; place < 9; place++) {
      element('board').appendChild(makeCell(place));
    }
  }

  function makeCell(place) {
    var cell = document.createElement('button');
    cell.type = 'button';
    cell.className = 'cell';
    cell.onclick = function () {
      if (cell.getAttribute('aria-disabled') === 'false') {
        act('/move', {cell: place});
      }
    };
    return cell;
  }

  function onSubmit(id, path, field, keep) {
    element(id).onsubmit = function (event) {
      var input = element(field);
      var fields = {};
      event.preventDefault();
      fields[field] = input.value;
      if (input.value.trim()) {
        act(path, fields);
        input.value = keep ? input.value : '';
      }
      if (keep) {
        input.blur();
      }
    };
  }

  function copyLink() {
    element('link').select();
    document.execCommand('copy');
    element('copy').textContent = 'Copied';
  }

  makeBoard();
  element('link').value = location.href;
  element('copy').onclick = copyLink;
  element('again').onclick = function () { act('/again', {}); };
  element('sit').onclick = function () { act('/sit', {}); };
  onSubmit('say', '/say', 'text', false);
  onSubmit('rename', '/rename', 'name', true);

  if (window.goog && goog.appengine) {
    join();
  } else {
    connection('waiting', 'no connection');
    notice('/_ah/channel/jsapi did not load: this app needs the Channel API.');
  }
}());
