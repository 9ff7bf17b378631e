/**
 * Finds the native addon. It is optional: without it the portable engine works (design.md, "Durable choices").
 * The typed surface of the addon is `NativeAddon` below; its C++ side is native/src/addon.cc.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type {
  DirectoryScan,
  EngineInput,
  EngineOutput,
  FileRules,
  PlainFolder,
  RemoveInput,
  RemoveOutput,
  SharedPiece,
} from '../engine/types.js';
import { inPackage } from '../package.js';
import { armedFaults } from './seam.js';

/** What build/Release/mailhaul.node exports. All calls are synchronous and throw Errors with `code`. */
export interface NativeAddon {
  /** Bumped when this interface changes; a mismatch counts as "not there". */
  readonly abi: number;
  /** Takes flock(2) LOCK_EX or LOCK_SH with LOCK_NB; false when another holds it. */
  flock(fd: number, exclusive: boolean): boolean;
  /** flock(2) LOCK_UN. */
  unlock(fd: number): void;
  /** The other process that has a POSIX write lock on the first byte of the file (F_GETLK); 0 when none has. */
  firstByteWriter(fd: number): number;
  /** syncfs(2) of the file system of an open descriptor, on a thread of Node's pool. */
  syncfsAsync(fd: number): Promise<void>;
  /**
   * openat2(2) of the directory that a relative path leads to, raw bytes ended by 0: no link followed, nothing outside
   * the held directory. The descriptor, or the negative errno.
   */
  openBelow(directoryFd: number, path: Uint8Array): number;
  /** engine/types.ts, FolderEngine.scan. */
  scan(directoryFd: number, job: number): DirectoryScan;
  /** engine/types.ts, FolderEngine.planPlain; `key`: 16 random bytes for its table of names. */
  planPlain(scan: DirectoryScan, indexFd: number, rules: FileRules, key: Uint8Array): PlainFolder | null;
  /**
   * engine/types.ts, FolderEngine.makeReady. Paths are ISO-8859-1, a character for each byte, `/` between components.
   * `wide` gets the stamp of the source and the device of the mailbox directory, `numbers` three descriptors, uidvalidity of
   * the index header, uidnext, messages, bytes of columns, milliseconds of scan and plan. The keywords, or null.
   */
  makeReady(
    sourceFd: number,
    source: string,
    targetFd: number,
    target: string,
    rules: FileRules,
    key: Uint8Array,
    columns: Uint8Array,
    wide: BigUint64Array,
    numbers: Float64Array,
  ): readonly string[] | null;
  /**
   * Device and time of a 3.x folder, inode and time of its index (0: there is none), SourceStamp of upgrade/tasks.ts; false:
   * to be asked in the usual way, which says why.
   */
  stamp(folderFd: number, wide: BigUint64Array): boolean;
  /**
   * fs/glance.ts. Names are ISO-8859-1, a null one is the directory itself; those that are returned have `/` between
   * them. `numbers` gets device, inode, bits (1 for strays, then two for each of SMALL_FILES), descriptor. null: to be
   * asked in the usual way.
   */
  glance(directoryFd: number, name: string | null, numbers: BigUint64Array): string | null;
  /**
   * fs/glance.ts. A character for each byte; `numbers` gets the size of the file. undefined: there is no such file; null:
   * to be asked in the usual way.
   */
  head(
    directoryFd: number,
    name: string,
    listed: boolean,
    most: number,
    numbers: BigUint64Array,
  ): string | null | undefined;
  /** engine/types.ts, SharedJobs. */
  announceJob(): number;
  forgetJob(job: number): void;
  help(job: number): SharedPiece | null;
  /**
   * engine/types.ts, FolderEngine.migrate. `columns` gets six bytes a message, `numbers` the rest of its output but for
   * `halt`, which is returned (engine/native/output.ts).
   */
  migrate(input: EngineInput, columns: Uint8Array, numbers: Float64Array): EngineOutput['halt'];
  /** A new run begins: what this thread has written before may have been refused by the disk. */
  forgetWritten(): void;
  removeSources(input: RemoveInput): RemoveOutput;
  /** store-idx.md, "Cache entry", of a message in CRLF form; headerBytes includes the blank line. */
  parseMessage(message: Uint8Array): { headerBytes: number; cache: Uint8Array };
  /** XXH3-128, canonical (big-endian) byte order. */
  digest(data: Uint8Array): Uint8Array;
  /** The CRLF form (3x-profile.md); the same array when it is in that form already. */
  crlfForm(data: Uint8Array): Uint8Array;
  /**
   * User and group by their exact names, through NSS; `uid` or `gid` is not there when it does not exist, and `groups`
   * (all of the user, `gid` first) is empty then. Throws only when a user database cannot be asked.
   */
  accountIds(user: string, group: string): AccountIds;
  /** Arms the seam of the addon: counter in shared memory, 1-based call, action 0 none 1 kill 2 fail 3 stop, errno. */
  setFault(counter: Int32Array, at: number, action: number, errno: number): void;
  /** Arms the pace of this thread (fs/pace.ts), both in shared memory; null disarms it. */
  setPace(pace: Int32Array | null, cancel?: Int32Array): void;
  /** A run of this process has a limit: from now on all threads count what they do. */
  startPacing(): void;
  /** ioprio_set(2) of a thread of this process: class idle, or none. */
  setIoIdle(thread: number, idle: boolean): void;
  /** Of the whole process, for good: memory that is freed in large pieces goes back to the system. */
  returnFreedMemory(): void;
}

export interface AccountIds {
  readonly uid?: number;
  readonly gid?: number;
  readonly groups: readonly number[];
}

export const ADDON_ABI = 19;

let loaded: NativeAddon | null | undefined;

/** Where the addon lies, whether cmake-js or node-gyp built it. */
export function addonPath(): string {
  return inPackage('build/Release/mailhaul.node');
}

/** The addon, or undefined when it was not built. `MAILHAUL_ADDON` names another file, or `none`. */
export function loadAddon(): NativeAddon | undefined {
  if (loaded === undefined) loaded = tryLoad() ?? null;
  return loaded ?? undefined;
}

function tryLoad(): NativeAddon | undefined {
  const named = process.env.MAILHAUL_ADDON;
  if (named === 'none') return undefined;
  const path = named ?? addonPath();
  if (!existsSync(path)) return undefined;
  try {
    const addon = createRequire(import.meta.url)(path) as NativeAddon;
    if (addon.abi !== ADDON_ABI) return undefined;
    const faults = armedFaults();
    if (faults !== undefined) {
      const action = { count: 0, kill: 1, fail: 2, stop: 3 }[faults.plan.mode];
      addon.setFault(faults.counter, faults.plan.onlyCommits === true ? 0 : faults.plan.at, action, faults.plan.errno);
    }
    return addon;
  } catch {
    // Built for another Node, C library or processor: the same as not built; `upgrade` says so in one line.
    return undefined;
  }
}
