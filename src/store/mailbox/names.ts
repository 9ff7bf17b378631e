/**
 * Making, deleting and renaming mailboxes, as services do.
 *
 *     make      lock ─▶ directory with an empty store.idx, durable ─▶ transaction
 *     delete    transaction: entry and quota use go, NameChange on record ─▶ directory ─▶ NameChange goes
 *     rename    transaction: entries get their names, NameChange on record ─▶ directory ─▶ NameChange goes
 *
 * Killed anywhere, the next one finishes it (unfinished.ts); so what fails after the transaction is told as upkeep
 * (upkeep.ts): the mailbox has its new name, or is gone. No mailbox gets a name that a change on record concerns
 * (changing.ts): a directory may still be where the name leads. What was seen before a lock or the transaction is looked
 * at again within. A folder that was migrated stays migrated: its tombstone goes by its mapping id, not its name
 * (docs/formats/mboxlist.md).
 */
import { randomInt } from 'node:crypto';
import { closeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { hasErrno, MailhaulError } from '../../errors.js';
import {
  closeDir,
  createOver,
  type Dir,
  displayPath,
  list,
  openDir,
  rename,
  stat,
  sync,
  unlink,
} from '../../fs/dir.js';
import { ensureDirs, walkIfThere } from '../../fs/walk.js';
import { encodeAdminRecord } from '../adminRecord.js';
import { loadDigest } from '../digest.js';
import { fileSink } from '../index/io.js';
import { IndexBuilder } from '../index/writer.js';
import {
  INDEX_FILE,
  isHashDirectory,
  JOURNAL_FILE,
  openMailboxDirectory,
  parseMessageFile,
  RETRY_DIRECTORY,
} from '../layout.js';
import { canonicalMailboxName, INBOX, mailboxPathComponents, parseMailboxName } from '../names.js';
import { openPartition } from '../partitions.js';
import type { AclEntry, MailboxRecord, NameChange } from '../types.js';
import { concerns, someChange } from './changing.js';
import { busy, type HeldMailbox, holdMailbox, leadsTo, lockUnclaimed, type MailStore } from './held.js';
import { countOf } from './merge.js';
import { refuseMounts } from './mounts.js';
import { finishNameChange, finishNameChanges, syncWay } from './unfinished.js';
import { upkeepFailed } from './upkeep.js';

/** Times that a creation or rename begins anew because mailboxes or directories came or went meanwhile. */
const ATTEMPTS = 20;

const MAX_UIDVALIDITY = 0xffffffff;

export interface NewMailbox {
  readonly owner: string;
  readonly partition: string;
  /** Absolute path of the partition, which must be there. */
  readonly root: string;
  /**
   * Above that of any earlier mailbox of the name. When it is left out it is the time in seconds, or the next number above
   * all that the owner's mailboxes had which were made, deleted or renamed.
   */
  readonly uidvalidity?: number;
  readonly acl?: readonly AclEntry[];
}

/**
 * Makes an empty mailbox. Errors: MAILBOX_EXISTS, MAILBOX_BUSY, MAILBOX_IN_THE_WAY (there is mail in the directory of
 * which the database knows nothing), NAME_INVALID, PARTITION_*.
 */
export async function createMailbox(store: MailStore, newName: string, made: NewMailbox): Promise<void> {
  const name = canonicalMailboxName(newName);
  await loadDigest();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      if (await tryCreate(store, name, made)) return;
    } catch (error) {
      // The end of a delete or rename removes empty directories that led to the mailbox: one of ours may be among them.
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
  }
  throw busy(name, []);
}

