/* Asking the admin API (openapi.json). */

import {shellWord, shownId, visibleJson} from './format.js';

/** Milliseconds after which no answer is one: longer than any question waits. */
const LONGEST = 40000;

/** A refusal, with what the emulator said and its status. */
export class Refused extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

/** The JSON that `path`, below /_emu/, answers. Throws `Refused`, or what fetch throws where nobody answers. */
export async function ask(path, body = undefined, method = body === undefined ? 'GET' : 'POST') {
  const options = {method, cache: 'no-store'};
  // Else a page whose emulator hangs, or whose network has gone, would look live for ever.
  if (method === 'GET') options.signal = AbortSignal.timeout(LONGEST);
  if (body !== undefined) {
    options.headers = {'Content-Type': 'application/json'};
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const text = await answer.text();
  if (!answer.ok) throw new Refused(text.startsWith('{') ? JSON.parse(text).error.text : text.trim(), answer.status);
  return JSON.parse(text);
}

/** A path with parameters; those that are null are left out. An empty client id is one, too. */
export function path(base, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `${base}?${new URLSearchParams(given)}` : base;
}

/** A command that asks the same. */
export function curl(path, body = undefined, method = null) {
  const words = ['curl', '-s', shellWord(new URL(path, document.baseURI).href)];
  if (method) words.push('-X', method);
  if (body !== undefined)
    words.push('-H', shellWord('Content-Type: application/json'), '-d', shellWord(visibleJson(body)));
  return words.join(' ');
}

/** Send a message; what became of it in words, and its number where it is known. */
export async function sendMessage(clientId, message) {
  const sent = await ask('messages', {client_id: clientId, message});
  const {messages} = await ask(path('messages', {last: 1, client_id: clientId}));
  const number = messages.length ? messages[0].number : null;
  return {
    number,
    dropped: Boolean(sent.reason),
    text: sent.reason
      ? `Dropped. ${sent.reason}${sent.near ? ` Near: ${sent.near.map(shownId).join(', ')}` : ''}`
      : `Sent to ${sent.delivered_to} ${sent.delivered_to === 1 ? 'socket' : 'sockets'}.`,
  };
}

/** Put text on the clipboard; whether that worked. */
export async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed here: the older way may be.
    }
  }
  const [area, before] = [document.createElement('textarea'), document.activeElement];
  area.value = text;
  area.className = 'unseen';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  before?.focus();
  return done;
}
