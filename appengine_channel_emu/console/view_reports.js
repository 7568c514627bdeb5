/* Two reports: the price of requests that are held, and what production would have done otherwise. */

import {ask} from './api.js';
import {empty, fill, h, setText} from './dom.js';
import {feed} from './feed.js';

const SHOWN = 100;
const EVERY = 2000;

class Report {
  constructor() {
    feed.listen((news) => {
      if (news.length) this.#soon();
    });
    setInterval(() => this.#soon(), EVERY);
  }

  #timer = 0;

  #soon() {
    if (this.#timer || this.element.hidden || document.hidden) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.refresh();
    }, EVERY / 4);
  }

  enter() {
    return this.refresh();
  }

  leave() {}

  async refresh() {
    try {
      await this.load();
    } catch {
      // The feed notices, too, and says so.
    }
  }
}

export class RequestsView extends Report {
  tab = 'requests';

  constructor() {
    super();
    this.rows = h('tbody', {id: 'request-rows'});
    this.table = h(
      'table',
      {class: 'wide-table'},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['Path', 'Requests', 'Time held', 'CPU', 'Cut'].map((text, place) =>
            h('th', {scope: 'col', class: place ? 'number' : null, text}),
          ),
        ),
      ),
      this.rows,
    );
    this.none = empty(
      'No request of your app yet',
      'Visit your app: for each path, this shows for how long its requests were held, and what they used of the CPU.',
    );
    this.more = h('p', {class: 'quiet'});
    this.element = h(
      'section',
      {class: 'page', 'aria-label': 'Requests'},
      h('h1', {text: 'The price of held requests'}),
      h('p', {
        class: 'lead',
        text: 'A request that waits for news holds a thread, and its instance, for all that time. App Engine cut it at 30 seconds. A channel waits without one.',
      }),
      h('div', {class: 'card'}, this.table, this.none, this.more),
    );
  }

  title() {
    return 'Requests';
  }

  async load() {
    const {accounts} = await ask('accounts');
    const most = Math.max(0.001, ...accounts.map((account) => account.held_seconds));
    this.table.hidden = !accounts.length;
    this.none.hidden = accounts.length > 0;
    setText(
      this.more,
      accounts.length > SHOWN
        ? `The ${SHOWN} with the most time held, of ${accounts.length.toLocaleString('en')} paths.`
        : '',
    );
    fill(
      this.rows,
      accounts.slice(0, SHOWN),
      (account) => account.path,
      (account) =>
        h(
          'tr',
          {},
          h('th', {scope: 'row', class: 'wrap mono', text: account.path}),
          h('td', {class: 'number', 'data-label': 'Requests'}),
          h('td', {class: 'number bar', 'data-label': 'Time held'}),
          h('td', {class: 'number', 'data-label': 'CPU'}),
          h('td', {class: 'number', 'data-label': 'Cut'}),
        ),
      (row, account) => {
        const [, requests, held, cpu, cut] = row.children;
        setText(requests, account.requests.toLocaleString('en'));
        setText(held, `${account.held_seconds.toFixed(2)} s`);
        held.style.setProperty('--share', `${(100 * account.held_seconds) / most}%`);
        setText(cpu, `${account.cpu_seconds.toFixed(2)} s`);
        setText(cut, String(account.cut));
        cut.classList.toggle('is-problem', account.cut > 0);
      },
    );
  }
}

export class ProductionView extends Report {
  tab = 'production';

  constructor() {
    super();
    this.list = h('div', {class: 'notes', id: 'note-list'});
    this.none = empty(
      'Nothing so far that would have differed on App Engine',
      'Use your app. Each thing that it relies on and that App Engine did otherwise is told here once, with a cure.',
    );
    this.element = h(
      'section',
      {class: 'page narrow', 'aria-label': 'Production'},
      h('h1', {text: 'What production would have done'}),
      h('p', {class: 'lead', text: 'What your app did in this run, and what App Engine would have made of it.'}),
      this.none,
      this.list,
    );
  }

  title() {
    return 'Production';
  }

  async load() {
    const {notes} = await ask('notes');
    this.none.hidden = notes.length > 0;
    fill(
      this.list,
      notes,
      (note) => note.name,
      (note) =>
        h(
          'article',
          {class: 'card'},
          h('h2', {text: note.text}),
          h('p', {text: note.cure}),
          h('p', {class: 'quiet small', text: `Source: ${note.source}`}),
        ),
    );
  }
}
