/*
 * What happened, live: the messages of the journal and the events of the log as one list.
 *
 * An event about a message names it (`detail.message`), and the two are one entry. The journal keeps fewer messages than
 * the log keeps events: an entry then has no text any more.
 */

import {ask, path} from './api.js';
import {isProblem, kindName} from './format.js';

const PAGE = 200;
const KEPT = 1000;
const MOST_KEPT = 12000;
/** As many messages as the journal has at most. */
const JOURNAL = 1000;
const WAIT = 20;
const PAUSE = 40;
const RETRY = 1000;
const PENDING_FIRST = 120;
const PENDING_LONGEST = 2000;
const PENDING_FOR = 60000;

const sleep = (milliseconds) =>
  new Promise((done) => {
    setTimeout(done, milliseconds);
  });

class Entry {
  constructor(key, time) {
    this.key = key;
    this.time = time;
    this.event = null;
    this.message = null;
    this.number = null;
  }

  get isMessage() {
    return this.number !== null;
  }
  get kind() {
    return this.event ? this.event.kind : this.message.reason ? 'message_dropped' : 'message_sent';
  }
  get clientId() {
    return (this.message || this.event).client_id;
  }
  get problem() {
    return this.message ? Boolean(this.message.reason) || this.message.lost > 0 : isProblem(this.kind);
  }
  get order() {
    return this.event ? this.event.number : Infinity;
  }
  get href() {
    return this.message ? `#/message/${this.number}` : `#/event/${this.event.number}`;
  }
  /** Whether it is `other`, or happened before it. */
  isUpTo(other) {
    return (this.time - other.time || this.order - other.order || this.number - other.number || 0) <= 0;
  }

  get pending() {
    return Boolean(this.message) && this.message.acknowledged + this.message.lost < this.message.delivered_to;
  }

  /** Whether `words`, in lower case, occur in its texts. */
  holds(words) {
    const texts = [
      this.message && this.message.text,
      this.event && this.event.text,
      this.clientId,
      this.message && this.message.reason,
      kindName(this.kind),
      this.kind,
    ];
    return texts.some((text) => text && text.toLowerCase().includes(words));
  }
}

class Feed {
  #listeners = [];
  #entries = new Map();
  #sorted = [];
  #next = 0;
  #lastMessage = 0;
  #events = {cursor: 0, exhausted: false};
  #messages = {cursor: 0, exhausted: false};
  #pending = {timer: 0, pause: PENDING_FIRST, since: 0};
  #loading = null;
  /** While true, nothing that was loaded is forgotten: somebody looks at it. */
  held = false;
  away = false;
  loaded = false;

  /** Call `listener` with the events that are new, each time that something has changed. */
  listen(listener) {
    this.#listeners.push(listener);
  }

  /** The entries, oldest first, without gaps between them. */
  get entries() {
    return this.#sorted;
  }

  get exhausted() {
    return this.#events.exhausted && this.#messages.exhausted;
  }

  /** The entry of that key, or null. */
  entry(key) {
    return this.#entries.get(key) || null;
  }

  /** Keep up with the emulator for as long as the page is open. */
  async run() {
    for (;;) {
      try {
        if (!this.loaded) await this.#load();
        else await this.#follow();
      } catch {
        this.loaded = false;
        this.away = true;
        this.#tell([]);
        await sleep(RETRY);
      }
    }
  }

