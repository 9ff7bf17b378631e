/**
 * The mailbox databases in `store/mboxlist` (docs/formats/mboxlist.md): one LMDB environment, so that one
 * transaction covers a folder's state, its quota and its subscriptions.
 *
 *     folder     mailbox name → MailboxRecord
 *     quota      uid → QuotaRecord
 *     peruser    per-user flags (written by services)
 *     subscr     uid → subscribed mailbox names
 *     published  mapping id → mailbox name: the tombstone, this folder was published once
 *     uidvalidity  uid → the highest that a mailbox of the user had that was made, deleted or renamed
 *     pending    id → NameChange: a delete or rename whose directory may not have followed yet (mailbox/names.ts)
 */
import type { IndexSummary } from '../engine/types.js';
import { MailhaulError } from '../errors.js';
import { closeDir, type Dir, openRoot } from '../fs/dir.js';
import { DecodedValues } from './decoded.js';
import { type DatabaseOptions, type Environment, openEnvironment } from './environment.js';
import { idKey, nameKey, prefixKey } from './keys.js';
import {
  decodeMailbox,
  decodeNameChange,
  decodeQuota,
  encodeMailbox,
  encodeNameChange,
  encodeQuota,
} from './records.js';
import type { Table } from './tables.js';
import type { MailboxDatabase, MailboxRecord, MailboxWrites, NameChange, QuotaRecord } from './types.js';
import { decodeValue, encodeValue, textArray } from './values.js';

/** Data file in `store/mboxlist`; its lock file is `mboxlist.mdb-lock`. */
export const MAILBOX_DATABASE_FILE = 'mboxlist.mdb';

/** Names of the tables. */
export const MAILBOX_TABLES = ['folder', 'quota', 'subscr', 'published', 'pending', 'peruser', 'uidvalidity'] as const;

/** 64 GiB of address space: ten million mailboxes take about 5. */
const MAP_SIZE = 64 * 2 ** 30;

interface Tables {
  readonly path: string;
  readonly folder: Table;
  readonly quota: Table;
  readonly subscr: Table;
  readonly peruser: Table;
  readonly published: Table;
  readonly pending: Table;
  readonly uidvalidity: Table;
  /** By name. */
  readonly mailboxes: DecodedValues<string, MailboxRecord>;
}

/**
 * Opens the databases in `directory` (`store/mboxlist`, held or by path). One thread of a process has it open at
 * a time. Errors: DB_MISSING, DB_UNSAFE, DB_INVALID, DB_TRUNCATED, DB_OPEN, DB_LOCK_FORMAT, DB_BUSY.
 */
export async function openMailboxDatabase(
  directory: Dir | string,
  options: DatabaseOptions = {},
): Promise<MailboxDatabase> {
  const dir = typeof directory === 'string' ? openRoot(directory) : directory;
  try {
    const environment = await openEnvironment(dir, MAILBOX_DATABASE_FILE, {
      ...options,
      mapSize: MAP_SIZE,
      tables: MAILBOX_TABLES,
    });
    return mailboxDatabase(environment);
  } finally {
    if (dir !== directory) closeDir(dir);
  }
}

function mailboxDatabase(environment: Environment): MailboxDatabase {
  const tables: Tables = {
    path: environment.path,
    mailboxes: new DecodedValues((bytes, name) => decodeMailbox(bytes, `${environment.path}, ${name}`)),
    folder: environment.table('folder'),
    quota: environment.table('quota'),
    subscr: environment.table('subscr'),
    peruser: environment.table('peruser'),
    published: environment.table('published'),
    pending: environment.table('pending'),
    uidvalidity: environment.table('uidvalidity'),
  };
  const writes = mailboxWrites(tables);
  return {
    refresh: environment.refresh,
    get: writes.get,
    list: (prefix = '', onDamaged) => listMailboxes(tables, prefix, onDamaged),
    publishedName(mappingId) {
      const value = tables.published.get(idKey(mappingId));
      return value === undefined ? undefined : decodeValue(value, `${tables.path}, published ${mappingId}`, text);
    },
    wasPublished: (mappingId) => tables.published.has(idKey(mappingId)),
    highestPublished() {
      const key = tables.published.lastKey();
      return key?.length === 8 ? Number(key.readBigUInt64BE()) : 0;
    },
    quota: (uid) => getQuota(tables, uid),
    subscriptions(uid) {
      const value = tables.subscr.get(nameKey(uid));
      return value === undefined ? [] : decodeValue(value, `${tables.path}, subscriptions of ${uid}`, textArray);
    },
    highestUidvalidity: (owner) => highestUidvalidity(tables, owner),
    nameChanges: () => listNameChanges(tables),
    keys: (table) => listKeys(tables[table]),
    update: (change) => environment.update(() => change(writes)),
    close: environment.close,
  };
}

