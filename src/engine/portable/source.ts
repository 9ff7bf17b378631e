/**
 * The 3.x side: opens one message file, decides whether it may be migrated, and reads it once.
 *
 * A file is taken only if it is the one of the migration record (inode, size, time) before it is opened and
 * still is after it was read, so that the bytes in hand are the bytes of the file that gets linked.
 */
import * as fs from 'node:fs';
import { constants as osConstants } from 'node:os';
import { statOpenExactly } from '../../fs/descriptor.js';
import { type Dir, type Name, stat } from '../../fs/dir.js';
import { openSeenFile } from '../../fs/file.js';
import { pieceOf, spent } from '../../fs/pace.js';
import type { MessageTable } from '../types.js';
import { MessageFailed, sourceFailure } from './outcome.js';
import { isFileName, isRecorded } from './table.js';

const S_IWOTH = 0o002n;
/** IMAP counts the octets of a message in 32 bits (RFC 3501 9, number). */
export const MESSAGE_LIMIT = 2 ** 32;
/** A message larger than this gets a buffer of its own, which is given back. */
const KEEP_BYTES = 64 << 20;

export interface SourceRules {
  /** Owner that message files must have. */
  readonly ownerUid: number;
  readonly takeForeign: boolean;
}

/** An opened message file; the caller closes `fd`. */
export interface Source {
  readonly dir: Dir;
  readonly name: Name;
  readonly fd: number;
  readonly stat: fs.BigIntStats;
  /** Of another account or writable by others: it is copied, its inode never becomes a 4.x file. */
  readonly foreign: boolean;
}

/** Opens row `i` of the table when the rules allow; throws MessageFailed or Halted. */
export function openSource(dir: Dir, name: Name, messages: MessageTable, i: number, rules: SourceRules): Source {
  if (!isFileName(name)) throw new MessageFailed('MSG_NOT_REGULAR');
  let fd = -1;
  try {
    // Looked at before it is opened: opening a fifo or a device can have an effect on others.
    const seen = stat(dir, name);
    if (seen === undefined) throw new MessageFailed('MSG_VANISHED', osConstants.errno.ENOENT);
    const foreign = judge(seen, rules);
    if (!isRecorded(messages, i, seen)) throw new MessageFailed('MSG_CHANGED');
    fd = openSeenFile(dir, name);
    const opened = statOpenExactly(fd);
    if (!isUnchanged(seen, opened)) throw new MessageFailed('MSG_CHANGED');
    return { dir, name, fd, stat: opened, foreign };
  } catch (error) {
    if (fd >= 0) fs.closeSync(fd);
    throw sourceFailure(error);
  }
}

/** True for a foreign file that may be taken; throws for what must not be opened. */
function judge(seen: fs.BigIntStats, rules: SourceRules): boolean {
  if (!seen.isFile()) throw new MessageFailed('MSG_NOT_REGULAR');
  const foreign = Number(seen.uid) !== rules.ownerUid;
  const writable = (seen.mode & S_IWOTH) !== 0n;
  if (foreign && !rules.takeForeign) throw new MessageFailed('MSG_FOREIGN_OWNER');
  if (writable && !rules.takeForeign) throw new MessageFailed('MSG_WRITABLE_BY_OTHERS');
  return foreign || writable;
}

/** The same inode with the same content (size, time) and the same rights as before. */
export function isUnchanged(before: fs.BigIntStats, now: fs.BigIntStats): boolean {
  return (
    now.ino === before.ino &&
    now.dev === before.dev &&
    now.size === before.size &&
    now.mtimeNs === before.mtimeNs &&
    now.uid === before.uid &&
    now.isFile() &&
    (now.mode & S_IWOTH) === (before.mode & S_IWOTH)
  );
}

/** Throws MSG_CHANGED when the open file is not what it was. */
export function checkUnchanged(source: Source): void {
  let now: fs.BigIntStats;
  try {
    now = statOpenExactly(source.fd);
  } catch (error) {
    throw sourceFailure(error);
  }
  if (!isUnchanged(source.stat, now)) throw new MessageFailed('MSG_CHANGED');
}

/** One growing buffer an engine: reading a message costs no allocation once it has grown. */
export class ReadBuffer {
  private buffer = Buffer.allocUnsafeSlow(65_536);

  /**
   * The whole file; the view is valid until the next call. Throws MSG_CHANGED for any other length, and
   * MSG_UNREADABLE with EFBIG for one of MESSAGE_LIMIT bytes.
   */
  read(source: Source): Buffer {
    const size = Number(source.stat.size);
    if (size >= MESSAGE_LIMIT) throw new MessageFailed('MSG_UNREADABLE', osConstants.errno.EFBIG);
    try {
      // One byte more than the size: a file that grew shows itself.
      const into = this.take(size + 1);
      let done = 0;
      while (done <= size) {
        const count = fs.readSync(source.fd, into, done, pieceOf(size + 1 - done), done);
        spent.bytes += count;
        if (count === 0) break;
        done += count;
        if (done === size) break; // a file that grew at this moment is caught by its time
      }
      if (done !== size) throw new MessageFailed('MSG_CHANGED');
      return into.subarray(0, size);
    } catch (error) {
      throw sourceFailure(error);
    }
  }

  private take(bytes: number): Buffer {
    if (bytes > KEEP_BYTES) return Buffer.allocUnsafeSlow(bytes);
    if (bytes > this.buffer.length) {
      this.buffer = Buffer.allocUnsafeSlow(Math.min(KEEP_BYTES, Math.max(bytes, this.buffer.length * 2)));
    }
    return this.buffer;
  }
}
