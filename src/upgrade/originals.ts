/** What of a folder lies, or lay, in 3.x, and whether it waits for a mailbox because of it. */
import type { MailboxDatabase } from '../store/types.js';
import { isAnothers } from './folders-write.js';
import type { MappingDatabase, MappingFolder } from './types.js';

/**
 * Whether the folder has, or had, messages in 3.x. An earlier version left folders that came after `-s`, and were
 * migrated, as `missing`; their record names what was there.
 */
export function hasOriginals(mapping: Pick<MappingDatabase, 'record'>, folder: MappingFolder): boolean {
  return !folder.missing || (mapping.record(folder.id)?.count ?? 0) > 0;
}

/**
 * Whether a folder, never published and without a mailbox of its own, needs none: no attempt was made, 3.x has nothing
 * of it, and `-s` would make no mailbox either. It makes an empty INBOX, unless a service was first.
 */
export function needsNoMailbox(
  mapping: Pick<MappingDatabase, 'record'>,
  mailboxes: Pick<MailboxDatabase, 'get'>,
  folder: MappingFolder,
): boolean {
  if (folder.root !== null || hasOriginals(mapping, folder)) return false;
  return !folder.isInbox || isAnothers(mailboxes.get(folder.mailbox), folder.id);
}

/** Whether a folder that was never published waits for a mailbox that `-s` has not made, or that was lost since. */
export function lacksMailbox(
  mapping: Pick<MappingDatabase, 'record'>,
  mailboxes: Pick<MailboxDatabase, 'get' | 'wasPublished'>,
  folder: MappingFolder,
): boolean {
  if (folder.migrated || mailboxes.get(folder.mailbox)?.mappingId === folder.id) return false;
  return !mailboxes.wasPublished(folder.id) && !needsNoMailbox(mapping, mailboxes, folder);
}
