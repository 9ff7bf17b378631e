/** Names and stats of one directory as columns (DirectoryScan), in the order of inode numbers. */
import { isAscii } from 'node:buffer';
import { constants as osConstants } from 'node:os';
import { type Dir, list, stat } from '../../fs/dir.js';
import { settle, spent } from '../../fs/pace.js';
import type { DirectoryScan } from '../types.js';
import { systemError } from './outcome.js';

/** Throws Node's errors when the directory cannot be read; an entry that cannot be statted is in `errors`. */
export function scan(dir: Dir): DirectoryScan {
  const listed = list(dir).filter((name) => name[0] !== 0x2e);
  const found = columns(listed.length);
  const failed: number[] = [];
  listed.forEach((name, k) => {
    spent.operations += 1;
    settle();
    try {
      const entry = stat(dir, isAscii(name) ? name.toString('latin1') : name);
      if (entry === undefined) {
        failed[k] = osConstants.errno.ENOENT; // gone since the directory was read
        return;
      }
      found.inodes[k] = entry.ino;
      found.sizes[k] = Number(entry.size);
      found.mtimes[k] = entry.mtimeNs;
      found.modes[k] = Number(entry.mode);
      found.uids[k] = Number(entry.uid);
      found.nlinks[k] = Number(entry.nlink);
    } catch (error) {
      const failure = systemError(error);
      if (failure === undefined) throw error;
      failed[k] = failure.errno;
    }
  });
  return inOrder(listed, found, failed);
}

function columns(count: number) {
  return {
    inodes: new BigUint64Array(count),
    sizes: new Float64Array(count),
    mtimes: new BigInt64Array(count),
    modes: new Uint32Array(count),
    uids: new Uint32Array(count),
    nlinks: new Uint32Array(count),
  };
}

/** Sorts by inode, then by name bytes (hard links within a folder), so that both engines give the same. */
function inOrder(
  names: readonly Buffer[],
  found: ReturnType<typeof columns>,
  failed: readonly number[],
): DirectoryScan {
  const inode = (k: number): bigint => found.inodes[k] ?? 0n;
  const order = Uint32Array.from(names.keys()).sort((a, b) => {
    const [left, right] = [inode(a), inode(b)];
    if (left !== right) return left < right ? -1 : 1;
    return Buffer.compare(names[a] as Buffer, names[b] as Buffer);
  });
  const sorted = columns(names.length);
  const nameOffsets = new Uint32Array(names.length + 1);
  const errors: { index: number; errno: number }[] = [];
  order.forEach((k, i) => {
    sorted.inodes[i] = inode(k);
    sorted.sizes[i] = found.sizes[k] ?? 0;
    sorted.mtimes[i] = found.mtimes[k] ?? 0n;
    sorted.modes[i] = found.modes[k] ?? 0;
    sorted.uids[i] = found.uids[k] ?? 0;
    sorted.nlinks[i] = found.nlinks[k] ?? 0;
    nameOffsets[i + 1] = (nameOffsets[i] ?? 0) + (names[k]?.length ?? 0);
    const errno = failed[k];
    if (errno !== undefined) errors.push({ index: i, errno });
  });
  const packed = new Uint8Array(nameOffsets[names.length] ?? 0);
  order.forEach((k, i) => {
    packed.set(names[k] as Buffer, nameOffsets[i]);
  });
  return { count: names.length, names: packed, nameOffsets, ...sorted, errors };
}
