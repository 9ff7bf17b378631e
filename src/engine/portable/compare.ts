/** Looks whether a file holds, byte for byte, what a message must hold. */
import * as fs from 'node:fs';
import { statOpen } from '../../fs/descriptor.js';

const CHUNK_BYTES = 1 << 20;
let chunk: Buffer | undefined;

/** The open file has exactly this content. Throws Node's errors of reading it. */
export function hasContent(fd: number, content: Uint8Array): boolean {
  if (statOpen(fd).size !== content.length) return false;
  chunk ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let done = 0;
  for (;;) {
    const count = fs.readSync(fd, chunk, 0, CHUNK_BYTES, done);
    if (count === 0) return done === content.length;
    if (done + count > content.length) return false;
    if (chunk.compare(content, done, done + count, 0, count) !== 0) return false;
    done += count;
  }
}
