/** Errors of calls on a descriptor, which name no file: what is told to people must (docs/operations.md). */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import { hasErrno } from '../errors.js';
import { spent } from './pace.js';

/** Makes a call on `fd`; what it throws names the path that the descriptor leads to, where the kernel tells. */
export function onDescriptor<T>(fd: number, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw withDescriptorPath(error, fd);
  }
}

/** fstat(2) of an open file. */
export function statOpen(fd: number): Stats {
  return onDescriptor(fd, () => fstatSync(fd));
}

/** The same with numbers that hold every inode, and times in nanoseconds. */
export function statOpenExactly(fd: number): BigIntStats {
  return onDescriptor(fd, () => fstatSync(fd, { bigint: true }));
}

/**
 * A number that the kernel tells of an open file: the mount that it was opened through, or its inode as /proc/locks has
 * it. Undefined where /proc does not tell: not on Linux, or before 5.14 after root has become another account.
 */
export function descriptorInfo(fd: number, field: 'mnt_id' | 'ino'): string | undefined {
  try {
    return new RegExp(`^${field}:\\s*(\\d+)$`, 'm').exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}

/** One read moves less than 2 GiB. */
const READ_LIMIT = 1 << 30;

/** Reads into `into` from `position` (null: where the descriptor stands); how many bytes came, 0 at the end. */
export function readOpen(fd: number, into: Uint8Array, position: number | null): number {
  const count = onDescriptor(fd, () => readSync(fd, into, 0, Math.min(into.length, READ_LIMIT), position));
  spent.bytes += count;
  return count;
}

/**
 * close(2) where what was written is synced, or nothing was. Whatever it says, the number is free (Linux) and nothing is
 * lost: that is no failure of a change that is durable. EBADF is: somebody else may have been given the number.
 */
export function closeSynced(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error) || hasErrno(error, 'EBADF')) throw error;
  }
}

/** Another description of the file that `fd` has open, for writing, from its beginning. Needs /proc. */
export function reopenForWriting(fd: number): number {
  spent.operations += 1;
  return onDescriptor(fd, () => openSync(`/proc/self/fd/${fd}`, constants.O_RDWR | constants.O_NONBLOCK));
}

function withDescriptorPath(error: unknown, fd: number): unknown {
  if (!(error instanceof Error)) return error;
  try {
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    if (!error.message.includes(path)) error.message += ` '${path}'`;
  } catch {
    // Where there is no /proc the call alone is told.
  }
  return error;
}
