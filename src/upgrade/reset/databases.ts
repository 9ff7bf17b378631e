/**
 * The mailbox databases against the mapping: mailboxes, quota limits, subscriptions and rights that `-s` did not
 * write are somebody's work in 4.x. What `-s` would write again is no loss.
 */
import { hasErrno, isNotThere, MailhaulError } from '../../errors.js';
import { closeDir, openDir, stat } from '../../fs/dir.js';
import { shownKey } from '../../store/keys.js';
import type { AclEntry, MailboxDatabase, MailboxRecord } from '../../store/types.js';
import { pathKey, subscriptionName } from '../folders-names.js';
import type { MappingDatabase, MappingFolder, MappingUser } from '../types.js';
import { heldRoot, isPublished, type ResetContext } from './context.js';
import type { OpenFolder } from './opened.js';
import { attempt, NOBODY, ofFolder, ofUser, type Subject } from './refusals.js';

/** Mailboxes and users that the mapping does not have. */
export function checkMailboxes(context: ResetContext, mailboxes: MailboxDatabase): void {
  const { refusals, mapping } = context;
  const damaged = (error: Error): void =>
    attempt(refusals, NOBODY, 'mailbox database', () => {
      throw error;
    });
  for (const record of mailboxes.list('', damaged)) {
    const folder = record.mappingId === null ? undefined : mapping?.folder(record.mappingId);
    const subject = { user: record.owner, mailbox: record.name };
    if (folder === undefined) {
      // Made by an `-s` whose mapping is gone: it holds what 3.x has, and no message.
      if (record.state === 'TRANSITION' && record.mappingId !== null && record.root === null) continue;
      const text =
        mapping === undefined
          ? 'The mapping database is gone, so nobody can tell what came from 3.x. Restore it, or name its --work-dir.'
          : 'The mailbox was made in 4.x: the mapping does not have it. Move its mail away and delete it first.';
      refusals.add(subject, 'RESET_MADE_IN_4X', record.name, text);
    } else if (folder.mailbox !== record.name) {
      const text = `The mailbox was ${folder.mailbox} when it was migrated. Rename it back first.`;
      refusals.add(subject, 'RESET_RENAMED', record.name, text);
    }
  }
  for (const { name, owner, to } of mailboxes.nameChanges()) {
    const text = `The mailbox is being ${to === null ? 'deleted' : 'renamed'}, which \`upgrade -m\` finishes.`;
    refusals.add({ user: owner, mailbox: name }, to === null ? 'RESET_DELETED' : 'RESET_RENAMED', name, text);
  }
  checkKeys(context, mailboxes, mapping);
}

function checkKeys({ refusals }: ResetContext, mailboxes: MailboxDatabase, mapping: MappingDatabase | undefined): void {
  for (const key of mailboxes.keys('peruser')) {
    const text = 'Services have stored per-user flags, which 3.x cannot hold.';
    refusals.add(NOBODY, 'RESET_PER_USER', `per-user flags, ${shownKey(key)}`, text);
  }
  // Without a mapping nobody knows which users were migrated; what `-s` wrote for them it writes again.
  if (mapping === undefined) return;
  for (const key of mailboxes.keys('quota')) {
    if (mapping.hasUserKey(key)) continue;
    const uid = shownKey(key);
    const text = 'The user came in 4.x and has a quota there: the mapping does not have the user.';
    refusals.add(ofUser(uid), 'RESET_QUOTA', `quota of ${uid}`, text);
  }
  for (const key of mailboxes.keys('subscr')) {
    if (mapping.hasUserKey(key)) continue;
    const uid = shownKey(key);
    const text = 'The user came in 4.x and has subscriptions there: the mapping does not have the user.';
    refusals.add(ofUser(uid), 'RESET_SUBSCRIPTIONS', `subscriptions of ${uid}`, text);
  }
}

/** Quota limit and subscriptions of a user of the mapping; `begun` are those of its folders that were attempted. */
export function checkUserData(
  context: ResetContext,
  user: MappingUser,
  folders: readonly MappingFolder[],
  begun: readonly MappingFolder[],
): void {
  const { mailboxes, mapping, refusals } = context;
  if (mailboxes === undefined) return;
  const quota = mailboxes.quota(user.uid);
  // While `-s` is unfinished the mapping may be ahead.
  if (quota !== undefined && quota.limit !== user.quota && mapping?.meta()?.finished !== null) {
    const text =
      `The quota limit is ${quota.limit ?? 'the default'} in 4.x, the directory said ${user.quota ?? 'the default'}. ` +
      'Change it in the directory and run `upgrade -s`.';
    refusals.add(ofUser(user.uid), 'RESET_QUOTA', `quota of ${user.uid}`, text);
  }
  // Until a folder of the user is published the next `-s` takes the subscriptions of 3.x anyway.
  if (begun.some((folder) => isPublished(context, folder))) checkSubscriptions(context, user, folders, mailboxes);
}

