/** Where the bytes of store.idx and store.jnl come from (an open descriptor, or memory) and go to (an open file). */
import * as fs from 'node:fs';
import { MailhaulError } from '../../errors.js';
import { closeSynced, onDescriptor, readOpen, statOpen } from '../../fs/descriptor.js';
import { pieceOf, spent } from '../../fs/pace.js';
import { effect } from '../../fs/seam.js';

/** A file of fixed length that is read in pieces. */
export interface ByteSource {
  readonly size: number;
  /** The bytes at `offset`; fewer than `length` at the end of the file. Never changed by a later call. */
  read(offset: number, length: number): Uint8Array;
}

export function bytesSource(data: Uint8Array): ByteSource {
  // A plain array, also over a Buffer, whose `slice` would not copy.
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

/** Small reads are served from a window of this many bytes, so that reading along costs few calls. */
const WINDOW_BYTES = 65_536;

/** An open regular file, which the caller closes. Its length is taken now. */
export function fileSource(fd: number): ByteSource {
  const size = statOpen(fd).size;
  let window: Uint8Array = new Uint8Array(0);
  let windowAt = 0;
  return {
    size,
    read(offset, length) {
      if (length > WINDOW_BYTES) return readAt(fd, offset, Math.min(length, Math.max(0, size - offset)));
      if (offset < windowAt || offset + length > windowAt + window.length) {
        // A new window each time: pieces of the old one may still be in a caller's hands.
        window = readAt(fd, offset, WINDOW_BYTES);
        windowAt = offset;
      }
      return window.subarray(offset - windowAt, offset - windowAt + length);
    },
  };
}

/**
 * Files that are read together and closed together. Once they are closed, their numbers may be another mailbox's, and a
 * read is refused: MAILBOX_CLOSED.
 */
export class OpenFiles {
  private readonly fds: number[] = [];
  private closed = false;

  /** Takes the descriptor over. */
  add(fd: number): ByteSource {
    this.fds.push(fd);
    const { size, read } = fileSource(fd);
    return {
      size,
      read: (offset, length) => {
        if (this.closed) throw mailboxClosed();
        return read(offset, length);
      },
    };
  }

  /** A second time it does nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const fd of this.fds) closeSynced(fd);
  }
}

/** What whoever still reads or changes a mailbox after its end is told. */
export function mailboxClosed(where?: string): MailhaulError {
  return new MailhaulError('MAILBOX_CLOSED', 'The mailbox has been closed: it is neither read nor changed any more.', {
    ...(where !== undefined && { where }),
    hint: 'A defect of the service: wait for all reads and changes before the callback of the mailbox ends.',
  });
}

/** Up to `length` bytes at `offset`, fewer only at the end of the file. */
function readAt(fd: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readOpen(fd, bytes.subarray(done), offset + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** Takes what an index writer makes; positions are mostly, not always, ascending. */
export interface ByteSink {
  write(data: Uint8Array, position: number): void;
}

/** An open file, which the caller syncs and closes. */
export function fileSink(fd: number): ByteSink {
  return {
    write(data, position) {
      let done = 0;
      onDescriptor(fd, () => {
        while (done < data.length) {
          const piece = pieceOf(data.length - done);
          effect('write');
          const count = fs.writeSync(fd, data, done, piece, position + done);
          spent.bytes += count;
          done += count;
        }
      });
    },
  };
}
