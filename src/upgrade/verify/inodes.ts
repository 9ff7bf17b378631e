/**
 * Which file of 4.x each shared file of 3.x became: a hash table over typed arrays, 32 bytes an entry and no object.
 *
 * It holds at most a fixed number of entries. When it is full, half of all inodes are forgotten, by their hash, and no
 * entry of those comes in again: all names of an inode are kept, or none. `share` says how much is looked at.
 */

/** Fields of a candidate, u32 each, as a thread reports it. */
export const CANDIDATE = {
  sourceLow: 0,
  sourceHigh: 1,
  targetLow: 2,
  targetHigh: 3,
  /** Names of the 4.x inode, by its link count. */
  links: 4,
  /** Names of it that this message accounts for: its 4.x name, and its 3.x name where that is the same file. */
  names: 5,
  uid: 6,
} as const;
export const CANDIDATE_FIELDS = 7;

/** An entry: key space, source inode, first target inode, links, names, state, and where it was seen first. */
const ENTRY = {
  space: 0,
  sourceLow: 1,
  sourceHigh: 2,
  targetLow: 3,
  targetHigh: 4,
  links: 5,
  names: 6,
  /** 0: free. */
  state: 7,
  folder: 8,
  uid: 9,
} as const;
const ENTRY_FIELDS = 10;

const USED = 1;
/** Names of it are different files of 4.x. */
const SPLIT = 2;
/** Some file of it may be full. */
const FULL = 4;

/** A file with this many links may have been full for its file system (the lowest limit is 32,000), also after `-r`. */
const NEARLY_FULL = 16_000;

export interface SharedFile {
  readonly split: boolean;
  readonly full: boolean;
  readonly links: number;
  readonly names: number;
  /** Id in the mapping and uid of the first message. */
  readonly folder: number;
  readonly uid: number;
}

export class InodeTable {
  #entries: Uint32Array;
  #capacity: number;
  #count = 0;
  /** Hashes with one of these bits in their highest byte are not looked at. */
  #left = 0;
  readonly #limit: number;
  readonly #spaces = new Map<string, number>();

  /** @param limit entries at most; a power of two */
  constructor(limit: number) {
    this.#limit = limit;
    this.#capacity = Math.min(1024, limit * 2);
    this.#entries = new Uint32Array(this.#capacity * ENTRY_FIELDS);
  }

  /** 1, or less once the table has been full. */
  get share(): number {
    return 1 / (this.#left + 1);
  }

  /** The number of a key space. */
  space(key: string): number {
    const number = this.#spaces.get(key) ?? this.#spaces.size + 1;
    this.#spaces.set(key, number);
    return number;
  }

  /** Adds the candidates of one mailbox. `space` tells 3.x store path, 4.x root and device apart. */
  add(space: number, folder: number, candidates: Uint32Array): void {
    for (let at = 0; at + CANDIDATE_FIELDS <= candidates.length; at += CANDIDATE_FIELDS) {
      const field = (name: keyof typeof CANDIDATE): number => candidates[at + CANDIDATE[name]] ?? 0;
      this.#addOne(space, folder, field);
    }
  }

  #addOne(space: number, folder: number, field: (name: keyof typeof CANDIDATE) => number): void {
    const [low, high] = [field('sourceLow'), field('sourceHigh')];
    const hash = hashOf(space, low, high);
    if (this.#isForgotten(hash)) return;
    let at = this.#slot(hash, space, low, high);
    if (this.#entries[at + ENTRY.state] === 0) {
      if (this.#makeRoom()) {
        if (this.#isForgotten(hash)) return;
        at = this.#slot(hash, space, low, high);
      }
      this.#count++;
      const fresh = [space, low, high, field('targetLow'), field('targetHigh'), 0, 0, USED, folder, field('uid')];
      this.#entries.set(fresh, at);
    }
    const entries = this.#entries;
    let state = entries[at + ENTRY.state] ?? 0;
    const same =
      entries[at + ENTRY.targetLow] === field('targetLow') && entries[at + ENTRY.targetHigh] === field('targetHigh');
    if (!same) state |= SPLIT;
    if (field('links') >= NEARLY_FULL) state |= FULL;
    entries[at + ENTRY.state] = state;
    entries[at + ENTRY.links] = Math.max(entries[at + ENTRY.links] ?? 0, field('links'));
    entries[at + ENTRY.names] = (entries[at + ENTRY.names] ?? 0) + field('names');
  }

  *files(): Generator<SharedFile> {
    for (let at = 0; at < this.#entries.length; at += ENTRY_FIELDS) {
      const state = this.#entries[at + ENTRY.state] ?? 0;
      if (state === 0) continue;
      yield {
        split: (state & SPLIT) !== 0,
        full: (state & FULL) !== 0,
        links: this.#entries[at + ENTRY.links] ?? 0,
        names: this.#entries[at + ENTRY.names] ?? 0,
        folder: this.#entries[at + ENTRY.folder] ?? 0,
        uid: this.#entries[at + ENTRY.uid] ?? 0,
      };
    }
  }

  /** By the highest bits: the lowest choose the slot. */
  #isForgotten(hash: number): boolean {
    return ((hash >>> 24) & this.#left) !== 0;
  }

  /** Where the entry of this key is, or would be. */
  #slot(hash: number, space: number, low: number, high: number): number {
    const mask = this.#capacity - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = slot * ENTRY_FIELDS;
      if (this.#entries[at + ENTRY.state] === 0) return at;
      if (
        this.#entries[at + ENTRY.sourceLow] === low &&
        this.#entries[at + ENTRY.sourceHigh] === high &&
        this.#entries[at + ENTRY.space] === space
      ) {
        return at;
      }
    }
  }

  /** Grows the table, or forgets half of it. True when entries have other places now. */
  #makeRoom(): boolean {
    if (this.#count * 2 < this.#capacity) return false;
    if (this.#count >= this.#limit && this.#left < 0xff) this.#left = this.#left * 2 + 1;
    else this.#capacity *= 2;
    const old = this.#entries;
    this.#entries = new Uint32Array(this.#capacity * ENTRY_FIELDS);
    this.#count = 0;
    for (let at = 0; at < old.length; at += ENTRY_FIELDS) {
      if (old[at + ENTRY.state] === 0) continue;
      const [space, low, high] = [old[at] ?? 0, old[at + ENTRY.sourceLow] ?? 0, old[at + ENTRY.sourceHigh] ?? 0];
      const hash = hashOf(space, low, high);
      if (this.#isForgotten(hash)) continue;
      this.#entries.set(old.subarray(at, at + ENTRY_FIELDS), this.#slot(hash, space, low, high));
      this.#count++;
    }
    return true;
  }
}

/** 32 bits; inode numbers of neighbours must not be neighbours here. */
function hashOf(space: number, low: number, high: number): number {
  let bits = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high + 0x9e3779b9 + space, 0xc2b2ae35);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
