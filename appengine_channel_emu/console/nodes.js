/* The emulators that are one service on a Redis: what each serves, and which of them this page is of. */

import {ask} from './api.js';
import {fill, h, setAttribute, setText} from './dom.js';
import {bytes, counted, roughly} from './format.js';
import {status} from './status.js';

/** Seconds without a heartbeat after which a node is late; it has one each second. */
const LATE = 3;

export class NodeList {
  constructor() {
    this.redis = h('p', {class: 'quiet'});
    this.list = h('ul', {'aria-label': 'Emulators of this service'});
    this.element = h('div', {class: 'nodes', hidden: true}, this.list, this.redis);
  }

  /** Ask again, where this emulator is one of several. */
  async refresh() {
    const shared = Boolean(status.known && status.known.node);
    if (!shared) {
      this.element.hidden = true;
      return;
    }
    try {
      this.#update(await ask('cluster'));
    } catch (error) {
      // Of this emulator the feed says that it is away.
      setText(this.redis, error.message);
      setAttribute(this.redis, 'class', 'is-problem');
    }
    this.element.hidden = false;
  }

  #update({nodes, redis}) {
    fill(
      this.list,
      nodes,
      (node) => node.id,
      (node) => h('li', {}, h('strong', {text: node.name}), h('span', {class: 'quiet'})),
      (item, node) => {
        const late = node.heard > LATE;
        setAttribute(item, 'title', node.address);
        setAttribute(item, 'class', late ? 'is-problem' : node.self ? 'is-self' : null);
        setText(item.lastElementChild, late ? `not heard of for ${roughly(node.heard)}` : served(node));
      },
    );
    setAttribute(this.redis, 'class', 'quiet');
    setText(this.redis, `${counted(nodes.length, 'node')} on Redis ${redis.version}, ${bytes(redis.memory)}`);
  }
}

function served({sockets, self}) {
  const texts = [
    sockets.stream && counted(sockets.stream, 'WebSocket'),
    sockets.poll && counted(sockets.poll, 'poll'),
    sockets.none && `${sockets.none} between polls`,
  ].filter(Boolean);
  return `${texts.join(', ') || 'no sockets'}${self ? ', this one' : ''}`;
}
