/**
 * Looks whether a file holds, byte for byte, what a message must hold; and writes it again where an earlier attempt
 * wrote it. That file may be whole in the page cache only: when the disk refuses its pages, the kernel tells one sync,
 * and keeps them as if they were written. Written again, they are the next sync's to write or to report.
 */
import * as fs from 'node:fs';
import { hasErrno } from '../../errors.js';
import { reopenForWriting, statOpen } from '../../fs/descriptor.js';
import { writeAll } from '../../fs/dir.js';
import { pieceOf, spent } from '../../fs/pace.js';
import { syncWritten } from '../../fs/syncfs.js';

const CHUNK_BYTES = 1 << 20;
let chunk: Buffer | undefined;

/** The open file has exactly this content. Throws Node's errors of reading it. */
export function hasContent(fd: number, content: Uint8Array): boolean {
  if (statOpen(fd).size !== content.length) return false;
  chunk ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let done = 0;
  for (;;) {
    const count = fs.readSync(fd, chunk, 0, pieceOf(CHUNK_BYTES), done);
    spent.bytes += count;
    if (count === 0) return done === content.length;
    if (done + count > content.length) return false;
    if (chunk.compare(content, done, done + count, 0, count) !== 0) return false;
    done += count;
  }
}

/**
 * Writes `content` over itself. False when the file cannot be opened for writing: then another one is made in its place.
 * Throws the errors of writing.
 */
export function writeAgain(fd: number, content: Uint8Array): boolean {
  let writable: number;
  try {
    writable = reopenForWriting(fd);
  } catch (error) {
    if (hasErrno(error, 'EACCES', 'EPERM', 'ENOENT', 'ETXTBSY')) return false;
    throw error;
  }
  try {
    writeAll(writable, content);
    syncWritten(writable);
    return true;
  } finally {
    fs.closeSync(writable);
  }
}
