/**
 * Changing the messages of a mailbox, as services do: appended messages, flags, expunges, through its journal
 * (docs/formats/store-idx.md). Each call is durable when it returns:
 *
 *     append     .new-<uid>, synced ─▶ <nn>/<uid>.msg ─▶ journal, synced
 *     expunge    journal, synced ─▶ the file goes
 *
 * The journal is the authority; counts and quota in the mailbox database are a copy, written when the mailbox is
 * closed and made right by the next change after a kill. Whoever is told that a change failed makes it again, so from
 * the journal's sync on nothing is a failure of the change: what is left to do is upkeep (upkeep.ts). A file without an
 * entry is what a kill left, or the last copy of a message that a stopped retry moved there (retry.ts): nobody can tell,
 * so it stays, and no message gets its uid.
 */
import { closeSync } from 'node:fs';
import { crlfForm } from '../../engine/message/crlf.js';
import { parseMessage } from '../../engine/message/entry.js';
import type { IndexSummary } from '../../engine/types.js';
import { MailhaulError } from '../../errors.js';
import {
  closeDir,
  createOver,
  type Dir,
  ensureDir,
  rename,
  stat,
  sync,
  unlinkIfThere,
  writeAll,
} from '../../fs/dir.js';
import { walk } from '../../fs/walk.js';
import { digest, loadDigest } from '../digest.js';
import { HashDirectories } from '../hashDirectories.js';
import { foldJournal } from '../index/fold.js';
import { mailboxClosed } from '../index/io.js';
import { type JournalChange, journalIndexOf, refuseUnreadable } from '../index/journal.js';
import { JournalWriter } from '../index/journalWriter.js';
import { type MailboxIndex, openMailboxIndex } from '../index/mailboxIndex.js';
import { hashDirectory, messageFile } from '../layout.js';
import { isDisplacing } from './changing.js';
import { type HeldMailbox, holdMailbox, type MailStore } from './held.js';
import { settleRetry } from './retry.js';
import { upkeepFailed } from './upkeep.js';

/** A new message. */
export interface Delivery {
  /** RFC 822, stored in its CRLF form. */
  readonly content: Uint8Array;
  /** FLAG bits. */
  readonly flags?: number;
  readonly keywords?: readonly string[];
  /** Seconds since 1970; now when it is left out. */
  readonly internalDate?: number;
}

export interface MailboxChanges {
  /** What the mailbox holds now, changes included. */
  readonly index: MailboxIndex;
  /** Returns the uid. */
  append(message: Delivery): number;
  setFlags(uid: number, flags: number, keywords: readonly string[]): void;
  expunge(uid: number): void;
}

/** A journal of more bytes is folded when the mailbox is closed. */
const FOLD_BYTES = 1 << 20;
/** Highest uid and uidnext (3x-profile.md). */
const MAX_UID = 0xffffffff;

/**
 * Locks a mailbox, lets `change` change it until its promise is settled, brings the database up to date. Opening alone
 * makes the journal, which tells a later `upgrade` that a service was here (4x-store.md, promise 4). Errors: those of
 * holdMailbox, IDX_ and JNL_ damage, NO_MESSAGE, UIDS_EXHAUSTED, CHANGE_INVALID; of a call that `change` makes when it
 * has ended MAILBOX_CLOSED.
 */
export async function changeMailbox<T>(
  store: MailStore,
  name: string,
  change: (changes: MailboxChanges) => T | Promise<T>,
): Promise<T> {
  await loadDigest();
  const held = await holdMailbox(store, name, isDisplacing);
  let open: OpenChanges | undefined;
  try {
    settleRetry(held.dir, store.owner);
    open = new OpenChanges(held, store);
    return await change(open);
  } finally {
    try {
      await open?.close();
    } finally {
      held.release();
    }
  }
}

class OpenChanges implements MailboxChanges {
  /** Readable as long as it is open. */
  readonly index: MailboxIndex;
  private closed = false;
  private readonly journal: JournalWriter;

  constructor(
    private readonly held: HeldMailbox,
    private readonly store: MailStore,
  ) {
    this.index = openMailboxIndex(held.dir);
    try {
      this.journal = new JournalWriter(held.dir, journalIndexOf(this.index.reader), store.owner);
    } catch (error) {
      this.index.close();
      throw error;
    }
  }

