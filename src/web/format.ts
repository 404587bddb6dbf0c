// SPDX-License-Identifier: Apache-2.0
// Numbers and times as people read them.

/** What stands for a value that is not known. */
export const unknown = '–';

const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];

/** "0", "7.5", "940", "1.25 k", "12.5 M": at most three digits, but whole numbers below a thousand. */
export function compact(value: number | null | undefined, unit = ''): string {
  if (value === null || value === undefined) return unknown;
  const [digits, prefix] = scaled(value);
  return `${digits}${prefix === '' && unit === '' ? '' : ' '}${prefix}${unit}`;
}

function scaled(value: number): readonly [string, string] {
  let rest = Math.abs(value);
  let at = 0;
  // 999.6 would be shown as 1000.
  while (rest >= 999.5 && at < prefixes.length - 1) {
    rest /= 1000;
    at++;
  }
  const places = at === 0 ? (rest < 10 ? 1 : 0) : rest < 10 ? 2 : rest < 100 ? 1 : 0;
  const digits = String(Number(rest.toFixed(places)));
  return [value < 0 ? `-${digits}` : digits, prefixes[at] ?? ''];
}

/** "12.5 Mbit/s" */
export const bits = (value: number | null | undefined): string => compact(value, 'bit/s');

/** "1 234 567" */
export function whole(value: number | null | undefined): string {
  if (value === null || value === undefined) return unknown;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

/** "12.5 %" */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return unknown;
  const hundred = share * 100;
  return `${Number(hundred.toFixed(hundred < 10 ? 1 : 0))} %`;
}

/** "45 s", "12 min", "3 h 20 min", "5 d 2 h" */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (minutes === 0) return `${seconds} s`;
  if (hours === 0) return `${minutes} min`;
  if (days === 0) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

/** "350 µs", "1.2 ms", "2.4 s" */
export function latency(microseconds: number): string {
  if (microseconds < 1000) return `${microseconds} µs`;
  const milliseconds = microseconds / 1000;
  return milliseconds < 1000 ? `${Number(milliseconds.toPrecision(2))} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** "14:03:22", and the day before it where that is not today. In the reader's own time. */
export function clock(time: string | number, now: Date = new Date()): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return '';
  const hours = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  return at.toDateString() === now.toDateString()
    ? hours
    : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${hours}`;
}

/** "1 real server", "3 real servers" */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

/** "server_down" → "server down" */
export const words = (name: string): string => name.replaceAll('_', ' ');
