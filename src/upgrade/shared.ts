/**
 * Columns in shared memory. A plan goes from a thread to the main thread, to another thread and back; on a
 * SharedArrayBuffer it is one piece of memory that all of them see, instead of a copy at every step.
 */
import type { MessageTable } from '../engine/types.js';

/** The numeric and byte columns of a table; `count` stays a number. */
const COLUMNS = [
  'inodes',
  'mtimes',
  'sizes',
  'internalDates',
  'uids',
  'flags',
  'keywordOffsets',
  'keywordRefs',
  'nameOffsets',
  'names',
  'refused',
] as const satisfies readonly (keyof MessageTable)[];

type Column = MessageTable[(typeof COLUMNS)[number]];

const ALIGNMENT = 8;

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** The same table with all its columns on one SharedArrayBuffer. Nobody changes them from here on. */
export function shareTable(table: MessageTable): MessageTable {
  let total = 0;
  for (const name of COLUMNS) total += aligned(table[name].byteLength);
  const memory = new SharedArrayBuffer(total);
  let offset = 0;
  const share = <T extends Column>(column: T): T => {
    const target = new Uint8Array(memory, offset, column.byteLength);
    target.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
    const Type = column.constructor as new (buffer: SharedArrayBuffer, offset: number, length: number) => T;
    const shared = new Type(memory, offset, column.length);
    offset += aligned(column.byteLength);
    return shared;
  };
  return {
    count: table.count,
    inodes: share(table.inodes),
    mtimes: share(table.mtimes),
    sizes: share(table.sizes),
    internalDates: share(table.internalDates),
    uids: share(table.uids),
    flags: share(table.flags),
    keywordOffsets: share(table.keywordOffsets),
    keywordRefs: share(table.keywordRefs),
    nameOffsets: share(table.nameOffsets),
    names: share(table.names),
    refused: share(table.refused),
  };
}
