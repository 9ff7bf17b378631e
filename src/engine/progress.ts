/** The slot of PROGRESS (types.ts) that has 64 bits. */
import { PROGRESS } from './types.js';

/** Adds to it; any thread may at any time. */
export function addKilobytes(progress: Int32Array, kilobytes: number): void {
  Atomics.add(slotOf(progress), 0, BigInt(kilobytes));
}

export function kilobytesOf(progress: Int32Array): number {
  return Number(Atomics.load(slotOf(progress), 0));
}

function slotOf({ buffer, byteOffset }: Int32Array): BigInt64Array {
  return new BigInt64Array(buffer, byteOffset + PROGRESS.kilobytes * Int32Array.BYTES_PER_ELEMENT, 1);
}
