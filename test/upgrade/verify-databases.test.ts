/** `--verify`: the databases against each other and the disk, and the files of the instance. */
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VERIFY_CODES } from '../../src/upgrade/verify/codes.js';
import { needRoot } from './small-store.js';
import { codes, makeVerifiedStore, owned, type VerifiedStore } from './verify-support.js';

let verified: VerifiedStore;

beforeAll(() => {
  verified = makeVerifiedStore();
});

afterAll(() => verified.store.remove());

const BOX = 'user/joe/Box';
const key = (text: string) => Buffer.from(text);
const box = () => verified.readMailboxes((database) => database.get(BOX)!);
const boxFolder = () => verified.readMapping((database) => database.folderByMailbox(BOX)!);

describe('the mailbox database', () => {
  it('with other counts or quota than the index', async () => {
    const record = await box();
    const quota = await verified.readMailboxes((database) => database.quota('joe')!);
    const report = await verified.verifyWith(
      () =>
        verified.changeMailboxes((writes) => {
          writes.put({ ...record, uidnext: 77, summary: { ...record.summary!, seen: 9 } });
          writes.setQuota('joe', { ...quota, usedBytes: 1 });
        }),
      () =>
        verified.changeMailboxes((writes) => {
          writes.put(record);
          writes.setQuota('joe', quota);
        }),
    );
    expect(codes(report)).toEqual(['VERIFY_QUOTA', 'VERIFY_SUMMARY', 'VERIFY_UIDNEXT']);
  });

  it('with another quota limit than the mapping', async () => {
    const quota = await verified.readMailboxes((database) => database.quota('joe')!);
    expect(quota.limit).toBe(5_000_000);
    const report = await verified.verifyWith(
      () => verified.changeMailboxes((writes) => writes.setQuota('joe', { ...quota, limit: 0 })),
      () => verified.changeMailboxes((writes) => writes.setQuota('joe', quota)),
    );
    expect(codes(report)).toEqual(['VERIFY_QUOTA']);
  });

  it('where a published mailbox is in TRANSITION again', async () => {
    const record = await verified.readMailboxes((database) => database.get('user/joe/INBOX/deep/er')!);
    const report = await verified.verifyWith(
      () => verified.changeMailboxes((writes) => writes.put({ ...record, state: 'TRANSITION', summary: null })),
      () => verified.changeMailboxes((writes) => writes.put(record)),
    );
    expect(codes(report)).toEqual(['VERIFY_DATABASES', 'VERIFY_WAITING']);
  });

  it.each([
    ['another 3.x name', { legacyName: 'Bux' }, ['VERIFY_ADMIN', 'VERIFY_DATABASES']],
    ['another partition', { partition: 'second' }, ['VERIFY_ADMIN', 'VERIFY_CONFIGURATION', 'VERIFY_DATABASES']],
    ['another uidvalidity', { uidvalidity: 9 }, ['VERIFY_UIDVALIDITY']],
    ['other access rights', { acl: [{ identifier: 'ann', rights: 'lr' }] }, ['VERIFY_ACL']],
  ])('with %s', async (_, change, expected) => {
    const record = await box();
    const report = await verified.verifyWith(
      () => verified.changeMailboxes((writes) => writes.put({ ...record, ...change })),
      () => verified.changeMailboxes((writes) => writes.put(record)),
    );
    expect(codes(report)).toEqual(expected);
  });

  it('that lost a tombstone', async () => {
    const { id } = await boxFolder();
    const tombstone = Buffer.alloc(8);
    tombstone.writeBigUInt64BE(BigInt(id));
    let before: Buffer | null = null;
    const report = await verified.verifyWith(
      async () => {
        before = await verified.rawValue('mailboxes', 'published', tombstone, null);
      },
      () => verified.rawValue('mailboxes', 'published', tombstone, before),
    );
    expect(before).not.toBeNull();
    expect(codes(report)).toEqual(['VERIFY_DATABASES']);
  });

  it('that lost a mailbox: it may have been deleted, but its directory is there', async () => {
    let before: Buffer | null = null;
    const report = await verified.verifyWith(
      async () => {
        before = await verified.rawValue('mailboxes', 'folder', key(BOX), null);
      },
      () => verified.rawValue('mailboxes', 'folder', key(BOX), before),
    );
    expect(codes(report)).toEqual(['VERIFY_MAILBOX_GONE', 'VERIFY_QUOTA', 'VERIFY_UNKNOWN_FILE']);
  });

  it('with one 3.x folder twice', async () => {
    const record = await box();
    const report = await verified.verifyWith(
      () => verified.changeMailboxes((writes) => writes.put({ ...record, name: 'user/joe/Copy' })),
      () => verified.rawValue('mailboxes', 'folder', key('user/joe/Copy'), null),
    );
    expect(report.byCode).toMatchObject({ VERIFY_DOUBLED: 1, VERIFY_DIRECTORY_MISSING: 1, VERIFY_QUOTA: 1 });
  });

  it('with a value that cannot be read', async () => {
    let before: Buffer | null = null;
    const report = await verified.verifyWith(
      async () => {
        before = await verified.rawValue('mailboxes', 'folder', key(BOX), Buffer.from('\u0001{"name":'));
      },
      () => verified.rawValue('mailboxes', 'folder', key(BOX), before),
    );
    expect(report.byCode.VERIFY_RECORD).toBeGreaterThan(0);
    expect(report.exitCode).toBe(1);
  });
});

