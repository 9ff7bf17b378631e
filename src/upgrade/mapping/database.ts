/**
 * The mapping database `__upfolder.db` (docs/formats/upfolder.md): which 3.x folder is which 4.x mailbox, and the
 * migration record of each.
 *
 *     meta      "meta" → MappingMeta, "nextId" → number, "foreign" → nothing (adopt.ts)
 *     user      uid → MappingUser
 *     folder    id → MappingFolder
 *     mailbox   4.x name → id
 *     owned     uid, 00, id → nothing
 *     record    id, chunk → chunk of the migration record (record.ts)
 *     failure   id, chunk → failures
 *
 * It lies in the 3.x mailbox directory, beside directories that users control: `openEnvironment` refuses a
 * symbolic link, another kind of file or another owner in its place before LMDB opens anything.
 */
import { MailhaulError } from '../../errors.js';
import type { Dir } from '../../fs/dir.js';
import { DecodedValues } from '../../store/decoded.js';
import { type DatabaseOptions, type Environment, openEnvironment } from '../../store/environment.js';
import { ID_BYTES, idKey, nameKey, readId, writeId } from '../../store/keys.js';
import type { Table } from '../../store/tables.js';
import { asFields, countField, decodeValue, encodeValue } from '../../store/values.js';
import type { MappingDatabase, MappingFolder, MappingUser, MappingWrites, MessageFailure } from '../types.js';
import { chunksOf, decodeRecord, encodeChunk } from './record.js';
import {
  decodeFailures,
  decodeFolder,
  decodeMeta,
  decodeUser,
  encodeFailures,
  encodeFolder,
  encodeMeta,
  encodeUser,
  saysRetrying,
} from './values.js';

export const MAPPING_DATABASE_FILE = '__upfolder.db';

/** 128 GiB of address space: a billion messages on record take about 60. Some processors have 512 GiB in all. */
const MAP_SIZE = 128 * 2 ** 30;
/** Failures a value holds. */
const FAILURES_PER_VALUE = 1000;
const META_KEY = Buffer.from('meta');
const NEXT_ID_KEY = Buffer.from('nextId');
const FOREIGN_KEY = Buffer.from('foreign');
const NOTHING = Buffer.of(1);

interface Tables {
  readonly path: string;
  readonly meta: Table;
  readonly user: Table;
  readonly folder: Table;
  readonly mailbox: Table;
  readonly owned: Table;
  readonly record: Table;
  readonly failure: Table;
  /** By uid. */
  readonly users: DecodedValues<string, MappingUser>;
  /** By id. */
  readonly folders: DecodedValues<number, MappingFolder>;
}

/** Names of the tables. */
export const MAPPING_TABLES = ['meta', 'user', 'folder', 'mailbox', 'owned', 'record', 'failure'] as const;

/**
 * Opens `__upfolder.db` in the 3.x default mailbox directory, or in `--work-dir`. One thread of a process has it
 * open at a time. Errors: DB_MISSING, DB_UNSAFE, DB_INVALID, DB_TRUNCATED, DB_OPEN, DB_LOCK_FORMAT, DB_BUSY.
 */
export async function openMappingDatabase(
  directory: Dir,
  name: string = MAPPING_DATABASE_FILE,
  options: DatabaseOptions = {},
): Promise<MappingDatabase> {
  const environment = { ...options, mapSize: MAP_SIZE, tables: MAPPING_TABLES };
  return mappingDatabase(await openEnvironment(directory, name, environment));
}

