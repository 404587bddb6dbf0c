// SPDX-License-Identifier: Apache-2.0
// The status page's still half: its files, as they were built, and the library that plots. They are read once, held
// compressed too, and are the same for everybody: browsers ask by ETag whether theirs are still right.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { projectRoot } from '../../grpc/loader.js';
import { type Answer, type Asked, type Route, text } from '../http/server.js';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing comes from elsewhere, and nothing in the page's text is taken for a script or a style. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const headers = {
  'cache-control': 'no-cache',
  'content-security-policy': policy,
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  vary: 'accept-encoding',
};

export const builtPage = join(projectRoot, 'dist/src/web');
const plotLibrary = dirname(createRequire(import.meta.url).resolve('uplot'));

interface Held {
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
  readonly compressed: Buffer;
}

/** By path. Without a built page its address says how to build it; metrics do not need it. */
export function pageFiles(directory: string = builtPage): readonly (readonly [string, Route])[] {
  const names = namesIn(directory);
  if (!names.includes('index.html')) {
    const missing = () => text(503, `the status page is not built: npm run build:ts makes ${directory}/index.html`);
    return [['/', { open: missing }]];
  }
  const own = names
    .filter((name) => extname(name) in types)
    .map((name) => [pathOf(name), join(directory, name)] as const);
  const files = [
    ...own,
    ['/page/uplot.js', join(plotLibrary, 'uPlot.esm.js')] as const,
    ['/page/uplot.css', join(plotLibrary, 'uPlot.min.css')] as const,
  ];
  return files.map(([path, file]) => [path, fileRoute(file)] as const);
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function pathOf(name: string): string {
  return name === 'index.html' ? '/' : `/page/${name}`;
}

function fileRoute(file: string): Route {
  let held: Held | undefined;
  return {
    open: (asked) => {
      held ??= hold(file);
      return answer(held, asked);
    },
  };
}

function hold(file: string): Held {
  const body = readFileSync(file);
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return { type: types[extname(file)] ?? '', etag, body, compressed: gzipSync(body, { level: 9 }) };
}

function answer({ type, etag, body, compressed }: Held, { headers: asked }: Asked): Answer {
  const known = (asked['if-none-match'] ?? '').split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
  if (known) return { status: 304, type, headers: { ...headers, etag }, body: '' };
  if (!/\bgzip\b/.test(String(asked['accept-encoding'] ?? '')))
    return { status: 200, type, headers: { ...headers, etag }, body };
  return { status: 200, type, headers: { ...headers, etag, 'content-encoding': 'gzip' }, body: compressed };
}
