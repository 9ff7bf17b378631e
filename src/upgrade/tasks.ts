/**
 * What the main thread and the transfer threads say to each other. A task carries a batch of folders, so
 * that ten thousand tiny folders do not cost ten thousand round trips.
 *
 *     prepare   lock the 3.x folder, read and plan it, lock the mailbox   ─▶ main: record made durable
 *     move      link or copy the messages, write store.idx                ─▶ main: group sync, database commit
 *     begin     take the run's context; wait until every thread has loaded its code
 *     append    messages added to a published folder get their entries in its journal
 *     finish    remove 3.x message files of folders published in this run (-r)
 *     remove    the same for folders published by an earlier run: lock, remove, unlock
 *     survey    read and plan without a lock and without writing (--dry-run)
 *
 * Descriptors belong to the process, so a number is all that has to travel; the main thread closes them.
 */
import type { EngineChoice } from '../engine/engines.js';
import type { EngineOutput, IndexSummary, RemoveOutput } from '../engine/types.js';
import type { FaultPlan } from '../fs/seam.js';
import type { SharedPlan, SharedTable } from './shared.js';
import type { MigrationRecord } from './types.js';

/** Handed to every thread at its start. */
export interface ThreadStart {
  /** Which engine it loads. */
  readonly engine: EngineChoice;
  /** Planted faults (fs/seam.ts), also in the addon. */
  readonly faults: { readonly plan: FaultPlan; readonly counter: Int32Array } | null;
}

/** Handed to every thread before its first folder. */
export interface WorkerContext {
  readonly engine: 'native' | 'portable';
  /** PROGRESS slots (engine/types.ts). */
  readonly progress: Int32Array;
  /** Limits that all threads keep to together (fs/pace.ts); null for none. */
  readonly pace: Int32Array | null;
  /** The server account. */
  readonly ownerUid: number;
  readonly ownerGid: number;
  /** The process is root and gives files to the server account. */
  readonly setOwner: boolean;
  readonly takeForeign: boolean;
  readonly publishWithFailures: boolean;
}

/** A directory below a held root. */
export interface Place {
  readonly rootFd: number;
  readonly rootPath: string;
  readonly components: readonly (string | Uint8Array)[];
}

export interface PrepareFolder {
  readonly id: number;
  /** As in MoveFolder, for the scan. */
  readonly job: number;
  readonly source: Place;
  readonly target: Place;
  readonly uidvalidity: number;
  /** `-s` chose the uidvalidity, the header was lost: it stays, whatever header comes back. */
  readonly uidvalidityChosen: boolean;
  /** `-s` found no 3.x directory: an empty folder is made. */
  readonly missing: boolean;
  /** Inode of the 3.x directory when `-s` saw it, decimal, and bytes of its `.mailbox`. */
  readonly inode: string;
  readonly indexBytes: number;
  /** For its plan (plan-memory.ts); null: the thread makes some. */
  readonly memory: SharedArrayBuffer | null;
  readonly previous: MigrationRecord | null;
  /**
   * uids with a failure on record of a folder that is published already, of which `-r` may have taken all the others;
   * null for one in TRANSITION.
   */
  readonly failed: Uint32Array | null;
  /** Those of `failed` that end when their file is removed (plan-vanished.ts). */
  readonly endWithFile: Uint32Array;
  /** Seconds since 1970 for a new uidvalidity after uid overflow. */
  readonly now: number;
}

/** What a 3.x folder looked like when it was read; compared again before the commit. */
export interface SourceStamp {
  /** st_dev of the directory. */
  readonly device: bigint;
  readonly directoryMtimeNs: bigint;
  readonly indexInode: bigint;
  readonly indexMtimeNs: bigint;
}

/** What a retry adds to a published folder (additions-open.ts). */
export interface AddedRows {
  /** The mailbox directory; its descriptor carries the mailbox lock and is closed when the outcome is on record. */
  readonly mailboxFd: number;
  /** Of the mailbox, before anything is added. */
  readonly uidnext: number;
  /** A service has been there: the messages get new uids at the end, and their entries in the journal. */
  readonly append: boolean;
  /** Numbers of the plan's rows that are to be added; the others are in 4.x. */
  readonly rows: Uint32Array;
  /** For each of `rows` the uid that it had on record, 0 for a file that is new. */
  readonly recordedUids: Uint32Array;
}

/** Milliseconds. */
export interface PrepareTimes {
  /** Listing the directory and looking at its files. */
  readonly scan: number;
  /** Reading the index and planning. */
  readonly plan: number;
}

export type PrepareResult =
  | {
      readonly kind: 'ready';
      readonly id: number;
      /** -1 when there is no 3.x directory. */
      readonly sourceFd: number;
      /** The 3.x lock file, locked; -1 where there is none. `sourceFd` carries a lock as well. */
      readonly lockFd: number;
      /** The mailbox directory in 4.x, locked. */
      readonly targetFd: number;
      /** st_dev of that: what has to be synced. */
      readonly device: bigint;
      readonly plan: SharedPlan;
      readonly stamp: SourceStamp | null;
      readonly times: PrepareTimes;
      /** For a published folder. */
      readonly additions: AddedRows | null;
    }
  | { readonly kind: 'busy'; readonly id: number; readonly holders: readonly number[] }
  | FailedFolder;

