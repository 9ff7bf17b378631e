/**
 * What a migration can read from.
 *
 * `MailSource` is the only way by which the rest of the program sees a 3.x installation. It says *what is
 * there*, damage included, and decides nothing: uids for messages without one, refusals and order are the
 * plan's (upgrade/plan.ts). A second format is one more object of this shape; the mover knows none of them.
 *
 * All calls are synchronous: they run in `-s` and in transfer threads, where one folder is one piece of work.
 * Everything read is hostile. A call either answers, with what was wrong in `warnings`, or throws a
 * MailhaulError; it never throws anything else for content, and its memory is bounded by the limits below.
 */

import type { Dir, Ownership } from '../fs/dir.js';
import type { SmallFiles } from '../fs/glance.js';
import type { LogLevel } from '../log/log.js';
import type { AclEntry } from '../store/types.js';

/** Something a person should know that loses nothing; it never changes an exit code. */
export interface SourceWarning {
  /** Stable: codes are added, never renamed. */
  readonly code: string;
  readonly message: string;
  /** Line number (`line 12`) or file name; empty when it is about the whole. */
  readonly where: string;
}

/** Where the users are, as the source's configuration names it. */
export interface SourceDirectorySettings {
  readonly url: string | null;
  readonly baseDn: string | null;
  readonly bindDn: string | null;
  readonly bindPasswordFile: string | null;
}

/** Settings carried into the 4.x configuration; null: the product's default. */
export interface SourceSettings {
  readonly postmaster: string | null;
  readonly smtpPort: number | null;
  readonly imapPort: number | null;
  readonly popPort: number | null;
  readonly httpPort: number | null;
  /** Bytes, 0 no limit. */
  readonly quotaDefault: number | null;
  /** As written; the unit was never documented. */
  readonly maxQueueTime: string | null;
  readonly logLevel: LogLevel | null;
  readonly allowBareLf: boolean | null;
  readonly singleCopy: boolean | null;
}

/** An installation's configuration. */
export interface SourceConfiguration {
  readonly version: string;
  /** Equals `mailHost` in the directory entries of this server's users. */
  readonly hostName: string;
  /** Normalised absolute path of the default mail store path. */
  readonly mailboxDirectory: string;
  readonly postOfficeDirectory: string | null;
  readonly directory: SourceDirectorySettings;
  /** Account that owns the mail files; whether it exists is the caller's to check (config/account.ts). */
  readonly serverUser: string;
  readonly serverGroup: string;
  readonly settings: SourceSettings;
  /** Keys that this program does not know, in file order, spelled as found; one may come several times. */
  readonly unknown: readonly { readonly key: string; readonly value: string; readonly line: number }[];
  readonly warnings: readonly SourceWarning[];
}

/** Whether the source's own server is running. */
export type ServerState =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'running'; readonly pid: number }
  /** There is a pid file, but no pid can be read from it. */
  | { readonly kind: 'unknown'; readonly reason: string };

/** One step of walking a user's mailbox directory. */
export type FolderItem =
  | {
      readonly kind: 'folder';
      /** Raw directory names below the mailbox directory, outermost first. */
      readonly path: readonly Uint8Array[];
      /** Held open until the next step of the generator only. */
      readonly dir: Dir;
      readonly inode: bigint;
      /** For lookAtIndex and readAcl: what the walk saw of their files. */
      readonly files: SmallFiles | undefined;
    }
  | {
      readonly kind: 'problem';
      /** `error`: a folder, or what lies below it, could not be read; it counts for the exit code. */
      readonly severity: 'error' | 'warning';
      readonly path: readonly Uint8Array[];
      /** FOLDER_UNREADABLE, FOLDER_LINK, FOLDER_VANISHED, FOLDER_STRAY. */
      readonly code: string;
      readonly message: string;
    };

export interface IndexHeader {
  /** 1 … 4294967295. */
  readonly uidvalidity: number;
  readonly uidnext: number;
}

/** What `-s` wants of an index. */
export interface IndexLook {
  /** undefined: lost (no index, or a first line that cannot be read). */
  readonly header: IndexHeader | undefined;
  /** Bytes of the file, an estimate of the folder's messages; 0 when there is none. */
  readonly bytes: number;
}

