/**
 * The store-wide lock, `lock/__lock.share` (4x-store.md, Layout): a flock, shared by every process that uses
 * the store, exclusive for `upgrade -s`, `--reset` and format upgrades. The kernel lets go of it when its
 * holder ends; the file itself stays and means nothing when nobody holds the lock.
 *
 * The lock is never waited for. Who is refused learns which process is in the way: an exclusive holder
 * writes its pid and what it does into the file, and /proc tells who has the file open with a lock on it.
 */
import * as fs from 'node:fs';
import { hasErrno, MailhaulError } from '../errors.js';
import { onDescriptor, readOpen, statOpen, statOpenExactly } from '../fs/descriptor.js';
import { createFile, type Dir, type Ownership, own, stat } from '../fs/dir.js';
import { openFile, openSoleFile } from '../fs/file.js';
import { tryFlock } from '../fs/flock.js';
import { describeHolder, flockPids, holdersText, isAlive, type LockHolder } from '../fs/holders.js';
import { effect } from '../fs/seam.js';
import { walk } from '../fs/walk.js';

export const STORE_LOCK_FILE = '__lock.share';

export type LockMode = 'exclusive' | 'shared';

/** A held lock. It dies with the process, or when it is let go. */
export interface StoreLock {
  readonly mode: LockMode;
  release(): void;
}

/** Bytes of `__lock.share` that are read: a pid and a command. */
const NOTE_LIMIT = 4096;

/**
 * Takes the store-wide lock in the instance's `lock` directory.
 *
 * @param purpose what the holder does, for whoever is refused, such as `upgrade -s`
 * @throws MailhaulError STORE_LOCKED (exit 3) naming the processes that hold it
 */
export function lockStore(lockDir: Dir, mode: LockMode, purpose: string, owner?: Ownership): StoreLock {
  for (;;) {
    const fd = openLockFile(lockDir, owner);
    try {
      if (!tryFlock(fd, mode)) throw lockedError('STORE_LOCKED', 'The message store', fd, lockDir.path);
      if (isStillNamed(lockDir, fd)) {
        if (mode === 'exclusive') writeNote(fd, `${process.pid} ${purpose}\n`);
        return held(fd, mode);
      }
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    // Somebody removed the file between open and lock (the guide's clean-up does): lock the new one.
    fs.closeSync(fd);
  }
}

/**
 * The same for a command that writes nothing: the lock file is neither made nor given to anybody. An exclusive lock
 * opens it for writing, which NFS asks for.
 *
 * @returns undefined when there is no lock file, so nobody holds the lock either
 * @throws MailhaulError STORE_LOCKED (exit 3)
 */
export function lockStoreForReading(
  lockDir: Dir,
  mode: LockMode = 'shared',
): (StoreLock & { readonly fd: number }) | undefined {
  for (;;) {
    let fd: number;
    try {
      fd = openFile(lockDir, STORE_LOCK_FILE, mode === 'shared' ? fs.constants.O_RDONLY : fs.constants.O_RDWR);
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
    try {
      if (!tryFlock(fd, mode)) throw lockedError('STORE_LOCKED', 'The message store', fd, lockDir.path);
      if (isStillNamed(lockDir, fd)) return { ...held(fd, mode), fd };
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    fs.closeSync(fd);
  }
}

/**
 * Takes the lock exclusively. A dry run makes no lock file: without one nobody uses the store.
 *
 * @throws MailhaulError STORE_LOCKED (exit 3)
 */
export function lockWholeStore(lockDir: Dir, dryRun: boolean, purpose: string, owner: Ownership): StoreLock[] {
  if (!dryRun) return [lockStore(lockDir, 'exclusive', purpose, owner)];
  const lock = lockStoreForReading(lockDir, 'exclusive');
  return lock === undefined ? [] : [lock];
}

/**
 * Locks a directory itself: no two `upgrade -s` write the same mapping database, also when they were given different
 * instances or the instance does not exist yet; and none takes it for another instance while one migrates by it, which
 * holds the lock shared.
 *
 * @throws MailhaulError UPGRADE_RUNNING (exit 3) naming the processes that hold it
 */
export function lockDirectory(parent: Dir, what: string, mode: LockMode = 'exclusive'): StoreLock {
  const { fd } = walk(parent, []);
  if (tryFlock(fd, mode)) return held(fd, mode);
  const error = lockedError('UPGRADE_RUNNING', what, fd, parent.path);
  fs.closeSync(fd);
  throw error;
}

function held(fd: number, mode: LockMode): StoreLock {
  let open = true;
  return {
    mode,
    release() {
      if (open) fs.closeSync(fd);
      open = false;
    },
  };
}

function openLockFile(lockDir: Dir, owner: Ownership | undefined): number {
  for (;;) {
    try {
      const fd = openSoleFile(lockDir, STORE_LOCK_FILE, fs.constants.O_RDWR);
      // A run that was killed right after it made the file as root would lock the server account out.
      if (process.geteuid?.() === 0 && owner?.uid !== undefined && statOpen(fd).uid !== owner.uid) {
        own(fd, 0o600, owner);
      }
      return fd;
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
    try {
      fs.closeSync(createFile(lockDir, STORE_LOCK_FILE, owner));
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
  }
}

function isStillNamed(lockDir: Dir, fd: number): boolean {
  const mine = statOpenExactly(fd);
  const named = stat(lockDir, STORE_LOCK_FILE);
  return named !== undefined && named.ino === mine.ino && named.dev === mine.dev;
}

function writeNote(fd: number, note: string): void {
  onDescriptor(fd, () => {
    effect('truncate');
    fs.ftruncateSync(fd, 0);
    effect('write');
    fs.writeSync(fd, note, 0);
  });
}

function lockedError(code: string, what: string, fd: number, where: string): MailhaulError {
  return new MailhaulError(code, `${what} is in use by ${holdersText(lockHolders(fd))}.`, {
    where,
    hint: 'Wait until it has ended or stop it, then run the command again.',
  });
}

/** The processes that hold a lock on the file or directory behind `fd`, this process excluded if others do. */
export function lockHolders(fd: number): LockHolder[] {
  const pids = flockPids(fd);
  const note = readNote(fd);
  if (pids.length === 0) return note !== undefined && isAlive(note.pid) ? [told(note)] : [];
  return pids.map((pid) => (note?.pid === pid ? told(note) : describeHolder(pid)));
}

/** Other processes that use the store now. */
export function storeHolders(lockDir: Dir): LockHolder[] {
  let fd: number;
  try {
    fd = openFile(lockDir, STORE_LOCK_FILE);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
  try {
    return lockHolders(fd).filter(({ pid }) => pid !== process.pid);
  } finally {
    fs.closeSync(fd);
  }
}

/** An exclusive holder says itself what it does. */
function told({ pid, command }: Note): LockHolder {
  return { ...describeHolder(pid), command };
}

interface Note {
  readonly pid: number;
  readonly command: string;
}

function readNote(fd: number): Note | undefined {
  if (!statOpen(fd).isFile()) return undefined;
  const bytes = Buffer.alloc(NOTE_LIMIT);
  const text = bytes.subarray(0, readOpen(fd, bytes, 0)).toString('latin1');
  const match = /^([1-9][0-9]{0,9}) ([ -~]*)\n/.exec(text);
  return match === null ? undefined : { pid: Number(match[1]), command: match[2]! };
}
