/** The two orders of a plan, on numbers only: by uid, and by (modification time, name). */
import { compareNames, type PackedNames } from './plan-names.js';

/** Which 32-bit half of a 64-bit element holds its low bits on this machine. */
export const LOW = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 0 : 1;
export const HIGH = 1 - LOW;

/** Numbers below `count` that pass, ascending. */
export function select(count: number, passes: (i: number) => boolean): Uint32Array {
  const chosen = new Uint32Array(count);
  let used = 0;
  for (let i = 0; i < count; i++) {
    if (passes(i)) chosen[used++] = i;
  }
  return chosen.slice(0, used);
}

/** Column of 64-bit numbers as 32-bit halves: moved and compared without making a BigInt of each. */
export function pairs(column: BigUint64Array | BigInt64Array): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset, column.length * 2);
}

/** `items` ascending by keys[item], equal keys in the order given. */
export function sortByKey(items: Uint32Array, keys: Uint32Array): Uint32Array {
  let ascending = true;
  for (let i = 1; i < items.length && ascending; i++) {
    ascending = (keys[items[i - 1] ?? 0] ?? 0) <= (keys[items[i] ?? 0] ?? 0);
  }
  if (ascending) return items.slice();
  // Key and position side by side in one 64-bit number: sorted without a call back for each comparison.
  const packed = new BigUint64Array(items.length);
  const halves = new Uint32Array(packed.buffer);
  for (let i = 0; i < items.length; i++) {
    halves[2 * i + HIGH] = keys[items[i] ?? 0] ?? 0;
    halves[2 * i + LOW] = i;
  }
  packed.sort();
  const sorted = new Uint32Array(items.length);
  for (let i = 0; i < items.length; i++) sorted[i] = items[halves[2 * i + LOW] ?? 0] ?? 0;
  return sorted;
}

/** Below this many files a comparison sort is faster than counting digits. */
const FEW = 4096;

/** `files` by modification time (ns), equal times by name bytes. */
export function sortByTime(files: Uint32Array, mtimes: BigInt64Array, names: PackedNames): Uint32Array {
  const halves = pairs(mtimes);
  // The sign bit is turned so that times before 1970 come first.
  const high = (file: number) => ((halves[2 * file + HIGH] ?? 0) ^ 0x80000000) >>> 0;
  const low = (file: number) => halves[2 * file + LOW] ?? 0;
  if (files.length < FEW) {
    return files.slice().sort((a, b) => high(a) - high(b) || low(a) - low(b) || compareNames(names, a, b));
  }
  const order = sortByDigits(files, [low, (f) => low(f) >>> 16, high, (f) => high(f) >>> 16]);
  const sameTime = (a: number, b: number) => high(a) === high(b) && low(a) === low(b);
  for (let start = 0, end = 1; start < order.length; start = end++) {
    while (end < order.length && sameTime(order[start] ?? 0, order[end] ?? 0)) end++;
    if (end - start > 1) order.subarray(start, end).sort((a, b) => compareNames(names, a, b));
  }
  return order;
}

/** Radix sort: by the low 16 bits of each digit in turn, the least significant first. */
function sortByDigits(files: Uint32Array, digits: readonly ((file: number) => number)[]): Uint32Array {
  let order = files.slice();
  let other = new Uint32Array(files.length);
  for (const digit of digits) {
    const starts = new Uint32Array(0x10001);
    for (const file of order) starts[(digit(file) & 0xffff) + 1]!++;
    for (let value = 0; value < 0x10000; value++) starts[value + 1]! += starts[value]!;
    for (const file of order) other[starts[digit(file) & 0xffff]!++] = file;
    [order, other] = [other, order];
  }
  return order;
}