/**
 * A folder's index in columns: its usable lines in file order, nothing corrected. Column i of every array
 * belongs to the same line.
 */
export interface FolderIndex {
  /** undefined: lost (no index, or a first line that cannot be read). */
  readonly header: IndexHeader | undefined;
  readonly count: number;
  /** 1 … 4294967295; may repeat, may descend. */
  readonly uids: Uint32Array;
  /** Seconds since 1970; NaN when the line's date cannot be used. */
  readonly internalDates: Float64Array;
  /** FLAG bits (engine/types.ts). */
  readonly flags: Uint8Array;
  /** Bytes, as the line claims; NaN when unreadable. */
  readonly sizes: Float64Array;
  /** 1-based line numbers in the index file. */
  readonly lines: Uint32Array;
  /** Raw file names, one after the other; name i is names[nameOffsets[i] … nameOffsets[i+1]]. */
  readonly names: Uint8Array;
  readonly nameOffsets: Uint32Array;
  /** Every spelling once, in order of first appearance; spellings that differ in case are separate here. */
  readonly keywords: readonly string[];
  readonly keywordOffsets: Uint32Array;
  /** Indexes into `keywords`, in the order of the line. */
  readonly keywordRefs: Uint32Array;
  /** Highest uid of any usable line; 0 when there is none. */
  readonly highestUid: number;
  readonly warnings: readonly SourceWarning[];
}

export interface SourceAcl {
  readonly entries: readonly AclEntry[];
  readonly warnings: readonly SourceWarning[];
}

export interface SourceSubscriptions {
  /** Raw directory names of each subscribed folder, outermost first, in file order; it may not exist. */
  readonly folders: readonly (readonly Uint8Array[])[];
  readonly warnings: readonly SourceWarning[];
}

/**
 * A held kernel lock on a folder. It ends when both `fd` (`release` closes it) and the descriptor of the folder that
 * was locked are closed, from any thread, or with the process.
 */
export interface FolderLock {
  /** The lock file's, or the folder's own where no lock file can be made. */
  readonly fd: number;
  /** What is locked: the directory and its lock file, or the directory alone. */
  readonly target: 'file' | 'directory';
  release(): void;
}

export interface MailSource {
  /** Name of the format, for messages and records. */
  readonly format: string;
  /** Reads the installation's configuration. Throws MailhaulError CONF_* when it cannot be migrated from. */
  readConfiguration(instance: Dir): SourceConfiguration;
  /** Looks whether the source's server runs. Never throws for content. */
  serverState(instance: Dir): ServerState;
  /** Walks a user's mailbox directory: parents before children, names ascending by bytes. Errors: EMFILE and its like. */
  listFolders(mailbox: Dir): Generator<FolderItem, void, undefined>;
  /** Header and size of a folder's index. Throws MailhaulError FOLDER_INDEX. */
  lookAtIndex(folder: Dir, files?: SmallFiles): IndexLook;
  /**
   * Throws MailhaulError FOLDER_INDEX (cannot be read: type, permission, I/O) or FOLDER_INDEX_SIZE. Root reads one of
   * the folder's owner or the server account (`accountUid`) only, or one that everybody may read.
   */
  readIndex(folder: Dir, accountUid?: number): FolderIndex;
  /**
   * Gives the open index to an engine that reads one with nothing wrong by itself (engine/types.ts, planPlain). Not there
   * for a format that no engine knows; undefined when the folder has no index. Throws as readIndex.
   */
  withPlainIndex?<T>(folder: Dir, accountUid: number, read: (fd: number) => T): T | undefined;
  /** Throws MailhaulError ACL_UNREADABLE (permission, I/O); EMFILE and its like. */
  readAcl(folder: Dir, files?: SmallFiles): SourceAcl;
  /** `mailbox` is the user's mailbox directory. Throws MailhaulError SUBSCRIPTIONS_UNREADABLE; EMFILE and its like. */
  readSubscriptions(mailbox: Dir): SourceSubscriptions;
  /**
   * Tries once, never waits; when `busy`, close `folder`. Throws MailhaulError FOLDER_LOCK when the lock cannot be used at
   * all.
   */
  tryLockFolder(folder: Dir, owner: Ownership): FolderLock | 'busy';
  /** Processes that hold the folder's lock, where the system tells; for messages only. */
  lockHolders(folder: Dir): number[];
}
