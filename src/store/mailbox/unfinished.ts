/**
 * Deletes and renames of mailboxes that stopped half-way: their database transaction is durable, with a NameChange
 * on record; their directories follow here. Done by whoever changes names or holds a mailbox next, and by `upgrade`
 * before it looks at mailboxes. Doing it twice, or while the process that began it still does, changes nothing.
 */
import { hasErrno, MailhaulError } from '../../errors.js';
import { closeDir, type Dir, list, type Ownership, openDir, removeDir, rename, sync, unlink } from '../../fs/dir.js';
import { tryFlock } from '../../fs/flock.js';
import { flockPids } from '../../fs/holders.js';
import { ensureDirs, walk, walkIfThere } from '../../fs/walk.js';
import { loadDigest } from '../digest.js';
import { INDEX_FILE, isHashDirectory, JOURNAL_FILE, parseMessageFile, RETRY_DIRECTORY } from '../layout.js';
import { INBOX, mailboxPathComponents, parseMailboxName } from '../names.js';
import { openPartition } from '../partitions.js';
import type { NameChange } from '../types.js';
import type { MailStore } from './held.js';
import { mergeDirectory } from './merge.js';
import { refuseUnmounted } from './mounts.js';

/**
 * Finishes the changes on record, all of them or those that `which` picks. Each is tried, whatever becomes of the
 * others: one on a disk that is not mounted keeps nobody else's. Returns the pids that hold a directory which has to
 * follow, when some are locked; undefined when nothing is left. Errors: PARTITION_*, MAILBOX_DIRECTORY (mounts.ts),
 * MAILBOX_IN_THE_WAY (merge.ts), the first once all were tried, or with `failed` each to it; DB_* at once.
 */
export async function finishNameChanges(
  store: MailStore,
  which: (change: NameChange) => boolean = () => true,
  failed?: (change: NameChange, error: unknown) => void,
): Promise<readonly number[] | undefined> {
  const errors: unknown[] = [];
  let holders: readonly number[] | undefined;
  for (const change of [...store.mailboxes.nameChanges()]) {
    if (!which(change)) continue;
    try {
      const found = await finishNameChange(store, change);
      if (found !== undefined) holders = [...(holders ?? []), ...found];
    } catch (error) {
      // The next one would wait for the database as long.
      if (error instanceof MailhaulError && error.code.startsWith('DB_')) throw error;
      if (failed === undefined) errors.push(error);
      else failed(change, error);
    }
  }
  if (errors.length > 0) throw errors[0];
  return holders;
}

/**
 * Brings the directory of one change to where its name is, then takes it off the record. `held` is the directory when
 * the caller has its lock. Returns the pids that have it when it is locked by others.
 *
 * Nothing else can be in the directory's place: no mailbox gets a name that a change on record still has
 * (names.ts), so once the lock is taken and the change is still on record, the directory is the right one.
 */
export async function finishNameChange(
  store: MailStore,
  change: NameChange,
  held?: Dir,
): Promise<readonly number[] | undefined> {
  await loadDigest();
  const root = openPartition(change.partition, change.root, store.owner);
  let own: Dir | undefined = held;
  try {
    const components = mailboxPathComponents(change.owner, change.name);
    own ??= walkIfThere(root, components);
    if (own !== undefined) {
      if (held === undefined && !tryFlock(own.fd, 'exclusive')) return flockPids(own.fd);
      if (!isOnRecord(store, change)) return undefined;
      if (change.to === null) removeMailboxDirectory(root, components, own);
      else {
        const to = mailboxPathComponents(change.owner, change.to);
        const holders = moveDirectory(root, components, to, store.owner);
        if (holders !== undefined) return holders;
      }
    } else {
      if (!isOnRecord(store, change)) return undefined;
      try {
        refuseUnmounted(store.mailboxes, root, change);
      } catch (error) {
        // Another process may have ended it since, and a later rename have moved the directory on.
        if (!isOnRecord(store, change)) return undefined;
        throw error;
      }
      syncPlaces(root, components, change);
    }
    removeWayTo(store, root, change.name, components);
    await store.mailboxes.update((writes) => writes.endNameChange(change.id));
    return undefined;
  } finally {
    if (own !== undefined && own !== held) closeDir(own);
    closeDir(root);
  }
}

function isOnRecord({ mailboxes }: MailStore, { id }: NameChange): boolean {
  mailboxes.refresh();
  return [...mailboxes.nameChanges()].some((change) => change.id === id);
}

/** Times that the way to the new place is made again. */
const ATTEMPTS = 20;

/** Returns the pids that hold the new place when it is there already, and locked. */
function moveDirectory(
  root: Dir,
  from: readonly string[],
  to: readonly string[],
  owner: Ownership,
): readonly number[] | undefined {
  for (let attempt = 1; ; attempt++) {
    try {
      return tryMove(root, from, to, owner);
    } catch (error) {
      // The end of another change removes empty directories that led to its mailbox: ours may be among them.
      if (!hasErrno(error, 'ENOENT') || attempt === ATTEMPTS) throw error;
    }
  }
}

