/**
 * The directory of a published folder as it was before `-r` took the originals of what is in 4.x. A retry is planned
 * from it, so the plan, its uids and its warnings are the same whether the originals are still there or not.
 */
import type { DirectoryScan } from '../engine/types.js';
import { rawKey } from '../store/names.js';
import { exceptFailed } from './failures.js';
import { nameTable } from './plan-names.js';
import type { MigrationRecord } from './types.js';

/** A regular file that nobody else may write: what was migrated. */
const MIGRATED_MODE = 0o100600;

/** `scan` with every file of `record` that did not fail; those that are not there any more as they were. */
export function withMigrated(
  scan: DirectoryScan,
  record: MigrationRecord,
  failed: Uint32Array,
  ownerUid: number,
): DirectoryScan {
  const table = nameTable(scan);
  const migrated = exceptFailed(record.uids, failed);
  // Two rows have one name where a file was replaced and came in again: only the newer one was there last.
  const byName = new Map<string, number>();
  for (let i = 0; i < record.count; i++) {
    if (migrated[i] === 0) continue;
    const [start, end] = [record.nameOffsets[i] ?? 0, record.nameOffsets[i + 1] ?? 0];
    if (table.find(record.names, start, end) < 0) byName.set(rawKey(record.names.subarray(start, end)), i);
  }
  const gone = [...byName.values()];
  if (gone.length === 0) return scan;
  const count = scan.count + gone.length;
  const lengthOf = (row: number): number => (record.nameOffsets[row + 1] ?? 0) - (record.nameOffsets[row] ?? 0);
  const names = new Uint8Array(scan.names.length + gone.reduce((sum, row) => sum + lengthOf(row), 0));
  const grown = {
    count,
    names,
    nameOffsets: longer(scan.nameOffsets, new Uint32Array(count + 1)),
    inodes: longer(scan.inodes, new BigUint64Array(count)),
    sizes: longer(scan.sizes, new Float64Array(count)),
    mtimes: longer(scan.mtimes, new BigInt64Array(count)),
    modes: longer(scan.modes, new Uint32Array(count).fill(MIGRATED_MODE)),
    uids: longer(scan.uids, new Uint32Array(count).fill(ownerUid)),
    nlinks: longer(scan.nlinks, new Uint32Array(count).fill(1)),
    errors: scan.errors,
  };
  names.set(scan.names);
  gone.forEach((row, k) => {
    const file = scan.count + k;
    const start = grown.nameOffsets[file] ?? 0;
    names.set(record.names.subarray(record.nameOffsets[row], record.nameOffsets[row + 1]), start);
    grown.nameOffsets[file + 1] = start + lengthOf(row);
    grown.inodes[file] = record.inodes[row] ?? 0n;
    grown.sizes[file] = record.sizes[row] ?? 0;
    grown.mtimes[file] = record.mtimes[row] ?? 0n;
  });
  return grown;
}

/** `column` at the beginning of `grown`. */
function longer<Column extends { set(column: Column): void }>(column: Column, grown: Column): Column {
  grown.set(column);
  return grown;
}