  append({ content, flags = 0, keywords = [], internalDate = Math.floor(Date.now() / 1000) }: Delivery): number {
    this.mustBeOpen();
    const uid = this.freeUid();
    const stored = crlfForm(content);
    const { headerBytes, cache } = parseMessage(stored);
    const facts = { uid, flags, internalDate, size: stored.length, headerBytes, digest: digest(stored) };
    const change: JournalChange = { type: 'append', facts, keywords, cache };
    refuseUnreadable(change, this.held.record.name);
    this.writeMessage(uid, stored);
    this.record(change);
    return uid;
  }

  setFlags(uid: number, flags: number, keywords: readonly string[]): void {
    this.mustBeOpen();
    this.mustExist(uid);
    this.record({ type: 'flags', uid, flags, keywords });
  }

  expunge(uid: number): void {
    this.mustBeOpen();
    this.mustExist(uid);
    this.record({ type: 'expunge', uid });
    try {
      this.removeFile(uid);
    } catch (error) {
      upkeepFailed(this.store, 'MAILBOX_FILE', this.held.record.name, error);
    }
  }

  /** The lowest uid from uidnext on that no file has. Nobody else makes one: the mailbox is locked. */
  private freeUid(): number {
    const hashes = new HashDirectories(this.held.dir);
    try {
      for (let uid = this.index.uidnext; uid < MAX_UID; uid++) {
        const directory = hashes.of(uid);
        if (directory === undefined || stat(directory, messageFile(uid)) === undefined) return uid;
      }
    } finally {
      hashes.close();
    }
    throw new MailhaulError('UIDS_EXHAUSTED', 'The mailbox has no more uids.', { where: this.held.record.name });
  }

  private removeFile(uid: number): void {
    const directory = walk(this.held.dir, [hashDirectory(uid)]);
    try {
      unlinkIfThere(directory, messageFile(uid));
    } finally {
      closeDir(directory);
    }
  }

  /** No failure of what is left to do is thrown: the changes are durable. */
  async close(): Promise<void> {
    this.closed = true;
    const { name, root } = this.held.record;
    this.journal.close();
    // What is left after expunges can be older than the last append.
    const folded = this.journal.bytes > FOLD_BYTES ? this.fold() : undefined;
    try {
      const { uidvalidity, uidnext } = this.index;
      const summary = folded ?? this.index.summary();
      await this.store.mailboxes.update((writes) =>
        writes.publish(name, { summary, uidvalidity, uidnext, root: root ?? '' }),
      );
    } catch (error) {
      upkeepFailed(this.store, 'MAILBOX_COUNTS', name, error);
    } finally {
      this.index.close();
    }
  }

  private fold(): IndexSummary | undefined {
    try {
      return foldJournal(this.held.dir, this.store.owner);
    } catch (error) {
      upkeepFailed(this.store, 'MAILBOX_FOLD', this.held.record.name, error);
      return undefined;
    }
  }

  private record(change: JournalChange): void {
    this.journal.append([change]);
    this.index.apply(change);
  }

  /**
   * A callback may end before all that it began: Promise.all rejects with the first. What comes after has neither the
   * lock nor the directory any more, whose number another mailbox may have by then.
   */
  private mustBeOpen(): void {
    if (this.closed) throw mailboxClosed(this.held.record.name);
  }

  private mustExist(uid: number): void {
    if (this.index.byUid(uid) !== undefined) return;
    throw new MailhaulError('NO_MESSAGE', `There is no message ${uid}.`, { where: this.held.record.name });
  }

  private writeMessage(uid: number, content: Uint8Array): void {
    const { dir } = this.held;
    const temporary = `.new-${uid}`;
    const fd = createOver(dir, temporary, this.store.owner);
    try {
      writeAll(fd, content);
      sync(fd);
    } finally {
      closeSync(fd);
    }
    const directory: Dir = ensureDir(dir, hashDirectory(uid), this.store.owner);
    try {
      rename(dir, temporary, directory, messageFile(uid));
      sync(directory.fd);
      sync(dir.fd);
    } finally {
      closeDir(directory);
    }
  }
}
