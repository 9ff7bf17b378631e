/**
 * The two files of an LMDB environment, before LMDB sees them: made with the right owner, checked, and locked by
 * descriptors of this process. Invariants: environment.ts.
 */
import * as fs from 'node:fs';
import { hasErrno, MailhaulError } from '../errors.js';
import { statOpen, statOpenExactly } from '../fs/descriptor.js';
import { at, createFile, type Dir, displayPath, fstat, type Ownership, own, stat, sync } from '../fs/dir.js';
import { openFile, openSoleFile } from '../fs/file.js';
import { checkDatabaseFile } from './lmdbHeader.js';

/** Whose the files are and what they are opened for. */
export interface FileRules {
  readonly owner?: Ownership;
  readonly readOnly?: boolean;
}

/** A descriptor that is kept as long as the environment. */
export interface Held {
  readonly fd: number;
  close(): void;
}

/** Lock files that this process has open, by device and inode. */
const lockFiles = new Map<string, { readonly fd: number; users: number }>();

/** The lock file's descriptor, and how to give it back; -1 on a read-only file system that has none. */
export function holdLockFile(dir: Dir, name: string, readOnly: boolean): Held {
  const seen = stat(dir, name);
  if (readOnly && seen === undefined) return { fd: -1, close: () => {} };
  const known = seen === undefined ? undefined : lockFiles.get(`${seen.dev}:${seen.ino}`);
  const fd = known?.fd ?? openForLock(dir, name);
  const { dev, ino } = statOpenExactly(fd);
  const entry = known ?? { fd, users: 0 };
  lockFiles.set(`${dev}:${ino}`, entry);
  entry.users += 1;
  return {
    fd,
    close() {
      entry.users -= 1;
      if (entry.users > 0) return;
      lockFiles.delete(`${dev}:${ino}`);
      fs.closeSync(fd);
    },
  };
}

export function openForLock(dir: Dir, name: string): number {
  try {
    return openFile(dir, name);
  } catch (cause) {
    throw new MailhaulError('DB_OPEN', 'The database cannot be opened.', { where: displayPath(dir, name), cause });
  }
}

export function checkDatabase(dir: Dir, name: string, path: string, writable: boolean): void {
  try {
    checkDatabaseFile(dir, name, writable);
  } catch (error) {
    if (error instanceof MailhaulError) throw error;
    throw new MailhaulError('DB_OPEN', 'The database cannot be read.', {
      where: path,
      hint: 'Correct the cause, then run the same command again.',
      cause: error,
    });
  }
}

/** Makes the file with the right owner before LMDB sees it, or checks the one that is there. */
export function prepareFile(dir: Dir, name: string, options: FileRules, create: boolean): void {
  const where = displayPath(dir, name);
  let found = stat(dir, name);
  if (found === undefined) {
    if (!create) {
      throw new MailhaulError('DB_MISSING', 'The database does not exist.', {
        where,
        hint: 'Run `upgrade -s` first.',
      });
    }
    try {
      const fd = createFile(dir, name, options.owner);
      fs.closeSync(fd);
      sync(dir.fd);
      return;
    } catch (error) {
      if (options.readOnly === true && hasErrno(error, 'EROFS', 'EACCES', 'EPERM')) return;
      if (!hasErrno(error, 'EEXIST')) {
        throw new MailhaulError('DB_OPEN', 'The database cannot be made.', { where, cause: error });
      }
      found = stat(dir, name);
    }
  }
  if (found === undefined || !found.isFile()) {
    throw new MailhaulError('DB_UNSAFE', 'A regular file was expected in place of the database.', {
      where,
      hint: 'Somebody put something else there: find out who, and remove it.',
    });
  }
  // Without an owner to compare with, root takes what it finds.
  const account = options.owner?.uid ?? (process.geteuid?.() || undefined);
  const mine = account === undefined || found.uid === BigInt(account) || found.uid === 0n;
  if (!mine || (found.mode & 0o022n) !== 0n) {
    throw new MailhaulError('DB_UNSAFE', 'The database does not belong to the server account alone.', {
      where,
      hint: 'Its owner must be the server account and only the owner may write to it (mode 0600).',
    });
  }
  if (found.uid === 0n) giveAway(dir, name, options);
}

/** A file that a killed run left to root goes to the server account, which has to open it. */
function giveAway(dir: Dir, name: string, { owner, readOnly }: FileRules): void {
  if (readOnly === true || !opensAsAccount(dir, owner)) return;
  const fd = openSoleFile(dir, name);
  try {
    if (statOpen(fd).uid === 0) own(fd, 0o600, owner);
  } finally {
    fs.closeSync(fd);
  }
}

/** Root opens in a directory whose names somebody else may exchange. */
export function opensAsAccount(dir: Dir, owner: Ownership | undefined): owner is { uid: number; gid: number } {
  if (process.geteuid?.() !== 0 || owner?.uid === undefined || owner.gid === undefined) return false;
  const { uid, mode } = fstat(dir);
  return owner.uid !== 0 && (uid !== 0n || (mode & 0o022n) !== 0n);
}

/** Asks whether the lock file can be opened, without opening it (head comment, last invariant). */
export function checkAccess(dir: Dir, name: string, readOnly: boolean): void {
  try {
    fs.accessSync(at(dir, name), fs.constants.R_OK | fs.constants.W_OK);
  } catch (error) {
    // LMDB reads without locks where the file system itself is read-only.
    if (readOnly && hasErrno(error, 'EROFS')) return;
    throw new MailhaulError('DB_OPEN', 'The lock file of the database cannot be opened.', {
      where: displayPath(dir, name),
      hint: 'Run the command as root or as the server account.',
      cause: error,
    });
  }
}
