// SPDX-License-Identifier: Apache-2.0
// What is due, earliest first: a binary heap whose entries know where they are, so that any can be taken out.

export interface Due {
  /** Milliseconds on the monitor's clock. Not changed while the entry is in the heap. */
  due: number;
  /** The heap's own; -1 outside of it. */
  position: number;
}

export class DueHeap<Entry extends Due> {
  readonly #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  get first(): Entry | undefined {
    return this.#entries[0];
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#rise(entry, this.#entries.length - 1);
  }

  remove(entry: Entry): void {
    const { position } = entry;
    if (this.#entries[position] !== entry) return;
    const last = this.#entries.pop();
    entry.position = -1;
    if (last === undefined || last === entry) return;
    this.#rise(last, position);
    this.#sink(last, last.position);
  }

  /** Takes out the first one if it is due. */
  takeDue(now: number): Entry | undefined {
    const { first } = this;
    if (first === undefined || first.due > now) return undefined;
    this.remove(first);
    return first;
  }

  #rise(entry: Entry, from: number): void {
    let position = from;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const parent = this.#entries[above] as Entry;
      if (parent.due <= entry.due) break;
      this.#put(parent, position);
      position = above;
    }
    this.#put(entry, position);
  }

  #sink(entry: Entry, from: number): void {
    let position = from;
    for (;;) {
      const child = this.#earlierChild(position);
      if (child === undefined || child.due >= entry.due) break;
      const below = child.position;
      this.#put(child, position);
      position = below;
    }
    this.#put(entry, position);
  }

  #earlierChild(position: number): Entry | undefined {
    const left = this.#entries[2 * position + 1];
    const right = this.#entries[2 * position + 2];
    return left !== undefined && right !== undefined && right.due < left.due ? right : left;
  }

  #put(entry: Entry, position: number): void {
    this.#entries[position] = entry;
    entry.position = position;
  }
}
