/**
 * Databases of which one was restored without the other. Each is whole by itself, so nothing but what they say of one
 * another tells; going on would migrate a folder twice, or never.
 */
import { EXIT, MailhaulError } from '../errors.js';
import type { MailboxDatabase, MailboxRecord } from '../store/types.js';
import type { FolderFailure } from './tasks.js';
import type { MappingDatabase, MappingFolder } from './types.js';

const RESTORE = 'Restore store/mboxlist and __upfolder.db from backups of the same moment, the latest that there are';

/**
 * A folder that the mapping has as migrated and the mailbox database does not: undefined when they agree. `migrated` is
 * written after the transaction that published the folder is durable (publish.ts), so no kill leaves this behind. Its
 * mailbox directory may hold the only copies (`-r`), and what services have delivered since: to the next migration they
 * would be leftovers of an attempt before, which it removes.
 *
 * @param folder as the mapping has it now
 */
export function disagreement(
  folder: Pick<MappingFolder, 'migrated' | 'mailbox'> | undefined,
  mailbox: Pick<MailboxRecord, 'name' | 'state'> | undefined,
): FolderFailure | undefined {
  if (folder?.migrated !== true || (mailbox !== undefined && mailbox.state !== 'TRANSITION')) return undefined;
  const has = mailbox === undefined ? 'has no entry of it' : 'has it waiting';
  const message =
    `The mapping database has this folder as migrated, the mailbox database ${has}: one of them was restored without ` +
    `the other. Nothing of it was touched. ${RESTORE}; \`upgrade --verify\` says what does not fit.`;
  return { code: 'DATABASES_DISAGREE', message, where: folder.mailbox };
}

/**
 * A folder that the mailbox database has as published, and of which the mapping has no attempt. Whoever publishes one
 * has made its record durable before its first link, also of an empty one; so no kill leaves this behind. Which of its
 * messages failed, and what its files were, is forgotten: nothing could be retried, and no original removed.
 */
export function unrecorded({ mailbox }: Pick<MappingFolder, 'mailbox'>): FolderFailure {
  const message =
    'The mailbox database has this folder as migrated, the mapping database has no attempt of it: one of them was ' +
    `restored without the other. Nothing of it was touched. ${RESTORE}.`;
  return { code: 'DATABASES_DISAGREE', message, where: mailbox };
}

/**
 * Those of `seen`, published folders without an attempt, that are so for good: another process may have migrated one
 * between the snapshots of the two databases.
 */
export function stillUnrecorded(
  mapping: Pick<MappingDatabase, 'refresh' | 'folder'>,
  seen: readonly MappingFolder[],
): MappingFolder[] {
  if (seen.length > 0) mapping.refresh();
  return seen.filter(({ id }) => mapping.folder(id)?.attempts === 0);
}

/**
 * Ids are given in the mapping database before any mailbox has them, so one that would be given again was there already:
 * the tombstone of its first folder would hide the second, which nobody would migrate.
 *
 * @throws MailhaulError MAPPING_OLD (exit 3)
 */
export function refuseOldMapping(
  mapping: Pick<MappingDatabase, 'nextId'>,
  mailboxes: Pick<MailboxDatabase, 'highestPublished'>,
  where: string,
): void {
  const [next, highest] = [mapping.nextId(), mailboxes.highestPublished()];
  if (next > highest) return;
  throw new MailhaulError(
    'MAPPING_OLD',
    `The mapping database is older than the mailbox database: it has given ids up to ${next - 1}, and folder ` +
      `${highest} is migrated already.`,
    { where, hint: `${RESTORE}.`, exit: EXIT.refused },
  );
}
