// SPDX-License-Identifier: Apache-2.0
// Light, dark, or as the system has it: kept for the next visit.
import { h, setText } from './dom.js';

const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];
const name = 'fulcrum-theme';

function kept(): Theme {
  return themes.find((theme) => theme === localStorage.getItem(name)) ?? 'auto';
}

function put(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
}

/** `changed`: after every change, the system's too. */
export function themeButton(changed: () => void): HTMLElement {
  let theme = kept();
  const button = h('button.theme', { type: 'button' });
  const say = (): void => setText(button, `Theme: ${theme}`);
  button.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'auto';
    localStorage.setItem(name, theme);
    put(theme);
    say();
    changed();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  say();
  return button;
}

put(kept());