/**
 * Subscriptions were those of `.subscriptions` when the first folder was published. Where that file was changed since,
 * the two cannot be compared in both directions: then only what 4.x has more would be lost.
 */
function checkSubscriptions(
  context: ResetContext,
  user: MappingUser,
  folders: readonly MappingFolder[],
  mailboxes: MailboxDatabase,
): void {
  const stored = new Set(mailboxes.subscriptions(user.uid));
  const found = sourceSubscriptions(context, user, folders);
  if (found === undefined) return;
  const added = [...stored].filter((name) => !found.names.has(name));
  const removed = found.changed ? [] : [...found.names].filter((name) => !stored.has(name));
  if (added.length + removed.length === 0) return;
  const [some] = [...added, ...removed];
  const text =
    `Subscriptions were changed in 4.x: ${added.length} added, ${removed.length} removed (${some}). ` +
    'Bring `.subscriptions` in 3.x up to date first.';
  context.refusals.add(ofUser(user.uid), 'RESET_SUBSCRIPTIONS', `subscriptions of ${user.uid}`, text);
}

/** undefined: they cannot be read, which is refused. */
function sourceSubscriptions(
  context: ResetContext,
  user: MappingUser,
  folders: readonly MappingFolder[],
): { names: Set<string>; changed: boolean } | undefined {
  const nothing = { names: new Set<string>(), changed: false };
  const store = heldRoot(context.roots, user.storePath);
  if (store === null) return nothing;
  try {
    const mailbox = openDir(store, user.uid);
    try {
      const names = new Map(folders.map((folder) => [pathKey(folder.path), folder.mailbox]));
      const paths = orRefuse(context, ofUser(user.uid), () => context.source.readSubscriptions(mailbox).folders);
      if (paths === undefined) return undefined;
      const finished = context.mapping?.meta()?.finished ?? null;
      const time = stat(mailbox, '.subscriptions')?.mtimeMs ?? 0n;
      return {
        names: new Set(paths.map((path) => subscriptionName(user.uid, path, (key) => names.get(key)))),
        changed: finished === null || Number(time) / 1000 > finished,
      };
    } finally {
      closeDir(mailbox);
    }
  } catch (error) {
    if (!isNotThere(error) && !hasErrno(error, 'ENOTDIR', 'ELOOP', 'EACCES')) throw error;
    return nothing;
  }
}

/** What `read` finds in a 3.x file; undefined: it cannot be read, which is refused. */
function orRefuse<T>({ refusals }: ResetContext, subject: Subject, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    refusals.add(subject, 'RESET_UNREADABLE', error.where ?? '', error.message);
    return undefined;
  }
}

/** Rights that are neither those the mailbox was migrated with nor those that 3.x has now. */
export function checkAcl(context: ResetContext, open: OpenFolder): void {
  const { folder, index, source } = open;
  const record: MailboxRecord | undefined = context.mailboxes?.get(folder.mailbox);
  if (record === undefined || record.mappingId !== folder.id || index === undefined) return;
  const migrated = aclOf(index.reader.admin());
  if (migrated === undefined || sameAcl(record.acl, migrated)) return;
  if (source !== undefined) {
    const acl = orRefuse(context, ofFolder(folder), () => context.source.readAcl(source).entries);
    if (acl === undefined || sameAcl(record.acl, acl)) return;
  }
  const text = 'The rights of the mailbox were changed in 4.x. Write them into `.acl` of the 3.x folder first.';
  context.refusals.add(ofFolder(folder), 'RESET_ACL', folder.mailbox, text);
}

/** The ACL in the index's backup copy of the mailbox record (store/adminRecord.ts). */
function aclOf(admin: Uint8Array): AclEntry[] | undefined {
  try {
    const { acl } = JSON.parse(Buffer.from(admin).toString('utf8')) as { acl?: unknown };
    if (!Array.isArray(acl)) return undefined;
    return acl.map((entry: unknown) => {
      const [identifier, rights] = Array.isArray(entry) ? (entry as unknown[]) : [];
      return { identifier: String(identifier), rights: String(rights) };
    });
  } catch {
    return undefined;
  }
}

function sameAcl(a: readonly AclEntry[], b: readonly AclEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ identifier, rights }, i) => identifier === b[i]?.identifier && rights === b[i]?.rights)
  );
}
