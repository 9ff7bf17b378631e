/** All of one user: the databases against each other, every mailbox, its directories, the quota. */
import { describeError, hasErrno, MailhaulError } from '../../errors.js';
import { closeDir, type Dir, walk } from '../../fs/dir.js';
import { nsms3 } from '../../source/nsms3/source.js';
import { type MailboxIndex, openMailboxIndex } from '../../store/index/mailboxIndex.js';
import { INDEX_FILE, openMailboxDirectory } from '../../store/layout.js';
import { legacyPath, rawKey } from '../../store/names.js';
import type { MailboxRecord } from '../../store/types.js';
import type { MappingFolder, MappingUser } from '../types.js';
import { heldRoot, type VerifyContext } from './context.js';
import type { Subject } from './findings.js';
import {
  type MessageFileIdentity,
  verifyIndexFile,
  verifyMessages,
  verifyNoStrangers,
  verifySummary,
} from './mailbox.js';
import { verifySource } from './source.js';
import { verifyUserTree } from './tree.js';

export type RootOf = (record: MailboxRecord) => string | undefined;

/** Checks a user; `records` are all mailboxes of the mailbox database that the user owns. */
export function verifyUser(
  context: VerifyContext,
  uid: string,
  records: readonly MailboxRecord[],
  rootOf: RootOf,
): void {
  const byName = new Map(records.map((record) => [record.name, record]));
  const folders = foldersOf(context, uid);
  const byId = new Map(folders.map((folder) => [folder.id, folder]));
  const user = context.mapping.user(uid);
  for (const folder of folders) verifyMapping(context, folder, byName.get(folder.mailbox));
  if (user !== undefined) verifyNoNewFolders(context, user, folders);
  for (const record of records) {
    const folder = record.mappingId === null ? undefined : byId.get(record.mappingId);
    const subject: Subject = { user: uid, mailbox: record.name, folder: record.legacyName ?? '' };
    context.totals.mailboxes += 1;
    if (record.state === 'TRANSITION') verifyWaiting(context, subject, record, folder);
    else verifyPublished(context, subject, record, folder, user);
  }
  verifyUserTree(context, uid, records, rootOf);
  verifyQuota(context, uid, records);
}

function foldersOf(context: VerifyContext, uid: string): MappingFolder[] {
  try {
    return context.mapping.foldersOf(uid);
  } catch (error) {
    const subject: Subject = { user: uid, mailbox: '', folder: '' };
    context.findings.add(subject, 'VERIFY_RECORD', 'mapping database', describeError(error));
    return [];
  }
}

/** A folder of the mapping has its mailbox, unless that was migrated and has since gone its own way. */
function verifyMapping(context: VerifyContext, folder: MappingFolder, record: MailboxRecord | undefined): void {
  if (record !== undefined && record.mappingId === folder.id) return;
  const subject: Subject = { user: folder.uid, mailbox: folder.mailbox, folder: folder.legacyName };
  if (context.mailboxes.wasPublished(folder.id)) {
    context.findings.add(
      subject,
      'VERIFY_MAILBOX_GONE',
      folder.mailbox,
      'It was migrated, then deleted or renamed in 4.x.',
    );
  } else if (record === undefined) {
    const text = 'The mapping database has the folder, the mailbox database does not. Run `upgrade -s` again.';
    context.findings.add(subject, 'VERIFY_FOLDER_MISSING', folder.mailbox, text);
  } else {
    const text = `The mailbox belongs to folder ${record.mappingId ?? 'none'} of the mapping, not to ${folder.id}.`;
    context.findings.add(subject, 'VERIFY_DATABASES', folder.mailbox, text);
  }
}

/** 3.x folders that came after `-s`. */
function verifyNoNewFolders(context: VerifyContext, user: MappingUser, folders: readonly MappingFolder[]): void {
  const known = new Set(folders.map(({ path }) => path.map(rawKey).join('/')));
  const store = heldRoot(context, user.storePath);
  // Without the store path every folder reports that its original is gone.
  if (store === null) return;
  let mailbox: Dir;
  try {
    mailbox = walk(store, [user.uid]);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT'))
      sourceProblem(context, user, '', `${user.storePath}/${user.uid}`, describeError(error));
    return;
  }
  try {
    for (const item of nsms3.listFolders(mailbox)) {
      const folder = legacyPath(item.path);
      if (item.kind === 'problem') {
        if (item.severity === 'error') sourceProblem(context, user, folder, `${mailbox.path}/${folder}`, item.message);
      } else if (!known.has(item.path.map(rawKey).join('/'))) {
        const subject: Subject = { user: user.uid, mailbox: '', folder };
        const text = 'This 3.x folder is not in the mapping database. Run `upgrade -s` again.';
        context.findings.add(subject, 'VERIFY_FOLDER_UNKNOWN', item.dir.path, text);
      }
    }
  } finally {
    closeDir(mailbox);
  }
}

function sourceProblem(context: VerifyContext, user: MappingUser, folder: string, where: string, text: string): void {
  context.findings.add({ user: user.uid, mailbox: '', folder }, 'VERIFY_SOURCE_UNREADABLE', where, text);
}

