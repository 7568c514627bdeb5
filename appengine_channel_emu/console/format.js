/* Times, sizes and names of events, as people read them. */

const two = (number) => String(number).padStart(2, '0');

/** 14:03:07.042 of this machine's zone; `seconds` of the emulator's clock. */
export function clockTime(seconds) {
  const date = new Date(seconds * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** The whole date and time. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clockTime(seconds)}`;
}

/** How long something lasts: 7 s, 3 min 20 s, 2 h 5 min. */
export function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ''}`;
  if (whole < 172800)
    return `${Math.floor(whole / 3600)} h${whole % 3600 >= 60 ? ` ${Math.floor((whole % 3600) / 60)} min` : ''}`;
  return `${Math.floor(whole / 86400)} days`;
}

/** As `lasting`, with one unit. */
export function roughly(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

/** Time between two moments: +14 ms, +2.35 s, +3 min 20 s. */
export function after(seconds) {
  if (seconds < 0.9995) return `+${Math.max(0, Math.round(seconds * 1000))} ms`;
  return seconds < 60 ? `+${seconds.toFixed(2)} s` : `+${lasting(seconds)}`;
}

/** 812 B, 12.4 KiB, 3.1 MiB. */
export function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1048576 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1048576).toFixed(1)} MiB`;
}

/** "1 socket", "2 sockets", "4,312 events". */
export function counted(number, what) {
  return `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`;
}

/** The kind of an event in words: "socket opened". */
export function kindName(kind) {
  return (
    {message_sent: 'message', message_dropped: 'dropped', message_mended: 'text fixed'}[kind] ||
    kind.replaceAll('_', ' ')
  );
}

/** Whether an event of this kind, or a message with a reason, is something that went wrong. */
export function isProblem(kind) {
  return (
    kind === 'message_dropped' || /(_refused|_failed|_cut|_full|_slow|_not_found|_set_aside|unclean_start)$/.test(kind)
  );
}

/** The names of transports as users know them. */
export const TRANSPORTS = {stream: 'WebSocket', poll: 'long poll', sdk: "SDK's wire"};

/** How messages reach a socket at this moment. */
export function transportName(socket) {
  if (socket.wire === 'dev') return TRANSPORTS.sdk;
  // A page that asks at intervals is seen between two of them.
  return TRANSPORTS[socket.transport] || (socket.state === 'attached' ? 'short or none' : 'none');
}

/** JSON laid out over lines, and whether it was JSON; other text as it is. */
export function pretty(text) {
  const first = text.trimStart()[0];
  if (first === '{' || first === '[') {
    try {
      JSON.parse(text);
      return {json: true, text: laidOut(text)};
    } catch {
      // It only looked like it.
    }
  }
  return {json: false, text};
}

const TOKENS = /"(?:[^"\\]+|\\.)*"|\[\s*\]|\{\s*\}|[[\]{},:]|[^\s[\]{},:"]+/g;
const DEEPEST = 20;

/** By its tokens: parsed and written anew, long numbers would be others, and names in another order, or only once. */
function laidOut(json) {
  let [made, depth] = ['', 0];
  const line = () => `\n${'  '.repeat(Math.min(depth, DEEPEST))}`;
  for (const [token] of json.matchAll(TOKENS)) {
    if (token === '{' || token === '[') {
      depth += 1;
      made += token + line();
    } else if (token === '}' || token === ']') {
      depth -= 1;
      made += line() + token;
    } else if (token === ',') made += token + line();
    else if (token === ':') made += ': ';
    else if (token[0] === '"') made += JSON.stringify(JSON.parse(token));
    else made += token.replace(/\s/g, '');
  }
  return made;
}

/**
 * JSON in which all can be seen: what a terminal takes for keys, what turns text around, and the backslashes that not
 * every shell leaves alone, are escapes.
 */
export function visibleJson(value) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/\\\\|(?! )[\p{C}\p{Z}]/gu, (found) =>
    found === '\\\\' ? escape('\\') : found.split('').map(escape).join(''),
  );
}

/** The beginning of a text in one line; its spaces stay, for some mean something. */
export function oneLine(text, most = 400) {
  return text.slice(0, most).replace(/\s*[\n\r\u2028\u2029]\s*/g, ' ').trim() + (text.length > most ? '…' : '');
}

const SHORT = {'\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\'};

function escaped(character) {
  const code = character.codePointAt(0);
  if (code < 256) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 65536 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

/** A client id such that two that are not the same look different: as the log has it, where anything cannot be seen. */
export function shownId(id) {
  if (id === '') return '(empty)';
  const hidden = /[\p{C}\p{Z}]/u.test(id.replaceAll(' ', '')) || id !== id.normalize('NFC');
  if (!hidden) return /^ | $| {2}/.test(id) ? `"${id}"` : id;
  return `"${[...id].map((each) => SHORT[each] || (/[ -~]/.test(each) ? each : escaped(each))).join('')}"`;
}

/** `text` as one word of a POSIX shell. */
export function shellWord(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
