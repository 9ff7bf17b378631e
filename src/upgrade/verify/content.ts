/**
 * Reads message files. A file is opened only when it is a regular file, and what was opened is what was looked at.
 *
 * Memory: a buffer of each thread that grows to 16 MiB at most; a larger message gets one of its own, and only one
 * thread at a time has a giant one.
 */
import * as fs from 'node:fs';
import { EXIT, MailhaulError } from '../../errors.js';
import { readOpen, statOpen } from '../../fs/descriptor.js';
import { type Dir, displayPath } from '../../fs/dir.js';
import { openSeenFile } from '../../fs/file.js';
import { stopped, type VerifyContext } from './context.js';

const KEPT_BYTES = 16 << 20;
const GIANT_BYTES = 64 << 20;

let kept = Buffer.allocUnsafeSlow(1 << 20);

/**
 * Opens the regular file that `seen` (lstat) describes, reads it whole and gives it to `use`; the bytes are valid
 * until `use` returns. Throws FS_NOT_REGULAR, FS_SWAPPED, VERIFY_HALTED when the run is stopped before a giant one has
 * its turn, and what the file system throws.
 */
export function withContent<T>(
  context: VerifyContext,
  dir: Dir,
  name: string | Uint8Array,
  seen: fs.BigIntStats,
  use: (content: Buffer) => T,
): T {
  if (!seen.isFile()) {
    throw new MailhaulError('FS_NOT_REGULAR', 'A regular file was expected.', { where: displayPath(dir, name) });
  }
  const size = Number(seen.size);
  const giant = size > GIANT_BYTES;
  if (giant) acquire(context);
  try {
    const fd = openSeenFile(dir, name);
    try {
      const opened = statOpen(fd);
      if (opened.ino !== Number(seen.ino) || !opened.isFile()) {
        throw new MailhaulError('FS_SWAPPED', 'Another file took its place just now.', {
          where: displayPath(dir, name),
        });
      }
      return use(readAll(fd, size));
    } finally {
      fs.closeSync(fd);
    }
  } finally {
    if (giant) release(context.giant);
  }
}

function readAll(fd: number, size: number): Buffer {
  const buffer = bufferFor(size);
  let done = 0;
  while (done < size) {
    const bytes = readOpen(fd, buffer.subarray(done, size), done);
    if (bytes === 0) break;
    done += bytes;
  }
  return buffer.subarray(0, done);
}

function bufferFor(size: number): Buffer {
  if (size > KEPT_BYTES) return Buffer.allocUnsafeSlow(size);
  if (size > kept.length) kept = Buffer.allocUnsafeSlow(Math.min(KEPT_BYTES, Math.max(size, kept.length * 2)));
  return kept;
}

/** Waits no longer than the run goes on: a thread that died (of memory, say) never gives the slot back. */
function acquire(context: VerifyContext): void {
  const { giant } = context;
  while (Atomics.compareExchange(giant, 0, 0, 1) !== 0) {
    if (stopped(context)) {
      const message = 'The run was stopped while a large message waited for its turn.';
      throw new MailhaulError('VERIFY_HALTED', message, { exit: EXIT.halted });
    }
    Atomics.wait(giant, 0, 1, 1_000);
  }
}

function release(giant: Int32Array): void {
  Atomics.store(giant, 0, 0);
  Atomics.notify(giant, 0);
}
