/**
 * Lines of a text file that nobody vouches for: linear time, and memory of one read buffer, whatever the
 * bytes are. A line longer than the buffer may grow is passed over and reported by its number.
 *
 *     buffer  [ rest of a line | ............ next read ............ ]
 *              ^ moved to the front when a read ends inside a line
 */
import * as fs from 'node:fs';
import { statOpen } from '../../fs/descriptor.js';
import { pieceOf, spent } from '../../fs/pace.js';

const READ_BYTES = 256 * 1024;

/** Called for each line without its LF; `bytes` is reused, so what is kept must be copied. */
export type OnLine = (bytes: Buffer, start: number, end: number, number: number) => void;

export interface LineLimits {
  /** A longer line goes to `onLong` instead. */
  readonly lineBytes: number;
  /** Reading stops at the end of the last whole line within this many bytes. */
  readonly fileBytes: number;
}

export interface LinesRead {
  /** Lines seen, a last one without LF included. */
  readonly lines: number;
  /** The file goes on behind `fileBytes`; the rest was not read. */
  readonly cut: boolean;
  /** The last line has no LF. */
  readonly unterminated: boolean;
}

/** Where the bytes come from. */
export interface LineSource {
  /** Most likely so many; there may be more. */
  readonly size: number;
  /** Puts the next bytes into `buffer` at `offset`, `length` at most; how many there were, 0 at the end. */
  read(buffer: Buffer, offset: number, length: number): number;
}

/** From the descriptor's position on. */
export function openFileSource(fd: number): LineSource {
  return {
    size: statOpen(fd).size,
    read(buffer, offset, length) {
      const read = fs.readSync(fd, buffer, offset, pieceOf(length), null);
      spent.bytes += read;
      return read;
    },
  };
}

export function bytesSource(bytes: Buffer): LineSource {
  let position = 0;
  return {
    size: bytes.length,
    read(buffer, offset, length) {
      const read = bytes.copy(buffer, offset, position, position + length);
      position += read;
      return read;
    },
  };
}

/** Reads to the end. Throws what `source.read` throws. */
export function readLines(
  source: LineSource,
  limits: LineLimits,
  onLine: OnLine,
  onLong: (number: number) => void,
): LinesRead {
  // Most files are small, and there may be hundreds of thousands of them: no more room than the file needs.
  let buffer = Buffer.allocUnsafe(Math.min(Math.max(source.size + 1, 512), READ_BYTES));
  /** Bytes in the buffer; those before `searched` hold no LF. */
  let filled = 0;
  let searched = 0;
  let total = 0;
  let number = 0;
  let skipping = false;
  for (;;) {
    if (filled === buffer.length) {
      if (filled >= limits.lineBytes) {
        if (!skipping) onLong(number + 1);
        skipping = true;
        filled = 0;
        searched = 0;
      } else {
        const larger = Buffer.allocUnsafe(buffer.length * 2);
        buffer.copy(larger, 0, 0, filled);
        buffer = larger;
      }
    }
    const room = Math.min(buffer.length - filled, limits.fileBytes + 1 - total);
    const read = source.read(buffer, filled, room);
    total += read;
    if (read === 0) {
      const unterminated = filled > 0 || skipping;
      if (unterminated) number++;
      if (filled > 0 && !skipping) deliver(buffer, 0, filled, number);
      return { lines: number, cut: false, unterminated };
    }
    filled += read;
    let start = 0;
    for (let end = find(buffer, searched, filled); end !== -1; end = find(buffer, start, filled)) {
      number++;
      if (skipping) skipping = false;
      else deliver(buffer, start, end, number);
      start = end + 1;
    }
    if (total > limits.fileBytes) return { lines: number, cut: true, unterminated: false };
    buffer.copyWithin(0, start, filled);
    filled -= start;
    searched = filled;
  }

  function deliver(bytes: Buffer, start: number, end: number, line: number): void {
    if (end - start > limits.lineBytes) onLong(line);
    else onLine(bytes, start, end, line);
  }
}

function find(buffer: Buffer, from: number, filled: number): number {
  const at = buffer.indexOf(0x0a, from);
  return at < filled ? at : -1;
}
