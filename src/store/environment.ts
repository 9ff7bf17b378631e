/**
 * One LMDB environment: the ground under both databases (docs/formats/mboxlist.md, upfolder.md).
 *
 * Invariants:
 * - `update` resolves only when its change is on disk. The environment is opened without overlapping sync, so a
 *   commit is fdatasync of the pages and then a write of the meta page through an O_DSYNC descriptor before the
 *   promise resolves (test/store/durability.test.ts watches this with strace). Without overlapping sync lmdb's
 *   `committed` and `flushed` are the same moment.
 * - The wait for the write lock, which another process may hold, is in lmdb's thread: the event loop goes on.
 * - An exception in `update` takes back what that call changed, and nothing else.
 * - No descriptor of the `-lock` file is ever opened or closed here while the environment is open: closing one
 *   drops the process's POSIX locks on it, and with them its reader slots.
 * - LMDB follows links: it opens names. Where another account could exchange a name after it was checked here, root
 *   opens with the rights of the server account, so that the kernel refuses what lies outside its reach
 *   (4x-store.md, promise 6).
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
  openSoleFile,
  own,
  stat,
  sync,
} from '../fs/dir.js';
import { effect } from '../fs/seam.js';
import { checkDatabaseFile } from './lmdbHeader.js';

export interface EnvironmentOptions {
  /** The server account; owner that the files get and must have. Undefined: whoever runs this. */
  readonly owner?: Ownership;
  readonly readOnly?: boolean;
  /** Make it when it is missing; without this a missing one is DB_MISSING. */
  readonly create?: boolean;
  /** Bytes of address space, which bounds the file's size; costs nothing until used. */
  readonly mapSize: number;
  /** Most named tables. */
  readonly tables: number;
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

/** Opens `name` in `dir`. Errors: DB_MISSING, DB_UNSAFE, DB_INVALID, DB_OPEN. */
export function openEnvironment(dir: Dir, name: string, options: EnvironmentOptions): Environment {
  const path = displayPath(dir, name);
  prepareFile(dir, name, options, options.create === true && options.readOnly !== true);
  // LMDB makes a missing lock file itself, but as whoever runs this; a read-only file system may refuse it.
  prepareFile(dir, `${name}-lock`, options, true);
  checkDatabaseFile(dir, name, options.readOnly !== true);
  checkAccess(dir, `${name}-lock`, options.readOnly === true);
  const root = openRootDatabase(dir, name, path, options);
  const tables = new Map<string, Table>();
  return {
    path,
    table(tableName) {
      const table = tables.get(tableName) ?? openTable(root, tableName, path);
      tables.set(tableName, table);
      return table;
    },
    refresh: () => root.resetReadTxn(),
    update: async (change) => (options.readOnly === true ? readOnlyDatabase() : runUpdate(root, path, change)),
    close: () => root.close(),
  };
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
      maxDbs: options.tables + 1,
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
  for (;;) {
    const start = last ?? (prefix.length === 0 ? Buffer.of(0) : prefix);
    const page: { key: Buffer; value: Buffer }[] = [];
    for (const { key, value } of database.getRange({ start, exclusiveStart: last !== undefined, limit: SCAN_PAGE })) {
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
