/** What `upgrade --reset` says: its plan, its result, and what it refuses (docs/operations.md, "Starting over"). */
import type { ExitCode } from '../../errors.js';
import type { Halt } from '../report.js';

/**
 * Why a reset is refused. Codes are part of the `--json` promise: added, never renamed.
 *
 * Each of these stands for something in 4.x that is nowhere else, or that this program cannot vouch for.
 */
export type RefusalCode =
  /** A mailbox that was made in 4.x. */
  | 'RESET_MADE_IN_4X'
  /** A migrated mailbox has another name in 4.x now. */
  | 'RESET_RENAMED'
  /** A migrated mailbox was deleted in 4.x, and 3.x has not all of its messages. */
  | 'RESET_DELETED'
  /** Services have appended, expunged or flagged messages. */
  | 'RESET_CHANGED'
  /** A message of the 4.x index is not in the migration record. */
  | 'RESET_NOT_ON_RECORD'
  /** A 4.x message file is not what its index was made from. */
  | 'RESET_CONTENT'
  /** A migrated message is neither in 3.x nor in 4.x. */
  | 'RESET_LOST'
  /** The 3.x name of a message holds something else now. */
  | 'RESET_SOURCE_CHANGED'
  /** Two messages that are in 4.x only had the same 3.x name. */
  | 'RESET_NAME_TWICE'
  /** A 4.x file may be the only copy of a message, but there is nothing to check it with. */
  | 'RESET_UNVERIFIED'
  /** store.idx is missing or damaged. */
  | 'RESET_INDEX'
  /** A file or directory cannot be read. */
  | 'RESET_UNREADABLE'
  /** `.mailbox` cannot be read, so no line can be checked. */
  | 'RESET_SOURCE_INDEX'
  /** Files and directories that no run of `upgrade` made. */
  | 'RESET_UNKNOWN_FILE'
  /** A partition directory is not there, or not the server account's. */
  | 'RESET_PARTITION'
  /** A 3.x store path is not there. */
  | 'RESET_STORE_PATH'
  /** The 3.x directory that messages go back to is gone. */
  | 'RESET_FOLDER_GONE'
  /** Another process holds the 3.x folder. */
  | 'RESET_FOLDER_BUSY'
  /** The 3.x folder cannot be written. */
  | 'RESET_READ_ONLY'
  /** There is no room for the messages that must be copied back. */
  | 'RESET_SPACE'
  | 'RESET_QUOTA'
  | 'RESET_SUBSCRIPTIONS'
  | 'RESET_ACL'
  /** Per-user flags, which only services write. */
  | 'RESET_PER_USER'
  /** A value of a database cannot be read. */
  | 'RESET_RECORD';

export interface Refusal {
  readonly code: RefusalCode;
  readonly user: string;
  /** 4.x name; '' for what belongs to no mailbox. */
  readonly mailbox: string;
  /** Message uid; null for what belongs to no message. */
  readonly uid: number | null;
  /** Path or database. */
  readonly where: string;
  /** Whole sentences: what was found, and what to do. */
  readonly message: string;
}

/** A partition directory that mail was migrated to. */
export interface PartitionPlan {
  readonly name: string;
  readonly path: string;
  /** Folders whose migration has begun. */
  folders: number;
  /** 4.x message files. */
  messages: number;
}

/** Messages that go back to a 3.x store path. */
export interface RestorePlan {
  readonly storePath: string;
  messages: number;
  /** Bytes that must be copied: the partition is on another file system. */
  copyBytes: number;
  /** Bytes free for the server account. */
  freeBytes: number;
}

/** In this order; `shared` only where messages that go back share a file. */
export type ResetStep =
  /** Everything is looked at. */
  | 'survey'
  /** What is still shared in 3.x is found. */
  | 'shared'
  /** Messages get their 3.x names. */
  | 'restore'
  /** The 4.x side goes. */
  | 'remove';

/** How far a reset has come. */
export interface ResetProgress {
  readonly step: ResetStep;
  /** Folders that this step is through with. */
  readonly folders: number;
  /** Folders that it has; 0: nobody has counted them. */
  readonly foldersInAll: number;
  /** Messages put back by this run, and all that must go back. */
  readonly restored: number;
  readonly restoreInAll: number;
  /** 4.x message files that were removed by this run. */
  readonly removed: number;
}

export type ResetOutcome =
  /** There is nothing to reset. */
  | 'nothing'
  | 'refused'
  /** `--dry-run`. */
  | 'planned'
  /** Whoever was asked said no. */
  | 'declined'
  /** There was nobody to ask. */
  | 'unconfirmed'
  /** Stopped before its end (`halted`); another `--reset` goes on. */
  | 'halted'
  | 'done';

/** Plan and result. Fields may be added, never removed or renamed (the `--json` promise). */
export interface ResetReport {
  exitCode: ExitCode;
  outcome: ResetOutcome;
  readonly dryRun: boolean;
  /** An earlier reset was stopped; this one goes on. */
  readonly resumed: boolean;
  readonly instance: string;
  /** Folders whose migration has begun: their 4.x side goes. */
  folders: number;
  readonly partitions: PartitionPlan[];
  /** Messages that are in 4.x only. */
  readonly restore: {
    messages: number;
    /** Of those, in CRLF form: the original had bare LF and is gone. */
    rewritten: number;
    /** Copied, because the partition is on another file system; the others are linked. */
    copied: number;
    /** Lines added to `.mailbox`. */
    lines: number;
    readonly stores: RestorePlan[];
  };
  /** What this run did, all of it or up to where it halted; an earlier one may have done the rest. */
  readonly done: {
    /** Messages that got their 3.x names. */
    restored: number;
    /** 4.x message files that were removed. */
    removed: number;
  };
  halted: Halt | null;
  /** Files of `upgrade -s`, and markers, that go. */
  readonly files: string[];
  readonly refusals: Refusal[];
  /** Refusals beyond those listed. */
  refusalsNotListed: number;
  /** Worth knowing; loses nothing. */
  readonly notes: string[];
  notesNotListed: number;
  seconds: number;
}
