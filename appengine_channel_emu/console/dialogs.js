/* Questions before what cannot be undone. */

import {button, h} from './dom.js';

/**
 * Ask in a dialog; whether the answer was `verb`. `text` is sentences or elements; a `danger` looks like one.
 */
export function confirm(title, text, verb, {danger = false} = {}) {
  return new Promise((answer) => {
    let said = false;
    const yes = button(
      verb,
      () => {
        said = true;
        dialog.close();
      },
      {kind: danger ? 'danger' : 'primary'},
    );
    const dialog = h(
      'dialog',
      {'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-text'},
      h('h2', {id: 'dialog-title', text: title}),
      h(
        'div',
        {id: 'dialog-text'},
        ...[text].flat().map((part) => (typeof part === 'string' ? h('p', {text: part}) : part)),
      ),
      h(
        'div',
        {class: 'dialog-actions'},
        button('Cancel', () => dialog.close()),
        yes,
      ),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      answer(said);
    });
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
    document.body.append(dialog);
    dialog.showModal();
    yes.focus();
  });
}
