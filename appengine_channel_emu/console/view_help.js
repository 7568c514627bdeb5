/* What to look at when a message does not arrive, and the keys. */

import {h, setText} from './dom.js';
import {status} from './status.js';

const QUESTIONS = [
  [
    'Is the message in the list?',
    'If not, your app never called send_message, or called another emulator: compare the address of this one with CHANNEL_EMULATOR_HOST of your app.',
    '#/messages',
    'Messages',
  ],
  [
    'Is it marked as dropped?',
    'Open it: it says why, and which client ids are near. Client ids differ by case, white space and normal form.',
    '#/messages',
    'Messages',
  ],
  [
    'Is a socket of exactly that client id open?',
    'Open the client id: it says what happened to its messages, the likeliest cause first.',
    '#/clients',
    'Clients',
  ],
  [
    'Has its page acknowledged it?',
    "Then the page's script has it. Handlers are in lower case: onmessage, not onMessage.",
    '#/messages',
    'Messages',
  ],
  [
    'Would a page of your own get it?',
    'Open one on the same client id, and send again. If it arrives there, look at the other page.',
    '#/send',
    'Send',
  ],
  [
    'Is something in force that breaks it?',
    'A fault on request, or a clock that was moved: tokens expire by it.',
    '#/faults',
    'Faults',
  ],
];

const DOCUMENTS = [
  ['messages-do-not-arrive.md', 'the whole tree of questions'],
  ['console.md', 'this console'],
  ['testing.md', 'tests, time, faults on request'],
  ['browser-client.md', 'what pages may rely on'],
  ['troubleshooting.md', 'what the emulator says, and what to do'],
  ['README.md', 'all documents'],
];

const KEYS = [
  ['/', 'search'],
  ['j or ↓', 'next message or client'],
  ['k or ↑', 'the one before'],
  ['Enter', 'open it'],
  ['Esc', 'close it, or clear the search'],
  ['p', 'pause the list'],
  ['?', 'this page'],
];

export class HelpView {
  tab = 'help';

  constructor() {
    this.address = h('p', {class: 'quiet'});
    status.listen((known) => setText(this.address, `This emulator is channel-emu ${known.version} at ${known.url}.`));
    this.documents = h(
      'ul',
      {class: 'plain'},
      ...DOCUMENTS.map(([file, text]) =>
        h('li', {hidden: true}, h('a', {href: `/_emu/docs/${file}`, text: file}), `: ${text}`),
      ),
    );
    this.element = h(
      'section',
      {class: 'page narrow', 'aria-label': 'Help'},
      h('h1', {text: 'A message does not arrive?'}),
      this.address,
      h(
        'ol',
        {class: 'questions card'},
        ...QUESTIONS.map(([question, text, href, label]) =>
          h('li', {}, h('h2', {text: question}), h('p', {}, `${text} `, h('a', {href, text: label}))),
        ),
      ),
      h('h2', {text: 'Documents'}),
      this.documents,
      h('h2', {text: 'Keys'}),
      h(
        'dl',
        {class: 'facts keys'},
        ...KEYS.map(([key, text]) => h('div', {}, h('dt', {}, h('kbd', {text: key})), h('dd', {text}))),
      ),
    );
  }

  title() {
    return 'Help';
  }

  /** A link to what is not there helps nobody. */
  async enter() {
    for (const item of this.documents.children) {
      const {ok} = await fetch(item.firstElementChild.href, {method: 'HEAD'}).catch(() => ({ok: false}));
      item.hidden = !ok;
    }
  }

  leave() {}
}
