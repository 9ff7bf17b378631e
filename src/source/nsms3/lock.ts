/**
 * The 3.x folder lock (3x-profile.md, "`.lock`"): flock(LOCK_EX) on `.lock`, which is made when absent and never
 * removed. The lock counts only while the name still is the inode that was locked. Where the file cannot be
 * made (a store that is mounted read-only), the directory itself is locked.
 */
import * as fs from 'node:fs';
import { hasErrno, MailhaulError } from '../../errors.js';
import { createFile, type Dir, displayPath, type Ownership, openFile, stat, walk } from '../../fs/dir.js';
import { flockHolders, tryFlock } from '../../fs/flock.js';
import type { FolderLock } from '../types.js';

const NAME = '.lock';

/** Times the lock file is allowed to be replaced under us before the folder counts as busy. */
const ATTEMPTS = 10;

/**
 * Tries once, never waits. `owner` gets a lock file that has to be made. Throws MailhaulError FOLDER_LOCK when
 * `.lock` is something that cannot be locked (a link, a fifo, unreadable), and system errors as they come.
 */
export function tryLockFolder(folder: Dir, owner: Ownership): FolderLock | 'busy' {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const opened = openLockFile(folder, owner);
    if (opened === 'replaced') continue;
    const locked = take(opened);
    if (locked === 'busy') return 'busy';
    if (opened.target === 'directory' || sameFile(folder, locked)) return locked;
    locked.release();
  }
  return 'busy';
}

/** Processes that hold the folder's lock, from the system's table; for messages only. */
export function lockHolders(folder: Dir): number[] {
  let fd: number;
  try {
    fd = openFile(folder, NAME);
  } catch {
    return flockHolders(folder.fd);
  }
  try {
    return flockHolders(fd);
  } finally {
    fs.closeSync(fd);
  }
}

interface Lockable {
  readonly fd: number;
  readonly target: FolderLock['target'];
}

function openLockFile(folder: Dir, owner: Ownership): Lockable | 'replaced' {
  const existing = openExisting(folder);
  if (existing !== undefined) return { fd: existing, target: 'file' };
  try {
    return { fd: createFile(folder, NAME, owner, 0o600), target: 'file' };
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return 'replaced';
    if (!hasErrno(error, 'EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT')) throw error;
    // A description of its own: the lock must not end or begin with other uses of the folder's descriptor.
    return { fd: walk(folder, []).fd, target: 'directory' };
  }
}

/** The lock file; undefined when there is none. For writing where that works: NFS locks need it. */
function openExisting(folder: Dir): number | undefined {
  try {
    if (stat(folder, NAME) === undefined) return undefined;
    try {
      return openFile(folder, NAME, fs.constants.O_RDWR);
    } catch (error) {
      if (!hasErrno(error, 'EROFS', 'EACCES', 'EPERM')) throw error;
      return openFile(folder, NAME);
    }
  } catch (cause) {
    if (hasErrno(cause, 'ENOENT')) return undefined;
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new MailhaulError('FOLDER_LOCK', `The folder's lock file cannot be used: ${what}`, {
      where: displayPath(folder, NAME),
      hint: 'It must be a regular file of the server account; remove it if no 3.x process uses it.',
      cause,
    });
  }
}

function take({ fd, target }: Lockable): FolderLock | 'busy' {
  let locked = false;
  try {
    locked = tryFlock(fd, 'exclusive');
  } finally {
    if (!locked) fs.closeSync(fd);
  }
  if (!locked) return 'busy';
  return { fd, target, release: () => fs.closeSync(fd) };
}

/** The name still is the locked inode; else somebody replaced the file between open and lock. */
function sameFile(folder: Dir, lock: FolderLock): boolean {
  const [mine, named] = [fs.fstatSync(lock.fd, { bigint: true }), stat(folder, NAME)];
  return named !== undefined && named.dev === mine.dev && named.ino === mine.ino;
}
