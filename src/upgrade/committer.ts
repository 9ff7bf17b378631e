/**
 * Group commit: durability for many folders at the price of one sync a file system. Each device has groups of its own,
 * which do not wait for those of another one: a slow disk's sync takes seconds.
 *
 *     moved folders ─▶ group of the device ─▶ syncfs ─▶ sources unchanged? ─▶ mailbox database (durable)
 *                                                        ─▶ mapping database ─▶ -r ─▶ locks let go
 *
 * Invariants. A folder's lock is held until its group is committed. Nothing is published whose file system could not
 * be synced: those folders are thrown away and their device stops (a failed sync is never retried, design.md). So a
 * device has one group under way at a time: the next one knows how the sync before it went.
 * 3.x files go only after the database commit that published their folder (4x-store.md, promise 1).
 * A group closes a while after its first folder, at GROUP_FOLDERS, or when nothing else is under way. The slower the
 * commit before it was, the longer that while: a sync of the file system also holds up those that link into it
 * meanwhile. Transactions of several groups take turns in the databases (store/environment.ts).
 */

import { HELD_AT_MOST } from './held.js';

/** Folders a group holds at most; with the time below it bounds how long locks are held. */
const GROUP_FOLDERS = 1_024;
const GROUP_MILLISECONDS = 250;
/** No more than this share of the time goes to commits, */
const COMMIT_SHARE = 1 / 8;
/** but no folder is held locked for longer than this: a service may wait for it. */
const GROUP_MILLISECONDS_AT_MOST = 2_000;

/** Of the folders that are moved and not committed a device has its share; at most a group under way and one more. */
const DEVICE_HOLDS = 2 * GROUP_FOLDERS;
/** And messages, of which plan and outcome are in memory, 100 bytes each or so; what is brought last may go beyond it. */
const DEVICE_HOLDS_MESSAGES = 500_000;
/** What a device has even where there are many. */
const LEAST_SHARE = 1 / 16;

export interface Committer<T> {
  /** Hands over moved folders. Resolves at once, or when there is room again. */
  add(folders: readonly T[]): Promise<void>;
  /** Commits what waits and resolves when all is done. */
  drain(): Promise<void>;
}

export interface CommitterUse<T> {
  /** Folders that are committed no more. */
  discard?(folders: readonly T[]): void;
  /** The device whose groups it belongs to; without this there is one. */
  deviceOf?(folder: T): bigint;
  messagesOf?(folder: T): number;
  /** Folders that may be moved and not committed, of all devices (held.ts). */
  readonly heldFolders?: number | undefined;
}

interface Amount {
  readonly folders: number;
  readonly messages: number;
}

const NOTHING: Amount = { folders: 0, messages: 0 };

/** The groups of one device, one after the other. */
interface Groups<T> {
  readonly waiting: T[];
  timer: NodeJS.Timeout | undefined;
  running: Promise<void> | undefined;
  /** The group under way. */
  underWay: Amount;
  /** Milliseconds that the last commit took. */
  commitMs: number;
  /** Called when a group has ended. */
  readonly ended: (() => void)[];
  /** What waits may wait no longer: its moment passed, or somebody drains, while a group was under way. */
  due: boolean;
}

/**
 * `commit` makes one group durable and publishes it; it must not throw for a reason that concerns one
 * folder only. What it throws reaches the next `add` or `drain`, and nothing more is committed, of no device: what
 * waits then, and what comes later, is handed to `discard`.
 */
