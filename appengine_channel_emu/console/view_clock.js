/* The emulator's time, and what tests do between two of them: move it, stop it, forget everything. */

import {ask} from './api.js';
import {confirm} from './dialogs.js';
import {button, field, form, h, setAttribute, setText} from './dom.js';
import {lasting} from './format.js';
import {status} from './status.js';

const STEPS = [
  ['1 minute', 60],
  ['10 minutes', 600],
  ['2 hours', 7200],
  ['1 day', 86400],
];

/** What is unreal about a clock, in a sentence; empty while it is the machine's. */
export function unreal(clock) {
  const what = [];
  if (clock.advanced) what.push(`it was advanced by ${lasting(clock.advanced)}`);
  if (clock.frozen) what.push('it stands still');
  return what.length ? `The time of this emulator is not real: ${what.join(', and ')}.` : '';
}

export class ClockView {
  tab = 'clock';

  constructor() {
    this.time = h('time', {class: 'big', id: 'now'});
    this.state = h('p', {class: 'quiet', id: 'clock-state'});
    this.freeze = button('Freeze', () => this.#change({frozen: !status.known.clock.frozen}));
    this.seconds = h('input', {
      id: 'advance',
      type: 'number',
      min: '0',
      max: '100000000',
      step: 'any',
      value: '60',
      required: true,
    });
    this.result = h('output', {class: 'result', id: 'clock-result'});
    this.resetResult = h('output', {class: 'result', id: 'reset-result'});
    this.element = h(
      'section',
      {class: 'page narrow', 'aria-label': 'Clock'},
      h('h1', {text: 'Clock'}),
      h(
        'div',
        {class: 'card'},
        this.time,
        this.state,
        h('p', {
          class: 'quiet',
          text: "Advance it, and open pages feel it: tokens expire, presence falls due. The deadline of an app's requests is not moved.",
        }),
        h(
          'div',
          {class: 'actions'},
          ...STEPS.map(([text, seconds]) =>
            button(`+ ${text}`, () => this.#change({advance: seconds}), {label: `Advance by ${text}`}),
          ),
          this.freeze,
        ),
        form(
          {class: 'inline', id: 'clock-form'},
          () => this.#change({advance: Number(this.seconds.value)}),
          field('Advance by seconds', this.seconds),
          h('button', {text: 'Advance'}),
        ),
        this.result,
      ),
      h(
        'div',
        {class: 'card danger-zone'},
        h('h2', {text: 'Begin anew'}),
        h('p', {
          class: 'quiet',
          text: 'Forgets all tokens, sockets, messages, events, faults and notes, as after a first start. Open pages get what a page gets whose socket is gone.',
        }),
        h(
          'div',
          {class: 'actions'},
          button('Reset everything', () => this.#reset(), {kind: 'danger'}),
          this.resetResult,
        ),
      ),
    );
    status.listen(() => this.#show());
    setInterval(() => {
      if (!this.element.hidden) this.#show();
    }, 250);
  }

  title() {
    return 'Clock';
  }

  enter() {
    this.#show();
  }

  leave() {}

  #show() {
    if (status.now === null) return;
    const {clock} = status.known;
    setText(this.time, new Date(status.now * 1000).toLocaleString('sv'));
    setText(this.state, unreal(clock) || 'It is the time of this machine.');
    setAttribute(this.freeze, 'aria-pressed', String(clock.frozen));
    setText(this.freeze, clock.frozen ? 'Let it go' : 'Freeze');
  }

  async #change(body) {
    try {
      await ask('clock', body);
      setText(
        this.result,
        'advance' in body ? `Advanced by ${lasting(body.advance)}.` : body.frozen ? 'It stands still.' : 'It goes.',
      );
    } catch (error) {
      setText(this.result, error.message);
    }
    await status.refresh();
  }

  async #reset() {
    const sure = await confirm(
      'Reset everything?',
      'All tokens, sockets, messages, events, faults and notes are forgotten. This cannot be undone.',
      'Reset everything',
      {danger: true},
    );
    if (!sure) return;
    try {
      await ask('reset', {});
      setText(this.resetResult, 'Everything is forgotten.');
    } catch (error) {
      setText(this.resetResult, error.message);
    }
    await status.refresh();
  }
}
