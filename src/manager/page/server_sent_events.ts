// SPDX-License-Identifier: Apache-2.0
// Server-sent events as they are written (HTML standard, section 9.2.5).

/** `data`: lines of it become lines of the event. */
export function message(event: string, data: string): string {
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `event: ${event}\n${lines.join('')}\n`;
}

export function comment(words: string): string {
  return `: ${words}\n\n`;
}

/** How long a reader is to wait before it asks again. */
export function retry(milliseconds: number): string {
  return `retry: ${milliseconds}\n\n`;
}
