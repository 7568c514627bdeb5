/* A message or an event, whole: what it says, who got it, why not, and what can be done with it. */

import {ask, curl, path, sendMessage} from './api.js';
import {button, h, setText} from './dom.js';
import {feed} from './feed.js';
import {clientLink, copyButton, facts, findingList, part} from './findings.js';
import {after, bytes, clockTime, counted, isProblem, kindName, moment, pretty, TRANSPORTS} from './format.js';

const ASK_AGAIN = 400;
const LONGEST = 4000;

const STATES = {
  acknowledged: 'acknowledged',
  waiting: 'not yet acknowledged',
  held: 'held until its request is answered',
  lost: 'the socket ended first',
};

export class Detail {
  #route = null;
  #timer = 0;
  #shown = '';
  /** When that happened which is shown, in seconds; null while nothing is. */
  #time = null;
  #loading = null;

  constructor() {
    this.body = h('div', {class: 'scroll'});
    this.element = h('aside', {class: 'pane detail', 'aria-label': 'Details', tabindex: '-1', hidden: true}, this.body);
    feed.listen(() => this.#compare());
  }

  hide() {
    this.#route = this.#time = null;
    this.#shown = '';
    clearTimeout(this.#timer);
    this.element.hidden = true;
    this.body.replaceChildren();
  }

  show(route) {
    const key = `${route.name}/${route.argument}`;
    this.element.hidden = false;
    if (this.#route && key === `${this.#route.name}/${this.#route.argument}`) return;
    this.#route = route;
    this.#shown = '';
    this.#time = null;
    this.body.scrollTop = 0;
    // What is known already is there at once.
    const entry = route.name === 'message' ? feed.entry(`m${route.argument}`) : null;
    if (entry && entry.message) this.#showMessage({...entry.message, receipts: null, findings: []});
    else this.body.replaceChildren(h('p', {class: 'quiet', text: 'Loading…'}));
    this.#load(route, ASK_AGAIN);
  }

  async #load(route, pause) {
    clearTimeout(this.#timer);
    if (!route) return;
    this.#loading = route;
    try {
      if (route.name === 'message') await this.#loadMessage(route, pause);
      else await this.#loadEvent(route);
    } catch (error) {
      if (this.#route === route) this.#showGone(route, error.message);
    } finally {
      if (this.#loading === route) this.#loading = null;
    }
  }

  /** Another emulator has taken the place of the former: what has this number now is something else. */
  #compare() {
    const route = this.#route;
    const entry = route && feed.entry(`${route.name[0]}${route.argument}`);
    const there = entry && entry[route.name];
    if (there && there.time !== this.#time && this.#loading !== route) this.#load(route, ASK_AGAIN);
  }

  async #loadMessage(route, pause) {
    const message = await ask(path('message', {number: route.argument}));
    if (this.#route !== route) return;
    this.#showMessage(message);
    if (message.receipts.some((receipt) => receipt.state === 'waiting' || receipt.state === 'held')) {
      this.#timer = setTimeout(() => this.#load(route, Math.min(2 * pause, LONGEST)), pause);
    }
  }

  async #loadEvent(route) {
    const number = Number(route.argument);
    const {events} = await ask(path('events', {before: number + 1, last: 1}));
    const event = events.find((each) => each.number === number);
    const explained =
      event && event.client_id !== null ? await ask(path('explain', {client_id: event.client_id})) : null;
    const about = event && event.detail.message;
    const message = about ? await ask(path('message', {number: about})).catch(() => null) : null;
    if (this.#route !== route) return;
    if (event) this.#showEvent(event, explained, message);
    else this.#showGone(route, `Event ${route.argument} is no longer kept, or was not yet.`);
  }

  #head(title, kind, time, problem) {
    return h(
      'div',
      {class: 'detail-head'},
      h(
        'div',
        {},
        h('h2', {}, title, ' ', h('span', {class: `kind${problem ? ' is-problem' : ''}`, text: kind})),
        h('p', {class: 'quiet'}, h('time', {text: moment(time), datetime: new Date(time * 1000).toISOString()})),
      ),
      h('a', {
        class: 'button close',
        href: '#/messages',
        'aria-label': 'Close details',
        title: 'Close (Esc)',
        text: '×',
      }),
    );
  }

  /** `receipts` is null while they are not known. */
  #showMessage(message) {
    // Drawn anew only when something has changed: somebody may be selecting text, or be on a button.
    const state = JSON.stringify(message);
    if (state === this.#shown) return;
    const known = this.#shown !== '' && message.time === this.#time;
    this.#shown = state;
    this.#time = message.time;
    if (!known) this.#makeMessage(message);
    const {outcome, near, receipts, findings} = this.#parts;
    outcome.replaceChildren(...this.#outcome(message));
    near.replaceChildren(...[this.#near(message)].filter(Boolean));
    if (message.receipts) receipts.replaceChildren(...[this.#receipts(message)].filter(Boolean));
    findings.replaceChildren(...[part('What may be the cause', findingList(message.findings))].filter(Boolean));
  }

  #parts = null;

  #makeMessage(message) {
    const {json, text} = pretty(message.text);
    const payload = h('pre', {class: 'payload', tabindex: '0', 'aria-label': 'Text of the message', text});
    const asSent = button('Raw text', () => {
      const raw = asSent.getAttribute('aria-pressed') !== 'true';
      asSent.setAttribute('aria-pressed', String(raw));
      setText(payload, raw ? message.text : text);
    });
    asSent.setAttribute('aria-pressed', 'false');
    const result = h('output', {class: 'result'});
    const again = button('Send again', () => this.#sendAgain(message, result));
    const parts = {};
    for (const name of ['outcome', 'near', 'receipts', 'findings']) parts[name] = h('div', {});
    this.#parts = parts;
    const to = h('p', {class: 'to'}, 'to ', clientLink(message.client_id));
    this.body.replaceChildren(
      this.#head(
        `Message ${message.number}`,
        message.reason ? 'dropped' : 'sent',
        message.time,
        Boolean(message.reason),
      ),
      to,
      parts.outcome,
      h(
        'div',
        {class: 'actions'},
        copyButton('Copy', () => message.text),
        copyButton('Copy as curl', () => curl('messages', {client_id: message.client_id, message: message.text})),
        again,
        copyButton('Copy link', () => location.href),
        json ? asSent : null,
        result,
      ),
      payload,
      h('p', {class: 'quiet small', text: `${bytes(message.bytes)}${json ? ' of JSON, laid out here' : ''}`}),
      parts.near,
      parts.receipts,
      parts.findings,
    );
  }

  async #sendAgain(message, result) {
    try {
      const sent = await sendMessage(message.client_id, message.text);
      result.replaceChildren(
        sent.text,
        ' ',
        sent.number ? h('a', {href: `#/message/${sent.number}`, text: `Message ${sent.number}`}) : '',
      );
    } catch (error) {
      result.textContent = error.message;
    }
  }

  #outcome(message) {
    if (message.reason)
      return [h('p', {class: 'callout bad'}, h('strong', {text: 'It reached nobody. '}), message.reason)];
    if (message.held)
      return [
        h('p', {class: 'callout', text: 'It waits until the request that sent it is answered (--push-after-answer).'}),
      ];
    return [];
  }

  #near(message) {
    if (!message.near || !message.near.length) return null;
    return part(
      'Client ids that are like it, or open',
      h('ul', {class: 'plain'}, ...message.near.map((id) => h('li', {}, clientLink(id)))),
    );
  }

  #receipts(message) {
    if (!message.receipts.length)
      return message.reason
        ? null
        : part('Who got it', h('p', {class: 'quiet', text: 'Its sockets are no longer known.'}));
    const more = message.delivered_to - message.receipts.length;
    const acknowledged = (receipt) =>
      receipt.acknowledged === null
        ? STATES[receipt.state]
        : h(
            'span',
            {},
            STATES.acknowledged,
            ' ',
            h('span', {
              class: 'quiet',
              title: clockTime(receipt.acknowledged),
              text: after(receipt.acknowledged - message.time),
            }),
          );
    return part(
      'Who got it',
      h(
        'table',
        {class: 'small'},
        h(
          'thead',
          {},
          h('tr', {}, ...['Socket', 'Transport', 'Its page'].map((text) => h('th', {scope: 'col', text}))),
        ),
        h(
          'tbody',
          {},
          ...message.receipts.map((receipt) =>
            h(
              'tr',
              {},
              h('td', {class: 'mono', title: receipt.socket, text: receipt.socket.slice(0, 8)}),
              h('td', {
                text: `${TRANSPORTS[receipt.transport] || 'none'}${receipt.opened_by ? `, opened by ${receipt.opened_by}` : ''}`,
              }),
              h('td', {}, acknowledged(receipt)),
            ),
          ),
        ),
      ),
      more && h('p', {class: 'quiet', text: `and ${counted(more, 'more socket')}`}),
    );
  }

  #showEvent(event, explained, message) {
    this.#time = event.time;
    const detail = Object.entries(event.detail);
    const value = (it) => h('span', {class: 'mono', text: typeof it === 'string' ? it : JSON.stringify(it)});
    this.body.replaceChildren(
      ...[
        this.#head(`Event ${event.number}`, kindName(event.kind), event.time, isProblem(event.kind)),
        event.client_id === null ? null : h('p', {class: 'to'}, 'client id ', clientLink(event.client_id)),
        h('p', {class: 'lead', text: event.text}),
        message &&
          h(
            'p',
            {},
            h('a', {href: `#/message/${message.number}`, text: `Message ${message.number}`}),
            ' has its text, and who got it.',
          ),
        event.detail.message && !message
          ? h('p', {
              class: 'quiet',
              text: 'The text of this message is no longer kept: the journal holds the latest 1,000 messages, 4 MiB at most.',
            })
          : null,
        h(
          'div',
          {class: 'actions'},
          copyButton('Copy as JSON', () => JSON.stringify(event, null, 2)),
          copyButton('Copy as curl', () => curl(path('events', {before: event.number + 1, last: 1}))),
          copyButton('Copy link', () => location.href),
        ),
        facts([
          ['Kind', value(event.kind)],
          ['Socket', event.socket && value(event.socket)],
          ...detail
            .filter(([, it]) => it !== null && it.length !== 0)
            .map(([name, it]) => [name.replaceAll('_', ' '), value(it)]),
        ]),
        explained && part('What became of its messages', findingList(explained.findings)),
      ].filter(Boolean),
    );
  }

  #showGone(route, text) {
    const notice = h('p', {class: 'callout', role: 'status', text});
    // Somebody may be reading it.
    if (this.#time !== null && route.name === 'message') {
      this.#parts.receipts.replaceChildren(notice);
      this.#shown = 'gone';
      return;
    }
    this.#shown = '';
    this.body.replaceChildren(
      h(
        'div',
        {class: 'detail-head'},
        h('h2', {text: `${route.name === 'message' ? 'Message' : 'Event'} ${route.argument}`}),
        h('a', {class: 'button close', href: '#/messages', 'aria-label': 'Close details', text: '×'}),
      ),
      notice,
    );
  }
}
