/* The sockets of a client id as rows of a table, with what can be done to each, and what came of it. */

import {ask} from './api.js';
import {confirm} from './dialogs.js';
import {button, h, setAttribute, setText} from './dom.js';
import {bytes, lasting, moment, roughly, transportName} from './format.js';
import {status} from './status.js';

const ACTIONS = [
  {
    action: 'close',
    label: 'Close',
    done: 'Closed: its page got onclose.',
    danger: true,
    question: [
      'Close this socket?',
      'Its page gets onclose, and gets no further message. What it has not fetched yet is lost.',
    ],
  },
  {
    action: 'cut',
    label: 'Cut',
    done: 'Cut: its page goes on with a new connection.',
    title: 'Break its connection; its page goes on, and loses nothing',
  },
  {
    action: 'expire',
    label: 'Expire',
    done: 'Expired: its page got onerror 401, then onclose.',
    danger: true,
    question: [
      'Let its token time out?',
      'Every page that opened with this token gets onerror with 401 Token+timed+out., then onclose.',
    ],
  },
];

/** The three actions on the socket `id` of `clientId`; `tell` is given a sentence on the outcome. */
function actionButtons(id, clientId, tell) {
  return ACTIONS.map(({action, label, done, danger, question, title}) =>
    button(
      label,
      async () => {
        if (question && !(await confirm(question[0], question[1], label, {danger}))) return;
        try {
          await ask('sockets', {action, socket: id});
          tell(done);
        } catch (error) {
          tell(error.message);
        }
      },
      {kind: danger ? 'small danger-quiet' : 'small', label: `${label} a socket of ${clientId}`, title},
    ),
  );
}

/** Cells of a socket's row, in the order of the table's columns. */
export function makeSocketCells(socket, clientId, tell) {
  const cell = (label) => h('td', {'data-label': label});
  const transport = h(
    'td',
    {class: 'transport', 'data-label': 'Socket'},
    h('span', {class: 'dot'}),
    h('span', {}),
    h('span', {class: 'tag', hidden: true}),
    h('span', {class: 'tag node', hidden: true}),
  );
  return [
    transport,
    cell('Open for'),
    cell('Unread'),
    cell('Token expires'),
    h('td', {class: 'do'}, ...actionButtons(socket.id, clientId, tell)),
  ];
}

/** Bring them up to date. */
export function updateSocketCells(cells, socket) {
  const [transport, since, unread, expires] = cells;
  const [dot, what, tag, node] = transport.children;
  setAttribute(transport, 'title', `Socket ${socket.id}: ${socket.state}`);
  dot.classList.toggle('is-on', socket.state === 'attached');
  const elsewhere = !socket.transport && socket.node && status.known && socket.node !== status.known.node;
  setText(what, `${elsewhere ? 'at another node' : transportName(socket)}${socket.state === 'detached' ? ', detached' : ''}`);
  tag.hidden = !socket.opened_by;
  setText(tag, socket.opened_by === 'console' ? "a console's page" : socket.opened_by || '');
  node.hidden = !socket.node;
  setText(node, socket.node || '');
  setAttribute(node, 'title', 'The emulator that serves it');
  const now = status.now || socket.since;
  setText(since, lasting(now - socket.since));
  setText(unread, socket.unread ? `${socket.unread} (${bytes(socket.unread_bytes)})` : '0');
  setText(expires, `in ${roughly(socket.expires - now)}`);
  setAttribute(expires, 'title', moment(socket.expires));
}
