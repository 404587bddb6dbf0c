// SPDX-License-Identifier: Apache-2.0
// Asks for the token that a manager wants to be shown off loopback.
import { h } from './dom.js';

export function signIn(wasGiven: boolean, done: (token: string) => void): HTMLElement {
  const input = h('input', { type: 'password', id: 'token', autocomplete: 'current-password', required: true });
  const form = h(
    'form.card.sign-in',
    {},
    h('h1', {}, 'Sign in'),
    h(
      'p',
      {},
      'This manager asks for a token: the content of the file given to it by --http-token. It is kept for this tab only.',
    ),
    ...(wasGiven ? [h('p.alarm', { 'data-tone': 'bad', role: 'alert' }, 'That is not this manager’s token.')] : []),
    h('label', { for: 'token' }, 'Token'),
    input,
    h('button.primary', { type: 'submit' }, 'Show the page'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    done((input as HTMLInputElement).value.trim());
  });
  setTimeout(() => input.focus());
  return form;
}