describe('the mapping database', () => {
  it('with failures on record for messages that are there, or that nobody knows', async () => {
    const { id } = await boxFolder();
    const there = { uid: 1, file: 'msg1', code: 'MSG_UNREADABLE', message: 'EIO' };
    const unknown = { uid: 77, file: 'msg77', code: 'MSG_UNREADABLE', message: 'EIO' };
    const report = await verified.verifyWith(
      () => verified.changeMapping((writes) => writes.setFailures(id, [there, unknown])),
      () => verified.changeMapping((writes) => writes.setFailures(id, [])),
    );
    expect(report.byCode).toEqual({ VERIFY_NOT_MIGRATED: 2, VERIFY_FAILURES: 2 });
  });

  it('with a record that does not name a message of the index', async () => {
    const { id } = await boxFolder();
    const record = await verified.readMapping((database) => database.record(id)!);
    const report = await verified.verifyWith(
      () =>
        verified.changeMapping((writes) =>
          writes.putRecord(id, { ...record, uids: Uint32Array.of(1, 6), uidnext: record.uidnext }),
        ),
      () => verified.changeMapping((writes) => writes.putRecord(id, record)),
    );
    expect(report.byCode.VERIFY_COUNT).toBe(2);
  });

  it('with a record that gives one 3.x file two uids', async () => {
    const { id } = await boxFolder();
    const record = await verified.readMapping((database) => database.record(id)!);
    const report = await verified.verifyWith(
      () =>
        verified.changeMapping((writes) =>
          writes.putRecord(id, {
            ...record,
            names: key('msg1msg1'),
            nameOffsets: Uint32Array.of(0, 4, 8),
            inodes: record.inodes.map(() => record.inodes[0] ?? 0n),
            sizes: record.sizes.map(() => record.sizes[0] ?? 0),
            mtimes: record.mtimes.map(() => record.mtimes[0] ?? 0n),
          }),
        ),
      () => verified.changeMapping((writes) => writes.putRecord(id, record)),
    );
    expect(codes(report)).toContain('VERIFY_DOUBLED');
  });

  it('with a record whose sizes are of other messages', async () => {
    const { id } = await boxFolder();
    const record = await verified.readMapping((database) => database.record(id)!);
    const report = await verified.verifyWith(
      () => verified.changeMapping((writes) => writes.putRecord(id, { ...record, sizes: Float64Array.of(1, 2) })),
      () => verified.changeMapping((writes) => writes.putRecord(id, record)),
    );
    expect(report.byCode.VERIFY_SIZE).toBe(2);
  });

  it('with a folder that cannot be read: the rest is verified, nothing halts', async () => {
    const { id } = await boxFolder();
    const folderKey = Buffer.alloc(8);
    folderKey.writeBigUInt64BE(BigInt(id));
    const before = await verified.rawValue('mapping', 'folder', folderKey, Buffer.from('\u0001{"id":1}'));
    try {
      const report = await verified.verify();
      expect(report).toMatchObject({ exitCode: 1, halted: null, messages: { checked: 7 } });
      expect(report.byCode.VERIFY_RECORD).toBeGreaterThan(0);
    } finally {
      await verified.rawValue('mapping', 'folder', folderKey, before);
    }
  });

  it('without the record of a folder, also of one that was empty from the start', async () => {
    const { id } = await verified.readMapping((database) => database.folderByMailbox('user/empty/INBOX')!);
    const chunk = Buffer.alloc(12);
    chunk.writeBigUInt64BE(BigInt(id));
    const before = await verified.rawValue('mapping', 'record', chunk, null);
    expect(before).not.toBeNull();
    try {
      expect(codes(await verified.verify())).toEqual(['VERIFY_RECORD']);
    } finally {
      await verified.rawValue('mapping', 'record', chunk, before);
    }
  });

  it('with a record whose check fails', async () => {
    const { id } = await boxFolder();
    const chunk = Buffer.alloc(12);
    chunk.writeBigUInt64BE(BigInt(id));
    let before: Buffer | null = null;
    const report = await verified.verifyWith(
      async () => {
        before = await verified.rawValue('mapping', 'record', chunk, null);
        const damaged = Buffer.from(before!);
        damaged[40]! ^= 1;
        await verified.rawValue('mapping', 'record', chunk, damaged);
      },
      () => verified.rawValue('mapping', 'record', chunk, before),
    );
    expect(codes(report)).toEqual(['VERIFY_RECORD']);
  });

  it.each([
    ['another 3.x name', { legacyName: 'Bux' }],
    ['another partition', { partition: 'second' }],
    ['another partition path', { root: '/elsewhere' }],
    ['isInbox', { isInbox: true }],
  ])('with %s in a folder', async (_, change) => {
    const folder = await boxFolder();
    const report = await verified.verifyWith(
      () => verified.changeMapping((writes) => writes.putFolder({ ...folder, ...change })),
      () => verified.changeMapping((writes) => writes.putFolder(folder)),
    );
    expect(codes(report)).toEqual(['VERIFY_DATABASES']);
  });

  it('that says that originals are gone which are there', async () => {
    const folder = await boxFolder();
    const report = await verified.verifyWith(
      () => verified.changeMapping((writes) => writes.putFolder({ ...folder, sourcesRemoved: true })),
      () => verified.changeMapping((writes) => writes.putFolder(folder)),
    );
    expect(report.byCode).toEqual({ VERIFY_SOURCE_LEFT: 2 });
  });

  it('that says that a 3.x folder never was, of which there are messages', async () => {
    const folder = await boxFolder();
    const report = await verified.verifyWith(
      () => verified.changeMapping((writes) => writes.putFolder({ ...folder, missing: true })),
      () => verified.changeMapping((writes) => writes.putFolder(folder)),
    );
    expect(report.byCode).toEqual({ VERIFY_DATABASES: 1 });
  });

  it('that would give an id twice', async () => {
    const before = await verified.rawValue('mapping', 'meta', key('nextId'), key('\u0001{"id":1}'));
    try {
      expect(codes(await verified.verify())).toEqual(['VERIFY_DATABASES']);
    } finally {
      await verified.rawValue('mapping', 'meta', key('nextId'), before);
    }
  });

  it('with a folder that its user does not list', async () => {
    const { id } = await boxFolder();
    const owned = Buffer.concat([key('joe\0'), Buffer.alloc(8)]);
    owned.writeBigUInt64BE(BigInt(id), 4);
    const before = await verified.rawValue('mapping', 'owned', owned, null);
    expect(before).not.toBeNull();
    try {
      const report = await verified.verify();
      expect(codes(report)).toEqual(['VERIFY_DATABASES', 'VERIFY_FOLDER_UNKNOWN']);
    } finally {
      await verified.rawValue('mapping', 'owned', owned, before);
    }
  });

  it('with a folder that has no mailbox', async () => {
    const folder = await boxFolder();
    const own = makeVerifiedStore();
    try {
      await own.changeMapping((writes) => {
        writes.putFolder({
          ...folder,
          id: 0,
          mailbox: 'user/joe/Lost',
          legacyName: 'Lost',
          path: [key('Lost')],
          root: null,
          migrated: false,
        });
      });
      expect(codes(await own.verify())).toContain('VERIFY_FOLDER_MISSING');
    } finally {
      own.store.remove();
    }
  });
});

