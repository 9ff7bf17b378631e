import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import type { DatabaseOptions } from '../../../src/store/environment.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from '../../../src/upgrade/mapping/database.js';
import { CHUNK_MESSAGES } from '../../../src/upgrade/mapping/record.js';
import type { MappingDatabase, MappingFolder, MigrationRecord } from '../../../src/upgrade/types.js';

let path: string;
let directory: Dir;
let database: MappingDatabase | undefined;

beforeEach(() => {
  path = fs.mkdtempSync(`${tmpdir()}/mailhaul-upfolder-`);
  directory = openRoot(path);
});

afterEach(async () => {
  await database?.close();
  database = undefined;
  closeDir(directory);
  fs.rmSync(path, { recursive: true });
});

async function openIt(options: DatabaseOptions = { create: true }): Promise<MappingDatabase> {
  database = await openMappingDatabase(directory, MAPPING_DATABASE_FILE, options);
  return database;
}

function folder(mailbox: string, change: Partial<MappingFolder> = {}): MappingFolder {
  return {
    id: 0,
    uid: 'joe',
    path: [new Uint8Array([0xe9, 0x01, 0xff]), new Uint8Array(Buffer.from('b'))],
    mailbox,
    legacyName: 'é/b',
    isInbox: false,
    missing: false,
    inode: '18446744073709551615',
    indexBytes: 0,
    uidvalidity: 5,
    partition: 'primary',
    root: null,
    attempts: 0,
    migrated: false,
    sourcesRemoved: false,
    ...change,
  };
}

function record(count: number): MigrationRecord {
  return {
    uidvalidity: 1,
    uidnext: count + 1,
    count,
    uids: Uint32Array.from({ length: count }, (_, i) => i + 1),
    names: new Uint8Array(count).fill(0x61),
    nameOffsets: Uint32Array.from({ length: count + 1 }, (_, i) => i),
    inodes: new BigUint64Array(count),
    sizes: new Float64Array(count),
    mtimes: new BigInt64Array(count),
  };
}

async function failure(promise: Promise<unknown>): Promise<MailhaulError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MailhaulError);
  return error as MailhaulError;
}

const meta = {
  hostName: 'mail.example.com',
  from: '/usr/netscape/msg-tango',
  mailboxDirectory: '/mail',
  serverUser: 'mailsrv',
  serverGroup: 'nobody',
  finished: null,
};

it('keeps meta, users and folders over a restart', async () => {
  const user = { uid: 'joe', storePath: '/mail', partition: 'primary', quota: 0 };
  const id = await (await openIt()).update((writes) => {
    writes.putMeta(meta);
    writes.putUser(user);
    writes.putUser({ ...user, uid: 'ann', quota: null });
    return writes.putFolder(folder('user/joe/&AOk-/b'));
  });
  await database!.close();
  const db = await openIt({});
  expect(db.meta()).toEqual(meta);
  expect(db.user('joe')).toEqual(user);
  expect(db.user('Joe')).toBeUndefined();
  expect(Array.from(db.users(), ({ uid }) => uid)).toEqual(['ann', 'joe']);
  expect(id).toBe(1);
  expect(db.folder(1)).toEqual(folder('user/joe/&AOk-/b', { id: 1 }));
  expect(db.folderByMailbox('user/joe/&AOk-/b')?.id).toBe(1);
  expect(db.folderByMailbox('user/joe/b')).toBeUndefined();
});

it('gives every folder an id of its own, in order, also after an update that was taken back', async () => {
  const db = await openIt();
  const ids = await db.update((writes) => ['a', 'b'].map((name) => writes.putFolder(folder(`user/joe/${name}`))));
  await db
    .update((writes) => {
      writes.putFolder(folder('user/joe/c'));
      throw new Error('stop');
    })
    .catch(() => undefined);
  const next = await db.update((writes) => writes.putFolder(folder('user/joe/d')));
  expect([...ids, next]).toEqual([1, 2, 3]);
  expect(db.folderByMailbox('user/joe/c')).toBeUndefined();
  expect(Array.from(db.folders(), ({ id }) => id)).toEqual([1, 2, 3]);
});

