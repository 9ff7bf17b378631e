/**
 * The 3.x folder lock: flock(LOCK_EX) of the directory itself, then of its `.lock` (3x-profile.md, "`.lock`"), which
 * is made when absent and never removed.
 *
 * The directory keeps migrators apart: all of them lock it, whatever became of `.lock`. With `.lock` alone, one that
 * may not make the file and one that may would hold different locks of one folder, and whoever may write in the
 * folder could let a second one in by replacing the file. `.lock` keeps 3.x processes away, which know no other lock;
 * it counts only while the name still is the inode that was locked. Where it cannot be made (a store that is mounted
 * read-only), the lock of the directory has to do. Both are tried once, in this order, so nobody waits for anybody.
 */
import * as fs from 'node:fs';
import { hasErrno, MailhaulError, messageOf } from '../../errors.js';
import { statOpenExactly } from '../../fs/descriptor.js';
import { createFile, type Dir, displayPath, type Ownership, stat } from '../../fs/dir.js';
import type { OpenedFile } from '../../fs/file.js';
import { tryFlock } from '../../fs/flock.js';
import { flockPids } from '../../fs/holders.js';
import { openOwnedFile, openOwnedFileIfThere } from '../../fs/ownedFile.js';
import type { FolderLock } from '../types.js';

const NAME = '.lock';

/** Times the lock file is allowed to be replaced under us before the folder counts as busy. */
const ATTEMPTS = 10;

/**
 * Tries once, never waits. The lock of the directory is one of `folder`'s own descriptor, also when the answer is
 * `busy`: it ends when the caller closes that. `owner` gets a lock file that has to be made. Throws MailhaulError
 * FOLDER_LOCK when `.lock` is something that cannot be locked (a link, a fifo, unreadable), and system errors as they
 * come.
 */
export function tryLockFolder(folder: Dir, owner: Ownership): FolderLock | 'busy' {
  if (!tryFlock(folder.fd, 'exclusive')) return 'busy';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const opened = openLockFile(folder, owner);
    if (opened === 'replaced') continue;
    if (opened === 'directory') return { fd: folder.fd, target: 'directory', release: () => {} };
    const locked = take(opened.fd);
    if (locked === 'busy') return 'busy';
    let same = false;
    try {
      same = sameFile(folder, opened);
    } finally {
      // Also when the look fails: a process that goes on would keep the folder locked.
      if (!same) locked.release();
    }
    if (same) return locked;
  }
  return 'busy';
}

/** Processes that hold the folder's lock, from the system's table; for messages only. */
export function lockHolders(folder: Dir): number[] {
  const ofDirectory = flockPids(folder.fd).filter((pid) => pid !== process.pid);
  if (ofDirectory.length > 0) return ofDirectory;
  let fd: number;
  try {
    fd = openOwnedFile(folder, NAME);
  } catch {
    return [];
  }
  try {
    return flockPids(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function openLockFile(folder: Dir, owner: Ownership): OpenedFile | 'directory' | 'replaced' {
  const existing = openExisting(folder, owner.uid);
  if (existing !== undefined) return existing;
  let fd: number;
  try {
    fd = createFile(folder, NAME, owner, 0o600);
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return 'replaced';
    if (!hasErrno(error, 'EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT')) throw error;
    return 'directory';
  }
  try {
    return { fd, seen: statOpenExactly(fd) };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** The lock file; undefined when there is none. For writing where that works: NFS locks need it. */
function openExisting(folder: Dir, accountUid: number | undefined): OpenedFile | undefined {
  try {
    try {
      return openOwnedFileIfThere(folder, NAME, { accountUid, write: true });
    } catch (error) {
      if (!hasErrno(error, 'EROFS', 'EACCES', 'EPERM')) throw error;
      return openOwnedFileIfThere(folder, NAME, { accountUid });
    }
  } catch (cause) {
    if (hasErrno(cause, 'ENOENT')) return undefined;
    const what = messageOf(cause);
    throw new MailhaulError('FOLDER_LOCK', `The folder's lock file cannot be used: ${what}`, {
      where: displayPath(folder, NAME),
      hint: 'It must be a regular file of the server account; remove it if no 3.x process uses it.',
      cause,
    });
  }
}

function take(fd: number): FolderLock | 'busy' {
  let locked = false;
  try {
    locked = tryFlock(fd, 'exclusive');
  } finally {
    if (!locked) fs.closeSync(fd);
  }
  if (!locked) return 'busy';
  return { fd, target: 'file', release: () => fs.closeSync(fd) };
}

/** The name still is the locked inode; else somebody replaced the file between open and lock. */
function sameFile(folder: Dir, { seen }: OpenedFile): boolean {
  const named = stat(folder, NAME);
  return named !== undefined && named.dev === seen.dev && named.ino === seen.ino;
}
