/**
 * The end of a retry in a mailbox that a service uses: the new messages, whose files are in their places and durable,
 * get their entries in the journal, from which moment they are there for readers. The mailbox is locked.
 */
import { MailhaulError } from '../errors.js';
import { closeDir, openDir } from '../fs/dir.js';
import { loadDigest } from '../store/digest.js';
import { type JournalChange, journalIndexOf } from '../store/index/journal.js';
import { JournalWriter } from '../store/index/journalWriter.js';
import { openMailboxIndex } from '../store/index/mailboxIndex.js';
import { RETRY_DIRECTORY } from '../store/layout.js';
import { withRetryIndex } from '../store/mailbox/retry.js';
import { failure, ownerOf, type StepTools } from './steps.js';
import type { AppendFolder, AppendResult } from './tasks.js';
import { troubleOf } from './trouble-kinds.js';

/** Entries that are written with one call and one sync. */
const ENTRIES_AT_ONCE = 512;
/** No more entries than those that reach so many bytes: they are one record, which is read at once. */
const BYTES_AT_ONCE = 8 << 20;

/** `appendFolder`, ready to use in this thread. */
export async function loadAppend(): Promise<(tools: StepTools, task: AppendFolder) => AppendResult> {
  await loadDigest();
  return (tools, task) => {
    try {
      return append(tools, task);
    } catch (error) {
      const trouble = troubleOf(error, 'target');
      return { kind: 'failed', id: task.id, failure: failure(error, 'MAILBOX_JOURNAL', task.mailbox), trouble };
    }
  };
}

function append({ context }: StepTools, task: AppendFolder): AppendResult {
  const mailbox = { fd: task.mailboxFd, path: task.mailbox };
  const index = openMailboxIndex(mailbox);
  try {
    const retry = openDir(mailbox, RETRY_DIRECTORY);
    const journal = new JournalWriter(mailbox, journalIndexOf(index.reader), ownerOf(context));
    try {
      const count = withRetryIndex(retry, (added) => {
        const changes: JournalChange[] = [];
        let bytes = 0;
        const write = (): void => {
          journal.append(changes);
          bytes = 0;
          for (const change of changes.splice(0)) index.apply(change);
        };
        for (const record of added.records()) {
          const { uid, flags, internalDate, size, headerBytes, digest } = record;
          const facts = { uid, flags, internalDate, size, headerBytes, digest };
          const cache = added.cache(record);
          changes.push({ type: 'append', facts, keywords: added.keywordsOf(record), cache });
          bytes += cache.length;
          if (changes.length === ENTRIES_AT_ONCE || bytes >= BYTES_AT_ONCE) write();
        }
        if (changes.length > 0) write();
        return added.count;
      });
      if (count === undefined) {
        throw new MailhaulError('MAILBOX_JOURNAL', 'What was to be added is not there any more.', {
          where: task.mailbox,
        });
      }
    } finally {
      journal.close();
      closeDir(retry);
    }
    return { kind: 'appended', id: task.id, summary: index.summary(), uidnext: index.uidnext };
  } finally {
    index.close();
  }
}