function mappingDatabase(environment: Environment): MappingDatabase {
  const tables: Tables = {
    path: environment.path,
    users: new DecodedValues((bytes, uid) => decodeUser(bytes, `${environment.path}, user ${uid}`)),
    folders: new DecodedValues((bytes, id) => decodeFolder(bytes, `${environment.path}, folder ${id}`)),
    meta: environment.table('meta'),
    user: environment.table('user'),
    folder: environment.table('folder'),
    mailbox: environment.table('mailbox'),
    owned: environment.table('owned'),
    record: environment.table('record'),
    failure: environment.table('failure'),
  };
  return {
    refresh: environment.refresh,
    takesForeign: () => tables.meta.get(FOREIGN_KEY) !== undefined,
    meta() {
      const value = tables.meta.get(META_KEY);
      return value === undefined ? undefined : decodeMeta(value, `${tables.path}, meta`);
    },
    user: (uid) => tables.users.read(tables.user, nameKey(uid), uid),
    hasUserKey: (key) => tables.user.has(key),
    users: () => listUsers(tables),
    folder: (id) => getFolder(tables, id),
    folderByMailbox(mailbox) {
      const id = mailboxId(tables, mailbox);
      return id === undefined ? undefined : getFolder(tables, id);
    },
    foldersOf: (uid) => foldersOf(tables, uid),
    folders: () => listFolders(tables),
    unsettledFolders: (isPublished) =>
      listFolders(tables, (id, value) => isPublished(id) && isSettled(tables, id, value)),
    nextId: () => peekId(tables),
    record(id) {
      const chunks = Array.from(tables.record.scan(idKey(id)), ({ value }) => value);
      return chunks.length === 0 ? undefined : decodeRecord(chunks, `${tables.path}, record of folder ${id}`);
    },
    failures(id) {
      const failures: MessageFailure[] = [];
      // Nearly every folder has none, and a cursor costs ten times a look.
      if (!tables.failure.has(chunkKey(id, 0))) return failures;
      for (const { value } of tables.failure.scan(idKey(id))) {
        for (const failure of decodeFailures(value, `${tables.path}, failures of folder ${id}`)) failures.push(failure);
      }
      return failures;
    },
    update: (change) =>
      environment.update(() => {
        const ids = new NewIds(tables);
        const result = change(mappingWrites(tables, ids));
        ids.keep();
        return result;
      }),
    close: environment.close,
  };
}

function* listUsers(tables: Tables): Generator<MappingUser> {
  for (const { key, value } of tables.user.scan(Buffer.alloc(0))) {
    yield decodeUser(value, `${tables.path}, user ${key.toString()}`);
  }
}

function* listFolders(
  tables: Tables,
  leaveOut: (id: number, value: Buffer) => boolean = () => false,
): Generator<MappingFolder> {
  for (const { key, value } of tables.folder.scan(Buffer.alloc(0))) {
    if (key.length === ID_BYTES && leaveOut(readId(key, 0), value)) continue;
    yield decodeFolder(value, `${tables.path}, folder ${key.toString('hex')}`);
  }
}

function isSettled(tables: Tables, id: number, value: Buffer): boolean {
  return !tables.failure.has(chunkKey(id, 0)) && !saysRetrying(value);
}

function getFolder(tables: Tables, id: number): MappingFolder | undefined {
  return tables.folders.read(tables.folder, idKey(id), id);
}

function foldersOf(tables: Tables, uid: string): MappingFolder[] {
  const folders: MappingFolder[] = [];
  const prefix = ownedPrefix(uid);
  for (const { key } of tables.owned.scan(prefix)) {
    if (key.length !== prefix.length + ID_BYTES) throw damaged(tables, `owned ${key.toString('hex')}`);
    const folder = getFolder(tables, readId(key, prefix.length));
    if (folder === undefined) throw damaged(tables, `owned ${key.toString('hex')}`);
    folders.push(folder);
  }
  return folders;
}

function mailboxId(tables: Tables, mailbox: string): number | undefined {
  const value = tables.mailbox.get(nameKey(mailbox));
  return value === undefined ? undefined : decodeId(tables, value, `mailbox ${mailbox}`);
}

function decodeId(tables: Tables, value: Uint8Array, what: string): number {
  return decodeValue(value, `${tables.path}, ${what}`, (decoded) => countField(asFields(decoded), 'id'));
}

function damaged(tables: Tables, what: string): MailhaulError {
  return new MailhaulError('DB_VALUE', 'The tables of the mapping database do not agree with each other.', {
    where: `${tables.path}, ${what}`,
    hint: 'Restore the mapping database from a backup.',
  });
}

