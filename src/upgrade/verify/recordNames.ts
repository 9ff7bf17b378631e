/**
 * Rows of a migration record by 3.x name. Of a published folder two rows may have one name: 3.x gave it to another
 * message, which a retry brought in. What 3.x says of the name is about the latest of them, and nothing about the others.
 */
import { nameTable } from '../plan-names.js';
import type { MigrationRecord } from '../types.js';

export interface RecordNames {
  /** The latest row of a name, -1 for none. */
  find(bytes: Uint8Array, start: number, end: number): number;
  /** A later row has the same name. */
  isReplaced(row: number): boolean;
}

export function recordNames({ count, names, nameOffsets }: MigrationRecord): RecordNames {
  const table = nameTable({ count, names, nameOffsets });
  /** By the first row of a name, where it has several. */
  const latest = new Map<number, number>();
  const replaced = new Set<number>();
  for (let row = 0; row < count; row++) {
    const first = table.find(names, nameOffsets[row] ?? 0, nameOffsets[row + 1] ?? 0);
    if (first === row) continue;
    replaced.add(latest.get(first) ?? first);
    latest.set(first, row);
  }
  return {
    find(bytes, start, end) {
      const first = table.find(bytes, start, end);
      return latest.size === 0 ? first : (latest.get(first) ?? first);
    },
    isReplaced: (row) => replaced.has(row),
  };
}