/** False when another mailbox of the owner has got the uidvalidity meanwhile; then nothing was made. */
async function tryCreate(store: MailStore, name: string, made: NewMailbox): Promise<boolean> {
  await settled(store, name);
  checkFree(store, name);
  const components = mailboxPathComponents(made.owner, name);
  const uidvalidity = made.uidvalidity ?? nextUidvalidity(store, made.owner);
  const record: MailboxRecord = {
    name,
    owner: made.owner,
    legacyName: null,
    partition: made.partition,
    acl: made.acl ?? [],
    uidvalidity,
    uidnext: 1,
    state: 'NON-TRANSITION',
    summary: { messages: 0, bytes: 0, lastAppend: 0, seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 },
    mappingId: null,
    root: made.root,
  };
  const root = openPartition(made.partition, made.root, store.owner);
  try {
    const dir = ensureDirs(root, components, store.owner);
    try {
      // Nobody's index is replaced: who made the mailbox meanwhile may have put mail into it.
      await lockUnclaimed(store, name, { root, components, dir });
      store.mailboxes.refresh();
      checkFree(store, name);
      if (isChanging(store, name)) throw busy(name, []);
      checkNoMail(dir);
      writeEmptyIndex(dir, record, store);
      syncWay(root, components);
      const refused = await store.mailboxes.update((writes) => {
        // Without this lock a migration enters a mailbox, and a rename gives the name to another.
        if (writes.get(name) !== undefined) return exists(name);
        // One of a mailbox above has taken the directory along, or leaves it behind.
        if (isChanging(store, name) || !leadsTo(root, components, dir)) return busy(name, []);
        if (made.uidvalidity === undefined && isTaken(store, made.owner, uidvalidity)) return 'taken';
        writes.put(record);
        writes.noteUidvalidity(record.owner, uidvalidity);
        return undefined;
      });
      if (refused !== undefined) {
        unlink(dir, INDEX_FILE);
        if (refused !== 'taken') throw refused;
      }
      return refused === undefined;
    } finally {
      closeDir(dir);
    }
  } finally {
    closeDir(root);
  }
}

/**
 * Clients keep what they know of a mailbox by its name and this number: none comes twice, also within one second. Where no
 * number is left above (one of 3.x may be any), it is the time alone.
 */
function nextUidvalidity({ mailboxes }: MailStore, owner: string): number {
  const now = Math.floor(Date.now() / 1000);
  const highest = mailboxes.highestUidvalidity(owner);
  return highest >= MAX_UIDVALIDITY ? now : Math.max(now, highest + 1);
}

function isTaken({ mailboxes }: MailStore, owner: string, uidvalidity: number): boolean {
  const highest = mailboxes.highestUidvalidity(owner);
  return uidvalidity <= highest && highest < MAX_UIDVALIDITY;
}

/** Mail of which this database knows nothing is not covered with an empty index. */
function checkNoMail(dir: Dir): void {
  const mail = list(dir)
    .map((entry) => entry.toString('latin1'))
    .find((name) => showsMail(dir, name));
  if (mail === undefined) return;
  throw new MailhaulError('MAILBOX_IN_THE_WAY', 'The directory of the new mailbox holds mail already.', {
    where: displayPath(dir, mail),
    hint: 'The mailbox database knows nothing of it: look whose it is, and move it out of the store.',
  });
}

function showsMail(mailbox: Dir, name: string): boolean {
  if (name === INDEX_FILE) return countOf(mailbox) > 0;
  if (!isHashDirectory(name)) return name === JOURNAL_FILE || name === RETRY_DIRECTORY;
  const dir = openDir(mailbox, name);
  try {
    return list(dir).some((file) => parseMessageFile(name, file.toString('latin1')) !== undefined);
  } finally {
    closeDir(dir);
  }
}

/** Replaces what a mailbox that was never entered left behind. */
function writeEmptyIndex(
  dir: Dir,
  { name, owner, partition, acl, uidvalidity }: MailboxRecord,
  store: MailStore,
): void {
  const temporary = `${INDEX_FILE}.new`;
  const fd = createOver(dir, temporary, store.owner);
  try {
    const admin = encodeAdminRecord({ mailbox: name, legacyName: null, owner, partition, acl, quota: null });
    new IndexBuilder(fileSink(fd), { uidvalidity, uidnext: 1, generation: 1, keywords: [], admin }, 0).finish();
    sync(fd);
  } finally {
    closeSync(fd);
  }
  rename(dir, temporary, dir, INDEX_FILE);
  sync(dir.fd);
}

