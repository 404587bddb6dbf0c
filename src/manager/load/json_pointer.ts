// SPDX-License-Identifier: Apache-2.0
// RFC 6901: the place in a JSON document that "/load/0" means.

/** The members on the way, unescaped; undefined if the text is no pointer. */
export function readPointer(text: string): readonly string[] | undefined {
  if (text === '') return [];
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return undefined;
  return text
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The number there, which may stand in quotes; a text says why there is none. */
export function numberAt(document: string, pointer: readonly string[]): number | string {
  let value: unknown;
  try {
    value = JSON.parse(document);
  } catch {
    return 'answer is not JSON';
  }
  for (const [depth, part] of pointer.entries()) {
    value = memberOf(value, part);
    if (value === undefined) return `answer has nothing at ${JSON.stringify(pointerText(pointer.slice(0, depth + 1)))}`;
  }
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  return `${JSON.stringify(value).slice(0, 40)} at ${JSON.stringify(pointerText(pointer))} is not a number`;
}

function memberOf(value: unknown, part: string): unknown {
  if (Array.isArray(value)) return /^(0|[1-9]\d*)$/.test(part) ? value[Number(part)] : undefined;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
  return (value as Record<string, unknown>)[part];
}

function pointerText(parts: readonly string[]): string {
  return parts.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
