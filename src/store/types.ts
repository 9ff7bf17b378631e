/** Types of the 4.x store's databases (docs/formats/mboxlist.md). */
import type { IndexSummary } from '../engine/types.js';

export type FolderState = 'TRANSITION' | 'NON-TRANSITION';

/** One ACL line: identifier and RFC 2086 rights, in file order. */
export interface AclEntry {
  readonly identifier: string;
  readonly rights: string;
}

export interface MailboxRecord {
  /** 4.x name, `user/<uid>/<folder>/…`, modified UTF-7. */
  readonly name: string;
  /** Owner's uid, case kept. */
  readonly owner: string;
  /** 3.x folder path in UTF-8, `/` between levels; null for a mailbox made in 4.x. */
  readonly legacyName: string | null;
  readonly partition: string;
  readonly acl: readonly AclEntry[];
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly state: FolderState;
  /** Copy of the counts in store.idx; null in TRANSITION. */
  readonly summary: IndexSummary | null;
  /** Id in the mapping database; null for a mailbox made in 4.x. */
  readonly mappingId: number | null;
  /** Absolute path of the partition that holds the mailbox directory, fixed at the first attempt; null before. */
  readonly root: string | null;
}

export interface QuotaRecord {
  /** Bytes; 0 no limit; null: server default. */
  readonly limit: number | null;
  readonly usedBytes: number;
  readonly usedMessages: number;
}

/**
 * A mailbox that was deleted or renamed in the database and whose directory follows: on record from the transaction
 * that changes the names until the directory is done, so that whoever comes next finishes it.
 */
export interface NameChange {
  /** Random, unlike those of other changes. */
  readonly id: number;
  /** The mailbox as it was; its directory is (or was) there. */
  readonly name: string;
  readonly owner: string;
  readonly partition: string;
  readonly root: string;
  /** The new name; null: deleted. */
  readonly to: string | null;
}

/** Changes inside one transaction. All synchronous; an exception aborts the transaction. */
export interface MailboxWrites {
  get(name: string): MailboxRecord | undefined;
  put(record: MailboxRecord): void;
  /** NON-TRANSITION with its summary, quota of the owner, tombstone of the mapping id: one change. */
  publish(name: string, change: { summary: IndexSummary; uidvalidity: number; uidnext: number; root: string }): void;
  /** Takes the entry away, and its use from the owner's quota. The tombstone stays. */
  remove(name: string): void;
  /** Gives the entry another name; nothing else changes. */
  rename(name: string, to: string): void;
  beginNameChange(change: NameChange): void;
  endNameChange(id: number): void;
  /** The number is taken among the owner's mailboxes, for ever. `remove` and `rename` say so of a published mailbox. */
  noteUidvalidity(owner: string, uidvalidity: number): void;
  setQuota(uid: string, quota: QuotaRecord): void;
  /** The limit alone; what is used is as it is now. */
  setQuotaLimit(uid: string, limit: number | null): void;
  setSubscriptions(uid: string, names: readonly string[]): void;
}

/** The one LMDB environment in `store/mboxlist`. Only one thread of a process opens it. */
export interface MailboxDatabase {
  /** Lets go of the current read snapshot: the next read sees every commit of other processes before this call. */
  refresh(): void;
  get(name: string): MailboxRecord | undefined;
  /**
   * Mailboxes in the order of their names, all or those that begin with `prefix`. A record that cannot be read
   * throws DB_VALUE or DB_VERSION; with `onDamaged` it is told of instead, and the list goes on.
   */
  list(prefix?: string, onDamaged?: (error: Error) => void): Iterable<MailboxRecord>;
  /** A folder of this mapping id was published once; true for ever, also after delete or rename. */
  wasPublished(mappingId: number): boolean;
  /** The name that the mailbox of a published folder has now, or had when it was deleted. */
  publishedName(mappingId: number): string | undefined;
  /** The highest mapping id that was ever published, 0 for none: then a mapping database must be there. */
  highestPublished(): number;
  quota(uid: string): QuotaRecord | undefined;
  subscriptions(uid: string): string[];
  /** The highest uidvalidity on record of the owner's mailboxes that were made, deleted or renamed; 0 for none. */
  highestUidvalidity(owner: string): number;
  /** Deletes and renames whose directories may not have followed. */
  nameChanges(): Iterable<NameChange>;
  /** Keys of a table, ascending: name keys of uids (keys.ts). */
  keys(table: 'quota' | 'subscr' | 'peruser'): Iterable<Buffer>;
  /** Runs `change` in one transaction; resolves when it is durable (LMDB `flushed`). */
  update<T>(change: (writes: MailboxWrites) => T): Promise<T>;
  close(): Promise<void>;
}
