/**
 * Holds back everything a source says until its end, and takes out uids that occur twice.
 *
 * Two promises rest on this: the same uid, compared without case, in two entries means that *both* are skipped
 * (3x-profile.md), so nobody may have acted on the first when the second comes; and a directory that fails
 * half-way must not look like a short one. So all items are read first, into memory: blocks of JSON, deflated
 * (about 30 bytes a user), and a hash set of uids (9 bytes a slot, at most 70 % full). A million users take
 * some 50 MB. The alternatives were two searches, between which the directory can change, or a spool file,
 * which `--dry-run` may not write.
 *
 * The set holds 64 bits of SHA-256 of each lower-cased uid. A false "twice" needs two uids out of a million
 * to agree in them (once in 40 million directories), and would be reported, not hidden.
 */
import { hash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { DirectoryItem, SourceItem } from './types.js';
import { problem } from './validate.js';

const ITEMS_PER_BLOCK = 1024;

/** Yields the items of `source` in order, once it has ended; duplicates as DIR_DUPLICATE_UID. */
export async function* uniqueUsers(
  source: AsyncIterable<SourceItem>,
  signal?: AbortSignal,
): AsyncGenerator<DirectoryItem> {
  const seen = new UidSet();
  const blocks: Buffer[] = [];
  let block: SourceItem[] = [];
  const pack = () => {
    if (block.length > 0) blocks.push(deflateRawSync(JSON.stringify(block), { level: 3 }));
    block = [];
  };
  for await (const item of source) {
    if (item.uid !== null) seen.add(item.uid);
    if (block.push(item) === ITEMS_PER_BLOCK) pack();
  }
  pack();

  for (let index = 0; index < blocks.length; index++) {
    signal?.throwIfAborted();
    const packed = blocks[index] as Buffer;
    // Each block is needed once.
    blocks[index] = EMPTY;
    for (const found of JSON.parse(inflateRawSync(packed).toString('utf8')) as SourceItem[]) {
      const { uid, item } = found;
      if (item.kind === 'user' && uid !== null && seen.isRepeated(uid)) {
        yield problem(
          uid,
          'DIR_DUPLICATE_UID',
          item.dn,
          `The uid “${uid}” is also that of another entry (compared without case); each of them is skipped.`,
        ).item;
      } else {
        yield item;
        if ('warning' in found) yield found.warning;
      }
    }
  }
}

const EMPTY = Buffer.alloc(0);

/** Lower-cased uids by 64 bits of SHA-256, open addressing; remembers which came more than once. */
class UidSet {
  /** Two words a slot. */
  #words = new Uint32Array(2 << 12);
  /** 0 free, 1 once, 2 more than once. */
  #counts = new Uint8Array(1 << 12);
  #size = 0;

  add(uid: string): void {
    if (this.#size * 10 > this.#counts.length * 7) this.#grow();
    const [high, low] = digestOf(uid);
    const slot = this.#slotOf(high, low);
    if (this.#counts[slot] === 0) {
      this.#put(slot, high, low, 1);
      this.#size += 1;
    } else {
      this.#counts[slot] = 2;
    }
  }

  isRepeated(uid: string): boolean {
    const [high, low] = digestOf(uid);
    return this.#counts[this.#slotOf(high, low)] === 2;
  }

  #slotOf(high: number, low: number): number {
    const mask = this.#counts.length - 1;
    let slot = low & mask;
    while (this.#counts[slot] !== 0 && (this.#words[2 * slot] !== high || this.#words[2 * slot + 1] !== low)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #put(slot: number, high: number, low: number, count: number): void {
    this.#words[2 * slot] = high;
    this.#words[2 * slot + 1] = low;
    this.#counts[slot] = count;
  }

  #grow(): void {
    const words = this.#words;
    const counts = this.#counts;
    this.#words = new Uint32Array(words.length * 2);
    this.#counts = new Uint8Array(counts.length * 2);
    for (let slot = 0; slot < counts.length; slot++) {
      const count = counts[slot] as number;
      if (count === 0) continue;
      const high = words[2 * slot] as number;
      const low = words[2 * slot + 1] as number;
      this.#put(this.#slotOf(high, low), high, low, count);
    }
  }
}

function digestOf(uid: string): [high: number, low: number] {
  const digest = hash('sha256', uid.toLowerCase(), 'buffer');
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}
