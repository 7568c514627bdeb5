/* A page of your own: this console opens a socket as any page does, with the emulator's own browser client. */

import {ask} from './api.js';
import {confirm} from './dialogs.js';
import {h} from './dom.js';

const SCRIPT = '/_ah/channel/jsapi';
const KEPT = 200;

let script = null;

function loadScript() {
  script ||= new Promise((done, failed) => {
    const element = h('script', {src: SCRIPT});
    element.addEventListener('load', done);
    element.addEventListener('error', () => {
      script = null;
      element.remove();
      failed(new Error(`The browser client ${SCRIPT} could not be loaded.`));
    });
    document.head.append(element);
  });
  return script;
}

class OwnPage {
  #listeners = [];
  #socket = null;
  #numbers = 0;
  clientId = null;
  /** One of none, opening, open, closed. */
  state = 'none';
  /** What onerror said last, or null. */
  problem = null;
  /** The latest messages, newest first. */
  messages = [];

  listen(listener) {
    this.#listeners.push(listener);
  }

  #tell() {
    for (const listener of this.#listeners) listener(this);
  }

  get isOpen() {
    return this.state === 'open' || this.state === 'opening';
  }

  /** Ask first, for the app hears of it; then open. Whether it was opened. Throws what the emulator refuses. */
  async ask(clientId) {
    const sure = await confirm(
      `Open a page on "${clientId}"?`,
      [
        'This console then is a page on that channel, like a tab of a visitor: it gets every message to this client id.',
        'Your app hears of it: connected/ now, and disconnected/ when you close the page and no other is open.',
        ...(this.isOpen ? [`The page on "${this.clientId}" is closed first.`] : []),
      ],
      'Open',
    );
    if (!sure) return false;
    const {token} = await ask('channels', {client_id: clientId, opened_by: 'console'});
    await loadScript();
    this.close();
    Object.assign(this, {clientId, state: 'opening', problem: null, messages: []});
    this.#tell();
    this.#open(token);
    return true;
  }

  #open(token) {
    const socket = new window.goog.appengine.Channel(token).open({
      onopen: () => this.#become(socket, 'open'),
      onmessage: (message) => {
        this.#numbers += 1;
        this.messages.unshift({number: this.#numbers, time: Date.now() / 1000, text: message.data});
        this.messages.length = Math.min(this.messages.length, KEPT);
        this.#tell();
      },
      onerror: (error) => {
        this.problem =
          error && error.description
            ? `${error.code} ${String(error.description).replaceAll('+', ' ')}`
            : 'The connection failed.';
        this.#tell();
      },
      onclose: () => this.#become(socket, 'closed'),
    });
    this.#socket = socket;
  }

  #become(socket, state) {
    if (this.#socket && socket !== this.#socket) return;
    this.state = state;
    if (state === 'closed') this.#socket = null;
    this.#tell();
  }

  /** Close it, as a page does that is left. */
  close() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.close();
    if (this.isOpen) {
      this.state = 'closed';
      this.#tell();
    }
  }
}

export const ownPage = new OwnPage();
