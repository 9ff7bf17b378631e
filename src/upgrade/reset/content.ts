/** Message files read in pieces: their digest, as they are and in CRLF form. Memory: one buffer. */
import * as fs from 'node:fs';
import { crlfForm } from '../../engine/message/crlf.js';
import { readOpen } from '../../fs/descriptor.js';
import type { Dir, Name } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { digestOf } from '../../store/digest.js';

const PIECE_BYTES = 1 << 20;
const CR = 0x0d;
const LF = 0x0a;

let buffer: Buffer | undefined;

/** The content of an open file from its beginning; a piece is valid until the next one. */
export function* pieces(fd: number): Generator<Buffer> {
  buffer ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
  for (let at = 0; ; ) {
    const bytes = readOpen(fd, buffer, at);
    if (bytes === 0) return;
    at += bytes;
    yield buffer.subarray(0, bytes);
  }
}

/** The CRLF form (3x-profile.md, "Message files") of what the pieces are together. */
function* crlfPieces(content: Iterable<Buffer>): Generator<Uint8Array> {
  let last = 0;
  for (const piece of content) {
    const split = last === CR && piece[0] === LF;
    if (split) yield piece.subarray(0, 1);
    yield crlfForm(split ? piece.subarray(1) : piece);
    last = piece[piece.length - 1] ?? last;
  }
}

/** Digest of a regular file's content, or of its CRLF form. Throws what opening and reading throw. */
export function fileDigest(dir: Dir, name: Name, form: 'stored' | 'crlf' = 'stored'): Uint8Array {
  const fd = openFile(dir, name);
  try {
    return digestOf(form === 'crlf' ? crlfPieces(pieces(fd)) : pieces(fd));
  } finally {
    fs.closeSync(fd);
  }
}

export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
