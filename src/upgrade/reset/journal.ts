/**
 * Whose changes a journal holds. A retry that finds a mailbox in use enters its messages there (additions-append.ts);
 * those came from 3.x and are on record. Everything else is a service's:
 *
 *     flags, expunge, uidnext            a service
 *     append   not on record             a service
 *              on record                 a retry: its failure is cleared after the entry is made, never before
 *              on record, as failed      a retry that was stopped, if `.retry` holds just this message; else a service,
 *                                        which was given the uid after a retry had put it on record
 */

import { rowOfUid } from '../../engine/rows.js';
import { closeDir, type Dir, openDir, stat } from '../../fs/dir.js';
import { withFile } from '../../fs/file.js';
import { fileSource } from '../../store/index/io.js';
import { type JournalChange, JournalReader, journalIndexOf } from '../../store/index/journal.js';
import { JOURNAL_FILE, RETRY_DIRECTORY } from '../../store/layout.js';
import { withRetryIndex } from '../../store/mailbox/retry.js';
import { sameDigest } from './content.js';
import type { OpenFolder } from './opened.js';

type Append = Extract<JournalChange, { readonly type: 'append' }>;

/** Numbers of changes. */
export interface ServiceChanges {
  flags: number;
  append: number;
  expunge: number;
  uidnext: number;
  /** Messages that a retry entered; the others are services'. */
  byRetry: number;
}

/** Counts the changes in the journal of `target`, which is there and can be read. */
export function serviceChanges(open: OpenFolder, target: Dir): ServiceChanges {
  const counts: ServiceChanges = { flags: 0, append: 0, expunge: 0, uidnext: 0, byRetry: 0 };
  const { index, record, failed } = open;
  if (index === undefined) return counts;
  const doubtful: Append[] = [];
  withFile(target, JOURNAL_FILE, (fd) => {
    for (const change of new JournalReader(fileSource(fd), journalIndexOf(index.reader)).changes()) {
      if (change.type !== 'append' || rowOfUid(record.uids, change.facts.uid) < 0) counts[change.type] += 1;
      else if (failed.has(change.facts.uid)) doubtful.push(change);
      else counts.byRetry += 1;
    }
  });
  const settled = doubtful.length === 0 ? 0 : countInRetry(target, doubtful);
  counts.byRetry += settled;
  counts.append += doubtful.length - settled;
  return counts;
}

/** How many of the messages a stopped retry left in `.retry`, exactly as they are in the journal. */
function countInRetry(target: Dir, appended: readonly Append[]): number {
  if (stat(target, RETRY_DIRECTORY)?.isDirectory() !== true) return 0;
  const retry = openDir(target, RETRY_DIRECTORY);
  try {
    const count = withRetryIndex(retry, (index) => {
      const isThere = ({ facts, keywords }: Append): boolean => {
        const found = index.byUid(facts.uid);
        return (
          found !== undefined &&
          found.size === facts.size &&
          found.flags === facts.flags &&
          found.internalDate === facts.internalDate &&
          sameDigest(found.digest, facts.digest) &&
          index.keywordsOf(found).join(' ') === keywords.join(' ')
        );
      };
      return appended.filter(isThere).length;
    });
    return count ?? 0;
  } finally {
    closeDir(retry);
  }
}