function mappingWrites(tables: Tables, ids: NewIds): MappingWrites {
  return {
    noteTakesForeign: () => tables.meta.put(FOREIGN_KEY, NOTHING),
    putMeta: (meta) => tables.meta.put(META_KEY, encodeMeta(meta)),
    putUser: (user) => tables.user.put(nameKey(user.uid), encodeUser(user)),
    putFolder(folder) {
      const id = folder.id === 0 ? ids.take() : folder.id;
      const before = folder.id === 0 ? undefined : getFolder(tables, id);
      if (folder.id !== 0 && before === undefined) {
        throw new MailhaulError('DB_FOLDER_ID', `There is no folder ${id} to change.`, { where: folder.mailbox });
      }
      // What leads to the folder stays as it is while name and owner do: both were put with the folder.
      if (before?.mailbox !== folder.mailbox) nameFolder(tables, id, before?.mailbox, folder.mailbox);
      if (before?.uid !== folder.uid) {
        if (before !== undefined) tables.owned.remove(ownedKey(before.uid, id));
        tables.owned.put(ownedKey(folder.uid, id), NOTHING);
      }
      const bytes = encodeFolder(folder, id);
      tables.folder.put(idKey(id), bytes);
      tables.folders.keep(id, bytes, folder.id === id ? folder : { ...folder, id });
      return id;
    },
    putRecord(id, record) {
      replaceChunks(tables.record, id, chunksOf(record), (number) => encodeChunk(record, number));
    },
    setFailures(id, failures) {
      replaceChunks(tables.failure, id, Math.ceil(failures.length / FAILURES_PER_VALUE), (number) => {
        const from = number * FAILURES_PER_VALUE;
        return encodeFailures(failures.slice(from, from + FAILURES_PER_VALUE));
      });
    },
  };
}

/** The name is the folder's from now on; the one before, if there was one, is nobody's. */
function nameFolder(tables: Tables, id: number, before: string | undefined, name: string): void {
  const holder = mailboxId(tables, name);
  if (holder !== undefined && holder !== id) {
    throw new MailhaulError('DB_FOLDER_NAME', `The 4.x name belongs to folder ${holder} already.`, { where: name });
  }
  if (before !== undefined) tables.mailbox.remove(nameKey(before));
  tables.mailbox.put(nameKey(name), encodeValue({ id }));
}

/** Ids count up from 1 and are never given twice, also when the folder is gone. */
class NewIds {
  #next: number | undefined;

  constructor(private readonly tables: Tables) {}

  take(): number {
    const id = this.#next ?? peekId(this.tables);
    this.#next = id + 1;
    return id;
  }

  /** Once a transaction, with everything that has got one. */
  keep(): void {
    if (this.#next !== undefined) this.tables.meta.put(NEXT_ID_KEY, encodeValue({ id: this.#next }));
  }
}

function peekId(tables: Tables): number {
  const value = tables.meta.get(NEXT_ID_KEY);
  return value === undefined ? 1 : decodeId(tables, value, 'nextId');
}

/** Puts the chunks of one folder, numbered from 0; what an earlier, longer value left behind goes. */
function replaceChunks(table: Table, id: number, chunks: number, encode: (number: number) => Buffer): void {
  for (let number = chunks; table.has(chunkKey(id, number)); number++) table.remove(chunkKey(id, number));
  for (let number = 0; number < chunks; number++) table.put(chunkKey(id, number), encode(number));
}

function chunkKey(id: number, chunk: number): Buffer {
  const key = writeId(Buffer.allocUnsafe(ID_BYTES + 4), id, 0);
  key.writeUInt32BE(chunk, ID_BYTES);
  return key;
}

/** No uid holds a 00, so the keys of one uid are no prefix of another's. */
function ownedPrefix(uid: string): Buffer {
  return Buffer.concat([nameKey(uid), Buffer.of(0)]);
}

function ownedKey(uid: string, id: number): Buffer {
  const name = nameKey(uid);
  const key = Buffer.allocUnsafe(name.length + 1 + ID_BYTES);
  key.set(name);
  key[name.length] = 0;
  return writeId(key, id, name.length + 1);
}
