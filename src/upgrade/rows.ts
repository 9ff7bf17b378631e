/** Tables made of rows of other tables; what a record and a plan have in common is a row a message, ascending uid. */
import type { MessageTable } from '../engine/types.js';
import type { MigrationRecord } from './types.js';

/** The messages on record as a table: their identity, without dates, flags and keywords. */
export function tableOf(record: MigrationRecord): MessageTable {
  const { count, uids, names, nameOffsets, inodes, sizes, mtimes } = record;
  return {
    count,
    uids,
    names,
    nameOffsets,
    inodes,
    sizes,
    mtimes,
    internalDates: new Float64Array(count),
    flags: new Uint32Array(count),
    keywordOffsets: new Uint32Array(count + 1),
    keywordRefs: new Uint32Array(0),
    refused: new Uint8Array(count),
  };
}

/** The rows of `picks`, in that order: i ≥ 0 is row i of `first`, -1 - i is row i of `second`. */
export function pickRows(first: MessageTable, second: MessageTable, picks: readonly number[]): MessageTable {
  const count = picks.length;
  const from = (pick: number): readonly [MessageTable, number] => (pick >= 0 ? [first, pick] : [second, -1 - pick]);
  const nameOffsets = new Uint32Array(count + 1);
  const keywordOffsets = new Uint32Array(count + 1);
  picks.forEach((pick, k) => {
    const [table, i] = from(pick);
    nameOffsets[k + 1] = (nameOffsets[k] ?? 0) + range(table.nameOffsets, i).length;
    keywordOffsets[k + 1] = (keywordOffsets[k] ?? 0) + range(table.keywordOffsets, i).length;
  });
  const picked = {
    count,
    uids: new Uint32Array(count),
    internalDates: new Float64Array(count),
    flags: new Uint32Array(count),
    keywordOffsets,
    keywordRefs: new Uint32Array(keywordOffsets[count] ?? 0),
    names: new Uint8Array(nameOffsets[count] ?? 0),
    nameOffsets,
    inodes: new BigUint64Array(count),
    sizes: new Float64Array(count),
    mtimes: new BigInt64Array(count),
    refused: new Uint8Array(count),
  };
  picks.forEach((pick, k) => {
    const [table, i] = from(pick);
    picked.uids[k] = table.uids[i] ?? 0;
    picked.internalDates[k] = table.internalDates[i] ?? 0;
    picked.flags[k] = table.flags[i] ?? 0;
    picked.inodes[k] = table.inodes[i] ?? 0n;
    picked.sizes[k] = table.sizes[i] ?? 0;
    picked.mtimes[k] = table.mtimes[i] ?? 0n;
    picked.refused[k] = table.refused[i] ?? 0;
    const name = range(table.nameOffsets, i);
    picked.names.set(table.names.subarray(name.start, name.end), nameOffsets[k]);
    const keywords = range(table.keywordOffsets, i);
    picked.keywordRefs.set(table.keywordRefs.subarray(keywords.start, keywords.end), keywordOffsets[k]);
  });
  return picked;
}

function range(offsets: Uint32Array, i: number): { start: number; end: number; length: number } {
  const start = offsets[i] ?? 0;
  const end = offsets[i + 1] ?? start;
  return { start, end, length: end - start };
}
