/**
 * What a folder engine takes and gives. Two engines implement it: `native` (the C++ addon) and `portable`
 * (TypeScript). Both are synchronous and run in a worker thread; one call moves one folder. Everything that
 * is one per message travels in typed arrays ("columns") of the same length, so that a call costs the same
 * for ten messages or a million.
 *
 * The C++ side reads these objects in native/src/addon.cc: a change here changes ADDON_ABI (fs/addon.ts).
 */

import { constants as osConstants } from 'node:os';
import { EUCLEAN } from '../errors.js';

/** Bits of `MessageTable.flags` and of the flags word in store.idx (docs/formats/store-idx.md). */
export const FLAG = { seen: 1, answered: 2, flagged: 4, deleted: 8, draft: 16 } as const;

/**
 * How a message came into 4.x; the values of `EngineOutput.methods`. `link` is one more name of the 3.x file, `shared`
 * one more name of a new file that an earlier message was given (docs/formats/partition.md, `=single`).
 */
export const METHOD = { failed: 0, link: 1, adopted: 2, reflink: 3, copy: 4, rewrite: 5, shared: 6 } as const;

/**
 * Why a message failed; `EngineOutput.errors` holds indexes into this list (0: it did not fail).
 * Codes are part of the `--json` promise: appended, never reordered.
 */
export const MESSAGE_ERRORS = [
  '',
  /** Symbolic link, fifo, socket, device or directory where a message is where a message is expected. Not opened when it was one at the scan. */
  'MSG_NOT_REGULAR',
  /** The file belongs to another account than the server account (`--take-foreign` copies it). */
  'MSG_FOREIGN_OWNER',
  /** Others may write to the file (mode & 0002). */
  'MSG_WRITABLE_BY_OTHERS',
  /** open or read failed; errno says why (EACCES, EIO …). */
  'MSG_UNREADABLE',
  /** The file went away between the record and the move. */
  'MSG_VANISHED',
  /** Inode, size or time are not those of the record, or changed while it was read. */
  'MSG_CHANGED',
  /** The 4.x file could not be made, for a reason of this message only; errno says why. */
  'MSG_TARGET',
] as const;

/**
 * errno of a disk or file server that does not answer any more, not of one file: the list of outcome.cc. Linux
 * numbers where Node does not know a name.
 */
const DEVICE_ERRORS: readonly number[] = [
  osConstants.errno.EIO,
  osConstants.errno.ESTALE,
  osConstants.errno.ENOTCONN,
  osConstants.errno.ETIMEDOUT,
  osConstants.errno.EHOSTUNREACH,
  EUCLEAN,
  /** ESHUTDOWN, EHOSTDOWN, EREMOTEIO */
  108,
  112,
  121,
];

export function isDeviceError(errno: number): boolean {
  return DEVICE_ERRORS.includes(errno);
}

const { ENOSPC, EDQUOT, EROFS } = osConstants.errno;

/** Whether nothing more can be written to a target after this error: it is full, read-only, broken or gone. */
export function isTargetError(errno: number): boolean {
  return errno === ENOSPC || errno === EDQUOT || errno === EROFS || isDeviceError(errno);
}

/** One folder's directory, statted. Columns in the order of inode numbers (the order that disks like). */
export interface DirectoryScan {
  readonly count: number;
  /** Raw name bytes, one after the other; name i is names[nameOffsets[i] … nameOffsets[i+1]]. */
  readonly names: Uint8Array;
  /** count + 1 entries. */
  readonly nameOffsets: Uint32Array;
  readonly inodes: BigUint64Array;
  /** Bytes; exact up to 2^53. */
  readonly sizes: Float64Array;
  /** Modification time, nanoseconds since 1970. */
  readonly mtimes: BigInt64Array;
  /** st_mode, type and permissions. */
  readonly modes: Uint32Array;
  readonly uids: Uint32Array;
  readonly nlinks: Uint32Array;
  /** Entries that could not be statted (errno), by index; sizes and so on are 0 there. Usually empty. */
  readonly errors: readonly { readonly index: number; readonly errno: number }[];
}

