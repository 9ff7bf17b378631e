/**
 * One LMDB environment: the ground under both databases (docs/formats/mboxlist.md, upfolder.md).
 *
 * Invariants:
 * - `update` resolves only when its change is on disk. The environment is opened without overlapping sync, so a
 *   commit is fdatasync of the pages and then a write of the meta page through an O_DSYNC descriptor before the
 *   promise resolves (test/store/durability.test.ts watches this with strace). Without overlapping sync lmdb's
 *   `committed` and `flushed` are the same moment.
 * - An exception in `update` takes back what that call changed, and nothing else.
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
import { type Database, open, type RootDatabase } from 'lmdb';
import { asAccount } from '../config/privileges.js';
import { EXIT, hasErrno, MailhaulError } from '../errors.js';
import {
  at,
  createFile,
  type Dir,
  displayPath,
  fstat,
  type Ownership,
  openFile,
  openSoleFile,
  own,
  stat,
  statfs,
  sync,
} from '../fs/dir.js';
import { firstByteLockers } from '../fs/holders.js';
import { effect } from '../fs/seam.js';
import { GATE_WAIT_MS, type Gate, makeGate } from './gate.js';
import { checkDatabaseFile } from './lmdbHeader.js';
import { checkLockFile, lmdbWriter } from './lmdbLock.js';

export interface EnvironmentOptions {
  /** The server account; owner that the files get and must have. Undefined: whoever runs this. */
  readonly owner?: Ownership;
  readonly readOnly?: boolean;
  /** Make it when it is missing; without this a missing one is DB_MISSING. */
  readonly create?: boolean;
  /** Bytes of address space, which bounds the file's size; costs nothing until used. */
  readonly mapSize: number;
  /** Names of the tables, all of which are opened at once. */
  readonly tables: readonly string[];
  /** How long another process that is in the way is waited for, milliseconds. */
  readonly lockWaitMs?: number;
}

/** A named table with binary keys and values, in order of the keys' bytes. */
export interface Table {
  get(key: Uint8Array): Buffer | undefined;
  /** Entries whose keys begin with `prefix`, after `after`. Reads in pages: no snapshot is held between two steps. */
  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<{ key: Buffer; value: Buffer }>;
  /** The highest key; undefined in an empty table. */
  lastKey(): Buffer | undefined;
  /** Only within `update`. */
  put(key: Uint8Array, value: Uint8Array): void;
  /** Only within `update`. */
  remove(key: Uint8Array): void;
}

export interface Environment {
  /** Path of the data file, for messages. */
  readonly path: string;
  table(name: string): Table;
  /** The next read sees everything that any process committed before this call. */
  refresh(): void;
  /** One transaction; see the head comment. */
  update<T>(change: () => T): Promise<T>;
  close(): Promise<void>;
}

/** Entries a page of `scan` reads. */
const SCAN_PAGE = 512;

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

interface Held {
  readonly fd: number;
  close(): void;
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
    others: () => firstByteLockers(lockFd, 'WRITE'),
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

/** Lock files that this process has open, by device and inode. */
const lockFiles = new Map<string, { readonly fd: number; users: number }>();

/** The lock file's descriptor, and how to give it back; -1 on a read-only file system that has none. */
function holdLockFile(dir: Dir, name: string, readOnly: boolean): Held {
  const seen = stat(dir, name);
  if (readOnly && seen === undefined) return { fd: -1, close: () => {} };
  const known = seen === undefined ? undefined : lockFiles.get(`${seen.dev}:${seen.ino}`);
  const fd = known?.fd ?? openForLock(dir, name);
  const { dev, ino } = fs.fstatSync(fd, { bigint: true });
  const entry = known ?? { fd, users: 0 };
  lockFiles.set(`${dev}:${ino}`, entry);
  entry.users += 1;
  return {
    fd,
    close() {
      entry.users -= 1;
      if (entry.users > 0) return;
      lockFiles.delete(`${dev}:${ino}`);
      fs.closeSync(fd);
    },
  };
}

function openForLock(dir: Dir, name: string): number {
  try {
    return openFile(dir, name);
  } catch (cause) {
    throw new MailhaulError('DB_OPEN', 'The database cannot be opened.', { where: displayPath(dir, name), cause });
  }
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
    if (lockFd >= 0) checkLockFile(lockFd, firstByteLockers(lockFd), path);
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
      refuseFullDisk({ fd: dataFd, path });
      const leave = await writing.enter();
      try {
        return await runUpdate(root, path, change);
      } finally {
        leave();
      }
    },
    async close() {
      let leave: () => void;
      try {
        leave = await closing.enter();
      } catch {
        // Somebody was stopped in the middle of opening: LMDB's close could wait for it. The kernel closes.
        return;
      }
      await root.close();
      leave();
      for (const descriptor of held) descriptor.close();
    },
  };
}

