/**
 * Appends changes to a mailbox's journal. `append` returns when they are durable.
 *
 * The caller holds the mailbox lock exclusively: one writer at a time. A writer whose write or sync failed
 * takes no more changes: what is on disk is known only after reading it again.
 */
import * as fs from 'node:fs';
import { hasErrno, MailhaulError } from '../../errors.js';
import { replaceFile } from '../../fs/atomic.js';
import { closeSynced } from '../../fs/descriptor.js';
import { type Dir, displayPath, type Ownership, sync } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { effect } from '../../fs/seam.js';
import { JOURNAL_FILE } from '../layout.js';
import { fileSink, fileSource, mailboxClosed } from './io.js';
import {
  damagedInTheMiddle,
  encodeBatch,
  encodeChange,
  encodeJournalHeader,
  type JournalChange,
  type JournalIndex,
  JournalReader,
  journalOfAnother,
  refuseUnreadable,
} from './journal.js';

export class JournalWriter {
  private readonly fd: number;
  private readonly where: string;
  private readonly hasBatches: boolean;
  /** Where the next record goes. */
  private end: number;
  private failed = false;
  private closed = false;

  /**
   * Opens the journal of `index` in the mailbox directory `dir`. It is made when it is missing, replaced when
   * it was folded into this index; a record at its end that was never acknowledged is cut off. Throws JNL_ damage of an
   * existing journal's header, JNL_RECORD, JNL_DAMAGED: what would be cut off was acknowledged, and JNL_OTHER: it
   * belongs to another index, and its changes may be nowhere else.
   */
  constructor(dir: Dir, index: JournalIndex, owner?: Ownership) {
    this.where = displayPath(dir, JOURNAL_FILE);
    let opened = openBelonging(dir, index);
    if (opened === undefined) {
      replaceFile(dir, JOURNAL_FILE, encodeJournalHeader(index), owner);
      opened = openBelonging(dir, index);
    }
    if (opened === undefined) throw this.broken();
    this.fd = opened.fd;
    this.end = opened.end;
    this.hasBatches = opened.hasBatches;
  }

  /** Bytes of the journal: a reason to fold it when they are many. */
  get bytes(): number {
    return this.end;
  }

  /**
   * Writes the changes with one call and syncs: after a crash all are there, or none (in a journal without batches any
   * number, from the first). Throws CHANGE_INVALID before anything is written, or the file system's error; then nothing
   * was acknowledged, and what was written is taken back as far as the disk allows.
   */
  append(changes: readonly JournalChange[]): void {
    if (this.closed) throw mailboxClosed(this.where);
    if (this.failed) throw this.broken();
    for (const change of changes) refuseUnreadable(change, this.where);
    const together = this.hasBatches && changes.length > 1;
    const data = together ? encodeBatch(changes) : Buffer.concat(changes.map(encodeChange));
    this.failed = true;
    try {
      fileSink(this.fd).write(data, this.end);
      sync(this.fd);
    } catch (error) {
      this.takeBack();
      throw error;
    }
    this.failed = false;
    this.end += data.length;
  }

  /**
   * After a failed sync a record can be read though it is not on disk. A later writer would put acknowledged records
   * behind it, and a power loss would make it a damaged one in front of those.
   */
  private takeBack(): void {
    try {
      effect('truncate');
      fs.ftruncateSync(this.fd, this.end);
      sync(this.fd);
    } catch {
      // The disk takes nothing any more. The first error is the one to tell.
    }
  }

  /** The descriptor's number may soon be another journal's: no change is taken any more, and it is closed once only. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSynced(this.fd);
  }

  private broken(): MailhaulError {
    return new MailhaulError('JNL_FAILED', 'The journal takes no more changes after an error.', {
      where: this.where,
      hint: 'Open the mailbox again.',
    });
  }
}

/** Opens the journal when there is one of this index, and cuts off what was never acknowledged. */
function openBelonging(dir: Dir, index: JournalIndex): { fd: number; end: number; hasBatches: boolean } | undefined {
  let fd: number;
  try {
    fd = openFile(dir, JOURNAL_FILE, fs.constants.O_RDWR);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  let used = false;
  try {
    const source = fileSource(fd);
    const reader = new JournalReader(source, index);
    if (reader.isOfAnother) throw journalOfAnother(displayPath(dir, JOURNAL_FILE));
    if (!reader.belongs) return undefined;
    for (const _change of reader.changes());
    if (reader.end < source.size) {
      if (reader.hasRecordsBehindEnd()) throw damagedInTheMiddle(displayPath(dir, JOURNAL_FILE));
      effect('truncate');
      fs.ftruncateSync(fd, reader.end);
    }
    used = true;
    return { fd, end: reader.end, hasBatches: reader.hasBatches };
  } finally {
    if (!used) fs.closeSync(fd);
  }
}