/**
 * Deletes a mailbox and its messages; sub-folders stay. Its 3.x folder, if it was migrated, never comes back.
 * Errors: NO_MAILBOX, MAILBOX_INBOX, MAILBOX_TRANSITION, MAILBOX_BUSY.
 */
export async function deleteMailbox(store: MailStore, oldName: string): Promise<void> {
  const name = canonicalMailboxName(oldName);
  refuseInbox(name, 'deleted');
  const held = await holdMailbox(store, name);
  try {
    const change = changeOf(held.record, null);
    await store.mailboxes.update((writes) => {
      writes.remove(name);
      writes.beginNameChange(change);
    });
    await follow(store, change, held.dir);
  } finally {
    held.release();
  }
}

/** What comes after the transaction of a delete or rename. */
async function follow(store: MailStore, change: NameChange, held: Dir | undefined): Promise<void> {
  try {
    await finishNameChange(store, change, held);
  } catch (error) {
    upkeepFailed(store, 'MAILBOX_DIRECTORY_LEFT', change.to ?? change.name, error);
  }
}

/**
 * Renames a mailbox and all below it (RFC 3501 6.3.5), within its owner's mailboxes; subscriptions stay as they are.
 * Errors: NO_MAILBOX, MAILBOX_EXISTS, MAILBOX_INBOX, MAILBOX_TRANSITION (also of one below it), MAILBOX_BUSY,
 * MAILBOX_MOUNT (mounts.ts), NAME_INVALID.
 */
export async function renameMailbox(store: MailStore, oldName: string, newName: string): Promise<void> {
  const [name, to] = [canonicalMailboxName(oldName), canonicalMailboxName(newName)];
  refuseInbox(name, 'renamed');
  if (`${to}/`.startsWith(`${name}/`)) {
    throw new MailhaulError('NAME_INVALID', 'A mailbox cannot become a part of itself.', { where: to });
  }
  await loadDigest();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) if (await tryRename(store, name, to)) return;
  throw busy(name, []);
}

/** False when the mailboxes below are not those that were locked; then nothing was changed. */
async function tryRename(store: MailStore, name: string, to: string): Promise<boolean> {
  await settled(store, name);
  await settled(store, to);
  checkFree(store, to);
  const mailboxes = [name, ...namesBelow(store, name)];
  const held = await holdAll(store, mailboxes);
  if (held === undefined) return false;
  try {
    const byRoot = firstOfEachRoot(held);
    for (const mailbox of byRoot) {
      checkDirectoryFree(mailbox, to);
      const { owner } = mailbox.record;
      refuseMounts(mailbox.root, mailboxPathComponents(owner, name), mailboxPathComponents(owner, to));
    }
    // Directories are moved a tree at a time, and a user's mailboxes may lie in several partitions.
    const changes = byRoot.map(({ record }) => ({ ...changeOf(record, to), name }));
    const begun = await store.mailboxes.update((writes) => {
      if (!isDeepStrictEqual([name, ...namesBelow(store, name)], mailboxes)) return false;
      const newNames = mailboxes.map((mailbox) => to + mailbox.slice(name.length));
      if (newNames.some((mailbox) => writes.get(mailbox) !== undefined)) throw exists(to);
      // What concerns a mailbox below concerns the one that it lies in as well.
      if (isChanging(store, name) || isChanging(store, to)) throw busy(to, []);
      mailboxes.forEach((mailbox, i) => {
        writes.rename(mailbox, newNames[i] ?? '');
      });
      for (const change of changes) writes.beginNameChange(change);
      return true;
    });
    if (!begun) return false;
    // Only the first one's directory is that of `name`; in the other partitions it is no more than the way.
    for (const [i, change] of changes.entries()) await follow(store, change, i === 0 ? byRoot[0]?.dir : undefined);
    return true;
  } finally {
    for (const mailbox of held) mailbox.release();
  }
}

