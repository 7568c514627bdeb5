/* Making elements, and keeping lists of them in step with data. */

const SVG = 'http://www.w3.org/2000/svg';

/** The path of a magnifying glass, for `icon`. */
export const SEARCH = 'M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9M10.4 10.4L14 14';

/** An element. `props` are attributes; of them `on` holds listeners, `text` its text; false and null mean none. */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === 'on') for (const [type, listener] of Object.entries(value)) made.addEventListener(type, listener);
    else if (name === 'text') made.textContent = value;
    else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Set an element's text only where it has changed, so that selections and screen readers are left in peace. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute only where that changes something. */
export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/**
 * Keep the children of `parent` in step with `items`: made once for each key, moved and changed in place, so that the
 * keyboard's focus stays where it is.
 */
export function fill(parent, items, key, make, update = () => {}) {
  const keys = new Set(items.map((item) => String(key(item))));
  const old = new Map();
  for (const child of [...parent.children]) {
    if (keys.has(child.dataset.key)) old.set(child.dataset.key, child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    let child = old.get(id);
    if (!child) {
      child = make(item);
      child.dataset.key = id;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
}

/** A button of the interface; `kind` is one of "", "primary", "danger", "quiet". */
export function button(text, action, {kind = '', label = null, title = null} = {}) {
  return h('button', {type: 'button', class: kind || null, 'aria-label': label, title, text, on: {click: action}});
}

/** A labelled control: text over it, a hint below. */
export function field(label, control, hint = null) {
  const id = control.id || `field-${(field.count = (field.count || 0) + 1)}`;
  control.id = id;
  if (hint) control.setAttribute('aria-describedby', `${id}-hint`);
  return h(
    'div',
    {class: 'field'},
    h('label', {for: id, text: label}),
    control,
    hint && h('p', {class: 'hint', id: `${id}-hint`, text: hint}),
  );
}

/** A form whose submission is `action`, and nothing else. */
export function form(props, action, ...children) {
  const made = h('form', props, ...children);
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    action();
  });
  return made;
}

/** What there is to do where there is nothing to show: a title, and sentences or elements. */
export function empty(title, ...parts) {
  return h(
    'div',
    {class: 'empty'},
    h('p', {class: 'empty-title', text: title}),
    ...parts.map((part) => (typeof part === 'string' ? h('p', {text: part}) : part)),
  );
}

/** One of the interface's few pictures. */
export function icon(path) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

/** Whether the keyboard's user is writing somewhere, so that a letter is a letter. */
export function isTyping(target) {
  return target instanceof Element && target.closest('input, textarea, select, dialog') !== null;
}