/** The messages of one folder, ascending uid. */
export interface MessageTable {
  readonly count: number;
  readonly uids: Uint32Array;
  /** Seconds since 1970, whole numbers. */
  readonly internalDates: Float64Array;
  /** FLAG bits. */
  readonly flags: Uint32Array;
  /** count + 1 entries; the keywords of message i are keywordRefs[keywordOffsets[i] … keywordOffsets[i+1]], ascending. */
  readonly keywordOffsets: Uint32Array;
  /** Indexes into the folder's keyword table. */
  readonly keywordRefs: Uint32Array;
  /** 3.x file names, raw bytes, as in DirectoryScan. */
  readonly names: Uint8Array;
  readonly nameOffsets: Uint32Array;
  /** What the migration record says the 3.x file is. */
  readonly inodes: BigUint64Array;
  readonly sizes: Float64Array;
  readonly mtimes: BigInt64Array;
  /** Index into MESSAGE_ERRORS for a message that the plan refused already; the engine leaves those alone. */
  readonly refused: Uint8Array;
}

/** A folder with nothing wrong: every message has a line and every line a message, in ascending uid. */
export interface PlainFolder {
  /** Of the header. */
  readonly uidvalidity: number;
  /** Above all uids, and not below that of the header. */
  readonly uidnext: number;
  readonly keywords: readonly string[];
  readonly messages: MessageTable;
}

/** Whose files are taken. */
export interface FileRules {
  /** The server account. */
  readonly ownerUid: number;
  /** Files of other accounts, and files that others may write to, too. */
  readonly takeForeign: boolean;
}

/**
 * Slots of the shared progress array (Int32Array on a SharedArrayBuffer, from its beginning), one array a run.
 * `kilobytes` has two of them, one number of 64 bits (progress.ts): 32 were full after 2 TiB.
 */
export const PROGRESS = { cancel: 0, messages: 1, kilobytes: 2 } as const;

export interface EngineInput {
  /** The 3.x folder, open and locked. */
  readonly sourceFd: number;
  /** The 4.x mailbox directory, open; the engine makes `<nn>/<uid>.msg` and `store.idx` in it. */
  readonly targetFd: number;
  /** The partition's `=single` directory: the registry of shared copies (docs/formats/partition.md). */
  readonly singleFd: number;
  readonly uidvalidity: number;
  readonly uidnext: number;
  /** Keyword table in order of first appearance (ascending uid); first spelling. */
  readonly keywords: readonly string[];
  /** Opaque bytes for the `admin` section of store.idx. */
  readonly admin: Uint8Array;
  readonly messages: MessageTable;
  /** The server account: owner that files must have and get. */
  readonly ownerUid: number;
  readonly ownerGid: number;
  /** The process is root and sets owners. */
  readonly setOwner: boolean;
  readonly takeForeign: boolean;
  /** Write the index although some messages failed. Without it a folder with failures gets no index. */
  readonly publishWithFailures: boolean;
  /** Number of SharedJobs that other threads can help with, 0 for none. */
  readonly job: number;
  /** An earlier attempt may have left files in the target: adopt, compare, replace and sweep them. */
  readonly resumed: boolean;
  /** PROGRESS slots; `cancel` non-zero stops before the next message (`stopped` in the output). */
  readonly progress: Int32Array;
  /** OUTPUT_BYTES for each message, aligned to 4: the columns of the output may lie in there. It may be shared memory. */
  readonly room?: Uint8Array | undefined;
}

/** Of a message in the columns of EngineOutput: errno, method, error. */
export const OUTPUT_BYTES = 6;

/** Where the time of a folder went: milliseconds, summed over the threads that moved it; samples, not sums of all. */
export interface EngineTimes {
  /** Opening, reading and closing 3.x files. */
  readonly read: number;
  /** CRLF form, digest, header, structure. */
  readonly parse: number;
  /** Links, copies, and the directories for them. */
  readonly place: number;
  readonly index: number;
}

