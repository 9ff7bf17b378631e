/**
 * What the main thread and the threads of a verification say to each other. Databases are read by the main thread
 * only; everything on disk is read by the threads. Held directories travel as numbers of descriptors.
 */
import type { MailboxRecord } from '../../store/types.js';
import type { MappingFolder, MessageFailure, MigrationRecord } from '../types.js';
import type { FoundInTask, Subject } from './findings.js';
import type { Sample } from './sample.js';

/** A root that the main thread holds. */
export interface HeldRoot {
  readonly fd: number;
  readonly path: string;
}

/** Handed to every thread at its start. */
export interface ThreadContext {
  /** The server account. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly sample: Sample;
  /** PROGRESS slots (engine/types.ts). */
  readonly progress: Int32Array;
  /** One slot: 1 while a thread has a giant message in memory (content.ts). */
  readonly giant: Int32Array;
}

/** A published mailbox. */
export interface MailboxTask {
  readonly kind: 'mailbox';
  readonly subject: Subject;
  readonly record: MailboxRecord;
  /** null: the partition cannot be opened. */
  readonly root: HeldRoot | null;
  readonly origin: OriginTask | null;
}

/** Where a mailbox came from. */
export interface OriginTask {
  readonly folder: MappingFolder;
  readonly storePath: string;
  /** null: the 3.x store path is not there, or cannot be opened. */
  readonly store: HeldRoot | null;
  /** It cannot be opened, which is reported for the store path; whether the folder is there is not known. */
  readonly storeUnreadable: boolean;
  /** null: there is none, or it cannot be read; that is reported already unless `recordExpected`. */
  readonly record: MigrationRecord | null;
  readonly recordExpected: boolean;
  readonly failures: readonly MessageFailure[];
}

/** A mailbox as far as the directories of its owner are concerned. */
export interface TreeMailbox {
  readonly name: string;
  readonly legacyName: string;
  readonly published: boolean;
  /** Index into `roots`; -1: no root that could be opened. */
  readonly root: number;
}

/** One user: directories of the partitions, 3.x folders that came later, subscriptions. */
export interface UserTask {
  readonly kind: 'user';
  readonly uid: string;
  readonly roots: readonly HeldRoot[];
  readonly mailboxes: readonly TreeMailbox[];
  /** null: the mapping does not know the user. */
  readonly origin: {
    readonly storePath: string;
    readonly store: HeldRoot | null;
    /** Every folder of the mapping. */
    readonly folders: readonly {
      /** Raw. */
      readonly path: readonly Uint8Array[];
      /** 4.x name. */
      readonly mailbox: string;
      /** False: 3.x had nothing there when `-s` looked, and `-m` would not look. */
      readonly taken: boolean;
    }[];
  } | null;
  readonly subscriptions: readonly string[];
}

export type VerifyItem = MailboxTask | UserTask;

export interface MessageTotals {
  checked: number;
  /** Message files read, hashed and parsed. */
  read: number;
  /** Of those, compared with a 3.x file that is still there. */
  compared: number;
  bytes: number;
}

export interface MailboxResult {
  readonly kind: 'mailbox';
  /** False: the run was told to stop. */
  readonly complete: boolean;
  readonly found: FoundInTask;
  readonly messages: MessageTotals;
  /** What the mailbox holds by its index; null when that cannot be read, or services count. */
  readonly used: { readonly bytes: number; readonly messages: number } | null;
  /** Messages whose file has, or had, more names than one in either store (inodes.ts, CANDIDATE). */
  readonly candidates: Uint32Array;
  /** Of the mailbox directory: a user's own may be mounted below the partition. */
  readonly device: bigint;
  /** There are errors, and index or journal changed meanwhile. */
  readonly changed: boolean;
  /** Processes that hold the lock of the 3.x folder or of the mailbox; asked only when there are errors. */
  readonly lockedBy: readonly number[];
}

export interface UserResult {
  readonly kind: 'user';
  readonly found: FoundInTask;
}

export type VerifyResult = MailboxResult | UserResult;

export type VerifyTask =
  | { readonly kind: 'verify'; readonly items: readonly VerifyItem[] }
  /** Wait until every thread has loaded its code. */
  | { readonly kind: 'warm'; readonly arrived: Int32Array; readonly threads: number };
