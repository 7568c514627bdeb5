/* Send a message, and be the page that gets it: the two ends of a channel side by side. */

import {ask, curl, path, sendMessage} from './api.js';
import {button, empty, field, fill, form, h, isTyping, setText} from './dom.js';
import {copyButton} from './findings.js';
import {bytes, clockTime, counted, oneLine} from './format.js';
import {ownPage} from './own_page.js';

const LARGEST = 32767;
const SUGGESTED = 50;
const STATES = {none: 'No page of your own is open.', opening: 'Opening…', open: 'Open', closed: 'Closed'};

export class SendView {
  tab = 'send';

  constructor() {
    this.suggestions = h('datalist', {id: 'client-ids'});
    this.client = h('input', {
      id: 'send-client',
      list: 'client-ids',
      autocomplete: 'off',
      required: true,
      placeholder: 'anna',
    });
    this.text = h('textarea', {
      id: 'send-text',
      rows: '6',
      required: true,
      spellcheck: 'false',
      placeholder: 'It is your turn',
      on: {
        input: () => this.#count(),
        keydown: (event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.#send();
        },
      },
    });
    this.size = h('p', {class: 'hint'});
    this.result = h('output', {class: 'result', id: 'send-result', for: 'send-client send-text'});
    const send = form(
      {class: 'card', id: 'send-form', 'aria-labelledby': 'send-title'},
      () => this.#send(),
      h('h2', {id: 'send-title', text: 'Send a message'}),
      h('p', {class: 'quiet', text: "What the app's send_message does."}),
      field('Client id', this.client),
      this.suggestions,
      field('Message', this.text),
      this.size,
      h(
        'div',
        {class: 'actions'},
        h('button', {class: 'primary', title: 'Ctrl+Enter', text: 'Send'}),
        copyButton('Copy as curl', () => curl('messages', {client_id: this.client.value, message: this.text.value})),
        this.result,
      ),
    );
    this.element = h(
      'section',
      {class: 'page two', 'aria-label': 'Send'},
      h('h1', {class: 'unseen', text: 'Send'}),
      send,
      this.#makeOwnPage(),
    );
    ownPage.listen(() => this.#showOwnPage());
    this.#count();
    this.#showOwnPage();
  }

  title() {
    return 'Send';
  }

  async enter() {
    if (ownPage.isOpen && !this.client.value) this.client.value = ownPage.clientId;
    try {
      const {channels} = await ask(path('channels', {limit: SUGGESTED}));
      this.suggestions.replaceChildren(...channels.map((channel) => h('option', {value: channel.client_id})));
    } catch {
      // Suggestions alone are missing.
    }
  }

  leave() {}

  onKey(event) {
    if (event.key !== '/' || isTyping(event.target)) return false;
    this.client.focus();
    return true;
  }

  #count() {
    const size = new TextEncoder().encode(this.text.value).length;
    setText(
      this.size,
      size > LARGEST
        ? `${size.toLocaleString('en')} bytes: more than the ${LARGEST.toLocaleString('en')} that a message may have`
        : size
          ? bytes(size)
          : 'Text or JSON, at most 32,767 bytes.',
    );
    this.size.classList.toggle('is-problem', size > LARGEST);
  }

  async #send() {
    if (!this.client.value || !this.text.value) return;
    try {
      const sent = await sendMessage(this.client.value, this.text.value);
      this.result.replaceChildren(
        sent.text,
        ' ',
        sent.number ? h('a', {href: `#/message/${sent.number}`, text: `Message ${sent.number}`}) : '',
      );
      this.result.classList.toggle('is-problem', sent.dropped);
    } catch (error) {
      this.result.textContent = error.message;
      this.result.classList.add('is-problem');
    }
  }

  // A page of your own

  #makeOwnPage() {
    this.ownClient = h('input', {
      id: 'own-client',
      list: 'client-ids',
      autocomplete: 'off',
      required: true,
      placeholder: 'anna',
    });
    this.ownState = h('p', {class: 'own-state', role: 'status'});
    this.ownResult = h('output', {class: 'result is-problem', id: 'own-result'});
    this.close = button('Close the page', () => {
      ownPage.close();
      this.ownClient.focus();
    });
    this.received = h('ol', {class: 'received', id: 'received', 'aria-label': 'What your page has got, newest first'});
    this.nothing = h('div', {});
    return h(
      'section',
      {class: 'card own', 'aria-labelledby': 'own-title'},
      h('h2', {id: 'own-title', text: 'A page of your own'}),
      h('p', {
        class: 'quiet',
        text: 'This console opens a socket as a page does, and shows what it gets. Your app hears connected/.',
      }),
      form(
        {class: 'inline', 'aria-labelledby': 'own-title'},
        () => this.#open(),
        field('Client id of your page', this.ownClient),
        h('button', {class: 'primary', text: 'Open'}),
        this.close,
      ),
      this.ownState,
      this.ownResult,
      this.nothing,
      this.received,
    );
  }

  async #open() {
    setText(this.ownResult, '');
    try {
      if (!(await ownPage.ask(this.ownClient.value))) return;
      if (!this.client.value) this.client.value = ownPage.clientId;
      this.text.focus();
    } catch (error) {
      setText(this.ownResult, error.message);
    }
  }

  #showOwnPage() {
    const {state, clientId, messages, problem, isOpen} = ownPage;
    setText(
      this.ownState,
      state === 'none'
        ? STATES.none
        : `${STATES[state]}: ${clientId}${messages.length ? `, ${counted(messages.length, 'message')}` : ''}`,
    );
    this.ownState.dataset.state = state;
    if (problem !== this.shownProblem) {
      this.shownProblem = problem;
      setText(this.ownResult, problem || '');
    }
    this.close.hidden = !isOpen;
    if (clientId !== null && this.shownClient !== clientId) {
      this.shownClient = clientId;
      this.ownClient.value = clientId;
    }
    this.nothing.hidden = messages.length > 0;
    if (!this.nothing.hidden && this.nothing.dataset.state !== state) {
      this.nothing.dataset.state = state;
      this.nothing.replaceChildren(
        state === 'open'
          ? empty('Your page listens', `Send a message to "${clientId}", here or with your app.`)
          : empty(
              'Make a channel and say hello',
              'Type a client id above, such as anna, and open it. Then send anna a message.',
            ),
      );
    }
    fill(
      this.received,
      messages,
      (message) => message.number,
      (message) =>
        h(
          'li',
          {},
          h('time', {class: 'quiet', text: clockTime(message.time)}),
          ' ',
          h('code', {class: 'name', title: oneLine(message.text, 2000), text: oneLine(message.text)}),
        ),
    );
  }
}
