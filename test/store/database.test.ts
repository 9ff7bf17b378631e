import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MailhaulError } from '../../src/errors.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../src/store/database.js';
import type { DatabaseOptions } from '../../src/store/environment.js';
import type { MailboxDatabase, MailboxRecord } from '../../src/store/types.js';

const run = promisify(execFile);
const project = fileURLToPath(new URL('../..', import.meta.url));
const summary = { messages: 3, bytes: 900, lastAppend: 5, seen: 1, answered: 0, flagged: 0, deleted: 0, draft: 0 };

let directory: string;
let database: MailboxDatabase | undefined;

beforeEach(() => {
  directory = fs.mkdtempSync(`${tmpdir()}/mailhaul-mboxlist-`);
});

afterEach(async () => {
  await database?.close();
  database = undefined;
  fs.rmSync(directory, { recursive: true });
});

async function openIt(options: DatabaseOptions = { create: true }): Promise<MailboxDatabase> {
  database = await openMailboxDatabase(directory, options);
  return database;
}

function mailbox(name: string, change: Partial<MailboxRecord> = {}): MailboxRecord {
  return {
    name,
    owner: 'joe',
    legacyName: 'Entwürfe',
    partition: 'primary',
    acl: [{ identifier: 'joe', rights: 'lrswipcda' }],
    uidvalidity: 4_294_967_295,
    uidnext: 4_294_967_295,
    state: 'TRANSITION',
    summary: null,
    mappingId: 7,
    root: null,
    ...change,
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

describe('mailboxes', () => {
  it('come back as they were put, also after the database was closed', async () => {
    const record = mailbox('user/joe/a', { root: '/p', summary, state: 'NON-TRANSITION' });
    await (await openIt()).update((writes) => writes.put(record));
    await database!.close();
    expect((await openIt({})).get('user/joe/a')).toEqual(record);
    expect(database!.get('user/joe/A')).toBeUndefined();
  });

  it('are listed in the order of their names, by prefix', async () => {
    const names = ['user/ann/INBOX', 'user/joe/INBOX', 'user/joe/INBOX/x', 'user/joe/a', 'user/joel/INBOX'];
    await (await openIt()).update((writes) => {
      for (const name of names.toReversed()) writes.put(mailbox(name));
    });
    const list = (prefix?: string) => Array.from(database!.list(prefix), ({ name }) => name);
    expect(list()).toEqual(names);
    expect(list('user/joe/')).toEqual(['user/joe/INBOX', 'user/joe/INBOX/x', 'user/joe/a']);
    expect(list('user/joe')).toEqual(names.slice(1));
    expect(list('user/zoe/')).toEqual([]);
  });

  it('may have names of tens of kilobytes that differ only at the end', async () => {
    const long = `user/joe/${'x'.repeat(40_000)}`;
    await (await openIt()).update((writes) => {
      for (const end of ['a', 'b', '']) writes.put(mailbox(`${long}${end}`));
    });
    expect(database!.get(`${long}a`)?.name).toBe(`${long}a`);
    expect(database!.get(`${long}c`)).toBeUndefined();
    expect(Array.from(database!.list(long), ({ name }) => name).sort()).toEqual([long, `${long}a`, `${long}b`]);
    expect(Array.from(database!.list(`${long}b`), ({ name }) => name)).toEqual([`${long}b`]);
  });

  it('are listed in pages: a writer in between neither breaks the list nor repeats a name', async () => {
    await (await openIt()).update((writes) => {
      for (let i = 0; i < 3000; i++) writes.put(mailbox(`user/joe/${String(i).padStart(5, '0')}`));
    });
    const seen = new Set<string>();
    for (const { name } of database!.list()) {
      expect(seen.has(name)).toBe(false);
      seen.add(name);
      if (seen.size % 1000 === 0) await database!.update((writes) => writes.put(mailbox('user/ann/INBOX')));
    }
    expect(seen.size).toBe(3000);
  });
});

describe('publish', () => {
  it('changes state, summary, quota and tombstone at once', async () => {
    const db = await openIt();
    await db.update((writes) => {
      writes.put(mailbox('user/joe/a'));
      writes.put(mailbox('user/joe/b', { mappingId: 8 }));
      writes.setQuota('joe', { limit: 1, usedBytes: 0, usedMessages: 0 });
      writes.setQuotaLimit('joe', 5000);
    });
    expect(db.wasPublished(7)).toBe(false);
    expect(db.highestPublished()).toBe(0);
    await db.update((writes) => {
      writes.publish('user/joe/a', { summary, uidvalidity: 9, uidnext: 12, root: '/p' });
      writes.publish('user/joe/b', { summary, uidvalidity: 9, uidnext: 12, root: '/p' });
    });
    expect(db.get('user/joe/a')).toMatchObject({
      state: 'NON-TRANSITION',
      summary,
      uidvalidity: 9,
      uidnext: 12,
      root: '/p',
    });
    expect(db.quota('joe')).toEqual({ limit: 5000, usedBytes: 1800, usedMessages: 6 });
    expect(db.wasPublished(7)).toBe(true);
    expect(db.highestPublished()).toBe(8);
  });

  it('done twice counts once', async () => {
    const db = await openIt();
    await db.update((writes) => writes.put(mailbox('user/joe/a')));
    const change = { summary, uidvalidity: 9, uidnext: 12, root: '/p' };
    await db.update((writes) => writes.publish('user/joe/a', change));
    await db.update((writes) => writes.publish('user/joe/a', { ...change, summary: { ...summary, bytes: 1000 } }));
    expect(db.quota('joe')).toEqual({ limit: null, usedBytes: 1000, usedMessages: 3 });
  });

  it('of a mailbox that is not there is refused, and takes back the rest of its transaction', async () => {
    const db = await openIt();
    const change = { summary, uidvalidity: 9, uidnext: 12, root: '/p' };
    const error = await failure(
      db.update((writes) => {
        writes.put(mailbox('user/joe/a'));
        writes.publish('user/joe/none', change);
      }),
    );
    expect(error.code).toBe('DB_NO_MAILBOX');
    expect(db.get('user/joe/a')).toBeUndefined();
  });
});

it('an exception in one of several concurrent updates takes back that one only', async () => {
  const db = await openIt();
  const results = await Promise.allSettled(
    ['a', 'b', 'c'].map((name) =>
      db.update((writes) => {
        writes.put(mailbox(`user/joe/${name}`));
        if (name === 'b') throw new RangeError('stop');
        return name;
      }),
    ),
  );
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(RangeError);
  expect(Array.from(db.list(), ({ name }) => name)).toEqual(['user/joe/a', 'user/joe/c']);
});

it('an update reads what it wrote', async () => {
  const db = await openIt();
  const uidnext = await db.update((writes) => {
    writes.put(mailbox('user/joe/a', { uidnext: 5 }));
    return writes.get('user/joe/a')?.uidnext;
  });
  expect(uidnext).toBe(5);
});

it('subscriptions are kept by user', async () => {
  const db = await openIt();
  await db.update((writes) => writes.setSubscriptions('joe', ['user/joe/b', 'user/joe/a']));
  expect(db.subscriptions('joe')).toEqual(['user/joe/b', 'user/joe/a']);
  expect(db.subscriptions('ann')).toEqual([]);
});

describe('files', () => {
  it('belong to the server account alone', async () => {
    const owner = process.geteuid?.() === 0 ? { uid: 8, gid: 8 } : {};
    await (await openIt({ create: true, owner })).update((writes) => writes.put(mailbox('user/joe/a')));
    for (const name of fs.readdirSync(directory)) {
      const stat = fs.statSync(`${directory}/${name}`);
      expect(stat.mode & 0o7777).toBe(0o600);
      if (owner.uid !== undefined) expect([stat.uid, stat.gid]).toEqual([8, 8]);
    }
    expect(fs.readdirSync(directory).sort()).toEqual([MAILBOX_DATABASE_FILE, `${MAILBOX_DATABASE_FILE}-lock`]);
  });

  it('that are missing are not made unless asked', async () => {
    expect((await failure(openIt({}))).code).toBe('DB_MISSING');
    expect((await failure(openIt({ readOnly: true, create: true }))).code).toBe('DB_MISSING');
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  it.each([MAILBOX_DATABASE_FILE, `${MAILBOX_DATABASE_FILE}-lock`])(
    'a symbolic link in place of %s is refused',
    async (name) => {
      fs.writeFileSync(`${directory}/victim`, 'precious');
      fs.symlinkSync('victim', `${directory}/${name}`);
      expect((await failure(openIt())).code).toBe('DB_UNSAFE');
      expect(fs.readFileSync(`${directory}/victim`, 'utf8')).toBe('precious');
    },
  );

  it('that others may write to are refused', async () => {
    fs.writeFileSync(`${directory}/${MAILBOX_DATABASE_FILE}`, '');
    fs.chmodSync(`${directory}/${MAILBOX_DATABASE_FILE}`, 0o622);
    expect((await failure(openIt())).code).toBe('DB_UNSAFE');
  });

  it.each([100, 4096, 16384, 1 << 20])('of %i foreign bytes are refused and left alone', async (size) => {
    const garbage = Buffer.alloc(size, 'garbage');
    fs.writeFileSync(`${directory}/${MAILBOX_DATABASE_FILE}`, garbage, { mode: 0o600 });
    expect((await failure(openIt())).code).toBe('DB_INVALID');
    expect(fs.readFileSync(`${directory}/${MAILBOX_DATABASE_FILE}`).equals(garbage)).toBe(true);
  });

  it('that are closed twice give back their descriptors once: by then they may be those of other files', async () => {
    await openIt();
    await database!.close();
    const fds = Array.from({ length: 4 }, () => fs.openSync(directory, 'r'));
    await database!.close();
    const closeAll = (): void => {
      for (const fd of fds) fs.closeSync(fd);
    };
    expect(closeAll).not.toThrow();
  });

  it('whose second meta page is damaged are refused', async () => {
    await openIt();
    await database!.close();
    const fd = fs.openSync(`${directory}/${MAILBOX_DATABASE_FILE}`, 'r+');
    fs.writeSync(fd, Buffer.alloc(4), 0, 4, 4096 + 24);
    fs.closeSync(fd);
    expect((await failure(openIt())).code).toBe('DB_INVALID');
  });

  // LMDB would end the process with a signal, or with an exception that nobody can catch.
  it.each<[string, number, number]>([
    ['a root behind the last page', 88, 29],
    ['a root behind the end of the file', 136, 1 << 30],
    ['a meta page as root', 136, 1],
    ['a last page that no file can have', 150, 0x7f],
    ['a tree of another kind', 52, 0x04],
    ['a tree too deep', 54, 0x7f],
  ])('with %s are refused before LMDB sees them', async (_, at, value) => {
    await (await openIt()).update((writes) => writes.put(mailbox('user/joe/a')));
    await database!.close();
    const fd = fs.openSync(`${directory}/${MAILBOX_DATABASE_FILE}`, 'r+');
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    const length = at === 150 || at === 52 || at === 54 ? 2 : 4;
    const [first = 0n, second = 0n] = [0, 4096].map((meta) => {
      const transaction = Buffer.alloc(8);
      fs.readSync(fd, transaction, 0, 8, meta + 152);
      return transaction.readBigUInt64LE();
    });
    fs.writeSync(fd, bytes, 0, length, at + (first >= second ? 0 : 4096));
    fs.closeSync(fd);
    expect((await failure(openIt())).code).toBe('DB_INVALID');
  });

  it.each([0, 4096])(
    'with a tree of another kind in the meta page at %i are refused, whichever counts',
    async (meta) => {
      await (await openIt()).update((writes) => writes.put(mailbox('user/joe/a')));
      await database!.close();
      const fd = fs.openSync(`${directory}/${MAILBOX_DATABASE_FILE}`, 'r+');
      fs.writeSync(fd, Buffer.from([0x7f, 0x7f]), 0, 2, meta + 52);
      fs.closeSync(fd);
      expect((await failure(openIt())).code).toBe('DB_INVALID');
    },
  );

  it('of zeros, as power loss leaves them before the first commit, are begun again', async () => {
    fs.writeFileSync(`${directory}/${MAILBOX_DATABASE_FILE}`, Buffer.alloc(8192), { mode: 0o600 });
    expect((await failure(openIt({ readOnly: true }))).code).toBe('DB_INVALID');
    await (await openIt()).update((writes) => writes.put(mailbox('user/joe/a')));
    expect(database!.get('user/joe/a')).toBeDefined();
  });

  it('that were begun and never filled are empty for readers, or missing', async () => {
    fs.writeFileSync(`${directory}/${MAILBOX_DATABASE_FILE}`, '', { mode: 0o600 });
    expect((await failure(openIt({ readOnly: true }))).code).toBe('DB_MISSING');
    const path = `${directory}/${MAILBOX_DATABASE_FILE}`;
    await open({ path, noSubdir: true, overlappingSync: false, ...{ permissionsMode: 0o600 } }).close();
    const db = await openIt({ readOnly: true });
    expect(Array.from(db.list())).toEqual([]);
    expect([db.get('user/joe/a'), db.quota('joe'), db.highestPublished()]).toEqual([undefined, undefined, 0]);
  });

  it('opened for reading take no changes', async () => {
    await (await openIt()).update((writes) => writes.put(mailbox('user/joe/a')));
    await database!.close();
    const db = await openIt({ readOnly: true });
    expect(db.get('user/joe/a')?.name).toBe('user/joe/a');
    expect((await failure(db.update(() => 0))).code).toBe('DB_READ_ONLY');
  });
});

describe('values that this program did not write', () => {
  /** Puts raw bytes where a mailbox record is expected. */
  async function plant(value: Buffer): Promise<void> {
    await (await openIt()).update((writes) => writes.put(mailbox('user/joe/a')));
    await database!.close();
    const raw = open({
      path: `${directory}/${MAILBOX_DATABASE_FILE}`,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
    });
    const folder = raw.openDB({ name: 'folder', encoding: 'binary', keyEncoding: 'binary' });
    await folder.put(Buffer.from('user/joe/a'), value);
    await raw.close();
    await openIt({});
  }

  it.each([
    ['', 'DB_VALUE'],
    ['\x01', 'DB_VALUE'],
    ['\x01{', 'DB_VALUE'],
    ['\x01null', 'DB_VALUE'],
    ['\x01{"name":"user/joe/a"}', 'DB_VALUE'],
    ['\x02{}', 'DB_VALUE'],
    ['\x02\0\0\0\0{}', 'DB_VALUE'],
    ['\x03{}', 'DB_VERSION'],
    ['{}', 'DB_VERSION'],
  ])('%j gives %s', async (text, code) => {
    await plant(Buffer.from(text));
    expect(() => database!.get('user/joe/a')).toThrow(expect.objectContaining({ code }));
  });

  it('are told of by a list that goes on', async () => {
    await plant(Buffer.from('garbage'));
    await database!.update((writes) => writes.put(mailbox('user/joe/b')));
    expect(() => Array.from(database!.list())).toThrow(expect.objectContaining({ code: 'DB_VERSION' }));
    const damage: Error[] = [];
    expect(
      Array.from(
        database!.list('', (error) => damage.push(error)),
        ({ name }) => name,
      ),
    ).toEqual(['user/joe/b']);
    expect(damage).toEqual([
      expect.objectContaining({ code: 'DB_VERSION', where: expect.stringContaining('user/joe/a') }),
    ]);
  });

  it.each([
    { uidvalidity: -1 },
    { uidnext: 1.5 },
    { state: 'BOTH' },
    { acl: [['x']] },
    { summary: {} },
    { mappingId: '1' },
    { legacyName: 7 },
  ])('a record with %j gives DB_VALUE', async (change) => {
    const { acl, ...rest } = mailbox('user/joe/a');
    const value = { ...rest, acl: acl.map((entry) => [entry.identifier, entry.rights]), ...change };
    await plant(Buffer.from(`\x01${JSON.stringify(value)}`));
    expect(() => database!.get('user/joe/a')).toThrow(expect.objectContaining({ code: 'DB_VALUE' }));
  });
});

describe('several processes', () => {
  const writer = (name: string, count: number) =>
    run(process.execPath, ['test/support/database-writer.mjs', directory, name, String(count)], {
      cwd: project,
    });

  it('write at the same time, and nothing is lost', async () => {
    await (await openIt()).update((writes) => writes.put(mailbox('user/joe/INBOX')));
    await Promise.all([writer('p', 30), writer('q', 30)]);
    database!.refresh();
    expect(Array.from(database!.list('user/p/')).length).toBe(30);
    expect(Array.from(database!.list('user/q/')).length).toBe(30);
    expect(database!.quota('counter')?.usedMessages).toBe(60);
  });

  it('a commit of another process is seen after refresh', async () => {
    await (await openIt()).update((writes) => writes.put(mailbox('user/joe/INBOX')));
    expect(database!.get('user/p/0')).toBeUndefined();
    await writer('p', 1);
    database!.refresh();
    expect(database!.get('user/p/0')).toBeDefined();
  });
});
