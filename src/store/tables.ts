/** Named tables of one LMDB environment: binary keys and values, pages instead of long snapshots. */
import type { Database, RootDatabase } from 'lmdb';
import { MailhaulError } from '../errors.js';

/** A named table with binary keys and values, in order of the keys' bytes. */
export interface Table {
  get(key: Uint8Array): Buffer | undefined;
  has(key: Uint8Array): boolean;
  /** Whether the value is these bytes; nothing is copied. */
  holds(key: Uint8Array, bytes: Buffer): boolean;
  /** Entries whose keys begin with `prefix`, after `after`. Reads in pages: no snapshot is held between two steps. */
  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<{ key: Buffer; value: Buffer }>;
  /** The highest key; undefined in an empty table. */
  lastKey(): Buffer | undefined;
  /** Only within `update`. */
  put(key: Uint8Array, value: Uint8Array): void;
  /** Only within `update`. */
  remove(key: Uint8Array): void;
}

/** Entries a page of `scan` reads. */
const SCAN_PAGE = 512;

/** Opens the table `name` of an environment. Errors: DB_OPEN. */
export function openTable(root: RootDatabase<Buffer, Buffer>, name: string, path: string): Table {
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
      has: () => false,
      holds: () => false,
      lastKey: () => undefined,
      scan: () => [],
      put: readOnlyDatabase,
      remove: readOnlyDatabase,
    };
  const database = opened;
  return {
    get: (key) => database.get(asBuffer(key)),
    has: (key) => database.doesExist(asBuffer(key)),
    holds(key, bytes) {
      // It may lie in a buffer of lmdb's that the next call fills: only its first `length` bytes are the value's.
      const found = database.getBinaryFast(asBuffer(key));
      return found?.length === bytes.length && bytes.compare(found, 0, bytes.length) === 0;
    },
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

export function readOnlyDatabase(): never {
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

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
