// SPDX-License-Identifier: Apache-2.0
// A browser on one of a scene's hosts: Debian's headless Chromium, and what it complains of.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type Browser, chromium, type Page } from 'playwright-core';
import { projectRoot } from '../../src/grpc/loader.js';

const program = '/usr/bin/chromium-headless-shell';
const accessibility = readFileSync(join(projectRoot, 'node_modules/axe-core/axe.min.js'), 'utf8');
const screenshots = join(projectRoot, 'dist/screenshots');

export const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } } as const;
export const schemes = ['light', 'dark'] as const;

export interface Look {
  readonly size: keyof typeof sizes;
  readonly scheme: (typeof schemes)[number];
}

export const looks: readonly Look[] = schemes.flatMap((scheme) =>
  (['desktop', 'phone'] as const).map((size) => ({ size, scheme })),
);

/** What the accessibility check says of a rule that is broken. */
interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

export class TestBrowser {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** `namespace`: its full name; without one it runs where the test does. Closed with the test. */
  static async start(t: ExecutionContext, directory: string, namespace?: string): Promise<TestBrowser> {
    const executablePath = namespace === undefined ? program : wrapper(directory, namespace);
    // Root has no sandbox; the pages are ours.
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    t.teardown(() => browser.close());
    return new TestBrowser(browser);
  }

  async open(url: string, { size, scheme }: Look): Promise<TestPage> {
    const context = await this.#browser.newContext({
      viewport: sizes[size],
      colorScheme: scheme,
      reducedMotion: 'reduce',
      timezoneId: 'UTC',
      locale: 'en',
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const made = new TestPage(page);
    await page.goto(url);
    return made;
  }
}

function wrapper(directory: string, namespace: string): string {
  const file = join(directory, 'browser');
  writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${namespace} ${program} "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

export class TestPage {
  readonly page: Page;
  /** What was written to the console as an error, thrown, or kept out by the content security policy. */
  complaints: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(error.stack ?? error.message));
  }

  /** Rules of accessibility that are broken. */
  async inaccessible(): Promise<readonly string[]> {
    await this.page.evaluate(accessibility);
    const violations: readonly Violation[] = await this.page.evaluate('axe.run().then(({ violations }) => violations)');
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
    );
  }

  /** By how much it is wider than the window. */
  overflow(): Promise<number> {
    return this.page.evaluate('document.documentElement.scrollWidth - innerWidth');
  }

  async screenshot(name: string, fullPage = false): Promise<void> {
    mkdirSync(screenshots, { recursive: true });
    await this.page.screenshot({ path: join(screenshots, `${name}.png`), fullPage });
  }

  /** Milliseconds since 1970 at which an expression became true in the page, which looks at every change of itself. */
  becomes(expression: string): Promise<number> {
    const script = `new Promise((resolve) => {
      const look = () => {
        if (!(${expression})) return false;
        resolve(Date.now());
        return true;
      };
      if (look()) return;
      const observer = new MutationObserver(() => { if (look()) observer.disconnect(); });
      observer.observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributes: true });
    })`;
    return this.page.evaluate(script) as Promise<number>;
  }

  close(): Promise<void> {
    return this.page.context().close();
  }
}
