/* What is new while nobody looks at this tab: a number in its title, a dot on its icon. */

import {feed} from './feed.js';

const ICON =
  '<path d="M3 10a7 7 0 0 1 7-7h12a7 7 0 0 1 7 7v6a7 7 0 0 1-7 7H13l-7 6v-6.6A7 7 0 0 1 3 16z" fill="#3d5bd9"/>' +
  '<path d="M10 13h12M13 18h6M13 8h6" stroke="#fff" stroke-width="2.4" stroke-linecap="round"/>';
const DOT = '<circle cx="24" cy="24" r="8" fill="#d93025" stroke="#fff" stroke-width="2"/>';

const link = () => document.querySelector('link[rel="icon"]');
let name = '';
let unseen = 0;

function show() {
  document.title = `${unseen ? `(${unseen > 999 ? '999+' : unseen}) ` : ''}${name ? `${name} · ` : ''}channel-emu`;
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${ICON}${unseen ? DOT : ''}</svg>`;
  const address = `data:image/svg+xml,${encodeURIComponent(picture)}`;
  if (link().getAttribute('href') !== address) link().setAttribute('href', address);
}

/** The title of the view that is shown. */
export function setTitle(title) {
  name = title;
  show();
}

export function startAttention() {
  feed.listen((news) => {
    if (!document.hidden || !news.length) return;
    unseen += news.length;
    show();
  });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    unseen = 0;
    show();
  });
  show();
}
