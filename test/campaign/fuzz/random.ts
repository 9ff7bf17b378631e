/** Chance that a name decides: the same seed gives the same campaign. */
import { createHash } from 'node:crypto';

/** A small, fast generator of numbers (xoshiro128**). */
export class Chance {
  readonly #state: Uint32Array;

  constructor(seed: string) {
    const hash = createHash('sha256').update(seed).digest();
    this.#state = Uint32Array.from({ length: 4 }, (_, i) => hash.readUInt32LE(i * 4) | 1);
  }

  /** 0 … 2^32 - 1. */
  word(): number {
    const s = this.#state;
    const [a, b, c, d] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const x = Math.imul(b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    s[2] = c ^ a;
    s[3] = d ^ b;
    s[1] = b ^ s[2]!;
    s[0] = a ^ s[3]!;
    s[2]! ^= b << 9;
    const last = s[3]!;
    s[3] = (last << 11) | (last >>> 21);
    return result;
  }

  /** 0 … limit - 1; 0 for a limit of 0. */
  below(limit: number): number {
    return limit <= 1 ? 0 : this.word() % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** True once in `n`. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }
}
