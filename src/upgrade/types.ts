/** Types of the mapping database `__upfolder.db` (docs/formats/upfolder.md) and of a folder's plan. */
import type { MessageTable } from '../engine/types.js';

export interface MappingUser {
  /** uid, case kept. */
  readonly uid: string;
  /** 3.x store path that holds the user's mailbox directory. */
  readonly storePath: string;
  /** 4.x partition name. */
  readonly partition: string;
  /** Bytes, 0 no limit, null server default. */
  readonly quota: number | null;
}

export interface MappingFolder {
  /** Given by `-s`, never used again for another folder; 1 and up. */
  readonly id: number;
  readonly uid: string;
  /** Raw directory names below the user's mailbox directory; `INBOX` alone is the inbox. */
  readonly path: readonly Uint8Array[];
  /** 4.x name. */
  readonly mailbox: string;
  readonly legacyName: string;
  readonly isInbox: boolean;
  /** No 3.x directory: a valid user without a mailbox directory gets an empty INBOX. */
  readonly missing: boolean;
  /** Inode of the 3.x directory when `-s` saw it, as decimal text (may pass 2^53); '0' when missing. */
  readonly inode: string;
  /** Bytes of `.mailbox`: the estimate of size that orders the work. */
  readonly indexBytes: number;
  /** uidvalidity of the index header, or the one `-s` chose when the header is lost. Never changed but for uid overflow. */
  readonly uidvalidity: number;
  /** The header was lost and `-s` chose: a later `-s` keeps the value even when the header is back. Absent: false. */
  readonly uidvalidityChosen?: boolean;
  readonly partition: string;
  /** Absolute partition path, fixed with the first migration record; null before. */
  readonly root: string | null;
  readonly attempts: number;
  /** Copy of the tombstone in the mailbox database. */
  readonly migrated: boolean;
  /** A retry has this published folder, or was stopped before it had tidied up (additions.ts). Absent: false. */
  readonly retrying?: boolean;
  /** `-r` removed what could be removed. */
  readonly sourcesRemoved: boolean;
}

/** The migration record of one folder: fixed durably before the first message is linked (4x-store.md). */
export interface MigrationRecord {
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly count: number;
  readonly uids: Uint32Array;
  readonly names: Uint8Array;
  readonly nameOffsets: Uint32Array;
  readonly inodes: BigUint64Array;
  readonly sizes: Float64Array;
  readonly mtimes: BigInt64Array;
}

export interface MessageFailure {
  readonly uid: number;
  /** 3.x file name; bytes that are not UTF-8 as U+FFFD. */
  readonly file: string;
  /** MESSAGE_ERRORS code. */
  readonly code: string;
  readonly message: string;
}

/** Something a person should know that loses nothing; never changes the exit code. */
export interface PlanWarning {
  readonly code: string;
  readonly message: string;
  /** Line number in `.mailbox` or file name. */
  readonly where: string;
}

/** What will be done for one folder: the result of reading its index and directory. */
export interface FolderPlan {
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly keywords: readonly string[];
  readonly messages: MessageTable;
  /** By uid, of messages refused because their file could not be looked at: why. */
  readonly errnos: ReadonlyMap<number, number>;
  readonly warnings: readonly PlanWarning[];
}

export interface MappingMeta {
  /** Host name of the 3.x installation and where its instance lies. */
  readonly hostName: string;
  readonly from: string;
  readonly mailboxDirectory: string;
  readonly serverUser: string;
  readonly serverGroup: string;
  /** Seconds since 1970 when `-s` finished; null while it is being written. */
  readonly finished: number | null;
  /**
   * A `--reset` has begun and not ended; nothing else may work until it has. `restoring`: messages go back to 3.x;
   * `removing`: all of them are there, durably, and 4.x names go.
   */
  readonly reset?: ResetStage;
}

export type ResetStage = 'restoring' | 'removing';

export interface MappingWrites {
  putMeta(meta: MappingMeta): void;
  /** A run with `--take-foreign` is started as root (adopt.ts). */
  noteTakesForeign(): void;
  putUser(user: MappingUser): void;
  /** Gives the folder its id when `id` is 0; returns the id. */
  putFolder(folder: MappingFolder): number;
  putRecord(id: number, record: MigrationRecord): void;
  setFailures(id: number, failures: readonly MessageFailure[]): void;
}

export interface MappingDatabase {
  /** As MailboxDatabase.refresh. */
  refresh(): void;
  meta(): MappingMeta | undefined;
  /** A run with `--take-foreign` was once started as root. */
  takesForeign(): boolean;
  user(uid: string): MappingUser | undefined;
  /** There is a user whose uid has this name key (store/keys.ts). */
  hasUserKey(key: Buffer): boolean;
  users(): Iterable<MappingUser>;
  folder(id: number): MappingFolder | undefined;
  folderByMailbox(name: string): MappingFolder | undefined;
  foldersOf(uid: string): MappingFolder[];
  folders(): Iterable<MappingFolder>;
  /**
   * All of them but those that `isPublished` knows and of which neither a failure nor a retry is on record: nothing is due
   * for one of those (isDue of selection.ts), and it is not decoded.
   */
  unsettledFolders(isPublished: (id: number) => boolean): Iterable<MappingFolder>;
  /** The id that the next new folder gets. */
  nextId(): number;
  record(id: number): MigrationRecord | undefined;
  failures(id: number): MessageFailure[];
  /** One transaction; resolves when durable. */
  update<T>(change: (writes: MappingWrites) => T): Promise<T>;
  close(): Promise<void>;
}
