/**
 * Gives one message its 4.x file `<nn>/<uid>.msg`: by a hard link of the file that was read, where that can
 * be, else by a new file that holds what was read (copy) or its CRLF form (rewrite).
 *
 * Node cannot link a descriptor. So the name is linked, and then the new name is looked at: unless it is the
 * inode that was opened and read, unchanged, it is taken away again and the message fails.
 */
import * as fs from 'node:fs';
import { constants as osConstants } from 'node:os';
import { hasErrno } from '../../errors.js';
import { statOpen, statOpenExactly } from '../../fs/descriptor.js';
import { type Dir, fstat, link, stat, unlink } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { FILE_MODE, messageFile } from '../../store/layout.js';
import { METHOD, type MessageTable } from '../types.js';
import { hasContent, writeAgain } from './compare.js';
import { MessageFailed, onTarget, systemError, targetFailure, unlessUnreadable } from './outcome.js';
import { SharedCopies } from './single.js';
import { checkUnchanged, isUnchanged, openSource, type Source } from './source.js';
import { fixOwner, type TargetFolder } from './target.js';

/** What is placed: an opened source and the bytes that its 4.x file has to hold. */
export interface Placement {
  readonly uid: number;
  readonly source: Source;
  /** In CRLF form. */
  readonly content: Uint8Array;
  /** `content` is not what the source holds. */
  readonly rewritten: boolean;
  /** Digest of `content`. */
  readonly digest: Uint8Array;
}

interface Spot {
  readonly dir: Dir;
  readonly name: string;
}

export class Placer {
  private readonly target: TargetFolder;
  private readonly shared: SharedCopies | undefined;
  private readonly resumed: boolean;
  /** No EXDEV so far. */
  private canLink = true;

  /**
   * `registry` is the `=single` directory of the partition. Without one nothing is shared, nor with one on another
   * file system: the mailbox's user may have a disk of their own.
   */
  constructor(target: TargetFolder, registry: Dir | undefined, resumed: boolean) {
    this.target = target;
    const linkable = registry !== undefined && fstat(registry).dev === fstat(target.dir).dev;
    this.shared = linkable ? new SharedCopies(registry, target) : undefined;
    this.resumed = resumed;
  }

  /** Makes the 4.x file; returns its METHOD. Throws MessageFailed or Halted. */
  place(message: Placement): number {
    const spot = { dir: this.target.hashDirectory(message.uid), name: messageFile(message.uid) };
    if (this.resumed && onTarget(() => this.adopt(message, spot))) return METHOD.adopted;
    if (isLinkable(message) && this.canLink) {
      const method = this.linkSource(message, spot);
      if (method !== METHOD.failed) return method;
    }
    return this.make(message, spot);
  }

  /** The 4.x file that an earlier attempt linked, as a source: for a message whose 3.x name is gone. */
  openEarlier(messages: MessageTable, i: number, uid: number): Source {
    const rules = { ownerUid: this.target.account.uid, takeForeign: false };
    return openSource(this.target.hashDirectory(uid), messageFile(uid), messages, i, rules);
  }

  /**
   * Looks at what an earlier attempt left under the target's name: the message itself stays (true), anything
   * else goes. The folder is not published, so nothing there is the only copy of a message but what is
   * adopted here.
   */
  private adopt(message: Placement, spot: Spot): boolean {
    const seen = stat(spot.dir, spot.name);
    if (seen === undefined) return false;
    checkUnchanged(message.source);
    if (isSameInode(seen, message.source.stat)) {
      if (isLinkable(message)) {
        this.claim(message.source.fd, message.source.stat);
        return true;
      }
      // The last name of the message itself is not taken away, whatever put it there.
      if (seen.nlink <= 1n) throw new MessageFailed('MSG_TARGET', osConstants.errno.EEXIST);
    } else if (seen.isFile() && this.adoptEqual(message, spot)) {
      return true;
    }
    unlink(spot.dir, spot.name);
    return false;
  }

  /**
   * Adopts another inode with the same content: after power loss a file can have its name and no data. One with further
   * names is not written to: it may be another 3.x file. A shared copy is found again in its registry.
   */
  private adoptEqual(message: Placement, spot: Spot): boolean {
    const fd = unlessUnreadable(() => openFile(spot.dir, spot.name));
    if (fd === undefined) return false;
    try {
      if (unlessUnreadable(() => this.isOurs(fd) && hasContent(fd, message.content)) !== true) return false;
      this.claim(fd, statOpenExactly(fd));
      return writeAgain(fd, message.content);
    } catch (error) {
      // Root's, and this process is the server account by now: replaced as well.
      if (hasErrno(error, 'EPERM')) return false;
      throw error;
    } finally {
      fs.closeSync(fd);
    }
  }

  private isOurs(fd: number): boolean {
    const { uid: owner, nlink } = statOpen(fd);
    const { set, uid } = this.target.account;
    // Root's own: a run that was killed before it gave the file away.
    return nlink === 1 && (!set || owner === uid || owner === 0);
  }

  /** Links the source; METHOD.failed when a new file has to be made instead. */
  private linkSource(message: Placement, spot: Spot): number {
    const { source } = message;
    try {
      link(source.dir, source.name, spot.dir, spot.name);
    } catch (error) {
      if (hasErrno(error, 'EXDEV')) {
        this.canLink = false;
        return METHOD.failed;
      }
      // A full link count; an immutable file or a file system without hard links.
      if (hasErrno(error, 'EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP')) return METHOD.failed;
      if (hasErrno(error, 'ENOENT')) throw new MessageFailed('MSG_VANISHED', systemError(error)?.errno);
      if (hasErrno(error, 'EEXIST') && this.isLinked(source, spot)) return METHOD.adopted;
      throw targetFailure(error);
    }
    if (!this.isLinked(source, spot)) {
      onTarget(() => unlink(spot.dir, spot.name));
      throw new MessageFailed('MSG_CHANGED');
    }
    return METHOD.link;
  }

  /** The target is the inode that was opened, unchanged since; it then gets its owner and mode. */
  private isLinked(source: Source, spot: Spot): boolean {
    return onTarget(() => {
      const linked = stat(spot.dir, spot.name);
      if (linked === undefined || !isUnchanged(source.stat, linked)) return false;
      this.claim(source.fd, source.stat);
      return true;
    });
  }

  private make(message: Placement, spot: Spot): number {
    const { source, content, uid } = message;
    // The source is not linked, so nothing looks at it again later.
    checkUnchanged(source);
    // The last name of a shared message: `-r` has taken the others already, with the folders that were done before.
    if (
      this.shared !== undefined &&
      (source.stat.nlink > 1n || this.shared.isRegistered(source.stat, message.digest))
    ) {
      const placed = this.shared.place({ source: source.stat, digest: message.digest, content, uid, ...spot });
      if (placed === 'linked') return METHOD.shared;
    } else {
      this.target.checkFree(spot.dir, spot.name);
      const temporary = this.target.writeTemporary(uid, content);
      this.target.giveName(temporary, spot.dir, spot.name);
    }
    return message.rewritten ? METHOD.rewrite : METHOD.copy;
  }

  private claim(fd: number, seen: fs.BigIntStats): void {
    fixOwner(fd, seen, this.target.account, FILE_MODE);
  }
}

/** The source's own inode may become the 4.x file. */
function isLinkable(message: Placement): boolean {
  return !message.rewritten && !message.source.foreign;
}

function isSameInode(a: fs.BigIntStats, b: fs.BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}
