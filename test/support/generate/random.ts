/**
 * A small deterministic random number generator (sfc32). Every user and folder gets its own stream, derived from
 * the seed and a label, so that what is made for one does not depend on how much was drawn for another.
 */
import { createHash } from 'node:crypto';

export interface Random {
  /** 0 ≤ x < 1. */
  next(): number;
  /** Whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  /** True with probability `share`. Draws nothing for 0 and 1, so that a share of 0 changes no other choice. */
  chance(share: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** Standard normal deviate. */
  normal(): number;
}

export function randomOf(seed: string, label: string): Random {
  const key = createHash('sha256').update(seed).update('\0').update(label).digest();
  let a = key.readInt32LE(0);
  let b = key.readInt32LE(4);
  let c = key.readInt32LE(8);
  let counter = key.readInt32LE(12);
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  };
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    chance: (share) => (share >= 1 ? true : share <= 0 ? false : next() < share),
    pick: <T>(items: readonly T[]): T => {
      const item = items[int(0, items.length - 1)];
      if (item === undefined) throw new Error('pick from an empty list');
      return item;
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}

/** Splits `total` into whole parts in proportion to `weights`; the parts add up to `total` exactly. */
export function split(total: number, weights: Float64Array): Uint32Array {
  const parts = new Uint32Array(weights.length);
  const sum = weights.reduce((a, b) => a + b, 0);
  let seen = 0;
  let given = 0;
  weights.forEach((weight, index) => {
    seen += weight;
    // Rounding the running total, not each part, keeps the sum exact without a second pass.
    const upTo = index === weights.length - 1 ? total : Math.round((seen / sum) * total);
    parts[index] = upTo - given;
    given = upTo;
  });
  return parts;
}
