/**
 * `.retry`: where an `upgrade` adds messages to a published mailbox (upgrade/additions.ts).
 *
 *     .retry/store.idx, <nn>/   the messages, under the uids that they will have in the mailbox
 *     .retry/done               uids, one a line: of these it is known that they came into the mailbox
 *
 * A run that is killed after a message came in and before that was on record leaves the answer here. A service could
 * expunge the message before the next run, which would then add it again: so whoever changes a mailbox with a
 * `.retry` in it settles first which of its messages are in. `.retry` goes when the run has its outcome on record.
 */
import { closeSync } from 'node:fs';
import { hasErrno, MailhaulError } from '../../errors.js';
import { replaceFile } from '../../fs/atomic.js';
import { closeDir, type Dir, list, type Ownership, openDir, removeDir, stat, unlinkIfThere } from '../../fs/dir.js';
import { openFile, readFile } from '../../fs/file.js';
import { walkIfThere } from '../../fs/walk.js';
import { openMailboxIndex } from '../index/mailboxIndex.js';
import { type IndexReader, openIndex } from '../index/reader.js';
import { hashDirectory, INDEX_FILE, isHashDirectory, messageFile, RETRY_DIRECTORY } from '../layout.js';

const DONE_FILE = 'done';
/** The index of old and new, while it is written. */
export const NEW_INDEX = `${INDEX_FILE}.new`;

/**
 * The uids of messages that stopped retries brought in, also of those that were expunged since; durable when this
 * returns. The caller holds the mailbox lock.
 */
export function settleRetry(mailbox: Dir, owner: Ownership): ReadonlySet<number> {
  const retry = openRetry(mailbox);
  if (retry === undefined) return new Set();
  try {
    const done = readDone(retry);
    const before = done.size;
    for (const uid of broughtIn(mailbox, retry)) done.add(uid);
    if (done.size > before) replaceFile(retry, DONE_FILE, [...done].map((uid) => `${uid}\n`).join(''), owner);
    return done;
  } finally {
    closeDir(retry);
  }
}

function openRetry(mailbox: Dir): Dir | undefined {
  return walkIfThere(mailbox, [RETRY_DIRECTORY]);
}

function readDone(retry: Dir): Set<number> {
  const text = readFile(retry, DONE_FILE)?.toString('latin1') ?? '';
  return new Set(
    text
      .split('\n')
      .filter((line) => /^\d{1,10}$/.test(line))
      .map(Number),
  );
}

function broughtIn(mailbox: Dir, retry: Dir): number[] {
  return (
    withRetryIndex(retry, (added) => {
      const index = openMailboxIndex(mailbox);
      try {
        const uids: number[] = [];
        for (const { uid, digest } of added.records()) {
          const found = index.byUid(uid);
          if (found !== undefined && Buffer.compare(found.digest, digest) === 0) uids.push(uid);
        }
        return uids;
      } finally {
        index.close();
      }
    }) ?? []
  );
}

/**
 * Removes from the mailbox what a stopped retry moved there and no index came to list: the next retry gives these
 * messages other uids. `isLeft` tells of a uid that nothing in the mailbox has; one whose file has no other name goes
 * only where `isInSource` says that the message can be read from 3.x (promise 1). The caller holds the mailbox lock.
 */
export function removeMoved(
  mailbox: Dir,
  isLeft: (uid: number) => boolean,
  isInSource: (uid: number) => boolean,
): void {
  const retry = openRetry(mailbox);
  if (retry === undefined) return;
  try {
    withRetryIndex(retry, (added) => {
      for (const { uid } of added.records()) if (isLeft(uid)) removeMovedFile(mailbox, uid, isInSource(uid));
    });
  } finally {
    closeDir(retry);
  }
}

function removeMovedFile(mailbox: Dir, uid: number, isInSource: boolean): void {
  let directory: Dir;
  try {
    directory = openDir(mailbox, hashDirectory(uid));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return;
    throw error;
  }
  try {
    const { nlink } = stat(directory, messageFile(uid)) ?? { nlink: 0n };
    if (nlink > 1n || (nlink === 1n && isInSource)) unlinkIfThere(directory, messageFile(uid));
  } finally {
    closeDir(directory);
  }
}

/** Reads the index of `.retry`; undefined when there is none, or none that was finished. */
export function withRetryIndex<T>(retry: Dir, use: (index: IndexReader) => T): T | undefined {
  let fd: number;
  try {
    fd = openFile(retry, INDEX_FILE);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    let index: IndexReader;
    try {
      index = openIndex(fd);
    } catch (error) {
      if (error instanceof MailhaulError && error.code.startsWith('IDX_')) return undefined;
      throw error;
    }
    return use(index);
  } finally {
    closeSync(fd);
  }
}

/**
 * Takes `.retry` away, but for a message file that has no other name: it may be the only copy (promise 1). With it goes
 * the index of old and new that a stopped retry did not finish: once a service has been here, no other replaces it.
 */
export function removeRetry(mailbox: Dir): void {
  unlinkIfThere(mailbox, NEW_INDEX);
  const retry = openRetry(mailbox);
  if (retry === undefined) return;
  try {
    for (const name of list(retry)) {
      if (!isHashDirectory(name.toString('latin1'))) {
        // What is done is known until the last.
        if (name.toString('latin1') !== DONE_FILE) unlinkIfThere(retry, name);
        continue;
      }
      const directory = openDir(retry, name);
      try {
        for (const file of list(directory)) {
          if ((stat(directory, file)?.nlink ?? 0n) > 1n) unlinkIfThere(directory, file);
        }
      } finally {
        closeDir(directory);
      }
      removeEmpty(retry, name);
    }
    unlinkIfThere(retry, DONE_FILE);
  } finally {
    closeDir(retry);
  }
  removeEmpty(mailbox, RETRY_DIRECTORY);
}

function removeEmpty(dir: Dir, name: string | Buffer): void {
  try {
    removeDir(dir, name);
  } catch (error) {
    if (!hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error;
  }
}
