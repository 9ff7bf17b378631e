/**
 * One LMDB environment: the ground under both databases (docs/formats/mboxlist.md, upfolder.md).
 *
 * Invariants:
 * - `update` resolves only when its change is on disk. The environment is opened without overlapping sync, so a
 *   commit is fdatasync of the pages and then a write of the meta page through an O_DSYNC descriptor before the
 *   promise resolves (test/store/durability.test.ts watches this with strace). Without overlapping sync lmdb's
 *   `committed` and `flushed` are the same moment.
 * - An exception in `update` takes back what that call changed, and nothing else.
 * - `close` lets the transaction end that runs; one that waits for its turn, or comes later, is DB_CLOSED: the descriptors
 *   of its gate, and what LMDB has open, are going, and their numbers may be another file's.
 * - The descriptor of the `-lock` file is opened before LMDB opens the environment and closed after LMDB closed it, one
 *   for all that this process opens: closing one in between drops the process's POSIX locks on it, and with them its
 *   reader slots.
 * - LMDB follows links: it opens names. Where another account could exchange a name after it was checked here, root
 *   opens with the rights of the server account, so that the kernel refuses what lies outside its reach
 *   (4x-store.md, promise 6).
 *
 * Nobody waits inside LMDB. It waits in four places: for the writers' mutex (a transaction, and every table that is
 * opened for writing), for the mutex of the reader table (a thread's first read), for the POSIX lock that whoever
 * opens first holds meanwhile (open, close), all without end, and the last three in the caller's thread. A holder that
 * was killed is no problem (robust mutexes, kernel locks); one that is stopped (SIGSTOP) is. A wait inside cannot be
 * called off: the process could not even exit. So processes take turns outside, by two gates (gate.ts) that are waited
 * for with a time-out that names the holder, and what LMDB guards is never contended:
 *
 *     opening   flock of the `-lock` file: open, tables, the first read (its slot in the reader table is kept), close
 *     writing   flock of the data file: one transaction, or opening for writing (within `opening`)
 *
 * Readers that are open pass no gate: a writer may be stopped anywhere and they go on. Opening for reading needs only
 * the first gate, whose holder is inside for a millisecond. The kernel lets go of a dead process's mutexes before its
 * flocks, so whoever enters finds them free or repairs them. A program that opens the files with LMDB alone passes no
 * gate; it is found in the lock file (lmdbLock.ts) and waited for in the same way. A gate costs two system calls, on a
 * transaction that waits for the disk twice.
 *
 * A stopped reader holds nobody up, but pages that its snapshot needs are not used again while it is in one; snapshots
 * last for one turn of the event loop.
 */

import * as fs from 'node:fs';
import { open, type RootDatabase } from 'lmdb';
import { asAccount } from '../config/privileges.js';
import { EXIT, MailhaulError, messageOf } from '../errors.js';
import { at, type Dir, displayPath, type Ownership } from '../fs/dir.js';
import { firstByteLockers, firstByteWriters } from '../fs/holders.js';
import {
  checkAccess,
  checkDatabase,
  type Held,
  holdLockFile,
  openForLock,
  opensAsAccount,
  prepareFile,
} from './databaseFiles.js';
import { GATE_WAIT_MS, type Gate, makeGate } from './gate.js';
import { checkLockFile, lmdbWriter } from './lmdbLock.js';
import { openTable, readOnlyDatabase, type Table } from './tables.js';
import { refuseFullDisk, runUpdate } from './transaction.js';

/** What whoever opens one of the databases may choose. */
export interface DatabaseOptions {
  /** The server account; owner that the files get and must have. Undefined: whoever runs this. */
  readonly owner?: Ownership;
  readonly readOnly?: boolean;
  /** Make it when it is missing (`upgrade -s`, `msg-setup`); without this a missing one is DB_MISSING. */
  readonly create?: boolean;
  /** How long another process that is in the way is waited for, milliseconds. */
  readonly lockWaitMs?: number;
}

export interface EnvironmentOptions extends DatabaseOptions {
  /** Bytes of address space, which bounds the file's size; costs nothing until used. */
  readonly mapSize: number;
  /** Names of the tables, all of which are opened at once. */
  readonly tables: readonly string[];
}

export interface Environment {
  /** Path of the data file, for messages. */
  readonly path: string;
  table(name: string): Table;
  /** The next read sees everything that any process committed before this call. */
  refresh(): void;
  /** One transaction; see the head comment. Errors: what `change` throws, DB_WRITE, DB_FULL, DB_BUSY, DB_CLOSED. */
  update<T>(change: () => T): Promise<T>;
  close(): Promise<void>;
}

/** How long another process is waited for at the end: what is not closed is let go of by the kernel. */
const CLOSE_WAIT_MS = 1_000;

/**
 * Opens `name` in `dir`. Errors: DB_MISSING, DB_UNSAFE, DB_INVALID, DB_TRUNCATED, DB_OPEN, DB_LOCK_FORMAT, DB_BUSY.
 */
export async function openEnvironment(dir: Dir, name: string, options: EnvironmentOptions): Promise<Environment> {
  const path = displayPath(dir, name);
  prepareFile(dir, name, options, options.create === true && options.readOnly !== true);
  // LMDB makes a missing lock file itself, but as whoever runs this; a read-only file system may refuse it.
  prepareFile(dir, `${name}-lock`, options, true);
  checkAccess(dir, `${name}-lock`, options.readOnly === true);
  const held: Held[] = [];
  try {
    const gates = openGates(dir, name, path, options, held);
    const opened = await openTables(dir, name, path, options, gates);
    return environment(path, options, gates, opened, held);
  } catch (error) {
    for (const descriptor of held) descriptor.close();
    throw error;
  }
}

