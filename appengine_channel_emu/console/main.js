/* The console: what a running emulator knows, and what can be done to it, over its admin API (openapi.json). */

import {setTitle, startAttention} from './attention.js';
import {isTyping, setAttribute, setText} from './dom.js';
import {feed} from './feed.js';
import {counted, shownId} from './format.js';
import {ownPage} from './own_page.js';
import {status} from './status.js';
import {ApiView} from './view_api.js';
import {ClientsView} from './view_clients.js';
import {ClockView, unreal} from './view_clock.js';
import {FaultsView} from './view_faults.js';
import {HelpView} from './view_help.js';
import {MessagesView} from './view_messages.js';
import {ProductionView, RequestsView} from './view_reports.js';
import {SendView} from './view_send.js';

const VIEWS = {
  messages: MessagesView,
  message: MessagesView,
  event: MessagesView,
  clients: ClientsView,
  client: ClientsView,
  send: SendView,
  clock: ClockView,
  faults: FaultsView,
  requests: RequestsView,
  production: ProductionView,
  api: ApiView,
  help: HelpView,
};

const by = (id) => document.getElementById(id);
const made = new Map();
let shown = null;
/** The emulator's version when this page was loaded. */
let loadedVersion = null;

function routeOf(hash) {
  const [, name, argument = ''] = /^#\/([a-z]+)(?:\/(.*))?$/s.exec(hash) || [null, 'messages'];
  if (!Object.hasOwn(VIEWS, name)) return {name: 'messages', argument: ''};
  try {
    return {name, argument: decodeURIComponent(argument)};
  } catch {
    return {name, argument};
  }
}

function viewOf(name) {
  const kind = VIEWS[name];
  if (!made.has(kind)) {
    const view = new kind(show);
    view.element.hidden = true;
    by('main').append(view.element);
    made.set(kind, view);
  }
  return made.get(kind);
}

function show(hash) {
  if (location.hash === hash) route();
  else location.hash = hash;
}

function route() {
  const asked = routeOf(location.hash);
  const view = viewOf(asked.name);
  const before = shown;
  shown = view;
  if (before && before !== view) {
    before.element.hidden = true;
    before.leave();
  }
  view.element.hidden = false;
  for (const link of document.querySelectorAll('[data-tab]'))
    setAttribute(link, 'aria-current', link.dataset.tab === view.tab ? 'page' : null);
  view.enter(asked);
  setTitle(view.title(asked));
  // Another view is another page to who only hears it.
  if (before && before !== view) {
    by('main').focus({preventScroll: true});
    window.scrollTo(0, 0);
  }
}

/** Of a path its end, which tells apps apart. */
function shortName(name) {
  return name.startsWith('/') ? name.split('/').slice(-2).join('/') : name || 'the app';
}

function showStatus(known) {
  const {app, version, url, clock} = known;
  const about = app && [app.name, app.kind, app.python && `Python ${app.python}`].filter(Boolean).join(', ');
  const sockets = Object.values(known.sockets).reduce((sum, each) => sum + each, 0);
  setText(by('app'), app ? `${shortName(app.name)} ↗` : 'no app');
  setAttribute(by('app'), 'href', app ? '/' : null);
  setAttribute(by('app'), 'title', app ? `Open the app: ${about}` : 'No app runs behind this emulator');
  setText(by('counts'), `${counted(known.channels, 'channel')} · ${counted(sockets, 'socket')}`);
  setText(by('version'), version);
  loadedVersion ??= version;
  by('other-version').hidden = version === loadedVersion;
  if (version !== loadedVersion)
    setText(by('other-version'), `This emulator is ${version}, and this page is of ${loadedVersion}. Load it again.`);
  setText(by('address'), url || '');
  const text = unreal(clock);
  by('unreal').hidden = !text;
  setText(by('unreal-text'), text);
}

function showAway() {
  by('away').hidden = !feed.away;
  setText(by('live'), feed.away ? 'away' : 'live');
  by('live').classList.toggle('is-away', feed.away);
}

function showOwnPage() {
  by('own').hidden = !ownPage.isOpen;
  setText(by('own-text'), ownPage.isOpen ? `Your page: ${shownId(ownPage.clientId)}` : '');
  setAttribute(by('own'), 'title', ownPage.clientId);
}

document.addEventListener('keydown', (event) => {
  if (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    document.querySelector('dialog[open]')
  )
    return;
  if (event.key === '?' && !isTyping(event.target)) show('#/help');
  else if (!shown.onKey || !shown.onKey(event)) return;
  event.preventDefault();
});
by('skip').addEventListener('click', (event) => {
  event.preventDefault();
  by('main').focus();
});
window.addEventListener('hashchange', route);
feed.listen(showAway);
status.listen(showStatus);
ownPage.listen(showOwnPage);
feed.run();
startAttention();
route();
status.start();
