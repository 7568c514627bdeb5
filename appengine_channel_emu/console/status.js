/* What the emulator says of itself: its version, its app, its clock, how many channels and sockets it has. */

import {ask} from './api.js';
import {feed} from './feed.js';

const EVERY = 5000;
const AT_MOST_EVERY = 700;

class Status {
  #listeners = [];
  #timer = 0;
  #asking = false;
  #again = false;
  #at = 0;
  /** The last answer of /_emu/status, or null. */
  known = null;

  /** Call `listener` with each answer, the last one at once. */
  listen(listener) {
    this.#listeners.push(listener);
    if (this.known) listener(this.known);
  }

  /** The emulator's time now, in seconds, or null. */
  get now() {
    if (!this.known) return null;
    const {now, frozen} = this.known.clock;
    return frozen ? now : now + (performance.now() - this.#at) / 1000;
  }

  start() {
    feed.listen((news) => {
      if (news.length || !this.known) this.#soon();
    });
    setInterval(() => {
      if (!document.hidden) this.refresh();
    }, EVERY);
    this.refresh();
  }

  #soon() {
    if (!this.#timer && !document.hidden) {
      this.#timer = setTimeout(() => {
        this.#timer = 0;
        this.refresh();
      }, AT_MOST_EVERY);
    }
  }

  /** Ask anew, and tell those who listen. */
  async refresh() {
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.known = await ask('status');
      this.#at = performance.now();
      for (const listener of this.#listeners) listener(this.known);
    } catch {
      // The feed notices, too, and says so.
    } finally {
      this.#asking = false;
    }
    if (this.#again) await this.refresh();
  }
}

export const status = new Status();
