// SPDX-License-Identifier: Apache-2.0
// A map of which some values were replaced, without a copy of it: keys and their order are those of the map below. Costs
// what was replaced, where a copy of ten thousand entries costs an edit a millisecond.

export class EditedMap<K, V> implements ReadonlyMap<K, V> {
  readonly #below: ReadonlyMap<K, V>;
  readonly #replaced: ReadonlyMap<K, V>;

  private constructor(below: ReadonlyMap<K, V>, replaced: ReadonlyMap<K, V>) {
    this.#below = below;
    this.#replaced = replaced;
  }

  /** Entries below which a copy costs nothing worth speaking of. */
  static readonly worthwhile = 512;
  /** So many replaced values are one to each so many entries: then a copy is due. */
  static readonly share = 64;

  /** The map with these values in place of those that it has, every key being one of its own. */
  static edit<K, V>(map: ReadonlyMap<K, V>, replaced: ReadonlyMap<K, V>): ReadonlyMap<K, V> {
    const below = map instanceof EditedMap ? (map.#below as ReadonlyMap<K, V>) : map;
    const all = map instanceof EditedMap ? new Map([...map.#replaced, ...replaced]) : new Map(replaced);
    const isSmall = map.size >= EditedMap.worthwhile && all.size * EditedMap.share <= map.size;
    return isSmall ? new EditedMap(below, all) : new Map([...below, ...all]);
  }

  get size(): number {
    return this.#below.size;
  }

  has(key: K): boolean {
    return this.#below.has(key);
  }

  get(key: K): V | undefined {
    return this.#replaced.get(key) ?? this.#below.get(key);
  }

  *entries(): MapIterator<[K, V]> {
    for (const [key, value] of this.#below) yield [key, this.#replaced.get(key) ?? value];
  }

  keys(): MapIterator<K> {
    return this.#below.keys();
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(callback: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }
}
