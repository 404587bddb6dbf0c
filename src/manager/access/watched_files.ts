// SPDX-License-Identifier: Apache-2.0
// Tells when files may have changed, however they are replaced: written anew, renamed over, or by a link that is swapped
// in their directory, as certbot and Kubernetes do. What the kernel does not tell is found by looking now and then.
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from '../../grpc/log.js';

/** Files that belong together are replaced one after the other. */
const settleMs = 200;
const lookEveryMs = 30_000;

export class WatchedFiles {
  readonly #changed: () => void;
  readonly #watchers: FSWatcher[] = [];
  readonly #look: NodeJS.Timeout;
  #settling: NodeJS.Timeout | undefined;

  constructor(files: readonly string[], changed: () => void, log: Logger) {
    this.#changed = changed;
    for (const directory of new Set(files.map(dirname))) {
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#settle());
        watcher.on('error', () => {}); // The directory is gone: it is looked at now and then.
        this.#watchers.push(watcher);
      } catch (error) {
        log.warn({ err: (error as Error).message }, `${directory} is not watched: it is looked at every 30 s`);
      }
    }
    this.#look = setInterval(changed, lookEveryMs).unref();
  }

  stop(): void {
    for (const watcher of this.#watchers) watcher.close();
    clearInterval(this.#look);
    clearTimeout(this.#settling);
  }

  #settle(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(this.#changed, settleMs);
  }
}
