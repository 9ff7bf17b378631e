/**
 * A plan on its way: from a thread to the main thread, to another thread and back. Its columns lie in one piece of shared
 * memory, of which a message carries a reference: a column as an object of its own cost each step more than the rows of
 * a small folder.
 *
 *     inodes, mtimes, sizes, internalDates   8 bytes × count
 *     uids, flags                            4 × count
 *     keywordOffsets, nameOffsets            4 × (count + 1)
 *     keywordRefs                            4 × the last of keywordOffsets
 *     refused                                count
 *     names                                  the last of nameOffsets
 *
 * The order leaves each column aligned. Nobody changes them. Behind them `roomBehind` may be given away.
 */
import type { MessageTable } from '../engine/types.js';
import type { FolderPlan } from './types.js';

/** Bytes of the piece that small folders have together; a larger one has a multiple of it. */
export const PIECE = 1 << 16;

export interface SharedTable {
  readonly count: number;
  readonly memory: SharedArrayBuffer;
  /** Where its columns begin, a multiple of 8. */
  readonly at: number;
  /** False: small folders have a piece together (`SharedRoom`). */
  readonly isWhole: boolean;
}

/** A plan whose columns `columnsOf` opens. */
export interface SharedPlan extends Omit<FolderPlan, 'messages'> {
  readonly messages: SharedTable;
}

/**
 * Bytes that the columns of a folder with such an index are given: four times as many, which is enough where names have
 * five bytes or more. Where it is not, the folder goes the long way and gets what it needs.
 */
export function columnBytes(indexBytes: number): number {
  return 4 * indexBytes;
}

/** To a multiple of 8; no shift, which has 32 bits. */
const aligned = (at: number): number => Math.ceil(at / 8) * 8;

/** In `memory` if it is large enough, else in a piece of its own. */
export function sharePlan(plan: FolderPlan, memory: SharedArrayBuffer | null): SharedPlan {
  return { ...plan, messages: shareTable(plan.messages, memory) };
}

export function openPlan(plan: SharedPlan): FolderPlan {
  return { ...plan, messages: columnsOf(plan.messages) };
}

function shareTable(table: MessageTable, given: SharedArrayBuffer | null): SharedTable {
  const { count } = table;
  const [refs, nameBytes] = [table.keywordOffsets[count] ?? 0, table.nameOffsets[count] ?? 0];
  const memory = pieceFor(count * 41 + (count + 1) * 8 + refs * 4 + nameBytes, given);
  const bytes = new Uint8Array(memory);
  let at = 0;
  const put = (column: ArrayBufferView): void => {
    bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at);
    at += column.byteLength;
  };
  for (const column of [table.inodes, table.mtimes, table.sizes, table.internalDates, table.uids, table.flags]) {
    put(column);
  }
  put(table.keywordOffsets);
  put(table.nameOffsets);
  put(table.keywordRefs.subarray(0, refs));
  put(table.refused);
  put(table.names.subarray(0, nameBytes));
  return { count, memory, at: 0, isWhole: true };
}

/** `given`, or a new piece; of a large one the rest is for a larger plan that comes after this one. */
function pieceFor(bytes: number, given: SharedArrayBuffer | null): SharedArrayBuffer {
  if (given !== null && given.byteLength >= bytes) return given;
  return new SharedArrayBuffer(bytes <= PIECE ? bytes : Math.ceil(bytes / PIECE) * PIECE);
}

export function columnsOf({ count, memory, at: from }: SharedTable): MessageTable {
  let at = from;
  const next = <T extends ArrayBufferView>(
    Type: { new (memory: SharedArrayBuffer, at: number, length: number): T; readonly BYTES_PER_ELEMENT: number },
    length: number,
  ): T => {
    const column = new Type(memory, at, length);
    at += length * Type.BYTES_PER_ELEMENT;
    return column;
  };
  const inodes = next(BigUint64Array, count);
  const mtimes = next(BigInt64Array, count);
  const sizes = next(Float64Array, count);
  const internalDates = next(Float64Array, count);
  const uids = next(Uint32Array, count);
  const flags = next(Uint32Array, count);
  const keywordOffsets = next(Uint32Array, count + 1);
  const nameOffsets = next(Uint32Array, count + 1);
  const keywordRefs = next(Uint32Array, keywordOffsets[count] ?? 0);
  const refused = next(Uint8Array, count);
  const names = next(Uint8Array, nameOffsets[count] ?? 0);
  return {
    count,
    inodes,
    mtimes,
    sizes,
    internalDates,
    uids,
    flags,
    keywordOffsets,
    keywordRefs,
    nameOffsets,
    names,
    refused,
  };
}

/**
 * So many bytes, aligned to 8, behind the columns of a folder that has its memory for itself: what is found out of its
 * messages goes with them, and leaves no memory behind that a thread would collect seldom. undefined: there is no room.
 */
export function roomBehind(
  { memory, isWhole }: SharedTable,
  { names }: MessageTable,
  bytes: number,
): Uint8Array | undefined {
  const at = aligned(names.byteOffset + names.byteLength);
  return isWhole && at + bytes <= memory.byteLength ? new Uint8Array(memory, at, bytes) : undefined;
}

/** Room for the columns of the folders of one task: a piece of memory for each small one took longer than to fill it. */
export class SharedRoom {
  #memory = new SharedArrayBuffer(0);
  #at = 0;
  #isWhole = false;

  /** What is free, `least` bytes or more: with others in a piece, or in one of its own, `given` if that is large enough. */
  free(least: number, given: SharedArrayBuffer | null): Uint8Array {
    if (this.#isWhole || least > PIECE || this.#memory.byteLength - this.#at < least) {
      this.#isWhole = least > PIECE;
      this.#memory = this.#isWhole ? pieceFor(least, given) : new SharedArrayBuffer(PIECE);
      this.#at = 0;
    }
    return new Uint8Array(this.#memory, this.#at);
  }

  /** The table of `count` messages whose columns are now in the first `bytes` of what is free. */
  take(count: number, bytes: number): SharedTable {
    const table = { count, memory: this.#memory, at: this.#at, isWhole: this.#isWhole };
    this.#at = Math.min(aligned(this.#at + bytes), this.#memory.byteLength);
    return table;
  }
}
