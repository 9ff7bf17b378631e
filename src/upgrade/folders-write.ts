/**
 * Writes the changes of many users at a time: first the mapping database, and only when that is durable the
 * mailbox database (4x-store.md, Mailbox databases). A run that is killed in between leaves folders in the
 * mapping that the mailbox database does not have; the next run finds and adds them. So does a run after one that found
 * a name taken which was free when it looked (FOLDER_NAME_TAKEN): services make mailboxes meanwhile.
 */
import { EXIT, MailhaulError } from '../errors.js';
import type { MailboxDatabase, MailboxRecord } from '../store/types.js';
import type { UserChanges } from './folders-changes.js';
import type { MappingDatabase } from './types.js';

/** Folders and users of one transaction: enough that the sync costs little, few enough that memory is small. */
const BATCH = 4000;

export interface ChangeWriter {
  /** Takes the changes of one user. When there are enough, begins to write them as soon as those before are durable. */
  add(changes: UserChanges): Promise<void>;
  /** Writes what is left; everything is durable then. */
  flush(): Promise<void>;
  /** Ends when nothing is being written any more, in whatever way that ended. */
  settle(): Promise<void>;
}

export function createChangeWriter(mapping: MappingDatabase, mailboxes: MailboxDatabase): ChangeWriter {
  let pending: UserChanges[] = [];
  let size = 0;
  // One batch is written while the next users are read: a commit waits for the disk, and theirs are other entries.
  let writing: Promise<void> = Promise.resolve();
  const begin = async (): Promise<void> => {
    await writing;
    const batch = pending;
    pending = [];
    size = 0;
    writing = writeBatch(batch, mapping, mailboxes);
    // Whoever waits for it next is told.
    writing.catch(() => {});
  };
  return {
    async add(changes) {
      const work = changes.folders.length + (changes.putUser ? 1 : 0);
      if (work === 0 && changes.quota === null && changes.subscriptions === null) return;
      pending.push(changes);
      size += work + 1;
      if (size >= BATCH) await begin();
    },
    async flush() {
      if (pending.length > 0) await begin();
      await writing;
    },
    settle: () => writing.catch(() => {}),
  };
}

async function writeBatch(
  batch: readonly UserChanges[],
  mapping: MappingDatabase,
  mailboxes: MailboxDatabase,
): Promise<void> {
  const ids = batch.map((changes) => changes.folders.map(({ folder }) => folder.id));
  if (batch.some(({ putUser, folders }) => putUser || folders.some(({ putFolder }) => putFolder))) {
    await mapping.update((writes) => {
      for (const [i, changes] of batch.entries()) {
        if (changes.putUser) writes.putUser(changes.user);
        for (const [j, change] of changes.folders.entries()) {
          if (change.putFolder) ids[i]![j] = writes.putFolder(change.folder);
        }
      }
    });
  }
  await mailboxes.update((writes) => {
    for (const [i, changes] of batch.entries()) {
      for (const [j, { mailbox }] of changes.folders.entries()) {
        if (mailbox === null) continue;
        const { name, owner, legacyName, partition, acl, uidvalidity, uidnext, state, summary, root } = mailbox;
        const mappingId = ids[i]![j]!;
        if (isAnothers(writes.get(name), mappingId)) throw taken(name);
        writes.put({ name, owner, legacyName, partition, acl, uidvalidity, uidnext, state, summary, mappingId, root });
      }
      if (changes.quota !== null) writes.setQuotaLimit(changes.user.uid, changes.quota.limit);
      if (changes.subscriptions !== null) writes.setSubscriptions(changes.user.uid, changes.subscriptions);
    }
  });
}

/** Whether a name's entry is a mailbox that is not this folder's; one of a mapping database that was lost is taken over. */
export function isAnothers(record: MailboxRecord | undefined, mappingId: number): boolean {
  if (record === undefined || record.mappingId === mappingId) return false;
  return record.state !== 'TRANSITION' || record.mappingId === null;
}

function taken(name: string): MailhaulError {
  return new MailhaulError(
    'FOLDER_NAME_TAKEN',
    'A service has made a mailbox under the name that a folder was to get.',
    {
      where: name,
      hint: 'Run `upgrade -s` again: the folder gets another name.',
      exit: EXIT.halted,
    },
  );
}