function verifyWaiting(
  context: VerifyContext,
  subject: Subject,
  record: MailboxRecord,
  folder: MappingFolder | undefined,
): void {
  const { findings, totals } = context;
  totals.waiting += 1;
  findings.add(subject, 'VERIFY_WAITING', record.name, 'The folder waits for its migration: it is in TRANSITION.');
  if (folder === undefined) {
    const text = 'The mailbox is in TRANSITION, but no folder of the mapping leads to it.';
    findings.add(subject, 'VERIFY_DATABASES', record.name, text);
    return;
  }
  if (folder.migrated || context.mailboxes.wasPublished(folder.id)) {
    const text = 'The mailbox is in TRANSITION although it was published once.';
    findings.add(subject, 'VERIFY_DATABASES', record.name, text);
  }
  reportFailures(context, subject, folder);
}

/** Reports the failures on record; returns their uids. */
function reportFailures(context: VerifyContext, subject: Subject, folder: MappingFolder): Set<number> {
  const failed = new Set<number>();
  for (const { uid, file, code, message } of context.mapping.failures(folder.id)) {
    failed.add(uid);
    context.findings.add(subject, 'VERIFY_NOT_MIGRATED', file, `${code}: ${message}`, uid);
  }
  return failed;
}

function verifyPublished(
  context: VerifyContext,
  subject: Subject,
  record: MailboxRecord,
  folder: MappingFolder | undefined,
  user: MappingUser | undefined,
): void {
  const { findings } = context;
  if (record.mappingId !== null && !context.mailboxes.wasPublished(record.mappingId)) {
    findings.add(subject, 'VERIFY_DATABASES', record.name, 'The mailbox is published but has no tombstone.');
  }
  const dir = openDirectory(context, subject, record);
  if (dir === undefined) return;
  try {
    const index = openIndex(context, subject, dir);
    if (index === undefined) return;
    try {
      verifySummary(context, subject, record, index);
      verifyNoStrangers(context, subject, dir, index);
      const files = new Map<number, MessageFileIdentity>();
      verifyMessages(context, subject, record.mappingId ?? 0, dir, index, (uid, file) => files.set(uid, file));
      if (folder !== undefined && user !== undefined) {
        verifyAgainstSource(context, subject, folder, user, index, files);
      }
    } finally {
      index.close();
    }
  } catch (error) {
    findings.add(subject, 'VERIFY_INDEX', `${dir.path}/${INDEX_FILE}`, describeError(error));
  } finally {
    closeDir(dir);
  }
}

function openDirectory(context: VerifyContext, subject: Subject, record: MailboxRecord): Dir | undefined {
  const root = record.root === null ? null : heldRoot(context, record.root);
  const where = `${record.root ?? 'no partition path on record'}, ${record.name}`;
  try {
    const dir = root === null ? undefined : openMailboxDirectory(root, record.owner, record.name);
    if (dir === undefined) {
      const text = 'The mailbox is published but its directory does not exist.';
      context.findings.add(subject, 'VERIFY_DIRECTORY_MISSING', where, text);
    }
    return dir;
  } catch (error) {
    const text = `The mailbox directory cannot be opened: ${describeError(error)}.`;
    context.findings.add(subject, 'VERIFY_DIRECTORY_MISSING', where, text);
    return undefined;
  }
}

function openIndex(context: VerifyContext, subject: Subject, dir: Dir): MailboxIndex | undefined {
  const sound = verifyIndexFile(context, subject, dir);
  try {
    return openMailboxIndex(dir);
  } catch (error) {
    // Damage of the index itself is reported already; that of the journal is not.
    if (sound) context.findings.add(subject, 'VERIFY_INDEX', dir.path, describeError(error));
    return undefined;
  }
}

function verifyAgainstSource(
  context: VerifyContext,
  subject: Subject,
  folder: MappingFolder,
  user: MappingUser,
  index: MailboxIndex,
  files: ReadonlyMap<number, MessageFileIdentity>,
): void {
  const failed = reportFailures(context, subject, folder);
  try {
    const record = context.mapping.record(folder.id);
    if (record !== undefined) {
      verifySource(context, subject, { folder, user, record, failed, index, fileOf: (uid) => files.get(uid) });
    } else if (!folder.missing || index.count > 0) {
      const text = 'The folder was migrated but has no migration record.';
      context.findings.add(subject, 'VERIFY_RECORD', folder.mailbox, text);
    }
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    context.findings.add(subject, 'VERIFY_RECORD', folder.mailbox, describeError(error));
  }
}

/** The quota counts what is published. */
function verifyQuota(context: VerifyContext, uid: string, records: readonly MailboxRecord[]): void {
  let bytes = 0;
  let messages = 0;
  for (const { state, summary } of records) {
    if (state !== 'NON-TRANSITION') continue;
    bytes += summary?.bytes ?? 0;
    messages += summary?.messages ?? 0;
  }
  const quota = context.mailboxes.quota(uid);
  const [usedBytes, usedMessages] = [quota?.usedBytes ?? 0, quota?.usedMessages ?? 0];
  if (usedBytes === bytes && usedMessages === messages) return;
  const text = `The quota counts ${usedMessages} messages with ${usedBytes} bytes; the mailboxes hold ${messages} with ${bytes}.`;
  context.findings.add({ user: uid, mailbox: '', folder: '' }, 'VERIFY_QUOTA', `quota of ${uid}`, text);
}