/**
 * Locks all of them, the first one first. A lock is waited for only while no other is held (4x-store.md, promise 3):
 * undefined when one was busy and is free now, or has gone since; then it begins anew.
 */
async function holdAll(store: MailStore, mailboxes: readonly string[]): Promise<HeldMailbox[] | undefined> {
  const held: HeldMailbox[] = [];
  try {
    for (const mailbox of mailboxes) {
      held.push(await holdMailbox(held.length === 0 ? store : { ...store, lockWaitMs: 0 }, mailbox));
    }
    return held;
  } catch (error) {
    const refused = mailboxes[held.length];
    for (const mailbox of held) mailbox.release();
    if (held.length === 0 || refused === undefined || !(error instanceof MailhaulError)) throw error;
    if (error.code === 'NO_MAILBOX') return undefined;
    if (error.code !== 'MAILBOX_BUSY') throw error;
    try {
      (await holdMailbox(store, refused)).release();
    } catch (gone) {
      if (!(gone instanceof MailhaulError && gone.code === 'NO_MAILBOX')) throw gone;
    }
    return undefined;
  }
}

function namesBelow(store: MailStore, name: string): string[] {
  return [...store.mailboxes.list(`${name}/`)].map((record) => record.name);
}

/** Of mailboxes in the order of their names the first in each partition directory. */
function firstOfEachRoot(held: readonly HeldMailbox[]): HeldMailbox[] {
  const roots = new Set<string | null>();
  return held.filter(({ record: { root } }) => !roots.has(root) && roots.add(root));
}

function changeOf({ name, owner, partition, root }: MailboxRecord, to: string | null): NameChange {
  return { id: randomInt(1, 2 ** 47), name, owner, partition, root: root ?? '', to };
}

function refuseInbox(name: string, what: string): void {
  if (parseMailboxName(name)?.components.join('/') !== INBOX) return;
  throw new MailhaulError('MAILBOX_INBOX', `An INBOX cannot be ${what}.`, { where: name });
}

/** Finishes what was begun with the name. */
async function settled(store: MailStore, name: string): Promise<void> {
  store.mailboxes.refresh();
  if ((await finishNameChanges(store, (change) => concerns(change, name))) === undefined) return;
  throw new MailhaulError('MAILBOX_BUSY', 'A mailbox of this name is being deleted or renamed.', { where: name });
}

function checkFree(store: MailStore, name: string): void {
  if (store.mailboxes.get(name) !== undefined) throw exists(name);
}

/** A directory in the way: it holds other mailboxes of the user, or files that nobody knows. */
function checkDirectoryFree({ root, record }: HeldMailbox, to: string): void {
  const dir = openMailboxDirectory(root, record.owner, to);
  if (dir === undefined) return;
  try {
    if (!isEmptyMailbox(dir)) throw exists(to);
  } finally {
    closeDir(dir);
  }
}

/**
 * There is nothing in it, or what a createMailbox left that was killed before it entered the mailbox, or one below. An
 * index below may be that of a mailbox (merge.ts).
 */
function isEmptyMailbox(dir: Dir): boolean {
  return list(dir).every((entry) => {
    return (entry.toString('latin1') === INDEX_FILE && countOf(dir) === 0) || isNothing(dir, entry);
  });
}

function isNothing(parent: Dir, entry: Buffer): boolean {
  const name = entry.toString('latin1');
  if (name === `${INDEX_FILE}.new`) return true;
  if (!name.startsWith('=')) return false;
  const dir = walkIfThere(parent, [entry], 'ENOTDIR', 'ELOOP');
  if (dir === undefined) return stat(parent, entry) === undefined;
  try {
    return list(dir).every((below) => isNothing(dir, below));
  } finally {
    closeDir(dir);
  }
}

/** A directory may still be where the name leads. */
function isChanging(store: MailStore, name: string): boolean {
  return someChange(store.mailboxes, concerns, name);
}

function exists(name: string): MailhaulError {
  return new MailhaulError('MAILBOX_EXISTS', 'There is a mailbox of this name, or there are some below it.', {
    where: name,
  });
}
