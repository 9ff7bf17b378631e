/**
 * The registry of shared copies, `=single` (docs/formats/partition.md): where a 3.x inode with several links
 * has to become a new file (another file system, bare LF, a full link count), the new file is registered
 * under `<dev>-<inode>-<size>-<digest>`, and the next folder that holds the same inode links it instead of
 * writing it again.
 */
import * as fs from 'node:fs';
import { constants as osConstants } from 'node:os';
import { hasErrno } from '../../errors.js';
import { statOpenExactly } from '../../fs/descriptor.js';
import { type Dir, link, stat, unlink, unlinkIfThere } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { FILE_MODE } from '../../store/layout.js';
import { hasContent, writeAgain } from './compare.js';
import { MessageFailed, onTarget, unlessUnreadable } from './outcome.js';
import type { TargetFolder } from './target.js';

/** Other threads and processes register, fill up and replace the same copy meanwhile; each round one got further. */
const ROUNDS = 64;

export interface SharedPlacement {
  /** The 3.x file. */
  readonly source: fs.BigIntStats;
  /** Digest of `content`. */
  readonly digest: Uint8Array;
  readonly content: Uint8Array;
  readonly uid: number;
  /** Where the 4.x file goes. */
  readonly dir: Dir;
  readonly name: string;
}

export class SharedCopies {
  private readonly registry: Dir;
  private readonly target: TargetFolder;

  constructor(registry: Dir, target: TargetFolder) {
    this.registry = registry;
    this.target = target;
  }

  /** Whether an earlier folder has registered a copy of `source` with this content. */
  isRegistered(source: fs.BigIntStats, digest: Uint8Array): boolean {
    return stat(this.registry, keyOf(source, digest)) !== undefined;
  }

  /** Makes the 4.x file: a link of the registered copy (`linked`), or a new one that gets registered (`made`). */
  place(message: SharedPlacement): 'linked' | 'made' {
    const key = keyOf(message.source, message.digest);
    return onTarget(() => {
      this.target.checkFree(message.dir, message.name);
      for (let round = 0; round < ROUNDS; round++) {
        if (this.linkRegistered(key, message)) return 'linked';
        if (this.register(key, message)) return 'made';
      }
      throw new MessageFailed('MSG_TARGET', osConstants.errno.EAGAIN);
    });
  }

  /** Links the registered copy. False when there is none; one that cannot be used any more is taken away. */
  private linkRegistered(key: string, message: SharedPlacement): boolean {
    const seen = stat(this.registry, key);
    if (seen === undefined) return false;
    const fd = seen.isFile() ? unlessUnreadable(() => openFile(this.registry, key)) : undefined;
    if (fd !== undefined) {
      try {
        const opened = statOpenExactly(fd);
        if (this.isUsable(fd, opened, message.content) && this.tryLink(key, opened, message)) return true;
      } finally {
        fs.closeSync(fd);
      }
    }
    // Full, lost on a bad block, left without its data by a power loss, or nothing that was registered: later folders
    // get a new one.
    unlinkIfThere(this.registry, key);
    return false;
  }

  private isUsable(fd: number, opened: fs.BigIntStats, content: Uint8Array): boolean {
    const ours = Number(opened.uid) === this.target.account.uid && (opened.mode & 0o7777n) === BigInt(FILE_MODE);
    if (!ours || unlessUnreadable(() => hasContent(fd, content)) !== true) return false;
    const inode = inodeOf(opened);
    if (written.has(inode)) return true;
    // Of an earlier run, or of another thread or process, whose sync may fail.
    if (!writeAgain(fd, content)) return false;
    noteWritten(inode);
    return true;
  }

  /** False when the copy's link count is full, or when another process replaced it just now. */
  private tryLink(key: string, opened: fs.BigIntStats, message: SharedPlacement): boolean {
    try {
      link(this.registry, key, message.dir, message.name);
    } catch (error) {
      if (hasErrno(error, 'EMLINK', 'ENOENT')) return false;
      throw error;
    }
    const linked = stat(message.dir, message.name);
    if (linked?.ino === opened.ino && linked.dev === opened.dev) return true;
    unlink(message.dir, message.name);
    return false;
  }

  /** Writes a copy, registers it, and gives it its place. False when another process registered one first. */
  private register(key: string, message: SharedPlacement): boolean {
    const temporary = this.target.writeTemporary(message.uid, message.content);
    try {
      link(this.target.dir, temporary.name, this.registry, key);
    } catch (error) {
      this.target.discard(temporary.name);
      if (hasErrno(error, 'EEXIST')) return false;
      throw error;
    }
    this.target.giveName(temporary, message.dir, message.name);
    const made = stat(message.dir, message.name);
    if (made !== undefined) noteWritten(inodeOf(made));
    return true;
  }
}

/** Copies whose content this thread has written in the run that `progress` belongs to. */
const written = new Set<string>();
const WRITTEN_KEPT = 65_536;
let runOfWritten: Int32Array | undefined;

/** A sync of an earlier run may have failed: what that run has written is in memory, and perhaps nowhere else. */
export function forgetOtherRuns(progress: Int32Array): void {
  if (progress !== runOfWritten) written.clear();
  runOfWritten = progress;
}

function noteWritten(inode: string): void {
  // What is forgotten is written once more.
  if (written.size >= WRITTEN_KEPT) written.clear();
  written.add(inode);
}

const inodeOf = ({ dev, ino }: fs.BigIntStats): string => `${dev}-${ino}`;

function keyOf({ dev, ino, size }: fs.BigIntStats, digest: Uint8Array): string {
  return `${dev}-${ino}-${size}-${Buffer.from(digest).toString('hex')}`;
}
