/**
 * A renamed mailbox whose new place is not empty. While its directory had not followed, a migration may have made
 * the place as the way to a sub-mailbox, and a createMailbox that was refused may have left an empty index there.
 * The entries move one by one:
 *
 *     lock both places ─▶ half an index goes ─▶ store.idx, both directories synced ─▶ every other entry, synced ─▶
 *     the old directory goes
 *
 * The index goes first, so that a journal found beside another index was never ours. Killed anywhere, it is done again.
 */
import { MailhaulError } from '../../errors.js';
import {
  closeDir,
  type Dir,
  displayPath,
  list,
  openDir,
  removeDir,
  rename,
  stat,
  sync,
  unlinkIfThere,
} from '../../fs/dir.js';
import { tryFlock } from '../../fs/flock.js';
import { flockPids } from '../../fs/holders.js';
import { openMailboxIndex } from '../index/mailboxIndex.js';
import { INDEX_FILE, isHashDirectory, JOURNAL_FILE, RETRY_DIRECTORY } from '../layout.js';

/** One directory, by the name it has in its parent. */
export interface Place {
  readonly parent: Dir;
  readonly name: string;
}

/**
 * Moves what is in `from` into `to`, and removes `from`. Returns the pids that hold a directory it has to change,
 * when there are some: a createMailbox may be about to put its index there. Errors: MAILBOX_IN_THE_WAY; then what
 * has not moved is where it was.
 */
export function mergeDirectory(from: Place, to: Place): readonly number[] | undefined {
  return merge(from, to, true);
}

/** `renamed`: the name of `to` is that of the renamed mailbox, by its entry; of one below it nobody knows. */
function merge(from: Place, to: Place, renamed: boolean): readonly number[] | undefined {
  const source = openDir(from.parent, from.name);
  try {
    const target = openDir(to.parent, to.name);
    try {
      if (!tryFlock(target.fd, 'exclusive')) return flockPids(target.fd);
      // A createMailbox that lost its way is about to be refused. (The lock of the renamed mailbox itself is ours.)
      if (!renamed && !tryFlock(source.fd, 'exclusive')) return flockPids(source.fd);
      if (stat(source, INDEX_FILE) !== undefined) {
        checkIndexFree(source, target, renamed);
        // Of a createMailbox that was killed. Below the renamed mailbox, a mailbox may be folding its journal.
        if (renamed) unlinkIfThere(target, `${INDEX_FILE}.new`);
        rename(source, INDEX_FILE, target, INDEX_FILE);
        sync(target.fd);
        sync(source.fd);
      }
      for (const entry of list(source)) {
        const holders = moveEntry(source, entry, target);
        if (holders !== undefined) return holders;
      }
      sync(target.fd);
      sync(source.fd);
    } finally {
      closeDir(target);
    }
  } finally {
    closeDir(source);
  }
  removeDir(from.parent, from.name);
  sync(to.parent.fd);
  sync(from.parent.fd);
  return undefined;
}

/** The index in the place may be replaced: there is none, or it is what a refused createMailbox left. */
function checkIndexFree(source: Dir, target: Dir, renamed: boolean): void {
  const mail = list(target)
    .map((entry) => entry.toString('latin1'))
    .sort()
    .find((name) => name === JOURNAL_FILE || name === RETRY_DIRECTORY || isHashDirectory(name));
  if (mail !== undefined) throw inTheWay(source, target, mail);
  if (stat(target, INDEX_FILE) === undefined) return;
  // Below the renamed mailbox an empty index may be that of a mailbox, and ours the one that was left.
  if (countOf(target) > 0 || (!renamed && countOf(source) === 0)) throw inTheWay(source, target, INDEX_FILE);
}

/** Messages of an index with its journal. Errors: IDX_ and JNL_ damage. */
export function countOf(mailbox: Dir): number {
  const index = openMailboxIndex(mailbox);
  try {
    return index.count;
  } finally {
    index.close();
  }
}

function moveEntry(source: Dir, entry: Buffer, target: Dir): readonly number[] | undefined {
  const there = stat(target, entry);
  const name = entry.toString('latin1');
  const isTemporary = name.startsWith(`${INDEX_FILE}.`) || name.startsWith('.new-');
  // rename(2) would replace a file without a word; temporary ones are anybody's.
  if (there === undefined || (isTemporary && there.isFile())) {
    rename(source, entry, target, entry);
    return undefined;
  }
  const isSubFolder = name.startsWith('=') && there.isDirectory() && stat(source, entry)?.isDirectory() === true;
  if (!isSubFolder) throw inTheWay(source, target, entry);
  return merge({ parent: source, name }, { parent: target, name }, false);
}

function inTheWay(source: Dir, target: Dir, entry: string | Buffer): MailhaulError {
  const [ours, theirs] = [displayPath(source, entry), displayPath(target, entry)];
  return new MailhaulError(
    'MAILBOX_IN_THE_WAY',
    `The directory of a renamed mailbox cannot follow its name: ${theirs} is in the way of ${ours}.`,
    { where: theirs, hint: 'Look which of the two has the mail, and move the other out of the store.' },
  );
}
