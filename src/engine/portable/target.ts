/**
 * The 4.x side of one folder: its hash directories, opened once and kept while used, and new files in it.
 *
 *     <folder>/<nn>/<uid>.msg     docs/formats/partition.md
 *     <folder>/.new-<uid>         a message file that has no content or no name yet
 */
import * as fs from 'node:fs';
import { constants as osConstants } from 'node:os';
import { statOpenExactly } from '../../fs/descriptor.js';
import {
  closeDir,
  createOver,
  DIRECTORY_MODE,
  type Dir,
  ensureDir,
  fstat,
  type Ownership,
  rename,
  stat,
  unlink,
  writeAll,
} from '../../fs/dir.js';
import { openFileLimit } from '../../fs/openFiles.js';
import { effect } from '../../fs/seam.js';
import { syncWritten } from '../../fs/syncfs.js';
import { FILE_MODE, hashDirectory } from '../../store/layout.js';
import { heldDirectories } from '../heldDirectories.js';
import { MessageFailed, onTarget } from './outcome.js';

/** Hash directories held open at once, once it was asked for. */
let mostHeld: number | undefined;

/** Begins the name of a message file that is not complete yet. */
export const TEMPORARY = '.new-';

/** The server account. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** This process is root and gives files away. */
  readonly set: boolean;
}

/** Bits of st_mode below the type. */
const MODE_BITS = 0o7777n;

/** Sets owner and mode of an open file or directory where they differ. */
export function fixOwner(fd: number, stat: fs.BigIntStats, account: Account, mode: number): void {
  if (account.set && (Number(stat.uid) !== account.uid || Number(stat.gid) !== account.gid)) {
    effect('chown');
    fs.fchownSync(fd, account.uid, account.gid);
  }
  if ((stat.mode & MODE_BITS) !== BigInt(mode)) {
    effect('chmod');
    fs.fchmodSync(fd, mode);
  }
}

/** A file under a name that it will not keep. */
export interface Temporary {
  readonly name: string;
  readonly dev: bigint;
  readonly ino: bigint;
}

export class TargetFolder {
  readonly dir: Dir;
  readonly account: Account;
  private readonly held = new Map<string, Dir>();

  constructor(dir: Dir, account: Account) {
    this.dir = dir;
    this.account = account;
  }

  /** The hash directory of a message, made when it is missing. Valid until the next call. */
  hashDirectory(uid: number): Dir {
    const name = hashDirectory(uid);
    const known = this.held.get(name);
    if (known !== undefined) return known;
    mostHeld ??= heldDirectories(openFileLimit());
    if (this.held.size >= mostHeld) this.close();
    const made = onTarget(() => this.openHashDirectory(name));
    this.held.set(name, made);
    return made;
  }

  private openHashDirectory(name: string): Dir {
    const made = ensureDir(this.dir, name, this.ownership());
    try {
      const seen = statOpenExactly(made.fd);
      // Another file system is mounted on it. What makes the folder durable is the sync of the mailbox directory's.
      if (seen.dev !== fstat(this.dir).dev) throw new MessageFailed('MSG_TARGET', osConstants.errno.EXDEV);
      // A run that was killed between making a directory and giving it away left it to root.
      fixOwner(made.fd, seen, this.account, DIRECTORY_MODE);
    } catch (error) {
      closeDir(made);
      throw error;
    }
    return made;
  }

  /**
   * Makes sure that a rename to `name` replaces nothing: it fails as link(2) would. Only the holder of the
   * mailbox lock makes files here, so the name stays free.
   */
  checkFree(dir: Dir, name: string): void {
    if (onTarget(() => stat(dir, name)) !== undefined) {
      throw new MessageFailed('MSG_TARGET', osConstants.errno.EEXIST);
    }
  }

  /** A new file with owner, mode and content, under its temporary name. Throws MessageFailed or Halted. */
  writeTemporary(uid: number, content: Uint8Array): Temporary {
    const name = `${TEMPORARY}${uid}`;
    return onTarget(() => {
      const fd = this.createOver(name);
      try {
        writeAll(fd, content);
        syncWritten(fd);
        const { dev, ino } = statOpenExactly(fd);
        return { name, dev, ino };
      } catch (error) {
        this.discard(name);
        throw error;
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  /**
   * Gives a file its final name. rename(2) moves whatever has the temporary name at that moment: MSG_TARGET, EEXIST,
   * when that was another file.
   */
  giveName(temporary: Temporary, dir: Dir, name: string): void {
    onTarget(() => rename(this.dir, temporary.name, dir, name));
    const now = onTarget(() => stat(dir, name));
    if (now?.ino === temporary.ino && now.dev === temporary.dev) return;
    throw new MessageFailed('MSG_TARGET', osConstants.errno.EEXIST);
  }

  /** Creates a file of the account in the folder; one that a killed run left under the name is replaced. */
  createOver(name: string): number {
    return createOver(this.dir, name, this.ownership(), FILE_MODE);
  }

  /** Removes a temporary file after a failure. That failure is what counts, so one more is not reported. */
  discard(name: string): void {
    try {
      unlink(this.dir, name);
    } catch {
      // The next attempt replaces or sweeps it.
    }
  }

  close(): void {
    for (const dir of this.held.values()) closeDir(dir);
    this.held.clear();
  }

  private ownership(): Ownership | undefined {
    return this.account.set ? { uid: this.account.uid, gid: this.account.gid } : undefined;
  }
}
