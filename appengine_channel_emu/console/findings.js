/* What the emulator's own explanation says, and what else pages of details share. */

import {button, h} from './dom.js';
import {copy} from './api.js';
import {clockTime, shownId} from './format.js';

/** A list of findings (`/_emu/explain`), the likeliest first; null where there are none. */
export function findingList(findings) {
  if (!findings.length) return null;
  return h(
    'ul',
    {class: 'findings'},
    ...findings.map((finding) =>
      h(
        'li',
        {},
        h(
          'p',
          {},
          finding.text,
          finding.time !== null ? h('time', {class: 'quiet', text: ` ${clockTime(finding.time)}`}) : null,
        ),
        finding.advice && h('p', {class: 'advice', text: finding.advice}),
      ),
    ),
  );
}

/** A heading and what is under it; null where that is nothing. */
export function part(title, ...children) {
  const there = children.filter(Boolean);
  return there.length ? h('section', {class: 'part'}, h('h3', {text: title}), ...there) : null;
}

/** Pairs of name and value; those without a value are left out. */
export function facts(pairs) {
  return h(
    'dl',
    {class: 'facts'},
    ...pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== '')
      .map(([term, value]) => h('div', {}, h('dt', {text: term}), h('dd', {}, value))),
  );
}

/** A button that copies what `text` gives, and says so for a moment. */
export function copyButton(label, text) {
  const made = button(label, async () => {
    const done = await copy(text());
    made.textContent = done ? 'Copied' : 'Not allowed';
    setTimeout(() => {
      made.textContent = label;
    }, 1500);
  });
  return made;
}

/** A link to all about a client id. */
export function clientLink(clientId) {
  return h('a', {
    class: 'name mono',
    href: clientHref(clientId),
    title: clientId,
    text: shownId(clientId),
  });
}

/** The address of all about a client id. */
export function clientHref(clientId) {
  return `#/client/${encodeURIComponent(clientId)}`;
}