function checkDatabase(dir: Dir, name: string, path: string, writable: boolean): void {
  try {
    checkDatabaseFile(dir, name, writable);
  } catch (error) {
    if (error instanceof MailhaulError) throw error;
    throw new MailhaulError('DB_OPEN', 'The database cannot be read.', {
      where: path,
      hint: 'Correct the cause, then run the same command again.',
      cause: error,
    });
  }
}

/** Makes the file with the right owner before LMDB sees it, or checks the one that is there. */
function prepareFile(dir: Dir, name: string, options: EnvironmentOptions, create: boolean): void {
  const where = displayPath(dir, name);
  let found = stat(dir, name);
  if (found === undefined) {
    if (!create) {
      throw new MailhaulError('DB_MISSING', 'The database does not exist.', {
        where,
        hint: 'Run `upgrade -s` first.',
      });
    }
    try {
      const fd = createFile(dir, name, options.owner);
      fs.closeSync(fd);
      sync(dir.fd);
      return;
    } catch (error) {
      if (options.readOnly === true && hasErrno(error, 'EROFS', 'EACCES', 'EPERM')) return;
      if (!hasErrno(error, 'EEXIST')) {
        throw new MailhaulError('DB_OPEN', 'The database cannot be made.', { where, cause: error });
      }
      found = stat(dir, name);
    }
  }
  if (found === undefined || !found.isFile()) {
    throw new MailhaulError('DB_UNSAFE', 'A regular file was expected in place of the database.', {
      where,
      hint: 'Somebody put something else there: find out who, and remove it.',
    });
  }
  // Without an owner to compare with, root takes what it finds.
  const account = options.owner?.uid ?? (process.geteuid?.() || undefined);
  const mine = account === undefined || found.uid === BigInt(account) || found.uid === 0n;
  if (!mine || (found.mode & 0o022n) !== 0n) {
    throw new MailhaulError('DB_UNSAFE', 'The database does not belong to the server account alone.', {
      where,
      hint: 'Its owner must be the server account and only the owner may write to it (mode 0600).',
    });
  }
  if (found.uid === 0n) giveAway(dir, name, options);
}

/** A file that a killed run left to root goes to the server account, which has to open it. */
function giveAway(dir: Dir, name: string, { owner, readOnly }: EnvironmentOptions): void {
  if (readOnly === true || !opensAsAccount(dir, owner)) return;
  const fd = openSoleFile(dir, name);
  try {
    if (fs.fstatSync(fd).uid === 0) own(fd, 0o600, owner);
  } finally {
    fs.closeSync(fd);
  }
}

/** Root opens in a directory whose names somebody else may exchange. */
function opensAsAccount(dir: Dir, owner: Ownership | undefined): owner is { uid: number; gid: number } {
  if (process.geteuid?.() !== 0 || owner?.uid === undefined || owner.gid === undefined) return false;
  const { uid, mode } = fstat(dir);
  return owner.uid !== 0 && (uid !== 0n || (mode & 0o022n) !== 0n);
}

/** Asks whether the lock file can be opened, without opening it (head comment, last invariant). */
function checkAccess(dir: Dir, name: string, readOnly: boolean): void {
  try {
    fs.accessSync(at(dir, name), fs.constants.R_OK | fs.constants.W_OK);
  } catch (error) {
    // LMDB reads without locks where the file system itself is read-only.
    if (readOnly && hasErrno(error, 'EROFS')) return;
    throw new MailhaulError('DB_OPEN', 'The lock file of the database cannot be opened.', {
      where: displayPath(dir, name),
      hint: 'Run the command as root or as the server account.',
      cause: error,
    });
  }
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
    const message = error instanceof Error ? error.message : String(error);
    throw new MailhaulError('DB_OPEN', `The database cannot be opened: ${message}.`, { where: path, cause: error });
  }
}

