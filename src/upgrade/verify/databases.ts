/**
 * The two databases against each other, user by user, both ways. What lies on disk is the threads' affair.
 *
 *     mapping folder ──▶ mailbox of its name, with its id, or a tombstone
 *     mailbox        ──▶ mapping folder of its id, of this user, with the same names, partition and root
 */
import { INBOX, legacyPath, parseMailboxName } from '../../store/names.js';
import type { MailboxDatabase, MailboxRecord, QuotaRecord } from '../../store/types.js';
import { pathKey } from '../folders-names.js';
import { needsNoMailbox } from '../originals.js';
import type { MappingDatabase, MappingFolder, MappingUser } from '../types.js';
import type { Configuration } from './configuration.js';
import type { Findings, Subject } from './findings.js';

export interface Databases {
  readonly findings: Findings;
  readonly mailboxes: MailboxDatabase;
  readonly mapping: MappingDatabase;
  readonly configuration: Configuration;
}

/** One user as the databases know it. */
export interface KnownUser {
  readonly uid: string;
  readonly records: readonly MailboxRecord[];
  readonly folders: readonly MappingFolder[];
  readonly user: MappingUser | undefined;
}

export function verifyDatabases(databases: Databases, known: KnownUser): void {
  const { findings, mapping } = databases;
  const { uid, records, folders, user } = known;
  const subject: Subject = { user: uid, mailbox: '', folder: '' };
  const differ = (about: Subject, where: string, text: string): void =>
    findings.add(about, 'VERIFY_DATABASES', where, text);
  if (user !== undefined && user.uid !== uid) {
    differ(subject, `user ${uid}`, `The mapping database has the user as ${user.uid}.`);
  }
  if (user !== undefined) verifyPlace(databases, subject, user);
  if (user === undefined && (folders.length > 0 || records.some(({ mappingId }) => mappingId !== null))) {
    differ(subject, `user ${uid}`, 'The mapping database has folders of the user, but not the user.');
  }
  const byName = new Map(records.map((record) => [record.name, record]));
  const paths = new Map<string, number>();
  for (const folder of folders) {
    const about = { user: uid, mailbox: folder.mailbox, folder: folder.legacyName };
    const twin = paths.get(pathKey(folder.path));
    if (twin !== undefined) {
      const text = `Folders ${twin} and ${folder.id} of the mapping are the same 3.x folder.`;
      findings.add(about, 'VERIFY_DOUBLED', folder.mailbox, text);
    }
    paths.set(pathKey(folder.path), folder.id);
    verifyFolder(databases, about, uid, folder, byName.get(folder.mailbox));
    if (mapping.folderByMailbox(folder.mailbox)?.id !== folder.id) {
      differ(about, folder.mailbox, 'The mapping database finds another folder, or none, by its 4.x name.');
    }
  }
  const byId = new Map(folders.map((folder) => [folder.id, folder]));
  const ids = new Map<number, string>();
  for (const record of records) {
    const about = { user: uid, mailbox: record.name, folder: record.legacyName ?? '' };
    if (parseMailboxName(record.name)?.uid !== uid) differ(about, record.name, `The mailbox is not one of ${uid}.`);
    if (databases.mailboxes.get(record.name)?.mappingId !== record.mappingId) {
      differ(about, record.name, 'The mailbox database has another mailbox, or none, under this name.');
    }
    if (record.mappingId === null) continue;
    const twin = ids.get(record.mappingId);
    if (twin !== undefined) {
      findings.add(about, 'VERIFY_DOUBLED', record.name, `The 3.x folder is in 4.x twice, as ${twin} too.`);
    }
    ids.set(record.mappingId, record.name);
    const tombstone = databases.mailboxes.publishedName(record.mappingId);
    if (tombstone !== undefined && tombstone !== record.name) {
      differ(about, record.name, `The tombstone of its folder leads to ${tombstone}.`);
    }
    const folder = byId.get(record.mappingId);
    if (folder === undefined) {
      const text = `The mapping database has no folder ${record.mappingId} of this user, from which the mailbox came.`;
      differ(about, record.name, text);
    } else verifyPair(differ, about, folder, record);
  }
  verifyQuotaLimit(databases, uid, user);
}

/**
 * The user's partition, and the 3.x store path from which it came: that of the partition, or a former one of it, where
 * users have their mail who have not followed.
 */
function verifyPlace({ findings, configuration }: Databases, about: Subject, user: MappingUser): void {
  const { uid, partition, storePath } = user;
  if (configuration.partitionPath(partition) === undefined) {
    const text = `The partition of the user, ${partition}, is not configured.`;
    findings.add(about, 'VERIFY_DATABASES', `user ${uid}`, text);
  }
  if (configuration.upgradeConf === undefined) return;
  const known = configuration.storePaths.get(partition);
  if (known?.has(storePath) === true) return;
  const others = known === undefined ? 'none' : [...known].join(', ');
  const text = `Its 3.x store path is ${storePath}; upgrade4x.conf has ${others} for partition ${partition}.`;
  findings.add(about, 'VERIFY_CONFIGURATION', `user ${uid}`, text);
}