/** What failed is more than this folder: the process, or the device on one side. */
export interface Trouble {
  readonly side: 'source' | 'target';
  /** Positive. */
  readonly errno: number;
  /** The system call. */
  readonly call: string;
}

export interface FailedFolder {
  readonly kind: 'failed';
  readonly id: number;
  readonly failure: FolderFailure;
  readonly trouble?: Trouble | undefined;
}

export interface FolderFailure {
  readonly code: string;
  readonly message: string;
  readonly where: string;
}

export interface MoveFolder {
  readonly id: number;
  /** SharedJobs of engine/types.ts: other threads may help with this folder; 0: none does. */
  readonly job: number;
  readonly sourceFd: number;
  /** The mailbox directory, held and locked. */
  readonly targetFd: number;
  readonly target: Place;
  readonly singleFd: number;
  readonly plan: SharedPlan;
  readonly admin: Uint8Array;
  /** An earlier attempt may have left something in the target. */
  readonly resumed: boolean;
  /** Published with failures before: messages are only added. */
  readonly additions: AddedRows | null;
}

export type MoveResult = { readonly kind: 'moved'; readonly id: number; readonly output: EngineOutput } | FailedFolder;

export interface AppendFolder {
  readonly id: number;
  /** As in AddedRows. */
  readonly mailboxFd: number;
  /** For messages. */
  readonly mailbox: string;
}

export type AppendResult =
  | { readonly kind: 'appended'; readonly id: number; readonly summary: IndexSummary; readonly uidnext: number }
  | FailedFolder;

export interface FinishFolder {
  readonly id: number;
  readonly sourceFd: number;
  /** For messages. */
  readonly legacyName: string;
  /** The folder lies on a file system that is mounted below its store path. */
  readonly mountedBelow: boolean;
  readonly messages: SharedTable;
  readonly remove: Uint8Array;
}

export type FinishResult =
  | { readonly kind: 'removed'; readonly id: number; readonly output: RemoveOutput }
  | FailedFolder;

/** Late removal: the folder was published without `-r`. */
export interface RemoveFolder {
  readonly id: number;
  readonly source: Place;
  readonly target: Place;
  readonly record: MigrationRecord;
  /** uids of the messages that failed; read together with the record. Their originals stay. */
  readonly failed: Uint32Array;
  /** The mailbox is still in 4.x: every message must be in its directory before its original goes. */
  readonly checkTarget: boolean;
  /** Inode of the 3.x directory when `-s` saw it, decimal. */
  readonly inode: string;
}

export type RemoveResult =
  | {
      readonly kind: 'removed';
      readonly id: number;
      readonly output: RemoveOutput;
      readonly notInTarget: number;
      /** The 3.x folder was there. False: its originals may be where nobody can see them now. */
      readonly found: boolean;
    }
  | { readonly kind: 'busy'; readonly id: number; readonly holders: readonly number[] }
  | FailedFolder;

/** What a copy of a folder's messages takes; what an earlier attempt copied is not counted. */
export interface CopySpace {
  /** Bytes in whole blocks, and files, of messages that no other folder can share. */
  readonly bytes: number;
  readonly files: number;
  /** Messages with several links, one element each: counted once an inode, whatever folder links it. */
  readonly device: bigint;
  readonly inodes: BigUint64Array;
  /** Bytes in whole blocks. */
  readonly sizes: Float64Array;
  readonly links: Uint32Array;
  /** 1 where the 4.x copy is there already. */
  readonly present: Uint8Array;
}

export type SurveyResult =
  | {
      readonly kind: 'planned';
      readonly id: number;
      readonly messages: number;
      readonly bytes: number;
      readonly copy: CopySpace;
      readonly warnings: number;
      /** Messages that would fail: MESSAGE_ERRORS index and file name. */
      readonly refused: readonly { readonly uid: number; readonly refused: number; readonly file: string }[];
    }
  | FailedFolder;

export interface BeginTask {
  readonly kind: 'begin';
  /** Counts the threads that have come; so many are waited for. */
  readonly arrived: Int32Array;
  readonly threads: number;
  /** null: it is asked only whether the thread has loaded. */
  readonly context: WorkerContext | null;
  /** Published folders are to be retried. */
  readonly additions: boolean;
}

export type Task =
  | { readonly kind: 'prepare'; readonly folders: readonly PrepareFolder[] }
  | { readonly kind: 'move'; readonly folders: readonly MoveFolder[] }
  | { readonly kind: 'append'; readonly folders: readonly AppendFolder[] }
  | { readonly kind: 'help'; readonly job: number }
  | { readonly kind: 'finish'; readonly folders: readonly FinishFolder[] }
  | { readonly kind: 'remove'; readonly folders: readonly RemoveFolder[] }
  | { readonly kind: 'survey'; readonly folders: readonly PrepareFolder[] };

export type ThreadTask = BeginTask | Task;
