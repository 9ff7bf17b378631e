/**
 * What `-s` does to the entries of one user: the changes that folders-merge.ts finds and folders-write.ts makes durable,
 * and when an entry is as it should be already.
 */
import type { MailboxDatabase, MailboxRecord, QuotaRecord } from '../store/types.js';
import type { FolderProblem } from './folders-report.js';
import type { MappingDatabase, MappingFolder, MappingUser } from './types.js';

/** Read access to what earlier runs left; without databases (first dry run) there is nothing. */
export interface Earlier {
  readonly mapping: Pick<MappingDatabase, 'user' | 'foldersOf' | 'record'>;
  readonly mailboxes: Pick<MailboxDatabase, 'get' | 'wasPublished' | 'quota' | 'subscriptions' | 'nameChanges'>;
}

/** A folder to write: the mapping entry (id 0: new) and its mailbox entry without the id; null: that is another's. */
export interface FolderChange {
  readonly folder: MappingFolder;
  /** The mapping database does not have this entry yet. */
  readonly putFolder: boolean;
  readonly mailbox: Omit<MailboxRecord, 'mappingId'> | null;
}

export interface UserChanges {
  readonly user: MappingUser;
  /** The mapping database does not know the user. */
  readonly newUser: boolean;
  readonly putUser: boolean;
  readonly folders: readonly FolderChange[];
  /** The limit to be set; null: it is as it should be. */
  readonly quota: Pick<QuotaRecord, 'limit'> | null;
  readonly subscriptions: readonly string[] | null;
  readonly counts: {
    readonly found: number;
    readonly added: number;
    readonly waiting: number;
    readonly migrated: number;
  };
  readonly indexBytes: number;
  readonly errors: readonly FolderProblem[];
  readonly warnings: readonly FolderProblem[];
}

export function sameUser(a: MappingUser, b: MappingUser): boolean {
  return a.storePath === b.storePath && a.partition === b.partition && a.quota === b.quota;
}

export function sameFolder(a: MappingFolder, b: MappingFolder): boolean {
  return (
    a.mailbox === b.mailbox &&
    a.partition === b.partition &&
    a.missing === b.missing &&
    a.inode === b.inode &&
    a.indexBytes === b.indexBytes &&
    a.uidvalidity === b.uidvalidity &&
    (a.uidvalidityChosen ?? false) === (b.uidvalidityChosen ?? false)
  );
}

export function sameMailbox(a: MailboxRecord, b: Omit<MailboxRecord, 'mappingId'>): boolean {
  return (
    a.partition === b.partition &&
    a.uidvalidity === b.uidvalidity &&
    a.uidnext === b.uidnext &&
    a.root === b.root &&
    a.acl.length === b.acl.length &&
    a.acl.every((entry, i) => entry.identifier === b.acl[i]?.identifier && entry.rights === b.acl[i]?.rights)
  );
}
