/**
 * Folds the journal into a new index: written beside the old one, made durable, renamed over it; only then
 * the journal goes. Stopped at any point, the mailbox reads the same: a journal left beside the new index
 * does not belong to it and is ignored.
 */
import * as fs from 'node:fs';
import type { IndexSummary } from '../../engine/types.js';
import { createOver, type Dir, type Ownership, rename, sync, unlink, unlinkIfThere } from '../../fs/dir.js';
import { INDEX_FILE, JOURNAL_FILE } from '../layout.js';
import { fileSink } from './io.js';
import { type IndexedMessage, type MailboxIndex, openWholeMailboxIndex } from './mailboxIndex.js';
import { IndexBuilder } from './writer.js';

const TEMPORARY = `${INDEX_FILE}.new`;

/**
 * Folds the journal of a mailbox directory, whose lock the caller holds exclusively. Undefined when there is
 * nothing to fold. A damaged cache entry is taken over with its check, so that it stays the damage of one message.
 * Throws IDX_ and JNL_ damage and the file system's errors; the mailbox then reads as before, and a new index that
 * was not finished is gone.
 */
export function foldJournal(dir: Dir, owner?: Ownership): IndexSummary | undefined {
  const mailbox = openWholeMailboxIndex(dir);
  try {
    if (mailbox.changes === 0) return undefined;
    const summary = replaceIndex(dir, mailbox, owner);
    sync(dir.fd);
    unlink(dir, JOURNAL_FILE);
    sync(dir.fd);
    return summary;
  } finally {
    mailbox.close();
  }
}

function replaceIndex(dir: Dir, mailbox: MailboxIndex, owner: Ownership | undefined): IndexSummary {
  try {
    const summary = writeIndex(dir, mailbox, owner);
    rename(dir, TEMPORARY, dir, INDEX_FILE);
    return summary;
  } catch (error) {
    try {
      // On a full disk it would keep the space that the next message needs.
      unlinkIfThere(dir, TEMPORARY);
    } catch {
      // The next one replaces it; what is told is the first failure.
    }
    throw error;
  }
}

function writeIndex(dir: Dir, mailbox: MailboxIndex, owner: Ownership | undefined): IndexSummary {
  const fd = createOver(dir, TEMPORARY, owner);
  try {
    const table = new KeywordTable(mailbox.messages());
    const frame = {
      uidvalidity: mailbox.uidvalidity,
      uidnext: mailbox.uidnext,
      generation: (mailbox.reader.header.generation + 1) >>> 0,
      keywords: table.keywords,
      admin: mailbox.reader.admin(),
    };
    const builder = new IndexBuilder(fileSink(fd), frame, mailbox.count);
    for (const message of mailbox.messages()) {
      const { bytes, check } = mailbox.storedCache(message);
      builder.add(message, table.refs(message.keywords), bytes, check);
    }
    const summary = builder.finish();
    sync(fd);
    return summary;
  } finally {
    fs.closeSync(fd);
  }
}

/** Keywords in order of first appearance; those that differ only in case are one (3x-profile.md, `.mailbox`). */
class KeywordTable {
  readonly keywords: string[] = [];
  private readonly numbers = new Map<string, number>();

  constructor(messages: Iterable<IndexedMessage>) {
    for (const message of messages) {
      for (const keyword of message.keywords) {
        const key = keyword.toLowerCase();
        if (this.numbers.has(key)) continue;
        this.numbers.set(key, this.keywords.length);
        this.keywords.push(keyword);
      }
    }
  }

  /** Indexes of a message's keywords, ascending, each once. */
  refs(keywords: readonly string[]): number[] {
    const numbers = keywords.map((keyword) => this.numbers.get(keyword.toLowerCase()) ?? 0);
    return [...new Set(numbers)].sort((a, b) => a - b);
  }
}
