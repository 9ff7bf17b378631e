/**
 * Finds names of a directory scan without an object a name: an open-addressing hash table over the packed
 * name bytes. File names are chosen by others, so the hash is keyed (HalfSipHash-1-3 with a random key): nobody
 * can prepare names that collide. Only speed depends on the key, never an answer.
 */
import { randomBytes } from 'node:crypto';

/** Names packed one after the other; name i is names[nameOffsets[i] … nameOffsets[i+1]]. */
export interface PackedNames {
  readonly count: number;
  readonly names: Uint8Array;
  readonly nameOffsets: Uint32Array;
}

export interface NameTable {
  /** Index of the name bytes[start … end], or -1. */
  find(bytes: Uint8Array, start: number, end: number): number;
}

/** Made for the first table: a thread or command without one need not load what makes it. */
let keyed = false;
let key0 = 0;
let key1 = 0;

function makeKey(): void {
  if (keyed) return;
  const key = randomBytes(8);
  [key0, key1, keyed] = [key.readInt32LE(0), key.readInt32LE(4), true];
}

/** A table of all names; of equal names, which a directory cannot hold, the first counts. */
export function nameTable(packed: PackedNames): NameTable {
  makeKey();
  const { count, names, nameOffsets } = packed;
  const slots = 2 ** Math.ceil(Math.log2(Math.max(count, 4) * 2));
  const mask = slots - 1;
  /** Index of the name plus one; 0 is free. */
  const table = new Int32Array(slots);
  const hashes = new Int32Array(count);

  const find = (bytes: Uint8Array, start: number, end: number): number => {
    const hash = hashBytes(bytes, start, end);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const index = (table[slot] ?? 0) - 1;
      if (index < 0) return -1;
      if (hashes[index] !== hash) continue;
      if (equal(names, nameOffsets[index] ?? 0, nameOffsets[index + 1] ?? 0, bytes, start, end)) return index;
    }
  };

  for (let index = 0; index < count; index++) {
    const hash = hashBytes(names, nameOffsets[index] ?? 0, nameOffsets[index + 1] ?? 0);
    hashes[index] = hash;
    let slot = hash & mask;
    while (table[slot] !== 0) slot = (slot + 1) & mask;
    table[slot] = index + 1;
  }
  return { find };
}

/** Whether name `i` of `a` is name `k` of `b`. */
export function sameName(a: PackedNames, i: number, b: PackedNames, k: number): boolean {
  const [start, end] = [b.nameOffsets[k] ?? 0, b.nameOffsets[k + 1] ?? 0];
  return equal(a.names, a.nameOffsets[i] ?? 0, a.nameOffsets[i + 1] ?? 0, b.names, start, end);
}

function equal(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
  const length = aEnd - aStart;
  if (length !== bEnd - bStart) return false;
  for (let i = 0; i < length; i++) {
    if (a[aStart + i] !== b[bStart + i]) return false;
  }
  return true;
}

/** Order of two names of the same table by their bytes, a prefix first: negative, 0 or positive. */
export function compareNames({ names, nameOffsets }: PackedNames, a: number, b: number): number {
  const [aStart, bStart] = [nameOffsets[a] ?? 0, nameOffsets[b] ?? 0];
  const [aLength, bLength] = [(nameOffsets[a + 1] ?? 0) - aStart, (nameOffsets[b + 1] ?? 0) - bStart];
  const shared = Math.min(aLength, bLength);
  for (let i = 0; i < shared; i++) {
    const difference = (names[aStart + i] ?? 0) - (names[bStart + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/** HalfSipHash with one round a word and three at the end; 32 bits. */
function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let v0 = key0;
  let v1 = key1;
  let v2 = 0x6c796765 ^ key0;
  let v3 = 0x74656462 ^ key1;
  const length = end - start;
  const whole = start + (length & ~3);
  // Words of four bytes, then the rest with the length, then three rounds of nothing.
  const rounds = (length >> 2) + 4;
  for (let round = 0, at = start; round < rounds; round++, at += 4) {
    let word = 0;
    if (at < whole) {
      word =
        (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
    } else if (round === rounds - 4) {
      word = length << 24;
      for (let i = 0; at + i < end; i++) word |= (bytes[at + i] ?? 0) << (8 * i);
    } else if (round === rounds - 3) {
      v2 ^= 0xff;
    }
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = (v1 << 5) | (v1 >>> 27);
    v1 ^= v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = (v3 << 8) | (v3 >>> 24);
    v3 ^= v2;
    v0 = (v0 + v3) | 0;
    v3 = (v3 << 7) | (v3 >>> 25);
    v3 ^= v0;
    v2 = (v2 + v1) | 0;
    v1 = (v1 << 13) | (v1 >>> 19);
    v1 ^= v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}