it('leaves out of its folders those that are published and have nothing on record to be tried again', async () => {
  const db = await openIt();
  const failure = { uid: 1, file: '1', code: 'MSG_UNREADABLE', message: '' };
  const named = '"retrying":true';
  await db.update((writes) => {
    for (const name of ['settled', 'failed', 'retrying', 'waiting', 'named so']) {
      const id = writes.putFolder(folder(`user/joe/${name}`, name === 'named so' ? { legacyName: named } : {}));
      if (name === 'failed') writes.setFailures(id, [failure]);
      if (name === 'retrying') writes.putFolder(folder(`user/joe/${name}`, { id, retrying: true }));
    }
  });
  const unsettled = Array.from(
    db.unsettledFolders((id) => id !== 4),
    ({ mailbox }) => mailbox,
  );
  expect(unsettled).toEqual(['user/joe/failed', 'user/joe/retrying', 'user/joe/waiting']);
  // What a fast look knows, a full one finds.
  expect(Array.from(db.folders()).filter(({ retrying }) => retrying === true)).toHaveLength(1);
});

it('finds the folders of a user, not those of one whose uid begins the same', async () => {
  const db = await openIt();
  await db.update((writes) => {
    for (const [uid, name] of [
      ['joe', 'a'],
      ['joel', 'a'],
      ['joe', 'b'],
    ] as const) {
      writes.putFolder(folder(`user/${uid}/${name}`, { uid }));
    }
  });
  expect(db.foldersOf('joe').map(({ mailbox }) => mailbox)).toEqual(['user/joe/a', 'user/joe/b']);
  expect(db.foldersOf('jo')).toEqual([]);
});

it('changes a folder in place', async () => {
  const db = await openIt();
  const id = await db.update((writes) => writes.putFolder(folder('user/joe/a')));
  const changed = folder('user/joe/renamed', { id, root: '/p', attempts: 2, migrated: true });
  await db.update((writes) => writes.putFolder(changed));
  expect(db.folder(id)).toEqual(changed);
  expect(db.folderByMailbox('user/joe/a')).toBeUndefined();
  expect(db.foldersOf('joe')).toEqual([changed]);
});

it('refuses an id that it never gave, and a name that another folder holds', async () => {
  const db = await openIt();
  await db.update((writes) => writes.putFolder(folder('user/joe/a')));
  expect((await failure(db.update((writes) => writes.putFolder(folder('user/joe/b', { id: 9 }))))).code).toBe(
    'DB_FOLDER_ID',
  );
  expect((await failure(db.update((writes) => writes.putFolder(folder('user/joe/a'))))).code).toBe('DB_FOLDER_NAME');
});

describe('records', () => {
  it.each([0, 1, CHUNK_MESSAGES * 2 + 1])('of %i messages come back', async (count) => {
    const db = await openIt();
    await db.update((writes) => writes.putRecord(1, record(count)));
    expect(db.record(1)).toEqual(record(count));
    expect(db.record(2)).toBeUndefined();
  });

  it('that get shorter leave nothing behind', async () => {
    const db = await openIt();
    await db.update((writes) => writes.putRecord(1, record(CHUNK_MESSAGES * 3)));
    await db.update((writes) => writes.putRecord(2, record(4)));
    await db.update((writes) => writes.putRecord(1, record(10)));
    expect(db.record(1)).toEqual(record(10));
    expect(db.record(2)).toEqual(record(4));
  });
});

it('keeps failures by folder, as many as there are, until they are set anew', async () => {
  const db = await openIt();
  const failures = Array.from({ length: 2500 }, (_, i) => ({
    uid: i + 1,
    file: `f${i}`,
    code: 'MSG_UNREADABLE',
    message: 'EIO',
  }));
  await db.update((writes) => {
    writes.setFailures(1, failures);
    writes.setFailures(2, failures.slice(0, 1));
  });
  expect(db.failures(1)).toEqual(failures);
  await db.update((writes) => writes.setFailures(1, []));
  expect(db.failures(1)).toEqual([]);
  expect(db.failures(2)).toEqual(failures.slice(0, 1));
});