describe('the files of the instance', () => {
  it.each([
    ['config', () => `${verified.store.instance}/config/configdb`],
    ['the log', () => `${verified.store.instance}/log/default/default`],
    ['the lock', () => `${verified.store.instance}/lock/__lock.share`],
    ['the mailbox database', () => `${verified.store.instance}/store/mboxlist/mboxlist.mdb`],
    ['the mapping database', () => `${verified.store.mailbox}/__upfolder.db`],
    ['a user list', () => `${verified.store.mailbox}/__up.primary.txt`],
    ['upgrade4x.conf', () => `${verified.store.mailbox}/upgrade4x.conf`],
    ['a directory', () => `${verified.store.instance}/queue/active`],
  ])('with another mode or owner: %s', async (_, where) => {
    const path = where();
    const mode = fs.statSync(path).mode & 0o777;
    const report = await verified.verifyWith(
      () => fs.chmodSync(path, 0o744),
      () => fs.chmodSync(path, mode),
    );
    expect(report.findings.map(({ code, where }) => [code, where])).toEqual([['VERIFY_MODE', path]]);
  });

  it('of another owner', async (ctx) => {
    needRoot(ctx);
    const path = `${verified.store.instance}/config/configdb`;
    const report = await verified.verifyWith(
      () => fs.chownSync(path, 0, 0),
      () => owned(path),
    );
    expect(codes(report)).toEqual(['VERIFY_OWNER']);
  });

  it('a directory that is missing', async () => {
    const path = `${verified.store.instance}/queue`;
    const report = await verified.verifyWith(
      () => fs.renameSync(path, `${verified.store.root}/away`),
      () => fs.renameSync(`${verified.store.root}/away`, path),
    );
    expect(report.byCode).toEqual({ VERIFY_DIRECTORY_MISSING: 3 });
  });
});