function tryMove(
  root: Dir,
  from: readonly string[],
  to: readonly string[],
  owner: Ownership,
): readonly number[] | undefined {
  const parent = walk(root, from.slice(0, -1));
  try {
    const newParent = ensureDirs(root, to.slice(0, -1), owner);
    try {
      const [source, target] = [
        { parent, name: from.at(-1) ?? '' },
        { parent: newParent, name: to.at(-1) ?? '' },
      ];
      try {
        rename(parent, source.name, newParent, target.name);
      } catch (error) {
        if (!hasErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
        const holders = mergeDirectory(source, target);
        if (holders !== undefined) return holders;
      }
      sync(parent.fd);
    } finally {
      closeDir(newParent);
    }
  } finally {
    closeDir(parent);
  }
  syncWay(root, to);
  return undefined;
}

/**
 * Removes the empty directories that only led to the mailbox: sub-folders of INBOX, or of a folder that was deleted, lie
 * in directories that are no mailboxes. One that is a mailbox may be empty, too, while its migration begins.
 */
function removeWayTo(store: MailStore, root: Dir, name: string, components: readonly string[]): void {
  const levels = name.split('/');
  for (let up = 1; levels.length - up > 2; up++) {
    const above = levels.slice(0, -up).join('/');
    // The directory of that name below the user's own is not the INBOX.
    if (parseMailboxName(above)?.components.join('/') !== INBOX && store.mailboxes.get(above) !== undefined) return;
    const path = components.slice(0, -up);
    const parent = walkIfThere(root, path.slice(0, -1));
    if (parent === undefined) continue;
    try {
      if (!removeIfEmpty(parent, path.at(-1) ?? '')) return;
      sync(parent.fd);
    } finally {
      closeDir(parent);
    }
  }
}

/** Who moved or removed the directory may not have come to sync it: the change is on record until that is done. */
function syncPlaces(root: Dir, components: readonly string[], { owner, to }: NameChange): void {
  syncWay(root, components, walkIfThere);
  if (to !== null) syncWay(root, mailboxPathComponents(owner, to), walkIfThere);
}

/**
 * Makes the entries of a path durable: syncs the directories above its end, the root too. `open` gives undefined for
 * one that may be missing.
 */
export function syncWay(
  root: Dir,
  components: readonly string[],
  open: (root: Dir, components: readonly string[]) => Dir | undefined = walk,
): void {
  for (let depth = components.length - 1; depth >= 0; depth--) {
    const dir = open(root, components.slice(0, depth));
    if (dir === undefined) continue;
    sync(dir.fd);
    closeDir(dir);
  }
}

/** Removes what a mailbox is made of; its sub-folders, and files that are not ours, stay where they are. */
function removeMailboxDirectory(root: Dir, components: readonly string[], mailbox: Dir): void {
  emptyMailbox(mailbox);
  const parent = walk(root, components.slice(0, -1));
  try {
    removeIfEmpty(parent, components.at(-1) ?? '');
    sync(parent.fd);
  } finally {
    closeDir(parent);
  }
}

function emptyMailbox(mailbox: Dir): void {
  for (const entry of list(mailbox)) {
    const name = entry.toString('latin1');
    if (isHashDirectory(name)) emptyDirectory(mailbox, name, (file) => parseMessageFile(name, file) !== undefined);
    else if (name === RETRY_DIRECTORY) emptyRetry(mailbox);
    else if (isOwnFile(name)) unlink(mailbox, name);
  }
  sync(mailbox.fd);
}

function isOwnFile(name: string): boolean {
  return (
    [INDEX_FILE, JOURNAL_FILE, `${INDEX_FILE}.new`, `.${JOURNAL_FILE}.new`].includes(name) || name.startsWith('.new-')
  );
}

function emptyRetry(mailbox: Dir): void {
  const retry = openDir(mailbox, RETRY_DIRECTORY);
  try {
    for (const entry of list(retry)) {
      const name = entry.toString('latin1');
      if (isHashDirectory(name)) emptyDirectory(retry, name, (file) => parseMessageFile(name, file) !== undefined);
      else unlink(retry, entry);
    }
  } finally {
    closeDir(retry);
  }
  removeIfEmpty(mailbox, RETRY_DIRECTORY);
}

function emptyDirectory(parent: Dir, name: string, isOurs: (file: string) => boolean): void {
  const dir = openDir(parent, name);
  try {
    for (const file of list(dir)) if (isOurs(file.toString('latin1'))) unlink(dir, file);
  } finally {
    closeDir(dir);
  }
  removeIfEmpty(parent, name);
}

/**
 * False when it stays: there is something in it, or a disk is mounted on it. One that is gone already was removed by
 * another process.
 */
function removeIfEmpty(parent: Dir, name: string): boolean {
  try {
    removeDir(parent, name);
  } catch (error) {
    if (hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY')) return false;
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
  return true;
}