export function createCommitter<T>(
  commit: (group: readonly T[]) => Promise<void>,
  {
    discard = () => {},
    deviceOf = () => 0n,
    messagesOf = () => 0,
    heldFolders = HELD_AT_MOST.moved,
  }: CommitterUse<T> = {},
): Committer<T> {
  const devices = new Map<bigint, Groups<T>>();
  let failure: { error: unknown } | undefined;

  const groupsOf = (device: bigint): Groups<T> => {
    const known = devices.get(device);
    if (known !== undefined) return known;
    const made: Groups<T> = {
      waiting: [],
      timer: undefined,
      running: undefined,
      underWay: NOTHING,
      commitMs: 0,
      ended: [],
      due: false,
    };
    devices.set(device, made);
    return made;
  };

  const amountOf = (folders: readonly T[]): Amount => ({
    folders: folders.length,
    messages: folders.reduce((sum, folder) => sum + messagesOf(folder), 0),
  });

  const flush = (groups: Groups<T>): Promise<void> => {
    clearTimeout(groups.timer);
    groups.timer = undefined;
    // Nothing to do: `run` would end before its promise is kept in `running`, and stay there for ever.
    if (groups.waiting.length === 0) return groups.running ?? Promise.resolve();
    if (groups.running === undefined) groups.running = run(groups);
    else groups.due = true;
    return groups.running;
  };

  const run = async (groups: Groups<T>): Promise<void> => {
    const { waiting } = groups;
    try {
      do {
        groups.due = false;
        const group = waiting.splice(0, GROUP_FOLDERS);
        groups.underWay = amountOf(group);
        const beganMs = performance.now();
        await commit(group);
        groups.commitMs = performance.now() - beganMs;
        groups.underWay = NOTHING;
        for (const tell of groups.ended.splice(0)) tell();
      } while (waiting.length > 0 && (groups.due || waiting.length >= GROUP_FOLDERS));
    } catch (error) {
      failure ??= { error };
      for (const other of devices.values()) {
        discard(other.waiting.splice(0));
        for (const tell of other.ended.splice(0)) tell();
      }
    } finally {
      groups.underWay = NOTHING;
      groups.running = undefined;
      // Those that came meanwhile are the next group; committing them at once would make many small ones.
      if (waiting.length > 0) closeLater(groups);
    }
  };

  const closeLater = (groups: Groups<T>): void => {
    const wanted = Math.max(GROUP_MILLISECONDS, groups.commitMs / COMMIT_SHARE);
    groups.timer ??= setTimeout(() => void flush(groups), Math.min(wanted, GROUP_MILLISECONDS_AT_MOST));
  };

  const rethrow = (): void => {
    if (failure !== undefined) throw failure.error;
  };

  /** Whoever brings more than a device's share waits: this is the bound on folders that are moved and not committed. */
  const room = async (groups: Groups<T>): Promise<void> => {
    const share = Math.max(heldFolders / devices.size, heldFolders * LEAST_SHARE);
    const atMost = Math.max(1, Math.min(DEVICE_HOLDS, Math.floor(share)));
    const isFull = ({ waiting, underWay }: Groups<T>): boolean => {
      const { folders, messages } = amountOf(waiting);
      return underWay.folders + folders >= atMost || underWay.messages + messages >= DEVICE_HOLDS_MESSAGES;
    };
    while (isFull(groups) && failure === undefined) {
      const ended = new Promise<void>((resolve) => groups.ended.push(resolve));
      void flush(groups);
      await ended;
    }
  };

  return {
    async add(folders) {
      if (failure !== undefined) discard(folders);
      rethrow();
      const touched = new Set<Groups<T>>();
      for (const folder of folders) {
        const groups = groupsOf(deviceOf(folder));
        groups.waiting.push(folder);
        touched.add(groups);
      }
      for (const groups of touched) {
        if (groups.waiting.length < GROUP_FOLDERS) closeLater(groups);
        else void flush(groups);
      }
      for (const groups of touched) await room(groups);
      if (touched.size > 0) rethrow();
    },
    async drain() {
      await Promise.all(
        [...devices.values()].map(async (groups) => {
          while (groups.waiting.length > 0 && failure === undefined) await flush(groups);
          clearTimeout(groups.timer);
          groups.timer = undefined;
          await groups.running;
        }),
      );
      rethrow();
    },
  };
}
