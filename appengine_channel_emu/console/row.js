/* One message or event in one line. */

import {h, setAttribute, setText} from './dom.js';
import {bytes, clockTime, kindName, moment, oneLine, shownId} from './format.js';

/** A row of the list, for `updateRow`. */
export function makeRow() {
  const link = h(
    'a',
    {class: 'row', tabindex: '-1'},
    h('time', {}),
    h('span', {class: 'kind'}),
    h('span', {class: 'who name'}),
    h('span', {class: 'what'}),
    h('span', {class: 'outcome'}),
  );
  return h('li', {}, link);
}

/** Bring it up to date; nothing is touched that is as it was. */
export function updateRow(item, entry, isOpen) {
  const link = item.firstElementChild;
  setAttribute(link, 'aria-current', isOpen ? 'true' : null);
  const state = stateOf(entry);
  if (link.dataset.state === state) return;
  link.dataset.state = state;
  const [time, kind, who, what, outcome] = link.children;
  setText(time, clockTime(entry.time));
  setAttribute(time, 'title', moment(entry.time));
  setAttribute(time, 'datetime', new Date(entry.time * 1000).toISOString());
  setAttribute(link, 'href', entry.href);
  link.className = `row ${entry.isMessage ? 'is-message' : 'is-event'}${entry.problem ? ' is-problem' : ''}`;
  setText(kind, kindName(entry.kind));
  const id = entry.clientId;
  setText(who, id === null ? '' : shownId(id));
  setAttribute(who, 'title', id || null);
  setText(what, textOf(entry));
  what.classList.toggle('payload', Boolean(entry.message));
  setText(outcome, outcomeOf(entry));
  setAttribute(outcome, 'title', outcome.textContent || null);
}

/** What of it can change; its time, too: another emulator's messages have the same numbers. */
function stateOf({time, message, event}) {
  return message
    ? `${time}/${message.acknowledged}/${message.lost}/${message.delivered_to}/${message.held}/${event ? event.kind : ''}`
    : `${time}/event`;
}

function textOf({message, event, isMessage}) {
  if (message) return oneLine(message.text);
  return isMessage
    ? `Its text is no longer kept${event.detail.bytes ? ` (${bytes(event.detail.bytes)})` : ''}.`
    : `${oneLine(event.text)}${event.detail.opened_by ? ` Opened by ${event.detail.opened_by}.` : ''}`;
}

/** What became of a message, as short as it can be said. */
export function outcomeOf({message, event, isMessage}) {
  if (!isMessage) return '';
  if (!message) return event.kind === 'message_dropped' ? event.text : '';
  if (message.reason) return event ? event.text : message.reason;
  const sockets = message.delivered_to === 1 ? '1 socket' : `${message.delivered_to} sockets`;
  if (message.held) return `${sockets}, held`;
  const {acknowledged, lost, delivered_to: all} = message;
  if (acknowledged === all) return `${sockets}, acknowledged`;
  if (lost === all) return `${sockets}, lost`;
  const parts = [sockets, acknowledged && `${acknowledged} acknowledged`, lost && `${lost} lost`].filter(Boolean);
  return parts.length > 1 ? parts.join(', ') : `${sockets}, not yet acknowledged`;
}
