/* Clients: a row for each client id, its sockets, and what can be done to them; one opens beside the list. */

import {ask, path} from './api.js';
import {ClientDetail} from './client_detail.js';
import {button, empty, fill, form, h, icon, isTyping, SEARCH, setAttribute, setText} from './dom.js';
import {feed} from './feed.js';
import {clientHref} from './findings.js';
import {counted, roughly, shownId} from './format.js';
import {NodeList} from './nodes.js';
import {makeSocketCells, updateSocketCells} from './sockets.js';
import {status} from './status.js';

const SHOWN = 100;
const SOCKETS_SHOWN = 5;
const AT_MOST_EVERY = 400;
const EVERY = 1000;
const ASKED_EVERY = 3000;
const LATE = 1;
/** The key of the table's head among those of client ids, none of which holds a null. */
const HEAD = '\0';

export class ClientsView {
  tab = 'clients';
  #asked = 0;
  #timer = 0;
  #list = null;
  #opened = null;

  constructor(show) {
    this.show = show;
    this.detail = new ClientDetail();
    this.search = h('input', {
      id: 'client-search',
      type: 'search',
      placeholder: 'Search client ids',
      'aria-label': 'Search client ids',
      autocomplete: 'off',
      on: {input: () => this.#find()},
    });
    this.found = h('p', {class: 'found'});
    this.nodes = new NodeList();
    this.spoken = h('p', {class: 'unseen', role: 'status'});
    this.groups = h(
      'table',
      {class: 'clients sockets', 'aria-label': 'Clients and their sockets'},
      h(
        'thead',
        {'data-key': HEAD},
        h(
          'tr',
          {},
          ...['Client id', 'Presence', 'Last message', 'Socket', 'Open for', 'Unread', 'Token expires', 'Actions'].map(
            (text) => h('th', {scope: 'col', text}),
          ),
        ),
      ),
    );
    this.none = h('div', {hidden: true});
    this.element = h(
      'section',
      {class: 'split', 'aria-label': 'Clients'},
      h('h1', {class: 'unseen', text: 'Clients'}),
      h(
        'div',
        {class: 'pane list'},
        form(
          {class: 'toolbar', role: 'search', 'aria-label': 'Clients'},
          () => this.refresh(),
          h('div', {class: 'with-icon'}, icon(SEARCH), this.search),
          this.found,
          this.spoken,
        ),
        this.nodes.element,
        h(
          'div',
          {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of clients'},
          this.groups,
          this.none,
        ),
      ),
      this.detail.element,
    );
    feed.listen((news) => {
      if (news.length) this.#soon();
    });
    setInterval(() => {
      if (!this.element.hidden && !document.hidden) this.#draw();
    }, EVERY);
    // No event tells that a page has fetched what was unread, or that it waits over a WebSocket now.
    setInterval(() => this.#soon(), ASKED_EVERY);
  }

  title(route) {
    return route.name === 'client' ? shownId(route.argument) : 'Clients';
  }

  enter(route) {
    const before = this.#opened;
    const wasThere = this.detail.element.contains(document.activeElement);
    this.#opened = route.name === 'client' ? route.argument : null;
    this.element.classList.toggle('has-detail', this.#opened !== null);
    if (this.#opened === null) this.detail.hide();
    else this.detail.show(this.#opened);
    if (this.#opened !== null && this.groups.offsetParent === null) this.detail.element.focus();
    else if (this.#opened === null && before !== null && wasThere) this.#linkTo(before)?.focus();
    this.refresh();
  }

  leave() {
    this.detail.hide();
  }

  #soon() {
    if (this.#timer || this.element.hidden || document.hidden) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.refresh();
      this.detail.refresh();
    }, AT_MOST_EVERY);
  }

  async #find() {
    await this.refresh();
    setText(this.spoken, `${this.#list.matching} found`);
  }

  async refresh() {
    const asked = ++this.#asked;
    this.nodes.refresh();
    try {
      const list = await ask(path('channels', {limit: SHOWN, search: this.search.value}));
      if (asked !== this.#asked) return;
      this.#list = list;
      this.#draw();
    } catch {
      // The feed notices, too, and says so.
    }
  }

  #draw() {
    if (!this.#list || this.element.hidden) return;
    const {channels, matching, total, sockets} = this.#list;
    fill(
      this.groups,
      [null, ...channels],
      (channel) => (channel ? channel.client_id : HEAD),
      (channel) => this.#makeGroup(channel),
      (group, channel) => {
        if (channel) this.#updateGroup(group, channel);
      },
    );
    setText(
      this.found,
      channels.length < matching
        ? `the first ${channels.length} of ${counted(matching, 'client')}: search for the others`
        : `${counted(matching, 'client')}${matching < total ? ` of ${total}` : ''}, ${counted(sockets, 'open socket')}`,
    );
    this.groups.hidden = !channels.length;
    this.none.hidden = channels.length > 0;
    if (!this.none.hidden)
      this.none.replaceChildren(
        total
          ? empty(
              'No client id matches',
              'Upper and lower case mean the same in this search. A channel itself tells them apart.',
            )
          : empty(
              'No channel yet',
              'An app makes one with create_channel, and its page opens it.',
              h('p', {}, h('a', {class: 'button primary', href: '#/send', text: 'Make a channel and say hello'})),
            ),
      );
  }

  #makeGroup(channel) {
    const result = h('output', {class: 'result'});
    const group = h('tbody', {});
    group.result = result;
    group.head = [
      h(
        'th',
        {scope: 'row'},
        h('a', {
          class: 'name mono',
          href: clientHref(channel.client_id),
          title: channel.client_id,
          text: shownId(channel.client_id),
        }),
        result,
      ),
      h('td', {'data-label': 'Presence'}),
      h('td', {'data-label': 'Last message'}),
    ];
    return group;
  }

  #updateGroup(group, channel) {
    const focused = group.head.some((cell) => cell.contains(document.activeElement)) && document.activeElement;
    const shown = channel.sockets_shown.slice(0, SOCKETS_SHOWN);
    const rows = shown.length ? shown.map((socket) => ({key: socket.id, socket})) : [{key: 'none', socket: null}];
    if (channel.sockets > shown.length) rows.push({key: 'more', socket: null, more: channel.sockets - shown.length});
    fill(
      group,
      rows,
      (row) => row.key,
      (row) => this.#makeRow(row, channel, group),
      (element, row) => {
        if (row.socket) updateSocketCells(element.cellsOfSocket, row.socket);
        else
          setText(
            element.lastElementChild,
            row.more
              ? `and ${row.more} more`
              : channel.tokens
                ? `none open, ${counted(channel.tokens, 'token')}`
                : 'none open',
          );
      },
    );
    const [head, presence, last] = group.head;
    if (group.firstElementChild.firstElementChild !== head) group.firstElementChild.prepend(...group.head);
    if (focused && document.activeElement !== focused) focused.focus({preventScroll: true});
    for (const cell of group.head) setAttribute(cell, 'rowspan', rows.length);
    const asked = channel.telling_since && status.now - channel.telling_since;
    setText(presence, asked > LATE ? `telling, ${roughly(asked)}` : channel.told ? 'connected' : 'not connected');
    setAttribute(presence, 'title', asked > LATE ? 'The app has not answered a presence post yet' : null);
    presence.classList.toggle('quiet', !channel.told);
    presence.classList.toggle('is-problem', asked > LATE);
    setText(
      last,
      channel.last_message_at
        ? `${roughly((status.now || channel.last_message_at) - channel.last_message_at)} ago`
        : '–',
    );
    setAttribute(head.firstElementChild, 'aria-current', channel.client_id === this.#opened ? 'true' : null);
  }

  #makeRow(row, channel, group) {
    if (!row.socket) return h('tr', {}, h('td', {class: 'quiet', colspan: '5'}));
    const cells = makeSocketCells(row.socket, channel.client_id, (text) => {
      setText(group.result, text);
      this.refresh();
    });
    const made = h('tr', {}, ...cells);
    made.cellsOfSocket = cells;
    return made;
  }

  /** A key that was pressed anywhere on this view; whether it meant something. */
  onKey(event) {
    if (event.key === 'Escape') {
      if (document.activeElement === this.search && this.search.value) {
        this.search.value = '';
        this.refresh();
      } else if (this.#opened !== null) {
        if (document.activeElement === document.body) this.detail.element.focus();
        this.show('#/clients');
      } else return false;
      return true;
    }
    if (isTyping(event.target)) return false;
    if (event.key === '/') this.search.focus();
    else if (event.key === 'j' || event.key === 'k') this.#move(event.key === 'j' ? 1 : -1);
    else return false;
    return true;
  }

  #linkTo(clientId) {
    return this.groups.querySelector(`[data-key="${CSS.escape(clientId)}"] th > a`);
  }

  #move(by) {
    const links = [...this.groups.querySelectorAll('th > a')];
    const index = links.indexOf(document.activeElement);
    const next = links[index < 0 ? 0 : Math.min(Math.max(index + by, 0), links.length - 1)];
    if (next) next.focus();
  }
}
