// SPDX-License-Identifier: Apache-2.0
// Elements, made in one expression. Text is only ever set as text.

export type Child = Node | string;

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

const svgSpace = 'http://www.w3.org/2000/svg';

/** `tag`: "div.card.wide". Attributes that are undefined or false are left out, those that are true are empty. */
export function h(tag: string, attributes: Attributes = {}, ...children: readonly Child[]): HTMLElement {
  const [name = 'div', ...classes] = tag.split('.');
  return filled(document.createElement(name), classes, attributes, children);
}

export function svg(tag: string, attributes: Attributes = {}, ...children: readonly Child[]): SVGElement {
  const [name = 'g', ...classes] = tag.split('.');
  return filled(document.createElementNS(svgSpace, name) as SVGElement, classes, attributes, children);
}

function filled<E extends Element>(
  element: E,
  classes: readonly string[],
  attributes: Attributes,
  children: readonly Child[],
): E {
  if (classes.length > 0) element.setAttribute('class', classes.join(' '));
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

export function setAttribute(element: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value === true ? '' : value))
    element.setAttribute(name, value === true ? '' : String(value));
}

/** Leaves alone what is right already: a selection in it stays. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element: HTMLElement, isShown: boolean): void {
  if (element.hidden === isShown) element.hidden = !isShown;
}