describe('a hostile mailbox directory', () => {
  it('cannot lead it elsewhere by a symbolic link, for the database or its lock', async () => {
    fs.writeFileSync(`${path}/victim`, 'precious', { mode: 0o600 });
    for (const name of [MAPPING_DATABASE_FILE, `${MAPPING_DATABASE_FILE}-lock`]) {
      fs.symlinkSync('victim', `${path}/${name}`);
      expect((await failure(openIt())).code).toBe('DB_UNSAFE');
      fs.unlinkSync(`${path}/${name}`);
      fs.rmSync(`${path}/${MAPPING_DATABASE_FILE}`, { force: true });
    }
    expect(fs.readFileSync(`${path}/victim`, 'utf8')).toBe('precious');
  });

  it('cannot make it open a directory', async () => {
    fs.mkdirSync(`${path}/${MAPPING_DATABASE_FILE}`);
    expect((await failure(openIt())).code).toBe('DB_UNSAFE');
  });

  it('cannot offer a database of another account', async (ctx) => {
    if (process.geteuid?.() !== 0) {
      console.log('skipped: needs root to give a file away');
      ctx.skip('needs root to give a file away');
    }
    await openIt();
    await database!.close();
    fs.chownSync(`${path}/${MAPPING_DATABASE_FILE}`, 65534, 65534);
    expect((await failure(openIt({ owner: { uid: 8, gid: 8 } }))).code).toBe('DB_UNSAFE');
  });
});

describe('values that this program did not write', () => {
  async function plant(table: string, key: Buffer, value: Buffer): Promise<MappingDatabase> {
    await (await openIt()).update((writes) => {
      writes.putUser({ uid: 'joe', storePath: '/mail', partition: 'primary', quota: null });
      writes.putRecord(writes.putFolder(folder('user/joe/a')), record(3));
    });
    await database!.close();
    const raw = open({
      path: `${path}/${MAPPING_DATABASE_FILE}`,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
    });
    await raw.openDB({ name: table, encoding: 'binary', keyEncoding: 'binary' }).put(key, value);
    await raw.close();
    return openIt({});
  }
  const id = (n: number) => Buffer.from([0, 0, 0, 0, 0, 0, 0, n]);

  it('give an error with a code in every table', async () => {
    const garbage = Buffer.from('\x01garbage');
    const cases: [string, Buffer, Buffer, (db: MappingDatabase) => unknown, string][] = [
      ['user', Buffer.from('joe'), garbage, (db) => db.user('joe'), 'DB_VALUE'],
      ['folder', id(1), garbage, (db) => db.folder(1), 'DB_VALUE'],
      ['folder', id(1), Buffer.from('\x09{}'), (db) => db.folder(1), 'DB_VERSION'],
      ['meta', Buffer.from('meta'), garbage, (db) => db.meta(), 'DB_VALUE'],
      ['mailbox', Buffer.from('user/joe/a'), garbage, (db) => db.folderByMailbox('user/joe/a'), 'DB_VALUE'],
      ['failure', Buffer.concat([id(1), Buffer.alloc(4)]), garbage, (db) => db.failures(1), 'DB_VALUE'],
      ['record', Buffer.concat([id(1), Buffer.alloc(4)]), garbage, (db) => db.record(1), 'RECORD_DAMAGED'],
      ['owned', Buffer.from('joe\0odd'), garbage, (db) => db.foldersOf('joe'), 'DB_VALUE'],
      ['owned', Buffer.concat([Buffer.from('joe\0'), id(77)]), garbage, (db) => db.foldersOf('joe'), 'DB_VALUE'],
    ];
    for (const [table, key, value, read, code] of cases) {
      const db = await plant(table, key, value);
      expect(() => read(db), table).toThrow(expect.objectContaining({ code }));
      await db.close();
      for (const name of fs.readdirSync(path)) fs.unlinkSync(`${path}/${name}`);
    }
    database = undefined;
  });
});
