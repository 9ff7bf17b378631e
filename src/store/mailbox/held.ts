/**
 * Holding a mailbox: its directory, open and locked, as long as something in it or its name changes.
 *
 *     lock     flock(LOCK_EX) on the mailbox directory itself: gone with its holder, and it follows a rename
 *     order    3.x folder lock, 4.x mailbox lock, database transaction (design.md, "One folder, in order")
 *
 * A lock counts only while the mailbox's name still leads to the directory that was locked: one that was renamed or
 * deleted while somebody waited is looked up again. A mailbox in TRANSITION is not held here: its messages are in
 * 3.x until it is migrated (upgrade/onAccess.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasErrno, MailhaulError } from '../../errors.js';
import { closeSynced } from '../../fs/descriptor.js';
import { closeDir, type Dir, fstat, type Ownership } from '../../fs/dir.js';
import { tryFlock } from '../../fs/flock.js';
import { describeHolder, flockPids, holdersText } from '../../fs/holders.js';
import { walk, walkIfThere } from '../../fs/walk.js';
import { canonicalMailboxName, mailboxPathComponents } from '../names.js';
import { openPartition } from '../partitions.js';
import type { MailboxDatabase, MailboxRecord } from '../types.js';
import { type About, concerns, isDisplacing, someChange } from './changing.js';
import { finishNameChanges } from './unfinished.js';

/** Where mailboxes are changed. */
export interface MailStore {
  readonly mailboxes: MailboxDatabase;
  /** The server account. */
  readonly owner: Ownership;
  /** How long another holder is waited for, milliseconds. */
  readonly lockWaitMs?: number;
  /**
   * Told of upkeep that did not succeed (MAILBOX_FOLD, MAILBOX_COUNTS, MAILBOX_FILE, MAILBOX_DIRECTORY_LEFT) after a
   * change that did: no reason to do the change again. Without it they are warnings of the process.
   */
  readonly notice?: (problem: MailhaulError) => void;
}

export interface HeldMailbox {
  readonly record: MailboxRecord;
  /** The partition, held. */
  readonly root: Dir;
  /** The mailbox directory; its descriptor carries the lock. */
  readonly dir: Dir;
  release(): void;
}

const LOCK_WAIT_MS = 10_000;
const LONGEST_PAUSE_MS = 200;

/**
 * Locks a migrated mailbox. Whoever changes messages waits for changes that displace it only: one of a sub-mailbox that
 * cannot be finished keeps no mail from the mailboxes above. Whoever changes names waits for all that concern it. Errors:
 * NO_MAILBOX, MAILBOX_TRANSITION, MAILBOX_DIRECTORY, MAILBOX_BUSY (with the pids that hold it), PARTITION_*, those of the
 * database, EMFILE and ENFILE.
 */
export function holdMailbox(store: MailStore, name: string, waitsFor: About = concerns): Promise<HeldMailbox> {
  const mailbox = canonicalMailboxName(name);
  return waiting(store, mailbox, () => tryHold(store, mailbox, waitsFor));
}

interface Refused {
  /** The pids that are in the way; asked for when nobody waits any longer. */
  readonly holders: readonly number[];
}

/** Tries until it has what it wants; MAILBOX_BUSY when others hold it too long. */
async function waiting<T extends object>(
  store: MailStore,
  name: string,
  attempt: () => Promise<T | Refused>,
): Promise<T> {
  const waitMs = store.lockWaitMs ?? LOCK_WAIT_MS;
  let waited = 0;
  for (let pause = 5; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const got = await attempt();
    if (!('holders' in got)) return got;
    if (waited >= waitMs) throw busy(name, got.holders);
    await sleep(pause);
    waited += pause;
  }
}

