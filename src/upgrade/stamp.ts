/**
 * What a 3.x folder looked like before it was read, and looks like before it is published: the same, or it is not
 * published. By the addon in one call where it can tell; else, and wherever something is wrong, by Node's.
 */
import { loadAddon } from '../fs/addon.js';
import { type Dir, fstat, stat } from '../fs/dir.js';
import type { SourceStamp } from './tasks.js';

/** What the addon fills; read before its next call. */
const wide = new BigUint64Array(4);

export function stampOf(dir: Dir): SourceStamp {
  if (loadAddon()?.stamp(dir.fd, wide) === true) return stampIn(wide);
  const index = stat(dir, '.mailbox');
  const directory = fstat(dir);
  return {
    device: directory.dev,
    directoryMtimeNs: directory.mtimeNs,
    indexInode: index?.ino ?? 0n,
    indexMtimeNs: index?.mtimeNs ?? 0n,
  };
}

/** As the addon gives it. */
export function stampIn(numbers: BigUint64Array): SourceStamp {
  return {
    device: numbers[0]!,
    directoryMtimeNs: BigInt.asIntN(64, numbers[1]!),
    indexInode: numbers[2]!,
    indexMtimeNs: BigInt.asIntN(64, numbers[3]!),
  };
}

export function isSame(a: SourceStamp, b: SourceStamp): boolean {
  return (
    a.device === b.device &&
    a.directoryMtimeNs === b.directoryMtimeNs &&
    a.indexInode === b.indexInode &&
    a.indexMtimeNs === b.indexMtimeNs
  );
}
