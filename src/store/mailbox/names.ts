/**
 * Making, deleting and renaming mailboxes, as services do.
 *
 *     make      lock ─▶ directory with an empty store.idx, durable ─▶ transaction
 *     delete    transaction: entry and quota use go, NameChange on record ─▶ directory ─▶ NameChange goes
 *     rename    transaction: entries get their names, NameChange on record ─▶ directory ─▶ NameChange goes
 *
 * Killed anywhere, the next one finishes it (unfinished.ts). A folder that was migrated stays migrated: its tombstone
 * goes by its mapping id, not its name (docs/formats/mboxlist.md).
 */
import { randomInt } from 'node:crypto';
import { closeSync } from 'node:fs';
import { hasErrno, MailhaulError } from '../../errors.js';
import { closeDir, createOver, type Dir, ensureDirs, list, rename, sync, walk } from '../../fs/dir.js';
import { encodeAdminRecord } from '../adminRecord.js';
import { loadDigest } from '../digest.js';
import { fileSink } from '../index/io.js';
import { IndexBuilder } from '../index/writer.js';
import { INDEX_FILE } from '../layout.js';
import { INBOX, mailboxPathComponents, parseMailboxName } from '../names.js';
import { openPartition } from '../partitions.js';
import type { AclEntry, MailboxRecord, NameChange } from '../types.js';
import { type HeldMailbox, holdMailbox, lockUnclaimed, type MailStore } from './held.js';
import { finishNameChange, finishNameChanges, syncWay } from './unfinished.js';

export interface NewMailbox {
  readonly owner: string;
  readonly partition: string;
  /** Absolute path of the partition, which must be there. */
  readonly root: string;
  /** Above that of any earlier mailbox of the name; the time in seconds when it is left out. */
  readonly uidvalidity?: number;
  readonly acl?: readonly AclEntry[];
}

/** Makes an empty mailbox. Errors: MAILBOX_EXISTS, MAILBOX_BUSY, NAME_INVALID, PARTITION_*. */
export async function createMailbox(store: MailStore, name: string, made: NewMailbox): Promise<void> {
  await loadDigest();
  await settled(store, name);
  checkFree(store, name);
  const components = mailboxPathComponents(made.owner, name);
  const uidvalidity = made.uidvalidity ?? Math.floor(Date.now() / 1000);
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
      if (isChanging(store, name)) throw exists(name);
      writeEmptyIndex(dir, record, store);
      syncWay(root, components);
      await store.mailboxes.update((writes) => {
        // Without this lock a migration enters a mailbox, and a rename gives the name to another.
        if (writes.get(name) !== undefined || isChanging(store, name)) throw exists(name);
        writes.put(record);
      });
    } finally {
      closeDir(dir);
    }
  } finally {
    closeDir(root);
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
export async function deleteMailbox(store: MailStore, name: string): Promise<void> {
  refuseInbox(name, 'deleted');
  const held = await holdMailbox(store, name);
  try {
    const change = changeOf(held, null);
    await store.mailboxes.update((writes) => {
      writes.remove(name);
      writes.beginNameChange(change);
    });
    await finishNameChange(store, change, held.dir);
  } finally {
    held.release();
  }
}

/**
 * Renames a mailbox and all below it (RFC 3501 6.3.5), within its owner's mailboxes; subscriptions stay as they are.
 * Errors: NO_MAILBOX, MAILBOX_EXISTS, MAILBOX_INBOX, MAILBOX_TRANSITION (also of one below it), MAILBOX_BUSY,
 * NAME_INVALID.
 */
export async function renameMailbox(store: MailStore, name: string, to: string): Promise<void> {
  refuseInbox(name, 'renamed');
  if (`${to}/`.startsWith(`${name}/`)) {
    throw new MailhaulError('NAME_INVALID', 'A mailbox cannot become a part of itself.', { where: to });
  }
  await settled(store, to);
  checkFree(store, to);
  const below = [...store.mailboxes.list(`${name}/`)].map((record) => record.name);
  const held: HeldMailbox[] = [];
  try {
    // In the order of names, so that two renames never wait for each other.
    for (const mailbox of [name, ...below]) held.push(await holdMailbox(store, mailbox));
    const [first] = held;
    if (first === undefined) return;
    checkDirectoryFree(first, to);
    const change = changeOf(first, to);
    await store.mailboxes.update((writes) => {
      const newNames = [name, ...below].map((mailbox) => to + mailbox.slice(name.length));
      if (newNames.some((mailbox) => writes.get(mailbox) !== undefined) || isChanging(store, to)) throw exists(to);
      [name, ...below].forEach((mailbox, i) => {
        writes.rename(mailbox, newNames[i] ?? '');
      });
      writes.beginNameChange(change);
    });
    await finishNameChange(store, change, first.dir);
  } finally {
    for (const mailbox of held) mailbox.release();
  }
}

function changeOf({ record }: HeldMailbox, to: string | null): NameChange {
  const { name, owner, partition, root } = record;
  return { id: randomInt(1, 2 ** 47), name, owner, partition, root: root ?? '', to };
}

function refuseInbox(name: string, what: string): void {
  if (parseMailboxName(name)?.components.join('/') !== INBOX) return;
  throw new MailhaulError('MAILBOX_INBOX', `An INBOX cannot be ${what}.`, { where: name });
}

/** Finishes what was begun with the name. */
async function settled(store: MailStore, name: string): Promise<void> {
  store.mailboxes.refresh();
  if ((await finishNameChanges(store, name)) === undefined) return;
  throw new MailhaulError('MAILBOX_BUSY', 'A mailbox of this name is being deleted or renamed.', { where: name });
}

function checkFree(store: MailStore, name: string): void {
  if (store.mailboxes.get(name) !== undefined) throw exists(name);
}

/** A directory in the way: it holds other mailboxes of the user, or files that nobody knows. */
function checkDirectoryFree({ root, record }: HeldMailbox, to: string): void {
  let dir: Dir;
  try {
    dir = walk(root, mailboxPathComponents(record.owner, to));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return;
    throw error;
  }
  try {
    if (list(dir).length > 0) throw exists(to);
  } finally {
    closeDir(dir);
  }
}

/** A directory may still be where the name leads. */
function isChanging(store: MailStore, name: string): boolean {
  for (const change of store.mailboxes.nameChanges()) if (change.name === name || change.to === name) return true;
  return false;
}

function exists(name: string): MailhaulError {
  return new MailhaulError('MAILBOX_EXISTS', 'There is a mailbox of this name, or there are some below it.', {
    where: name,
  });
}