function openTable(root: RootDatabase<Buffer, Buffer>, name: string, path: string): Table {
  let opened: Database<Buffer, Buffer> | undefined;
  try {
    opened = root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' });
  } catch (error) {
    throw new MailhaulError('DB_OPEN', `The table ${name} cannot be opened: ${String(error)}.`, {
      where: path,
      cause: error,
    });
  }
  // A read-only environment in which the table was never made.
  if (opened === undefined)
    return {
      get: () => undefined,
      lastKey: () => undefined,
      scan: () => [],
      put: readOnlyDatabase,
      remove: readOnlyDatabase,
    };
  const database = opened;
  return {
    get: (key) => database.get(asBuffer(key)),
    lastKey: () => {
      for (const key of database.getKeys({ reverse: true, limit: 1 })) return Buffer.from(key);
      return undefined;
    },
    scan: (prefix, after) => scan(database, asBuffer(prefix), after === undefined ? undefined : asBuffer(after)),
    put: (key, value) => database.putSync(asBuffer(key), asBuffer(value)),
    remove: (key) => {
      database.removeSync(asBuffer(key));
    },
  };
}

function readOnlyDatabase(): never {
  throw new MailhaulError('DB_READ_ONLY', 'The database was opened for reading only.');
}

function* scan(
  database: Database<Buffer, Buffer>,
  prefix: Buffer,
  after: Buffer | undefined,
): Generator<{ key: Buffer; value: Buffer }> {
  let last = after;
  const end = afterPrefix(prefix);
  for (;;) {
    const start = last ?? (prefix.length === 0 ? Buffer.of(0) : prefix);
    const range = {
      start,
      exclusiveStart: last !== undefined,
      limit: SCAN_PAGE,
      ...(end === undefined ? {} : { end }),
    };
    const page: { key: Buffer; value: Buffer }[] = [];
    for (const { key, value } of database.getRange(range)) {
      // Values of a range may share memory with the map: the page outlives the cursor.
      page.push({ key: Buffer.from(key), value: Buffer.from(value) });
    }
    for (const entry of page) {
      if (entry.key.compare(prefix, 0, prefix.length, 0, Math.min(prefix.length, entry.key.length)) !== 0) return;
      yield entry;
    }
    if (page.length < SCAN_PAGE) return;
    last = page[page.length - 1]!.key;
  }
}

/** The first key behind all that begin with `prefix`: a page must not read values that nobody wants. */
function afterPrefix(prefix: Buffer): Buffer | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return undefined;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1]! += 1;
  return end;
}

/** Less than this is no room for a transaction. */
const ROOM_BYTES = 256 * 1024;

/**
 * LMDB itself prints a line, and lmdb a stack trace, when a commit meets a full disk; so most full disks are seen
 * before. A transaction that is larger than what is left still meets them, and nothing of it is kept either way.
 */
function refuseFullDisk(file: Dir): void {
  const { blocks, bavail, bsize } = statfs(file);
  // Some file systems do not tell.
  if (blocks === 0 || bavail * bsize >= ROOM_BYTES) return;
  throw new MailhaulError('DB_WRITE', `The disk of the database is full (ENOSPC): ${bavail * bsize} bytes are free.`, {
    where: file.path,
    exit: EXIT.halted,
    hint: 'Make space, then run the same command again.',
  });
}

async function runUpdate<T>(root: RootDatabase<Buffer, Buffer>, path: string, change: () => T): Promise<T> {
  let thrown: { readonly error: unknown } | undefined;
  try {
    return await root.childTransaction(() => {
      try {
        const result = change();
        effect('commit');
        return result;
      } catch (error) {
        thrown = { error };
        throw error;
      }
    });
  } catch (error) {
    if (thrown !== undefined) throw thrown.error;
    throw await commitFailure(error, path);
  }
}

/** What LMDB could not write, as an error that stops the run: nothing of the transaction happened. */
async function commitFailure(error: unknown, path: string): Promise<MailhaulError> {
  let cause = error;
  if (error instanceof Error && 'commitError' in error) {
    cause = await Promise.resolve(error.commitError).catch((reason: unknown) => reason);
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  const full = /MDB_MAP_FULL/.test(message);
  return new MailhaulError(
    full ? 'DB_FULL' : 'DB_WRITE',
    `The database could not be written, nothing of this change was kept: ${message}.`,
    {
      where: path,
      exit: EXIT.halted,
      hint: 'Make space or repair the device, then run the same command again.',
      cause,
    },
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