interface Gates {
  /** -1 where there is none: a read-only file system, on which LMDB reads without locks. */
  readonly lockFd: number;
  readonly opening: Gate;
  readonly closing: Gate;
  readonly writing: Gate;
  /** The data file; -1 where nothing is written. */
  readonly dataFd: number;
}

interface OpenedTables {
  readonly root: RootDatabase<Buffer, Buffer>;
  readonly tables: ReadonlyMap<string, Table>;
}

const FREE: Gate = { enter: () => Promise.resolve(() => {}) };

/** The gates of an environment; their descriptors are added to `held`. */
function openGates(dir: Dir, name: string, path: string, options: EnvironmentOptions, held: Held[]): Gates {
  const lockFile = holdLockFile(dir, `${name}-lock`, options.readOnly === true);
  const lockFd = lockFile.fd;
  if (lockFd < 0) return { lockFd, opening: FREE, closing: FREE, writing: FREE, dataFd: -1 };
  held.push(lockFile);
  const waitMs = options.lockWaitMs ?? GATE_WAIT_MS;
  const gate = { fd: lockFd, waitMs, where: path };
  const opening = makeGate({
    ...gate,
    others: () => firstByteWriters(lockFd),
    what: 'The database could not be opened',
  });
  const closing = makeGate({ ...gate, waitMs: CLOSE_WAIT_MS, what: 'The database could not be closed' });
  if (options.readOnly === true) return { lockFd, opening, closing, writing: FREE, dataFd: -1 };
  const dataFd = openForLock(dir, name);
  held.push({ fd: dataFd, close: () => fs.closeSync(dataFd) });
  const writing = makeGate({
    ...gate,
    fd: dataFd,
    others: () => {
      const writer = lmdbWriter(lockFd);
      return writer === undefined ? [] : [writer];
    },
    what: 'The database could not be written',
  });
  return { lockFd, opening, closing, writing, dataFd };
}

/** Opens the environment with all its tables, and takes this thread's place among the readers. */
async function openTables(
  dir: Dir,
  name: string,
  path: string,
  options: EnvironmentOptions,
  { lockFd, opening, writing }: Gates,
): Promise<OpenedTables> {
  const leave = [await opening.enter()];
  try {
    if (options.readOnly !== true) leave.push(await writing.enter());
    checkDatabase(dir, name, path, options.readOnly !== true);
    if (lockFd >= 0) checkLockFile(lockFd, () => firstByteLockers(lockFd), path);
    const root = openRootDatabase(dir, name, path, options);
    try {
      const tables = new Map(options.tables.map((table) => [table, openTable(root, table, path)]));
      for (const table of tables.values()) table.lastKey();
      return { root, tables };
    } catch (error) {
      await root.close();
      throw error;
    }
  } finally {
    for (const out of leave.reverse()) out();
  }
}

function environment(
  path: string,
  options: EnvironmentOptions,
  { closing, writing, dataFd }: Gates,
  { root, tables }: OpenedTables,
  held: readonly Held[],
): Environment {
  let closed: Promise<void> | undefined;
  const updates = new Set<Promise<unknown>>();
  const mustBeOpen = (): void => {
    if (closed !== undefined) throw databaseClosed(path);
  };
  const update = async <T>(change: () => T): Promise<T> => {
    refuseFullDisk({ fd: dataFd, path });
    const leave = await writing.enter(mustBeOpen);
    try {
      return await runUpdate(root, path, change);
    } finally {
      leave();
    }
  };
  return {
    path,
    table(name) {
      const table = tables.get(name);
      if (table === undefined) throw new RangeError(`The table ${name} is none of this database.`);
      return table;
    },
    refresh: () => root.resetReadTxn(),
    async update(change) {
      if (options.readOnly === true) return readOnlyDatabase();
      mustBeOpen();
      const running = update(change);
      updates.add(running);
      try {
        return await running;
      } finally {
        updates.delete(running);
      }
    },
    close() {
      // A second time its descriptors may be somebody else's.
      closed ??= Promise.allSettled(updates).then(() => closeAll(closing, root, held));
      return closed;
    },
  };
}

function databaseClosed(path: string): MailhaulError {
  return new MailhaulError('DB_CLOSED', 'The database has been closed: nothing of this change was kept.', {
    where: path,
    exit: EXIT.halted,
    hint: 'A defect of the program, unless it was told to end. Run the same command again.',
  });
}

async function closeAll(closing: Gate, root: RootDatabase<Buffer, Buffer>, held: readonly Held[]): Promise<void> {
  let leave: () => void;
  try {
    leave = await closing.enter();
  } catch {
    // Somebody was stopped in the middle of opening: LMDB's close could wait for it. The kernel closes.
    return;
  }
  try {
    await root.close();
  } finally {
    leave();
  }
  for (const descriptor of held) descriptor.close();
}

function openRootDatabase(
  dir: Dir,
  name: string,
  path: string,
  options: EnvironmentOptions,
): RootDatabase<Buffer, Buffer> {
  const { owner } = options;
  const openNow = () =>
    open<Buffer, Buffer>(at(dir, name) as string, {
      noSubdir: true,
      overlappingSync: false,
      readOnly: options.readOnly === true,
      mapSize: options.mapSize,
      maxDbs: options.tables.length + 1,
      maxReaders: 1024,
      // Batching by event turn makes a promise of its own that nobody sees: a failed commit would end the process.
      eventTurnBatching: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      // Not in lmdb's types: the mode of files that it makes.
      ...{ permissionsMode: 0o600 },
    });
  try {
    return opensAsAccount(dir, owner) ? asAccount(owner, openNow) : openNow();
  } catch (error) {
    const message = messageOf(error);
    throw new MailhaulError('DB_OPEN', `The database cannot be opened: ${message}.`, { where: path, cause: error });
  }
}
