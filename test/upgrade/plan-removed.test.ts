import { describe, expect, it } from 'vitest';
import type { DirectoryScan } from '../../src/engine/types.js';
import { withMigrated } from '../../src/upgrade/plan-removed.js';
import { emptyScan } from '../../src/upgrade/steps.js';
import type { MigrationRecord } from '../../src/upgrade/types.js';

const OWNER = 8;

/** A record with one row a name. Row i has uid i + 1, inode 100 + i, size 10 * i. */
function recordOf(...names: string[]): MigrationRecord {
  const bytes = names.map((name) => Buffer.from(name));
  const offsets = [0];
  for (const name of bytes) offsets.push((offsets.at(-1) ?? 0) + name.length);
  const column = names.map((_, i) => i);
  return {
    uidvalidity: 1,
    uidnext: 9,
    count: names.length,
    uids: Uint32Array.from(column, (i) => i + 1),
    names: Buffer.concat(bytes),
    nameOffsets: Uint32Array.from(offsets),
    inodes: BigUint64Array.from(column, (i) => BigInt(100 + i)),
    sizes: Float64Array.from(column, (i) => 10 * i),
    mtimes: new BigInt64Array(names.length),
  };
}

/** Name and inode of every file. */
function filesOf({ count, names, nameOffsets, inodes }: DirectoryScan): [string, bigint | undefined][] {
  return Array.from({ length: count }, (_, i) => [
    Buffer.from(names.subarray(nameOffsets[i], nameOffsets[i + 1])).toString(),
    inodes[i],
  ]);
}

describe('the directory as it was before -r', () => {
  it('has the files that came into 4.x, and not those that failed', () => {
    const scan = withMigrated(emptyScan(), recordOf('a', 'b', 'c'), Uint32Array.of(2), OWNER);
    expect(filesOf(scan)).toEqual([
      ['a', 100n],
      ['c', 102n],
    ]);
  });

  it('has a file once that was replaced and came in again, as it was last', () => {
    const scan = withMigrated(emptyScan(), recordOf('a', 'b', 'a'), new Uint32Array(0), OWNER);
    expect(filesOf(scan)).toEqual([
      ['a', 102n],
      ['b', 101n],
    ]);
  });
});
