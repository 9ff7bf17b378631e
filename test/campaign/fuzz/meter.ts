/**
 * What an execution costs, counted and not timed: basic blocks (the counters of instrument.ts), and bytes asked for in
 * typed arrays and Buffers. Must be installed before the code under test is loaded.
 */

declare global {
  // Called by every instrumented module.
  var fuzzModule: ((counters: number, literals: readonly string[]) => Uint32Array) | undefined;
}

/** Counters of all modules, one behind the other. */
const counters = new Uint32Array(1 << 16);
let used = 0;
let bytes = 0;
const literals = new Set<string>();

/** Bits of the counts that were seen, by counter: how often matters in steps only. */
const seen = new Uint8Array(counters.length);

/** 1, 2, 3, 4-7, 8-15, 16-31, 32-127, more. */
function bucket(count: number): number {
  if (count <= 3) return 1 << (count - 1);
  if (count < 8) return 8;
  if (count < 16) return 16;
  if (count < 32) return 32;
  return count < 128 ? 64 : 128;
}

export function installMeter(): void {
  globalThis.fuzzModule = (count, found) => {
    for (const literal of found) literals.add(literal);
    const mine = counters.subarray(used, used + count);
    if (mine.length < count) throw new RangeError('More counters than the meter has room for.');
    used += count;
    return mine;
  };
  for (const name of ARRAYS) {
    globalThis[name] = new Proxy(globalThis[name], {
      construct(plain, args: [unknown], newTarget) {
        if (typeof args[0] === 'number')
          bytes += args[0] * ('BYTES_PER_ELEMENT' in plain ? plain.BYTES_PER_ELEMENT : 1);
        return Reflect.construct(plain, args, newTarget) as object;
      },
    }) as never;
  }
  for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
    const plain = Buffer[name];
    Buffer[name] = ((size: number, ...rest: []) => {
      bytes += size;
      return plain(size, ...rest);
    }) as never;
  }
  const concat = Buffer.concat;
  Buffer.concat = (list, total) => {
    const made = concat(list, total);
    bytes += made.length;
    return made as never;
  };
}

const ARRAYS = [
  'ArrayBuffer',
  'Uint8Array',
  'Int32Array',
  'Uint32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;

/** Strings of the loaded code. */
export function codeLiterals(): string[] {
  return [...literals];
}

/** Begins an execution. */
export function resetMeter(): void {
  counters.fill(0, 0, used);
  bytes = 0;
}

export interface Cost {
  readonly steps: number;
  readonly bytes: number;
  /** Something was reached that no execution before reached, or reached as often. */
  readonly isNew: boolean;
}

/** Ends an execution. */
export function readMeter(): Cost {
  const cost = bytes;
  let steps = 0;
  let isNew = false;
  for (let i = 0; i < used; i++) {
    const count = counters[i]!;
    if (count === 0) continue;
    steps += count;
    const bit = bucket(count);
    if ((seen[i]! & bit) === 0) {
      seen[i]! |= bit;
      isNew = true;
    }
  }
  return { steps, bytes: cost, isNew };
}

/** Branches reached so far, and all. */
export function coverage(): { reached: number; all: number } {
  let reached = 0;
  for (let i = 0; i < used; i++) if (seen[i] !== 0) reached++;
  return { reached, all: used };
}
