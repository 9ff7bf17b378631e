/** Errors of calls on a descriptor, which name no file: what is told to people must (docs/operations.md). */
import { fstatSync, readlinkSync, type Stats } from 'node:fs';

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

function withDescriptorPath(error: unknown, fd: number): unknown {
  if (!(error instanceof Error)) return error;
  try {
    error.message += ` '${readlinkSync(`/proc/self/fd/${fd}`)}'`;
  } catch {
    // Where there is no /proc the call alone is told.
  }
  return error;
}
