/* Messages and events, live, newest first; each opens whole beside the list. */

import {feed} from './feed.js';
import {Detail} from './detail.js';
import {button, empty, fill, form, h, isTyping, setAttribute, setText} from './dom.js';
import {Filter} from './filter.js';
import {makeRow, updateRow} from './row.js';

const SHOWN = 200;
const SEARCH_PAGE = 1000;
const TOLD_EVERY = 15000;

export class MessagesView {
  tab = 'messages';
  #offset = 0;
  /** While the list is paused, the last entry that it shows. */
  #frozen = null;
  /** The same while older pages are looked at: they stand still. */
  #pinned = null;
  #fresh = 0;
  #searching = null;
  #told = {at: 0, count: 0};
  #drawing = false;
  #shown = [];

  constructor(show) {
    this.show = show;
    this.detail = new Detail();
    this.#build();
    feed.listen((news) => this.#hear(news));
  }

  title(route) {
    if (route.name === 'messages') return 'Messages';
    return `${route.name === 'message' ? 'Message' : 'Event'} ${route.argument}`;
  }

  #build() {
    this.filter = new Filter(() => this.#search());
    this.pause = button('Pause', () => this.#togglePause(), {title: 'Pause the list (p)'});
    this.pause.setAttribute('aria-pressed', 'false');
    this.found = h('p', {class: 'found'});
    this.rows = h('ol', {
      class: 'rows',
      id: 'rows',
      'aria-label': 'Messages and events, newest first',
      on: {keydown: (event) => this.#onListKey(event)},
    });
    this.none = h('div', {hidden: true});
    this.older = button('Older', () => this.#page(1));
    this.newer = button('Newer', () => this.#page(-1));
    this.newest = button('Newest', () => this.#goToNewest());
    this.pages = h('div', {class: 'pages'}, this.newest, this.newer, this.older);
    this.spoken = h('p', {class: 'unseen', role: 'status'});
    this.element = h(
      'section',
      {class: 'split', 'aria-label': 'Messages and events'},
      h('h1', {class: 'unseen', text: 'Messages and events'}),
      h(
        'div',
        {class: 'pane list'},
        form(
          {class: 'toolbar', role: 'search', 'aria-label': 'Messages and events'},
          () => this.#search(),
          ...this.filter.elements,
          this.pause,
        ),
        h('div', {class: 'scroll'}, this.rows, this.none, h('div', {class: 'list-foot'}, this.found, this.pages)),
        this.spoken,
      ),
      this.detail.element,
    );
  }

  enter(route) {
    const opened = route.name !== 'messages';
    const before = this.opened;
    const wasThere = this.detail.element.contains(document.activeElement);
    this.element.classList.toggle('has-detail', opened);
    this.opened = opened ? `${route.name === 'message' ? 'm' : 'e'}${route.argument}` : null;
    if (opened) this.detail.show(route);
    else this.detail.hide();
    this.#drawNow();
    // What is hidden now cannot keep the keyboard's focus.
    if (opened && this.rows.offsetParent === null) this.detail.element.focus();
    else if (!opened && before && wasThere)
      this.#focusRow(this.rows.querySelector(`[data-key="${CSS.escape(before)}"]`));
  }

  leave() {
    this.detail.hide();
  }

  #hear(news) {
    this.#fresh += news.length;
    this.#draw();
    if (news.length) this.#speak(news);
  }

  /** Now and then, in a sentence: a screen reader is not to read a busy app's every message. */
  #speak(news) {
    const told = this.#told;
    told.count += news.length;
    if (this.element.hidden || this.#frozen || performance.now() - told.at < TOLD_EVERY) return;
    setText(this.spoken, `${told.count} new`);
    Object.assign(told, {at: performance.now(), count: 0});
  }

  #matching() {
    const last = this.#frozen || this.#pinned;
    return this.filter.of(last ? feed.entries.filter((entry) => entry.isUpTo(last)) : feed.entries);
  }

  /** What is searched for may be older than what is here: load until a page is full. */
  async #search() {
    const search = {};
    this.#searching = search;
    this.#leaveOlder();
    this.#draw();
    await this.#loadEnough(search);
    if (this.#searching !== search) return;
    this.#searching = null;
    this.#draw();
    if (this.filter.isSet) setText(this.spoken, `${this.#matching().length} found`);
  }

  async #loadEnough(search = null) {
    while (
      (this.filter.isSet || this.#offset > 0) &&
      !feed.exhausted &&
      this.#matching().length < this.#offset + SHOWN &&
      (!search || this.#searching === search)
    ) {
      feed.held = true;
      try {
        await feed.older(SEARCH_PAGE);
      } catch {
        break;
      }
    }
    feed.held = this.#isHolding;
  }

  get #isHolding() {
    return this.filter.isSet || this.#offset > 0 || this.#frozen !== null;
  }

  async #page(by) {
    if (this.#offset === 0) this.#pinned = feed.entries.at(-1);
    this.#offset = Math.max(0, this.#offset + by * SHOWN);
    if (this.#offset === 0) this.#leaveOlder();
    await this.#loadEnough();
    this.#turnTo();
  }

  #leaveOlder() {
    this.#offset = 0;
    this.#pinned = null;
    feed.held = this.#isHolding;
  }

  #goToNewest() {
    this.#leaveOlder();
    this.#turnTo();
  }

  #turnTo() {
    this.#drawNow();
    this.rows.parentElement.scrollTop = 0;
    this.#focusRow(this.rows.firstElementChild);
  }

  #togglePause() {
    this.#frozen = this.#frozen ? null : feed.entries.at(-1) || null;
    this.#fresh = 0;
    feed.held = this.#isHolding;
    setAttribute(this.pause, 'aria-pressed', String(Boolean(this.#frozen)));
    setText(this.pause, this.#frozen ? 'Go on' : 'Pause');
    this.#draw();
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    // A hidden tab gets no frames, and needs none.
    const draw = () => {
      this.#drawing = false;
      if (!this.element.hidden) this.#drawNow();
    };
    if (document.hidden) setTimeout(draw, 1000);
    else requestAnimationFrame(draw);
  }

  #drawNow() {
    const matching = this.#matching();
    const end = matching.length - this.#offset;
    this.#shown = matching.slice(Math.max(0, end - SHOWN), Math.max(0, end)).reverse();
    fill(
      this.rows,
      this.#shown,
      (entry) => entry.key,
      makeRow,
      (row, entry) => updateRow(row, entry, entry.key === this.opened),
    );
    if (!this.rows.querySelector('a[tabindex="0"]') && this.rows.firstElementChild)
      this.#makeReachable(this.rows.firstElementChild);
    this.#drawFoot(matching);
  }

  #drawFoot(matching) {
    const count = this.#shown.length;
    const more = !feed.exhausted || matching.length > this.#offset + SHOWN;
    let text = '';
    if (this.#frozen) text = `Paused${this.#fresh ? `: ${this.#fresh} new` : ''}. `;
    if (this.#searching) text += 'Searching what is older…';
    else if (this.filter.isSet)
      text += `${matching.length.toLocaleString('en')} found${feed.exhausted ? '' : ' so far'}`;
    else if (count)
      text += this.#offset ? `${this.#offset + 1} to ${this.#offset + count}, newest first` : `the newest ${count}`;
    setText(this.found, text);
    for (const each of [this.newest, this.newer]) each.hidden = this.#offset === 0;
    this.older.hidden = !more || (!count && !this.filter.isSet);
    // That the emulator has started, or was reset, is no beginning yet.
    const begun = this.filter.isSet ? count > 0 : this.#shown.some((entry) => entry.clientId !== null);
    this.none.hidden = begun || Boolean(this.#searching) || !feed.loaded;
    if (!this.none.hidden) this.#drawNone();
  }

  #drawNone() {
    const why = this.filter.isSet ? 'filtered' : 'nothing';
    // Drawn once: somebody may be on its button.
    if (this.none.dataset.why === why) return;
    this.none.dataset.why = why;
    this.none.replaceChildren(
      this.filter.isSet
        ? empty(
            'Nothing matches',
            'Upper and lower case mean the same here. What is searched are texts, reasons and client ids, as far back as they are kept.',
            button('Clear the search', () => this.filter.clear()),
          )
        : empty(
            'No message yet',
            'Make a channel and say hello: open a page of your own and send it a message.',
            h('p', {}, h('a', {class: 'button primary', href: '#/send', text: 'Make a channel and say hello'})),
            'Or use your app: what it sends with send_message is here at once.',
          ),
    );
  }

  // By keyboard

  #makeReachable(item) {
    for (const link of this.rows.querySelectorAll('a[tabindex="0"]')) link.tabIndex = -1;
    item.firstElementChild.tabIndex = 0;
  }

  #focusRow(item) {
    if (!item) return;
    this.#makeReachable(item);
    item.firstElementChild.focus();
    if (this.opened && this.opened !== item.dataset.key) location.replace(item.firstElementChild.getAttribute('href'));
  }

  #move(by) {
    const focused = document.activeElement && document.activeElement.closest('.rows > li');
    const current = focused || this.rows.querySelector('[aria-current="true"]')?.parentElement;
    const items = [...this.rows.children];
    const index = current ? items.indexOf(current) + by : 0;
    this.#focusRow(items[Math.min(Math.max(index, 0), items.length - 1)]);
  }

  #onListKey(event) {
    const ends = {Home: this.rows.firstElementChild, End: this.rows.lastElementChild};
    if (event.key in ends) this.#focusRow(ends[event.key]);
    else if (event.key === 'ArrowDown') this.#move(1);
    else if (event.key === 'ArrowUp') this.#move(-1);
    else return;
    event.preventDefault();
  }

  /** A key that was pressed anywhere on this view; whether it meant something. */
  onKey(event) {
    if (event.key === 'Escape') return this.#escape();
    if (isTyping(event.target)) return false;
    const actions = {
      '/': () => this.filter.words.focus(),
      j: () => this.#move(1),
      k: () => this.#move(-1),
      p: () => this.#togglePause(),
    };
    if (!actions[event.key]) return false;
    actions[event.key]();
    return true;
  }

  #escape() {
    if (this.filter.clearFocused()) return true;
    if (!this.opened) return false;
    // So that the list has the focus again.
    if (document.activeElement === document.body) this.detail.element.focus();
    this.show('#/messages');
    return true;
  }
}
