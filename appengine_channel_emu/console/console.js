/* The console: what a running emulator knows, and what can be done to it, over its admin API (openapi.json). */
(() => {
  'use strict';

  const SHOWN = 100;
  const EVENTS_KEPT = 200;
  const PAUSE = 300;
  const RETRY = 1000;
  const WAIT = 20;

  const by = (id) => document.getElementById(id);
  const state = {events: [], after: 0, now: 0, at: 0, frozen: false, search: 0};

  async function ask(path, method = 'GET', body = undefined) {
    const options = {method, cache: 'no-store'};
    if (body !== undefined) {
      options.headers = {'Content-Type': 'application/json'};
      options.body = JSON.stringify(body);
    }
    const answer = await fetch(path, options);
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.startsWith('{') ? JSON.parse(text).error.text : text.trim());
    return JSON.parse(text);
  }

  // Rows are kept and changed in place, so that the keyboard's focus stays where it is.
  function fill(body, items, key, make, update) {
    const old = new Map([...body.children].map((row) => [row.dataset.key, row]));
    let place = body.firstElementChild;
    for (const item of items) {
      const id = String(key(item));
      let row = old.get(id);
      if (!row) {
        row = document.createElement('tr');
        row.dataset.key = id;
        make(row, item);
      }
      old.delete(id);
      if (row === place) place = place.nextElementSibling;
      else body.insertBefore(row, place);
      update(row, item);
    }
    for (const row of old.values()) row.remove();
  }

  function cell(row, name, text, kind = 'td') {
    let found = row.querySelector(`[data-name="${name}"]`);
    if (!found) {
      found = document.createElement(kind);
      found.dataset.name = name;
      row.append(found);
    }
    if (found.textContent !== text) found.textContent = text;
    return found;
  }

  function button(text, label, action) {
    const made = document.createElement('button');
    made.type = 'button';
    made.textContent = text;
    made.setAttribute('aria-label', label);
    made.addEventListener('click', action);
    return made;
  }

  function now() {
    return state.frozen ? state.now : state.now + (performance.now() - state.at) / 1000;
  }

  function lasting(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 120) return `${whole} s`;
    if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  }

  function counted(number, what) {
    return `${number} ${what}${number === 1 ? '' : 's'}`;
  }

  function moment(seconds) {
    return new Date(seconds * 1000).toLocaleTimeString([], {hour12: false});
  }

  function showClock(clock) {
    Object.assign(state, {now: clock.now, at: performance.now(), frozen: clock.frozen});
    const freeze = by('freeze');
    freeze.setAttribute('aria-pressed', String(clock.frozen));
    const unreal = [];
    if (clock.advanced) unreal.push(`it was advanced by ${lasting(clock.advanced)}`);
    if (clock.frozen) unreal.push('it stands still');
    by('unreal').hidden = !unreal.length;
    by('unreal').textContent = unreal.length ? `The time of this emulator is not real: ${unreal.join(', and ')}.` : '';
  }

  function socketRows(channel) {
    if (!channel.sockets_shown.length) return [{key: `channel ${channel.client_id}`, channel, socket: null}];
    return channel.sockets_shown.map((socket) => ({key: `socket ${socket.id}`, channel, socket}));
  }

  function makeSocketRow(row, {channel, socket}) {
    cell(row, 'id', channel.client_id, 'th').scope = 'row';
    row.firstChild.className = 'id';
    for (const name of ['state', 'since', 'expires', 'unread', 'last', 'transport', 'told']) cell(row, name, '');
    const actions = cell(row, 'actions', '');
    actions.className = 'do';
    if (!socket) return;
    const act = (action) => attempt(by('send-result'), () => ask('sockets', 'POST', {action, socket: socket.id}));
    for (const [text, action] of [['Close', 'close'], ['Cut', 'cut'], ['Expire', 'expire']]) {
      actions.append(button(text, `${text} a socket of ${channel.client_id}`, () => act(action)));
    }
  }

  function transport(socket) {
    if (socket.wire === 'dev') return 'SDK\'s wire';
    // A page that asks at intervals is seen between two of them.
    return {stream: 'WebSocket', poll: 'long poll'}[socket.transport] || (socket.state === 'attached' ? 'short or none' : 'none');
  }

  function updateSocketRow(row, {channel, socket}) {
    cell(row, 'state', socket ? socket.state : `none (${counted(channel.tokens, 'token')})`);
    cell(row, 'since', socket ? lasting(now() - socket.since) : '');
    cell(row, 'expires', socket ? lasting(socket.expires - now()) : '');
    cell(row, 'unread', socket ? `${socket.unread} (${socket.unread_bytes} B)` : '');
    cell(row, 'last', channel.last_message_at ? `${lasting(now() - channel.last_message_at)} ago` : '');
    cell(row, 'transport', socket ? transport(socket) : '');
    cell(row, 'told', channel.told ? 'connected' : '');
  }

  function showChannels() {
    const list = state.channels;
    if (!list) return;
    fill(by('channel-rows'), list.channels.flatMap(socketRows), (item) => item.key, makeSocketRow, updateSocketRow);
    by('no-channels').hidden = list.channels.length > 0;
    by('summary').textContent = `${counted(list.sockets, 'open socket')}, ${counted(list.total, 'channel')}`;
    const shown = list.channels.length;
    by('found').textContent = shown < list.matching ? `the first ${shown} of ${list.matching}` : `${list.matching} found`;
  }

  function showEvents() {
    const wanted = by('event-filter').value;
    const newest = state.events.filter((event) => event.kind.startsWith(wanted)).slice(-EVENTS_KEPT).reverse();
    fill(by('event-rows'), newest, (event) => event.number, (row, event) => {
      cell(row, 'time', moment(event.time));
      cell(row, 'kind', event.kind.replaceAll('_', ' '));
      cell(row, 'id', event.client_id === null ? '' : event.client_id).className = 'id';
      cell(row, 'text', event.text).className = 'text';
      if (event.kind === 'message_dropped' || event.kind.endsWith('failed')) row.className = 'dropped';
    }, () => {});
    const presence = state.presence.slice().reverse();
    fill(by('presence-rows'), presence, (event) => event.number, (row, event) => {
      cell(row, 'time', moment(event.time));
      cell(row, 'id', event.client_id).className = 'id';
      cell(row, 'told', event.detail.presence);
      cell(row, 'status', event.detail.status === null ? event.text : String(event.detail.status));
    }, () => {});
  }

  function showRequests(accounts) {
    const most = Math.max(0.001, ...accounts.map((account) => account.held_seconds));
    fill(by('request-rows'), accounts.slice(0, SHOWN), (account) => account.path, () => {}, (row, account) => {
      cell(row, 'path', account.path, 'th').scope = 'row';
      row.firstChild.className = 'id';
      cell(row, 'requests', String(account.requests));
      const held = cell(row, 'held', `${account.held_seconds.toFixed(2)} s`);
      held.className = 'bar';
      held.style.setProperty('--share', `${100 * account.held_seconds / most}%`);
      cell(row, 'cpu', `${account.cpu_seconds.toFixed(2)} s`);
      cell(row, 'cut', String(account.cut));
    });
  }

  function described(fault) {
    const words = [fault.stage, fault.action];
    if (fault.action === 'delay') words.push(`${fault.seconds} s`);
    if (fault.action === 'error') words.push(fault.error);
    if (fault.probability < 1) words.push(`with probability ${fault.probability}`);
    if (fault.client_id !== null) words.push(`for ${fault.client_id}`);
    if (fault.path !== null) words.push(`at ${fault.path}`);
    return words.join(' ');
  }

  function showFaults(faults) {
    fill(by('fault-rows'), faults, (fault) => fault.number, (row, fault) => {
      cell(row, 'fault', described(fault), 'th').scope = 'row';
      cell(row, 'happened', '');
      cell(row, 'left', '');
      const remove = () => attempt(by('fault-result'), () => ask(`faults?number=${fault.number}`, 'DELETE'));
      cell(row, 'do', '').append(button('Remove', `Remove fault ${described(fault)}`, remove));
    }, (row, fault) => {
      cell(row, 'happened', String(fault.happened));
      cell(row, 'left', fault.count === null ? 'always' : String(fault.count));
    });
  }

  function showNotes(notes) {
    by('no-notes').hidden = notes.length > 0;
    const list = by('note-list');
    if (list.childElementCount === notes.length * 3) return;
    list.replaceChildren(...notes.flatMap((note) => [['dt', note.text], ['dd', note.cure], ['dd', `Source: ${note.source}`]]
      .map(([kind, text]) => Object.assign(document.createElement(kind), {textContent: text}))));
  }

  // A field that a fault of this stage and action cannot have is not there to be filled in.
  function showFaultForm() {
    const action = by('fault-action').value;
    const atApp = by('fault-stage').value === 'app';
    const has = {seconds: action === 'delay', error: action === 'error', client: !atApp, path: atApp};
    for (const [name, wanted] of Object.entries(has)) {
      by(`fault-${name}`).disabled = !wanted;
      by(`fault-${name}`).parentElement.hidden = !wanted;
    }
  }

  function given(name) {
    const field = by(`fault-${name}`);
    return (!field.disabled && field.value) || null;
  }

  async function refreshChannels() {
    const asked = ++state.search;
    const list = await ask(`channels?limit=${SHOWN}&search=${encodeURIComponent(by('search').value)}`);
    if (asked !== state.search) return;
    state.channels = list;
    showChannels();
  }

  async function refresh() {
    const [clock, accounts, faults, notes] = await Promise.all([ask('clock'), ask('accounts'), ask('faults'), ask('notes')]);
    showClock(clock);
    await refreshChannels();
    showRequests(accounts.accounts);
    showFaults(faults.faults);
    showNotes(notes.notes);
    showEvents();
  }

  function take(answer) {
    // Another emulator has taken the place of the former.
    if (answer.next < state.after) Object.assign(state, {events: [], presence: []});
    state.after = answer.next;
    // An emulator that was reset begins its log anew.
    const reset = answer.events.map((event) => event.kind).lastIndexOf('reset');
    if (reset >= 0) Object.assign(state, {events: [], presence: []});
    const news = answer.events.slice(Math.max(0, reset));
    state.events = state.events.concat(news).slice(-5 * EVENTS_KEPT);
    const told = news.filter((event) => event.kind.startsWith('presence_'));
    state.presence = (state.presence || []).concat(told).slice(-EVENTS_KEPT);
  }

  const sleep = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

  async function live() {
    let wait = 0;
    for (;;) {
      try {
        take(await ask(`events?after=${state.after}&wait=${wait}`));
        await refresh();
        by('away').hidden = true;
        wait = WAIT;
        await sleep(PAUSE);
      } catch (error) {
        by('away').hidden = false;
        state.after = 0;
        state.events = [];
        state.presence = [];
        wait = 0;
        await sleep(RETRY);
      }
    }
  }

  async function attempt(output, action) {
    try {
      output.textContent = await action().then((answer) => (typeof answer === 'string' ? answer : ''));
      await refresh();
    } catch (error) {
      output.textContent = error.message;
    }
  }

  function onSubmit(form, action) {
    by(form).addEventListener('submit', (event) => {
      event.preventDefault();
      action();
    });
  }

  onSubmit('send-form', () => attempt(by('send-result'), async () => {
    const sent = await ask('messages', 'POST', {client_id: by('send-client').value, message: by('send-text').value});
    return sent.reason ? `Dropped: ${sent.reason}` : `Sent to ${counted(sent.delivered_to, 'socket')}.`;
  }));
  const clock = (body) => attempt(by('clock-result'), () => ask('clock', 'POST', body));
  onSubmit('clock-form', () => clock({advance: Number(by('advance').value)}));
  by('two-hours').addEventListener('click', () => clock({advance: 7200}));
  by('freeze').addEventListener('click', () => clock({frozen: !state.frozen}));
  by('reset').addEventListener('click', () => {
    if (confirm('Forget all tokens, sockets, messages, events and faults?')) {
      attempt(by('clock-result'), () => ask('reset', 'POST', {}));
    }
  });
  onSubmit('fault-form', () => attempt(by('fault-result'), () => {
    const fault = {
      stage: by('fault-stage').value,
      action: by('fault-action').value,
      seconds: given('seconds') && Number(given('seconds')),
      error: given('error'),
      probability: Number(by('fault-probability').value),
      count: given('count') && Number(given('count')),
      client_id: given('client'),
      path: given('path'),
      seed: Number(by('fault-seed').value),
    };
    return ask('faults', 'POST', fault);
  }));
  showFaultForm();
  for (const name of ['stage', 'action']) by(`fault-${name}`).addEventListener('change', showFaultForm);
  by('search').addEventListener('input', () => { refreshChannels().catch(() => {}); });
  by('event-filter').addEventListener('change', showEvents);
  setInterval(() => {
    if (document.hidden || !state.at) return;
    by('now').textContent = new Date(now() * 1000).toLocaleString([], {hour12: false});
    showChannels();
  }, 1000);
  state.presence = [];
  live();
})();