function* listMailboxes(tables: Tables, prefix: string, onDamaged?: (error: Error) => void): Generator<MailboxRecord> {
  for (const { key, value } of tables.folder.scan(prefixKey(prefix))) {
    let record: MailboxRecord;
    try {
      record = decodeMailbox(value, `${tables.path}, ${key.toString()}`);
    } catch (error) {
      if (onDamaged === undefined || !(error instanceof MailhaulError)) throw error;
      onDamaged(error);
      continue;
    }
    // The key of a long name holds only its beginning.
    if (record.name.startsWith(prefix)) yield record;
  }
}

function* listNameChanges(tables: Tables): Generator<NameChange> {
  for (const { key, value } of tables.pending.scan(Buffer.alloc(0))) {
    yield decodeNameChange(value, `${tables.path}, pending ${key.toString('hex')}`);
  }
}

function* listKeys(table: Table): Generator<Buffer> {
  for (const { key } of table.scan(Buffer.alloc(0))) yield key;
}

function getQuota(tables: Tables, uid: string): QuotaRecord | undefined {
  const value = tables.quota.get(nameKey(uid));
  return value === undefined ? undefined : decodeQuota(value, `${tables.path}, quota of ${uid}`);
}

function highestUidvalidity({ path, uidvalidity }: Tables, owner: string): number {
  const value = uidvalidity.get(nameKey(owner));
  return value === undefined ? 0 : decodeValue(value, `${path}, uidvalidity of ${owner}`, uint32);
}

function mailboxWrites(tables: Tables): MailboxWrites {
  const get = (name: string): MailboxRecord | undefined => tables.mailboxes.read(tables.folder, nameKey(name), name);
  const put = (record: MailboxRecord): void => tables.folder.put(nameKey(record.name), encodeMailbox(record));
  const setQuota = (uid: string, quota: QuotaRecord): void => tables.quota.put(nameKey(uid), encodeQuota(quota));
  const noteUidvalidity = (owner: string, uidvalidity: number): void => {
    if (uidvalidity <= highestUidvalidity(tables, owner)) return;
    tables.uidvalidity.put(nameKey(owner), encodeValue(uidvalidity));
  };
  /** Clients know that of a published mailbox. */
  const noteOf = ({ state, owner, uidvalidity }: MailboxRecord): void => {
    if (state === 'NON-TRANSITION') noteUidvalidity(owner, uidvalidity);
  };
  return {
    get,
    put,
    noteUidvalidity,
    setQuota,
    setQuotaLimit(uid, limit) {
      const { usedBytes, usedMessages } = getQuota(tables, uid) ?? { usedBytes: 0, usedMessages: 0 };
      setQuota(uid, { limit, usedBytes, usedMessages });
    },
    setSubscriptions: (uid, names) => tables.subscr.put(nameKey(uid), encodeValue(names)),
    remove(name) {
      const before = get(name);
      if (before === undefined) return;
      tables.folder.remove(nameKey(name));
      noteOf(before);
      if (before.state === 'NON-TRANSITION') {
        setQuota(before.owner, addUse(getQuota(tables, before.owner), before, NO_USE));
      }
    },
    rename(name, to) {
      const before = get(name);
      if (before === undefined) return;
      tables.folder.remove(nameKey(name));
      noteOf(before);
      put({ ...before, name: to });
      if (before.mappingId !== null) tables.published.put(idKey(before.mappingId), encodeValue(to));
    },
    beginNameChange: (change) => tables.pending.put(idKey(change.id), encodeNameChange(change)),
    endNameChange: (id) => tables.pending.remove(idKey(id)),
    publish(name, change) {
      const before = get(name);
      if (before === undefined) {
        throw new MailhaulError('DB_NO_MAILBOX', 'A mailbox that is not in the database cannot be published.', {
          where: name,
        });
      }
      put({ ...before, ...change, state: 'NON-TRANSITION' });
      setQuota(before.owner, addUse(getQuota(tables, before.owner), before, change.summary));
      if (before.mappingId !== null) tables.published.put(idKey(before.mappingId), encodeValue(name));
    },
  };
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('it is no name');
  return value;
}

function uint32(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw new TypeError('it is no uidvalidity');
  return value;
}

const NO_USE = { messages: 0, bytes: 0 };

/** Quota use with the folder's old contribution taken out and the new one added: publishing twice counts once. */
function addUse(
  quota: QuotaRecord | undefined,
  before: MailboxRecord,
  after: Pick<IndexSummary, 'messages' | 'bytes'>,
): QuotaRecord {
  const counted = before.state === 'NON-TRANSITION' ? before.summary : null;
  return {
    limit: quota?.limit ?? null,
    usedBytes: Math.max(0, (quota?.usedBytes ?? 0) - (counted?.bytes ?? 0)) + after.bytes,
    usedMessages: Math.max(0, (quota?.usedMessages ?? 0) - (counted?.messages ?? 0)) + after.messages,
  };
}