async function tryHold(store: MailStore, name: string, waitsFor: About): Promise<HeldMailbox | Refused> {
  store.mailboxes.refresh();
  const changing = await finishNameChanges(store, (change) => waitsFor(change, name));
  if (changing !== undefined) return { holders: changing };
  const { record, path } = migrated(store, name);
  const root = openPartition(record.partition, path, store.owner);
  let dir: Dir | undefined;
  let held = false;
  try {
    const components = mailboxPathComponents(record.owner, name);
    try {
      dir = walk(root, components);
    } catch (error) {
      if (hasErrno(error, 'ENOENT') && hasMoved(store, record, () => walk(root, components))) return { holders: [] };
      // The limit of the process, no damage of the mailbox.
      throw hasErrno(error, 'EMFILE', 'ENFILE') ? error : noDirectory(name, error);
    }
    if (!tryFlock(dir.fd, 'exclusive')) return { holders: flockPids(dir.fd) };
    store.mailboxes.refresh();
    const now = store.mailboxes.get(name);
    // Where a change that was committed meanwhile displaces it, this directory is another's, or the way to one.
    if (now?.root !== path || someChange(store.mailboxes, isDisplacing, name) || !leadsTo(root, components, dir))
      return { holders: [] };
    held = true;
    const locked = dir;
    return { record: now, root, dir: locked, release: () => releaseBoth(root, locked) };
  } finally {
    if (!held) {
      if (dir !== undefined) closeDir(dir);
      closeDir(root);
    }
  }
}

/**
 * Whether a directory that was not there is to be looked for again: a delete or rename was committed after the record
 * was read, or the directory has followed by now.
 */
function hasMoved(store: MailStore, { name, root }: MailboxRecord, walkAgain: () => Dir): boolean {
  store.mailboxes.refresh();
  if (store.mailboxes.get(name)?.root !== root || someChange(store.mailboxes, isDisplacing, name)) return true;
  try {
    closeDir(walkAgain());
    return true;
  } catch {
    return false;
  }
}

/** The lock goes with its descriptor. */
function releaseBoth(root: Dir, dir: Dir): void {
  closeSynced(dir.fd);
  closeSynced(root.fd);
}

function migrated({ mailboxes }: MailStore, name: string): { record: MailboxRecord; path: string } {
  mailboxes.refresh();
  const record = mailboxes.get(name);
  if (record === undefined) throw new MailhaulError('NO_MAILBOX', 'There is no such mailbox.', { where: name });
  if (record.state === 'TRANSITION' || record.root === null) {
    throw new MailhaulError('MAILBOX_TRANSITION', 'The mailbox has not been migrated yet.', {
      where: name,
      hint: 'Migrate it first (migrateMailbox, `upgrade -u`): until then its messages are in 3.x.',
    });
  }
  return { record, path: record.root };
}

function noDirectory(name: string, cause: unknown): MailhaulError {
  return new MailhaulError('MAILBOX_DIRECTORY', 'The directory of the mailbox cannot be opened.', {
    where: name,
    hint: '`upgrade --verify` says what is wrong with it.',
    cause,
  });
}

/** The path still leads to the directory that is held. */
export function leadsTo(root: Dir, components: readonly string[], dir: Dir): boolean {
  const again = walkIfThere(root, components);
  if (again === undefined) return false;
  try {
    const [mine, named] = [fstat(dir), fstat(again)];
    return mine.ino === named.ino && mine.dev === named.dev;
  } finally {
    closeDir(again);
  }
}

/**
 * Locks a directory that is to become the mailbox `name`: others may be making the same one. Errors: MAILBOX_BUSY, also
 * when the name has come to lead elsewhere.
 */
export async function lockUnclaimed(
  store: MailStore,
  name: string,
  place: { readonly root: Dir; readonly components: readonly string[]; readonly dir: Dir },
): Promise<void> {
  const refused = {
    get holders(): readonly number[] {
      return flockPids(place.dir.fd);
    },
  };
  await waiting(store, name, async () => (tryFlock(place.dir.fd, 'exclusive') ? place : refused));
  if (!leadsTo(place.root, place.components, place.dir)) throw busy(name, []);
}

export function busy(name: string, holders: readonly number[]): MailhaulError {
  const who = holdersText(holders.map(describeHolder));
  return new MailhaulError('MAILBOX_BUSY', `The mailbox is locked by ${who}.`, {
    where: name,
    hint: 'Try again later.',
  });
}