/** All pages behind the first two, but those that the meta pages name (store/lmdbHeader.ts looks at these). */
function wipe(path: string): void {
  const content = fs.readFileSync(path);
  const roots = [0, 4096].flatMap((meta) => [88, 136].map((at) => content.readUInt32LE(meta + at)));
  for (let page = 2; page * 4096 < content.length; page++) {
    if (!roots.includes(page)) content.fill(0xff, page * 4096, (page + 1) * 4096);
  }
  fs.writeFileSync(path, content);
}

describe('a database file that is damaged', () => {
  it.each([
    ['cut to one page', (path: string) => fs.truncateSync(path, 4096), /DB_INVALID|DB_TRUNCATED|VERIFY_DATABASE/],
    ['cut to the meta pages', (path: string) => fs.truncateSync(path, 8192), /DB_INVALID|DB_TRUNCATED|VERIFY_DATABASE/],
    ['with pages of nothing', wipe, /DB_INVALID|DB_TRUNCATED|VERIFY_DATABASE/],
    ['empty', (path: string) => fs.truncateSync(path, 0), /DB_MISSING|FOLDERS_FIRST/],
  ])('is refused, and does not end the process: %s', async (_, damage, code) => {
    for (const path of [
      `${verified.store.instance}/store/mboxlist/mboxlist.mdb`,
      `${verified.store.mailbox}/__upfolder.db`,
    ]) {
      const content = fs.readFileSync(path);
      damage(path);
      try {
        await expect(verified.verify()).rejects.toMatchObject({ code: expect.stringMatching(code), exit: 3 });
      } finally {
        fs.writeFileSync(path, content);
      }
    }
    expect((await verified.verify()).exitCode).toBe(0);
  });
});

describe('the table of findings', () => {
  it('is in docs/operations.md with the same advice, and every code has a test', () => {
    const read = (path: string) => fs.readFileSync(new URL(path, import.meta.url), 'utf8');
    const rows = read('../../docs/operations.md')
      .split('\n')
      .filter((line) => line.startsWith('| `VERIFY_'));
    const names = ['verify', 'verify-source', 'verify-databases', 'verify-configuration'];
    const tests = names.map((name) => read(`./${name}.test.ts`)).join('\n');
    for (const [code, { severity, advice }] of Object.entries(VERIFY_CODES)) {
      const row = rows.find((line) => line.includes(`\`${code}\``));
      expect(row, code).toBeDefined();
      expect(row, code).toContain(advice);
      expect(row, code).toContain(`| ${severity} |`);
      expect(tests, `a test of ${code}`).toContain(`${code}`);
    }
  });
});