/** What the mailbox database keeps of store.idx. */
export interface IndexSummary {
  readonly messages: number;
  readonly bytes: number;
  /** Highest internal date, seconds; 0 for an empty folder. */
  readonly lastAppend: number;
  readonly seen: number;
  readonly answered: number;
  readonly flagged: number;
  readonly deleted: number;
  readonly draft: number;
}

export interface EngineOutput {
  /** METHOD of every message of the table. */
  readonly methods: Uint8Array;
  /** Index into MESSAGE_ERRORS of every message. */
  readonly errors: Uint8Array;
  /** errno behind errors[i], 0 for none. */
  readonly errnos: Int32Array;
  /** Present when store.idx was written (not yet synced). */
  readonly summary: IndexSummary | null;
  /** Bytes of the messages moved (CRLF form). */
  readonly bytes: number;
  /**
   * The device or process cannot go on (isTargetError on the target; EMFILE, ENFILE, ENOMEM; a source that cannot be read
   * any more): nothing was published. `call` is the system call, `side` where it was made.
   */
  readonly halt: { readonly errno: number; readonly call: string; readonly side: 'source' | 'target' } | null;
  /** `cancel` was set: nothing was published. */
  readonly stopped: boolean;
  readonly times: EngineTimes;
}

export interface RemoveInput {
  readonly sourceFd: number;
  /** Names, inodes, sizes and mtimes are used. */
  readonly messages: MessageTable;
  /** 1 where the 3.x file may go. */
  readonly remove: Uint8Array;
}

export interface RemoveOutput {
  readonly removed: number;
  readonly bytes: number;
  /** Not there any more. */
  readonly missing: number;
  /** Kept because inode, size or time differ from the record, or unlink failed (errno). */
  readonly kept: readonly { readonly index: number; readonly errno: number }[];
}

/**
 * Work of one giant folder that threads share (native/src/engine/jobs.h). Whoever begins it is given a number that was
 * announced before; others help with that number until nothing is left to take.
 */
export interface SharedJobs {
  announce(): number;
  /** Nobody begins it any more. To be called when the work has ended, however it did. */
  forget(job: number): void;
  /** Does a piece; null when nothing is left to take, or the work has ended. Waits for one that has not begun. */
  help(job: number, progress: Int32Array): SharedPiece | null;
}

/** What a helper has moved; nothing where it looked at a directory. */
export interface SharedPiece {
  readonly messages: number;
  readonly bytes: number;
}

/** One of the two engines. */
export interface FolderEngine {
  readonly name: 'native' | 'portable';
  /** Names and stats of a directory, without `.`, `..` and names that begin with a dot. */
  scan(directoryFd: number, job?: number): DirectoryScan;
  /**
   * Reads an open `.mailbox` and plans its folder, when there is nothing to decide: the plan of upgrade/plan.ts, sooner.
   * null: there may be, or the index cannot be read.
   */
  planPlain?(scan: DirectoryScan, indexFd: number, rules: FileRules): PlainFolder | null;
  /**
   * Everything that comes before the record of a plain folder, in one call (native/src/plan/ready.h): the arguments of
   * `makeReady` of fs/addon.ts. null: nothing is held, and the folder goes the long way.
   */
  makeReady?(
    sourceFd: number,
    source: string,
    targetFd: number,
    target: string,
    rules: FileRules,
    columns: Uint8Array,
    wide: BigUint64Array,
    numbers: Float64Array,
  ): readonly string[] | null;
  /** undefined: a folder is one thread's. */
  readonly jobs?: SharedJobs | undefined;
  /**
   * Moves the messages of one folder and writes store.idx beside them (temporary name, then rename).
   * Nothing is durable yet: the caller syncs the file system, then commits the database (design.md).
   */
  migrate(input: EngineInput): EngineOutput;
  /** Unlinks 3.x files that still are what the record says (4x-store.md, promise 1). */
  removeSources(input: RemoveInput): RemoveOutput;
}
