/**
 * Takes away what an earlier attempt left in a mailbox directory that is not published: message files that
 * no message of the table has, and temporary files. The file of a message that failed now stays when it is
 * the inode's last name: it may be the only copy (4x-store.md, promise 1).
 */
import { hasErrno } from '../../errors.js';
import { closeDir, type Dir, list, openDir, stat, unlink } from '../../fs/dir.js';
import { isHashDirectory, parseMessageFile } from '../../store/layout.js';
import { UNFINISHED_INDEX } from './indexFile.js';
import { onTarget } from './outcome.js';
import { TEMPORARY } from './target.js';

export type Claim = 'claimed' | 'failed' | 'unknown';

/**
 * `claimOn` says what became of the message with a uid; with `writesIndex` the unfinished index is one of this
 * attempt. Throws MessageFailed or Halted.
 */
export function sweep(folder: Dir, claimOn: (uid: number) => Claim, writesIndex: boolean): void {
  onTarget(() => {
    for (const name of list(folder)) {
      const text = name.toString('latin1');
      if (isTemporary(text) || (text === UNFINISHED_INDEX && !writesIndex)) remove(folder, text);
      else if (isHashDirectory(text)) sweepHashDirectory(folder, text, claimOn);
    }
  });
}

function sweepHashDirectory(folder: Dir, name: string, claimOn: (uid: number) => Claim): void {
  let dir: Dir;
  try {
    dir = openDir(folder, name);
  } catch (error) {
    if (hasErrno(error, 'ENOTDIR', 'ELOOP', 'ENOENT')) return; // no directory of ours: nothing in it is
    throw error;
  }
  try {
    for (const entry of list(dir)) {
      const text = entry.toString('latin1');
      if (isTemporary(text)) {
        remove(dir, entry);
      } else if (text.endsWith('.msg')) {
        const uid = parseMessageFile(name, text);
        const claim = uid === undefined ? 'unknown' : claimOn(uid);
        if (claim === 'unknown' || (claim === 'failed' && !isLastName(dir, text))) remove(dir, entry);
      }
    }
  } finally {
    closeDir(dir);
  }
}

function isLastName(dir: Dir, name: string): boolean {
  const seen = stat(dir, name);
  return seen === undefined || seen.nlink <= 1n;
}

function isTemporary(name: string): boolean {
  return name.startsWith(TEMPORARY);
}

function remove(dir: Dir, name: string | Buffer): void {
  try {
    unlink(dir, name);
  } catch (error) {
    // Gone already, or a directory, which no attempt made.
    if (!hasErrno(error, 'ENOENT', 'EISDIR')) throw error;
  }
}
