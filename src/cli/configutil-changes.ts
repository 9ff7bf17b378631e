/**
 * The changes that `configutil` makes: checked one by one, then made at once.
 *
 * Invariant: nobody migrates while the path of a partition changes. A migration reads the paths under the store-wide
 * lock, shared, and notes a root only then; so the change holds it exclusively from before it asks whether the partition
 * is in use until the path is written. The first folders would else go to the old path and all others to the new one.
 */
import { type ConfigDb, type ConfigEntry, checkValue } from '../config/configdb.js';
import { checkOptionChange, partitionOfOption } from '../config/rules.js';
import { lockStore, type StoreLock } from '../config/store-lock.js';
import { closeDir, type Dir, fstat, stat } from '../fs/dir.js';
import { walkIfThere } from '../fs/walk.js';

export interface ChangeSet {
  /**
   * Checks a change and takes it in; the last one for an option rules.
   *
   * @throws MailhaulError CONF_*, STORE_LOCKED: it is not taken in
   */
  add(entry: ConfigEntry): Promise<void>;
  /** What was taken in. */
  readonly entries: readonly ConfigEntry[];
  /** @throws MailhaulError RESET_UNFINISHED, CONF_LOCKED */
  commit(): Promise<void>;
  release(): void;
}

/** @param instance undefined: the configdb is a file that no instance uses */
export function changeSet(db: ConfigDb, instance: Dir | undefined): ChangeSet {
  const entries: ConfigEntry[] = [];
  let present = valuesOf(db);
  let lock: StoreLock | undefined;
  const isSame = (entry: ConfigEntry): boolean => entry.value === (present.get(keyOf(entry)) ?? '');
  return {
    entries,
    async add(entry) {
      checkValue(entry.option, entry.value);
      const isPath = partitionOfOption(entry.option) !== undefined;
      if (isPath && instance !== undefined && lock === undefined && !isSame(entry)) {
        lock = lockForPaths(instance);
        if (lock !== undefined) present = valuesOf(db);
      }
      const inUse = instance === undefined ? () => false : (name: string) => isPartitionInUse(instance, name);
      await checkOptionChange(entry.option, entry.value, present.get(keyOf(entry)) ?? '', inUse);
      entries.push(entry);
    },
    async commit() {
      if (entries.length === 0) return;
      if (instance !== undefined) await refuseUnfinishedReset(instance);
      // A path that stays needs no lock. It is not written either: whoever has the lock may be changing it.
      const stays = (entry: ConfigEntry): boolean =>
        partitionOfOption(entry.option) !== undefined && entry.value !== '' && isSame(entry);
      await db.update([...lastOf(entries)].filter((entry) => !stays(entry)));
    },
    release: () => lock?.release(),
  };
}

function keyOf({ option, language }: Pick<ConfigEntry, 'option' | 'language'>): string {
  return `${option};${language ?? ''}`.toLowerCase();
}

function valuesOf(db: ConfigDb): Map<string, string> {
  return new Map(db.entries().map((entry) => [keyOf(entry), entry.value]));
}

function lastOf(entries: readonly ConfigEntry[]): Iterable<ConfigEntry> {
  return new Map(entries.map((entry) => [keyOf(entry), entry])).values();
}

/**
 * The store-wide lock; its file is made, as every process does that uses the store. undefined: there is no directory for
 * it, without which no such process begins.
 *
 * @throws MailhaulError STORE_LOCKED (exit 3) naming who uses the store
 */
function lockForPaths(instance: Dir): StoreLock | undefined {
  const lockDir = walkIfThere(instance, ['lock']);
  if (lockDir === undefined) return undefined;
  try {
    return lockStore(lockDir, 'exclusive', 'configutil', ownerOf(instance));
  } finally {
    closeDir(lockDir);
  }
}

/** Partition paths, and where 3.x is, are what a reset that was stopped goes on with: RESET_UNFINISHED (exit 3). */
export async function refuseUnfinishedReset({ path }: Dir): Promise<void> {
  // LMDB is loaded for this question only.
  const { refuseDuringReset } = await import('../upgrade/reset-mark.js');
  await refuseDuringReset(path);
}

async function isPartitionInUse(instance: Dir, partition: string): Promise<boolean> {
  return (await holdsMigratedMail(instance, partition)) || (await isBegun(instance, partition));
}

/** Asks the mapping database: `-m` has noted where folders go before the mailbox database knows of any. */
async function isBegun(instance: Dir, partition: string): Promise<boolean> {
  const { isPartitionBegun } = await import('../upgrade/reset-mark.js');
  return isPartitionBegun(instance.path, partition);
}

/** Asks the mailbox database; one that does not exist knows of no mail. */
async function holdsMigratedMail(instance: Dir, partition: string): Promise<boolean> {
  // LMDB is loaded for this question only.
  const { MAILBOX_DATABASE_FILE, openMailboxDatabase } = await import('../store/database.js');
  const mboxlist = walkIfThere(instance, ['store', 'mboxlist']);
  if (mboxlist === undefined) return false;
  try {
    if (stat(mboxlist, MAILBOX_DATABASE_FILE) === undefined) return false;
    const mailboxes = await openMailboxDatabase(mboxlist, { owner: ownerOf(instance), readOnly: true });
    try {
      for (const mailbox of mailboxes.list()) {
        const migrated = mailbox.state === 'NON-TRANSITION' || mailbox.root !== null;
        if (migrated && mailbox.partition.toLowerCase() === partition) return true;
      }
      return false;
    } finally {
      await mailboxes.close();
    }
  } finally {
    closeDir(mboxlist);
  }
}

/** The server account: whatever is made in a directory of the instance is given to its owner. */
export function ownerOf(directory: Dir): { uid: number; gid: number } {
  const { uid, gid } = fstat(directory);
  return { uid: Number(uid), gid: Number(gid) };
}