/** A folder of the mapping has its mailbox, unless that was migrated and has since gone its own way. */
function verifyFolder(
  { findings, mailboxes, mapping }: Databases,
  about: Subject,
  uid: string,
  folder: MappingFolder,
  record: MailboxRecord | undefined,
): void {
  const where = folder.mailbox;
  const isInbox = folder.path.length === 1 && pathKey(folder.path) === INBOX;
  if (folder.uid !== uid || folder.legacyName !== legacyPath(folder.path) || folder.isInbox !== isInbox) {
    findings.add(about, 'VERIFY_DATABASES', where, 'Owner, 3.x name and path of the folder do not fit each other.');
  }
  if (record !== undefined && record.mappingId === folder.id) return;
  if (mailboxes.wasPublished(folder.id)) {
    findings.add(about, 'VERIFY_MAILBOX_GONE', where, 'It was migrated, then deleted or renamed in 4.x.');
  } else if (needsNoMailbox(mapping, mailboxes, folder)) {
    // A folder that 3.x does not have either.
    return;
  } else if (record === undefined) {
    const text = 'The mapping database has the folder, the mailbox database does not.';
    findings.add(about, 'VERIFY_FOLDER_MISSING', where, text);
  } else {
    const text = `The mailbox belongs to folder ${record.mappingId ?? 'none'} of the mapping, not to ${folder.id}.`;
    findings.add(about, 'VERIFY_DATABASES', where, text);
  }
}

/** A mailbox and the folder that it came from. */
function verifyPair(
  differ: (about: Subject, where: string, text: string) => void,
  about: Subject,
  folder: MappingFolder,
  record: MailboxRecord,
): void {
  const compare = (what: string, mailbox: unknown, mapping: unknown): void => {
    if (mailbox !== mapping) differ(about, record.name, `${what}: the mailbox has ${mailbox}, the mapping ${mapping}.`);
  };
  compare('3.x name', record.legacyName, folder.legacyName);
  compare('partition', record.partition, folder.partition);
  if (record.state === 'NON-TRANSITION' || record.root !== null) compare('partition path', record.root, folder.root);
  // A folder that ran out of uids, or whose header rose before `-m`, has a higher one than `-s` saw.
  if (folder.uidvalidityChosen === true && record.uidvalidity < folder.uidvalidity) {
    compare('uidvalidity', record.uidvalidity, folder.uidvalidity);
  }
  if (record.state === 'TRANSITION' && folder.migrated) {
    differ(about, record.name, 'The mailbox is in TRANSITION, the mapping has it as migrated.');
  }
  if (record.state === 'TRANSITION' && record.summary !== null) {
    differ(about, record.name, 'The mailbox has counts of an index although it is in TRANSITION.');
  }
}

function verifyQuotaLimit({ findings, mailboxes }: Databases, uid: string, user: MappingUser | undefined): void {
  const limit = mailboxes.quota(uid)?.limit ?? null;
  if (user === undefined || limit === user.quota) return;
  const text = `The limit is ${limit ?? 'the default'} bytes, in the mapping ${user.quota ?? 'the default'}.`;
  findings.add({ user: uid, mailbox: '', folder: '' }, 'VERIFY_QUOTA', `quota of ${uid}`, text);
}

/** The use on record against what the published mailboxes hold. */
export function verifyQuotaUse(
  findings: Findings,
  uid: string,
  quota: QuotaRecord | undefined,
  held: { readonly bytes: number; readonly messages: number },
): void {
  const [bytes, messages] = [quota?.usedBytes ?? 0, quota?.usedMessages ?? 0];
  if (bytes === held.bytes && messages === held.messages) return;
  const text =
    `The quota counts ${messages} messages with ${bytes} bytes; the mailboxes hold ${held.messages} ` +
    `with ${held.bytes}.`;
  findings.add({ user: uid, mailbox: '', folder: '' }, 'VERIFY_QUOTA', `quota of ${uid}`, text);
}

/** What is about no single user: ids are given once, and every folder has an owner that lists it. */
export function verifyIds(
  findings: Findings,
  { mapping, mailboxes }: Pick<Databases, 'mapping' | 'mailboxes'>,
  foldersOfUsers: number,
): void {
  const none: Subject = { user: '', mailbox: '', folder: '' };
  let highest = mailboxes.highestPublished();
  let folders = 0;
  for (const { id } of mapping.folders()) {
    folders += 1;
    highest = Math.max(highest, id);
  }
  if (mapping.nextId() <= highest) {
    const text = `The next folder would get id ${mapping.nextId()}, although ${highest} was given already.`;
    findings.add(none, 'VERIFY_DATABASES', 'mapping database, nextId', text);
  }
  if (folders !== foldersOfUsers) {
    const text = `The mapping database has ${folders} folders, and its users have ${foldersOfUsers}.`;
    findings.add(none, 'VERIFY_DATABASES', 'mapping database, owned', text);
  }
}
