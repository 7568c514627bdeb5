/* What of the list is wanted: words, a client id, a kind. */

import {h, icon, SEARCH} from './dom.js';

const KINDS = {
  '': 'All',
  messages: 'Messages',
  problems: 'Problems',
  sockets: 'Sockets',
  presence: 'Presence',
  other: 'Other',
};

function groupOf(entry) {
  if (entry.isMessage) return 'messages';
  if (entry.kind.startsWith('socket_')) return 'sockets';
  return entry.kind.startsWith('presence_') ? 'presence' : 'other';
}

/** The controls, and what they say; `changed` is called when that is something else. */
export class Filter {
  #kind = '';

  constructor(changed) {
    this.changed = changed;
    const input = (id, label, props = {}) =>
      h('input', {
        id,
        type: 'search',
        placeholder: label,
        'aria-label': label,
        autocomplete: 'off',
        on: {input: changed},
        ...props,
      });
    this.words = input('words', 'Search text', {'aria-keyshortcuts': '/'});
    this.client = input('client-filter', 'Client id');
    this.kinds = h(
      'div',
      {class: 'segments', role: 'group', 'aria-label': 'Kind'},
      ...Object.entries(KINDS).map(([kind, text]) =>
        h('button', {type: 'button', 'data-kind': kind, text, on: {click: () => this.#choose(kind)}}),
      ),
    );
    this.#press();
    this.elements = [h('div', {class: 'with-icon'}, icon(SEARCH), this.words), this.client, this.kinds];
  }

  #choose(kind) {
    this.#kind = kind;
    this.#press();
    this.changed();
  }

  #press() {
    for (const each of this.kinds.children) each.setAttribute('aria-pressed', String(each.dataset.kind === this.#kind));
  }

  /** Whether anything is left out. */
  get isSet() {
    return Boolean(this.words.value || this.client.value || this.#kind);
  }

  /** Those of the feed's `entries` that are wanted. */
  of(entries) {
    if (!this.isSet) return entries;
    const [words, client, kind] = [this.words.value.toLowerCase(), this.client.value.toLowerCase(), this.#kind];
    return entries.filter(
      (entry) =>
        (!kind || (kind === 'problems' ? entry.problem : groupOf(entry) === kind)) &&
        (!client || (entry.clientId || '').toLowerCase().includes(client)) &&
        (!words || entry.holds(words)),
    );
  }

  /** Leave nothing out. */
  clear() {
    this.words.value = '';
    this.client.value = '';
    this.#choose('');
    this.words.focus();
  }

  /** Empty the field that has the focus; whether there was something in it. */
  clearFocused() {
    const field = document.activeElement;
    if ((field !== this.words && field !== this.client) || !field.value) return false;
    field.value = '';
    this.changed();
    return true;
  }
}
