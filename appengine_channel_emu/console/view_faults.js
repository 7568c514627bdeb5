/* Faults on request: what is to go wrong, at which stage, for whom, how often. */

import {ask} from './api.js';
import {confirm} from './dialogs.js';
import {button, empty, field, fill, form, h, setText} from './dom.js';
import {feed} from './feed.js';

const STAGES = {
  create: "the app's create_channel",
  send: "the app's send_message",
  open: 'a page opening its socket',
  poll: 'a page waiting for messages',
  stream: 'a page asking for a WebSocket',
  presence: 'telling the app of connected/ and disconnected/',
  rpc: 'calls of the server API',
  app: 'requests of the app',
};
const ACTIONS = {
  delay: 'waits before anything is done',
  error: 'is refused, and nothing is done',
  drop: 'is lost: nothing is done',
  cut: 'is done, and its connection breaks before the answer',
  duplicate: 'is done twice',
};

function described(fault) {
  const words = [fault.stage, fault.action];
  if (fault.action === 'delay') words.push(`${fault.seconds} s`);
  if (fault.action === 'error') words.push(fault.error);
  if (fault.probability < 1) words.push(`with probability ${fault.probability}`);
  if (fault.client_id !== null) words.push(`for ${fault.client_id}`);
  if (fault.path !== null) words.push(`at ${fault.path}`);
  return words.join(' ');
}

function choice(id, options, chosen) {
  return h(
    'select',
    {id},
    ...Object.entries(options).map(([value, text]) =>
      h('option', {value, selected: value === chosen, title: text, text: value}),
    ),
  );
}

export class FaultsView {
  tab = 'faults';

  constructor() {
    const change = {on: {change: () => this.#showFields()}};
    this.stage = choice('fault-stage', STAGES, 'poll');
    this.action = choice('fault-action', ACTIONS, 'cut');
    for (const select of [this.stage, this.action]) select.addEventListener('change', change.on.change);
    const input = (name, props) => h('input', {id: `fault-${name}`, autocomplete: 'off', ...props});
    this.seconds = input('seconds', {type: 'number', min: '0', max: '60', step: 'any', value: '1', required: true});
    this.error = input('error', {placeholder: 'the usual one'});
    this.probability = input('probability', {
      type: 'number',
      min: '0',
      max: '1',
      step: 'any',
      value: '1',
      required: true,
    });
    this.count = input('count', {type: 'number', min: '1', placeholder: 'always'});
    this.client = input('client', {placeholder: 'any'});
    this.path = input('path', {placeholder: 'any'});
    this.seed = input('seed', {type: 'number', step: '1', value: '0', required: true});
    this.meaning = h('p', {class: 'lead', 'aria-live': 'polite'});
    this.result = h('output', {class: 'result is-problem', id: 'fault-result'});
    this.rows = h('tbody', {id: 'fault-rows'});
    this.table = h(
      'table',
      {},
      h(
        'thead',
        {},
        h('tr', {}, ...['Fault', 'Happened', 'Left', 'Actions'].map((text) => h('th', {scope: 'col', text}))),
      ),
      this.rows,
    );
    this.none = empty(
      'No fault is in force',
      'Everything works as it should. Add a fault to see how your app and its pages take it.',
    );
    this.removeAll = button('Remove all', () => this.#removeAll(), {kind: 'danger'});
    this.element = h(
      'section',
      {class: 'page', 'aria-label': 'Faults'},
      h('h1', {text: 'Faults on request'}),
      form(
        {class: 'card', id: 'fault-form', 'aria-label': 'A new fault'},
        () => this.#add(),
        h(
          'div',
          {class: 'fields'},
          field('Stage', this.stage),
          field('Action', this.action),
          field('Seconds', this.seconds),
          field('Error', this.error),
          field('Probability', this.probability),
          field('Times', this.count),
          field('Client id', this.client),
          field('Path', this.path),
          field('Seed', this.seed),
        ),
        this.meaning,
        h('div', {class: 'actions'}, h('button', {class: 'primary', text: 'Add'}), this.result),
      ),
      h('div', {class: 'card'}, this.table, this.none, h('div', {class: 'actions'}, this.removeAll)),
    );
    feed.listen((news) => {
      if (!this.element.hidden && news.some((event) => event.kind === 'fault' || event.kind === 'reset'))
        this.refresh();
    });
    setInterval(() => {
      if (!this.element.hidden && !document.hidden) this.refresh();
    }, 3000);
    this.#showFields();
    this.#show([]);
  }

  title() {
    return 'Faults';
  }

  enter() {
    return this.refresh();
  }

  leave() {}

  async refresh() {
    try {
      this.#show((await ask('faults')).faults);
    } catch {
      // The feed notices, too, and says so.
    }
  }

  #show(faults) {
    this.table.hidden = this.removeAll.hidden = !faults.length;
    this.none.hidden = faults.length > 0;
    fill(
      this.rows,
      faults,
      (fault) => fault.number,
      (fault) =>
        h(
          'tr',
          {},
          h('th', {scope: 'row', class: 'wrap', text: described(fault)}),
          h('td', {'data-label': 'Happened'}),
          h('td', {'data-label': 'Left'}),
          h(
            'td',
            {},
            button('Remove', () => this.#remove(fault), {kind: 'small', label: `Remove fault ${described(fault)}`}),
          ),
        ),
      (row, fault) => {
        setText(row.children[1], String(fault.happened));
        setText(row.children[2], fault.count === null ? 'always' : String(fault.count));
      },
    );
  }

  /** A field that a fault of this stage and action cannot have is not there to be filled in. */
  #showFields() {
    const atApp = this.stage.value === 'app';
    const wanted = [
      [this.seconds, this.action.value === 'delay'],
      [this.error, this.action.value === 'error'],
      [this.client, !atApp],
      [this.path, atApp],
    ];
    for (const [control, is] of wanted) {
      control.disabled = !is;
      control.parentElement.hidden = !is;
    }
    setText(this.meaning, `What ${STAGES[this.stage.value]} asks ${ACTIONS[this.action.value]}.`);
  }

  #given(control) {
    return (!control.disabled && control.value) || null;
  }

  async #add() {
    const number = (control) => this.#given(control) && Number(this.#given(control));
    try {
      await ask('faults', {
        stage: this.stage.value,
        action: this.action.value,
        seconds: number(this.seconds),
        error: this.#given(this.error),
        probability: Number(this.probability.value),
        count: number(this.count),
        client_id: this.#given(this.client),
        path: this.#given(this.path),
        seed: Number(this.seed.value),
      });
      setText(this.result, '');
    } catch (error) {
      setText(this.result, error.message);
    }
    await this.refresh();
  }

  async #remove(fault) {
    await ask(`faults?number=${fault.number}`, undefined, 'DELETE').catch((error) =>
      setText(this.result, error.message),
    );
    await this.refresh();
  }

  async #removeAll() {
    if (!(await confirm('Remove all faults?', 'Everything works as it should again.', 'Remove all', {danger: true})))
      return;
    await ask('faults', undefined, 'DELETE').catch((error) => setText(this.result, error.message));
    await this.refresh();
  }
}
