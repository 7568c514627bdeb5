/* One client id: why its messages come or do not, its sockets, its latest messages, and a word to it. */

import {ask, path, Refused, sendMessage} from './api.js';
import {button, fill, form, h, setAttribute, setText} from './dom.js';
import {findingList, part} from './findings.js';
import {counted, shownId} from './format.js';
import {ownPage} from './own_page.js';
import {makeRow, updateRow} from './row.js';
import {makeSocketCells, updateSocketCells} from './sockets.js';

const MESSAGES = 20;

export class ClientDetail {
  #clientId = null;
  #asked = 0;

  constructor() {
    this.body = h('div', {class: 'scroll'});
    this.element = h('aside', {class: 'pane detail', 'aria-label': 'Client', tabindex: '-1', hidden: true}, this.body);
  }

  hide() {
    this.#clientId = null;
    this.element.hidden = true;
    this.body.replaceChildren();
  }

  show(clientId) {
    this.element.hidden = false;
    if (clientId !== this.#clientId) {
      this.#clientId = clientId;
      this.#make();
    }
    this.refresh();
  }

  #make() {
    this.state = h('p', {class: 'quiet'});
    this.findings = h('div', {});
    this.sockets = h('tbody', {});
    this.socketPart = part(
      'Sockets',
      h(
        'table',
        {class: 'small sockets'},
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            ...['Socket', 'Open for', 'Unread', 'Token expires', 'Actions'].map((text) =>
              h('th', {scope: 'col', text}),
            ),
          ),
        ),
        this.sockets,
      ),
    );
    this.moreSockets = h('p', {class: 'quiet'});
    this.socketResult = h('output', {class: 'result'});
    this.socketPart.append(this.moreSockets, this.socketResult);
    this.rows = h('ol', {class: 'rows', 'aria-label': 'Its latest messages'});
    this.messagePart = part('Latest messages', this.rows);
    this.text = h('input', {
      id: 'client-message',
      placeholder: 'Message',
      'aria-label': 'Message',
      autocomplete: 'off',
      required: true,
    });
    this.result = h('output', {class: 'result'});
    this.body.replaceChildren(
      h(
        'div',
        {class: 'detail-head'},
        h('div', {}, h('h2', {class: 'mono', text: shownId(this.#clientId)}), this.state),
        h('a', {
          class: 'button close',
          href: '#/clients',
          'aria-label': 'Close details',
          title: 'Close (Esc)',
          text: '×',
        }),
      ),
      this.findings,
      form(
        {class: 'actions'},
        () => this.#send(),
        this.text,
        h('button', {class: 'primary', text: 'Send'}),
        button('Open a page of your own', () => this.#open()),
        this.result,
      ),
      this.socketPart,
      this.messagePart,
    );
  }

  async refresh() {
    const clientId = this.#clientId;
    if (clientId === null) return;
    const asked = ++this.#asked;
    const about = {client_id: clientId};
    try {
      const [channel, explained, {messages}] = await Promise.all([
        ask(path('channel', about)).catch((error) => {
          if (error.status === 404) return null;
          throw error;
        }),
        ask(path('explain', about)),
        ask(path('messages', {...about, last: MESSAGES})),
      ]);
      if (asked === this.#asked && clientId === this.#clientId) this.#update(channel, explained, messages);
    } catch (error) {
      // Of all else the feed says that it is so.
      if (clientId === this.#clientId && error instanceof Refused) setText(this.result, error.message);
    }
  }

  #update(channel, explained, messages) {
    setText(
      this.state,
      channel
        ? `${counted(channel.sockets, 'open socket')}, ${counted(channel.tokens, 'valid token')}, the app was ${channel.told ? 'told that it is connected' : 'not told that it is connected'}`
        : 'There is no channel to this client id.',
    );
    const found = JSON.stringify(explained.findings);
    if (this.findings.dataset.found !== found) {
      this.findings.dataset.found = found;
      // The first of them is the summary.
      this.findings.replaceChildren(findingList(explained.findings) || h('p', {text: explained.summary}));
    }
    const sockets = channel ? channel.sockets_shown : [];
    this.socketPart.hidden = !sockets.length && !this.socketResult.textContent;
    setAttribute(this.sockets.parentElement, 'hidden', sockets.length ? null : '');
    const more = channel ? channel.sockets - sockets.length : 0;
    this.moreSockets.hidden = more <= 0;
    setText(this.moreSockets, `and ${counted(more, 'more socket')}`);
    fill(
      this.sockets,
      sockets,
      (socket) => socket.id,
      (socket) => {
        const cells = makeSocketCells(socket, this.#clientId, (text) => {
          setText(this.socketResult, text);
          this.refresh();
        });
        const made = h('tr', {}, ...cells);
        made.cellsOfSocket = cells;
        return made;
      },
      (row, socket) => updateSocketCells(row.cellsOfSocket, socket),
    );
    this.messagePart.hidden = !messages.length;
    const entries = messages
      .map((message) => ({
        key: message.number,
        message,
        event: null,
        isMessage: true,
        time: message.time,
        clientId: message.client_id,
        kind: message.reason ? 'message_dropped' : 'message_sent',
        problem: Boolean(message.reason) || message.lost > 0,
        href: `#/message/${message.number}`,
      }))
      .reverse();
    fill(
      this.rows,
      entries,
      (entry) => entry.key,
      (entry) => {
        const item = makeRow(entry);
        item.firstElementChild.removeAttribute('tabindex');
        return item;
      },
      (item, entry) => updateRow(item, entry, false),
    );
  }

  async #send() {
    try {
      const sent = await sendMessage(this.#clientId, this.text.value);
      setText(this.result, sent.text);
      if (!sent.dropped) this.text.value = '';
    } catch (error) {
      setText(this.result, error.message);
    }
    this.refresh();
  }

  async #open() {
    try {
      if (await ownPage.ask(this.#clientId)) location.hash = '#/send';
    } catch (error) {
      setText(this.result, error.message);
    }
  }
}