  async #load() {
    const [events, messages] = await Promise.all([ask(`events?last=${PAGE}`), ask(`messages?last=${PAGE}`)]);
    this.#forget();
    this.#next = events.next;
    this.#lastMessage = messages.newest;
    this.#take(events.events, messages.messages);
    this.#passed(events.events, messages);
    // The events may have been told later than the messages.
    await this.#catchUp(events.events);
    Object.assign(this, {loaded: true, away: false});
    this.#arrange();
    this.#tell([]);
    this.#pending.since = performance.now();
    this.#watchPending();
  }

  async #follow() {
    const answer = await ask(`events?after=${this.#next}&wait=${WAIT}`);
    // Another emulator has taken the place of the former.
    if (answer.next < this.#next) return this.#load();
    this.#next = answer.next;
    if (!answer.events.length) return undefined;
    const reset = answer.events.map((event) => event.kind).lastIndexOf('reset');
    const news = answer.events.slice(Math.max(0, reset));
    if (reset >= 0) {
      this.#forget();
      Object.assign(this.#events, {exhausted: true});
      Object.assign(this.#messages, {exhausted: true});
    }
    await this.#catchUp(news);
    // A socket that ends takes its messages with it, however long ago they were sent.
    if (news.some((event) => event.detail.message || event.kind.startsWith('socket_'))) {
      this.#pending.pause = PENDING_FIRST;
      this.#pending.since = performance.now();
    }
    this.#take(news, []);
    this.#arrange();
    this.#tell(news);
    this.#watchPending();
    return sleep(PAUSE);
  }

  /** Fetch the messages that `events` tell of, but for those that are here. */
  async #catchUp(events) {
    if (!events.some((event) => event.detail.message > this.#lastMessage)) return;
    const {messages, newest} = await ask(path('messages', {after: this.#lastMessage, last: JOURNAL}));
    this.#lastMessage = newest;
    this.#take([], messages);
  }

  /** Load what was before all that is here, `size` of each kind at most. */
  async older(size = PAGE) {
    if (!this.#loading) {
      this.#loading = this.#loadOlder(size).finally(() => {
        this.#loading = null;
      });
    }
    return this.#loading;
  }

  async #loadOlder(size) {
    const before = (what, state, none) =>
      state.exhausted ? none : ask(path(what, {last: size, before: state.cursor}));
    const [events, messages] = await Promise.all([
      before('events', this.#events, {events: []}),
      before('messages', this.#messages, {messages: [], oldest: 0}),
    ]);
    this.#take(events.events, messages.messages);
    this.#passed(events.events, messages, size);
    this.#arrange();
  }

  #take(events, messages) {
    for (const event of events) {
      const number = event.detail.message || null;
      const entry = this.#entryFor(number ? `m${number}` : `e${event.number}`, event.time);
      entry.event = event;
      entry.number = number;
    }
    for (const message of messages) {
      const entry = this.#entryFor(`m${message.number}`, message.time);
      entry.message = message;
      entry.number = message.number;
    }
  }

  #entryFor(key, time) {
    let entry = this.#entries.get(key);
    if (!entry) this.#entries.set(key, (entry = new Entry(key, time)));
    return entry;
  }

  #passed(events, messages, size = PAGE) {
    const state = this.#events;
    if (events.length) state.cursor = events[0].number;
    if (events.length < size || state.cursor <= 1) state.exhausted = true;
    const first = messages.messages[0];
    if (first) this.#messages.cursor = first.number;
    if (!first || first.number <= messages.oldest) this.#messages.exhausted = true;
  }

  /** In order, from the first moment since which nothing is missing. */
  #arrange() {
    let sorted = [...this.#entries.values()].sort(
      (one, other) => one.time - other.time || one.order - other.order || one.number - other.number,
    );
    if (sorted.length > (this.held ? MOST_KEPT : KEPT)) {
      sorted = sorted.slice(-(this.held ? MOST_KEPT : KEPT));
      this.#entries = new Map(sorted.map((entry) => [entry.key, entry]));
      const first = (found) => (found ? found.event.number : this.#next + 1);
      this.#events = {cursor: first(sorted.find((entry) => entry.event)), exhausted: false};
      const message = sorted.find((entry) => entry.message);
      this.#messages = {cursor: message ? message.number : this.#lastMessage + 1, exhausted: false};
    }
    const since = Math.max(
      this.#events.exhausted ? 0 : this.#timeOf((entry) => entry.event && entry.event.number === this.#events.cursor),
      this.#messages.exhausted ? 0 : this.#timeOf((entry) => entry.message && entry.number === this.#messages.cursor),
    );
    this.#sorted = sorted.filter((entry) => entry.time >= since);
  }

  #timeOf(wanted) {
    for (const entry of this.#entries.values()) if (wanted(entry)) return entry.time;
    return 0;
  }

  #forget() {
    this.#entries = new Map();
    this.#sorted = [];
    this.#events = {cursor: 0, exhausted: false};
    this.#messages = {cursor: 0, exhausted: false};
  }

  #tell(news) {
    for (const listener of this.#listeners) listener(news);
  }

  /** No event says that a page has acknowledged a message: for a while after it was sent, ask. */
  #watchPending() {
    const pending = this.#pending;
    if (pending.timer || performance.now() - pending.since > PENDING_FOR) return;
    if (!this.#sorted.slice(-PAGE).some((entry) => entry.pending)) return;
    pending.timer = setTimeout(async () => {
      pending.timer = 0;
      pending.pause = Math.min(2 * pending.pause, PENDING_LONGEST);
      const first = this.#sorted.slice(-PAGE).find((entry) => entry.pending);
      if (!first) return;
      try {
        this.#take([], (await ask(path('messages', {after: first.number - 1, last: PAGE}))).messages);
        this.#tell([]);
      } catch {
        // The loop above notices, too, and says so.
      }
      this.#watchPending();
    }, pending.pause);
  }
}

export const feed = new Feed();
