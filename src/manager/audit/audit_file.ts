// SPDX-License-Identifier: Apache-2.0
// Lines in a file, and in a few older ones: audit.jsonl, audit.jsonl.1, … A line is with the kernel, and asked to be on
// the disk, right after it is added; who adds it does not wait for that. What cannot be written is said once.
import { type FileHandle, open, rename } from 'node:fs/promises';

export interface AuditFileOptions {
  readonly path: string;
  /** After which a file becomes an older one. */
  readonly largestBytes: number;
  /** With the current one. */
  readonly files: number;
  readonly failed: (error: unknown) => void;
}

export class AuditFile {
  readonly #options: AuditFileOptions;
  #lines: string[] = [];
  #work: Promise<void> = Promise.resolve();
  #isWorking = false;
  #file: FileHandle | undefined;
  #bytes = 0;
  #hasFailed = false;

  constructor(options: AuditFileOptions) {
    this.#options = options;
  }

  add(line: string): void {
    this.#lines.push(line);
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#work = this.#write();
  }

  /** Resolves when all lines are written. */
  async settle(): Promise<void> {
    await this.#work;
  }

  /** Likewise, and closes the file. */
  async close(): Promise<void> {
    await this.#work;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #write(): Promise<void> {
    while (this.#lines.length > 0) {
      const text = `${this.#lines.join('\n')}\n`;
      this.#lines = [];
      try {
        await this.#append(text);
        this.#hasFailed = false;
      } catch (error) {
        if (!this.#hasFailed) this.#options.failed(error);
        this.#hasFailed = true;
      }
    }
    this.#isWorking = false;
  }

  async #append(text: string): Promise<void> {
    const { path, largestBytes } = this.#options;
    if (this.#file === undefined) await this.#open(path);
    if (this.#bytes >= largestBytes) {
      await this.#rotate();
      await this.#open(path);
    }
    await this.#file?.appendFile(text);
    await this.#file?.datasync();
    this.#bytes += Buffer.byteLength(text);
  }

  async #open(path: string): Promise<void> {
    this.#file = await open(path, 'a', 0o600);
    this.#bytes = (await this.#file.stat()).size;
  }

  async #rotate(): Promise<void> {
    const { path, files } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    for (let age = files - 1; age > 0; age--) {
      const from = age === 1 ? path : `${path}.${age - 1}`;
      await rename(from, `${path}.${age}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
  }
}
