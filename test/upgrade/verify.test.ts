import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRoot } from '../../src/fs/dir.js';
import { openMailboxDatabase } from '../../src/store/database.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import type { MailboxWrites } from '../../src/store/types.js';
import { openMappingDatabase } from '../../src/upgrade/mapping/database.js';
import type { MappingWrites } from '../../src/upgrade/types.js';
import { type VerifyReport, verifyStore } from '../../src/upgrade/verify.js';
import { fillFolder, migrate, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { ACCOUNT } from './small-store.js';

let store: SmallStore;
let primary: string;

/** A store with every kind of message that migrates without an error. */
beforeAll(() => {
  store = smallStore();
  store.user('joe');
  store.user('empty');
  fillFolder(store, 'joe', 'INBOX', 7, [
    { uid: 3, content: simpleMessage('first'), flags: 'SA,$Forwarded', date: 946_684_800 },
    { uid: 104, content: simpleMessage('second') },
    { uid: 105, content: 'Subject: bare\n\nLF\n' },
  ]);
  fillFolder(store, 'joe', 'Box', 8, [{ uid: 1, content: simpleMessage('boxed'), flags: 'F' }]);
  fillFolder(store, 'joe', 'INBOX/deep/er', 9, []);
  fs.linkSync(`${store.mailbox}/joe/INBOX/msg104`, `${store.mailbox}/joe/Box/shared`);
  fs.appendFileSync(`${store.mailbox}/joe/Box/.mailbox`, `2 1000 - ${simpleMessage('second').length} shared\n`);
  migrate(store);
  primary = `${store.instance}/store/partition/primary`;
});

afterAll(() => store.remove());

const directoryOf = (mailbox: string) => `${primary}/${mailboxPathComponents('joe', mailbox).join('/')}`;
const inboxFile = (uid: number) =>
  `${directoryOf('user/joe/INBOX')}/${String(Math.floor(uid / 100)).padStart(2, '0')}/${uid}.msg`;
const verify = (samplePercent?: number): Promise<VerifyReport> =>
  verifyStore({ instance: store.instance, samplePercent });
const codes = (report: VerifyReport) =>
  Object.keys(report.byCode)
    .filter((code) => code !== 'VERIFY_WAITING')
    .sort();

/** Damages the store, verifies, repairs. */
async function verifyWith(
  damage: () => void | Promise<void>,
  repair: () => void | Promise<void>,
): Promise<VerifyReport> {
  await damage();
  try {
    return await verify();
  } finally {
    await repair();
  }
}

/** Replaces the content of a file for one verification; owner, mode and times stay. */
async function verifyWithContent(path: string, change: (content: Buffer) => Buffer): Promise<VerifyReport> {
  const original = fs.readFileSync(path);
  // Node sets times in microseconds; touch(1) keeps the nanoseconds that the migration record has.
  const reference = `${store.root}/reference`;
  spawnSync('touch', ['-r', path, reference]);
  const write = (content: Buffer) => {
    fs.writeFileSync(path, content);
    spawnSync('touch', ['-r', reference, path]);
  };
  return verifyWith(
    () => write(change(Buffer.from(original))),
    () => write(original),
  );
}

async function changeMailboxes(change: (writes: MailboxWrites) => void): Promise<void> {
  const database = await openMailboxDatabase(`${store.instance}/store/mboxlist`);
  await database.update(change);
  await database.close();
}

async function changeMapping(change: (writes: MappingWrites) => void): Promise<void> {
  const database = await openMappingDatabase(openRoot(store.mailbox));
  await database.update(change);
  await database.close();
}

function owned(path: string): void {
  if (process.geteuid?.() === 0) fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
}

it('a store just migrated holds, all messages read and compared', async () => {
  const report = await verify();
  expect(report.findings).toEqual([]);
  expect(report).toMatchObject({
    exitCode: 0,
    errors: 0,
    messages: { checked: 5, read: 5, compared: 5 },
    mailboxes: { waiting: 0 },
  });
  expect(report.text).toContain('Everything holds.');
  expect(JSON.parse(JSON.stringify(report))).not.toHaveProperty('text');
});

it('--sample reads fewer messages and still checks the rest', async () => {
  const report = await verify(0.001);
  expect(report.messages).toEqual({ checked: 5, read: 0, compared: 0 });
  expect(report.exitCode).toBe(0);
});

describe('message files', () => {
  it('with another content of the same size', async () => {
    const report = await verifyWithContent(inboxFile(105), (content) => {
      content[3] = 0x58;
      return content;
    });
    expect(codes(report)).toEqual(['VERIFY_CONTENT']);
    expect(report.exitCode).toBe(1);
    expect(report.findings[0]).toMatchObject({
      user: 'joe',
      mailbox: 'user/joe/INBOX',
      uid: 105,
      where: inboxFile(105),
    });
  });

  it('with another size', async () => {
    const report = await verifyWithContent(inboxFile(105), (content) => Buffer.concat([content, Buffer.from('x')]));
    expect(codes(report)).toEqual(['VERIFY_SIZE']);
  });

  it('that are gone, alone or with their directory', async () => {
    const away = `${store.root}/away`;
    const gone = await verifyWith(
      () => fs.renameSync(inboxFile(3), away),
      () => fs.renameSync(away, inboxFile(3)),
    );
    expect(codes(gone)).toEqual(['VERIFY_MESSAGE_MISSING']);
    const directory = `${directoryOf('user/joe/INBOX')}/01`;
    const all = await verifyWith(
      () => fs.renameSync(directory, away),
      () => fs.renameSync(away, directory),
    );
    expect(all.byCode).toEqual({ VERIFY_MESSAGE_MISSING: 2 });
  });

  it('replaced by a symbolic link, which is not followed', async () => {
    const away = `${store.root}/away`;
    const report = await verifyWith(
      () => {
        fs.renameSync(inboxFile(3), away);
        fs.symlinkSync(away, inboxFile(3));
      },
      () => fs.renameSync(away, inboxFile(3)),
    );
    expect(codes(report)).toEqual(['VERIFY_MESSAGE_UNREADABLE']);
  });

  it('of another mode, and of another owner', async (ctx) => {
    const report = await verifyWith(
      () => fs.chmodSync(inboxFile(105), 0o644),
      () => fs.chmodSync(inboxFile(105), 0o600),
    );
    expect(codes(report)).toEqual(['VERIFY_MODE']);
    if (process.geteuid?.() !== 0) {
      console.log('skipped: needs root to give a file away');
      ctx.skip('needs root to give a file away');
    }
    const foreign = await verifyWith(
      () => fs.chownSync(inboxFile(105), 0, 0),
      () => owned(inboxFile(105)),
    );
    expect(codes(foreign)).toEqual(['VERIFY_OWNER']);
  });

  it('that shared one inode in 3.x and no longer do', async () => {
    const path = `${directoryOf('user/joe/Box')}/00/2.msg`;
    const report = await verifyWith(
      () => {
        fs.copyFileSync(path, `${path}.copy`);
        owned(`${path}.copy`);
        fs.renameSync(`${path}.copy`, path);
      },
      () => {
        fs.unlinkSync(path);
        fs.linkSync(inboxFile(104), path);
      },
    );
    expect(codes(report)).toEqual(['VERIFY_SINGLE_COPY']);
  });
});

describe('strangers', () => {
  it.each([
    ['in a mailbox directory', () => `${directoryOf('user/joe/INBOX')}/stray`],
    ['in a hash directory', () => `${directoryOf('user/joe/INBOX')}/00/7.msg`],
    ['in a directory that only leads to a mailbox', () => `${directoryOf('user/joe/INBOX')}/=+i+n+b+o+x/stray`],
    ['at the top of a partition', () => `${primary}/stray`],
    ['among the hash levels', () => `${primary}/=user/stray`],
    ['a directory of no mailbox', () => `${directoryOf('user/joe/INBOX')}/=gone`],
    ['a directory of no user', () => `${primary}/=user/aa`],
  ])('are found: %s', async (_, where) => {
    const path = where();
    const report = await verifyWith(
      () => {
        if (path.includes('.') || path.endsWith('stray')) fs.writeFileSync(path, '', { mode: 0o600 });
        else fs.mkdirSync(path, { mode: 0o700 });
        owned(path);
        if (path.endsWith('/aa')) {
          fs.mkdirSync(`${path}/bb`, { mode: 0o700 });
          owned(`${path}/bb`);
          fs.mkdirSync(`${path}/bb/=nobody`, { mode: 0o700 });
        }
      },
      () => fs.rmSync(path, { recursive: true }),
    );
    expect(codes(report)).toEqual(['VERIFY_UNKNOWN_FILE']);
  });

  it('a directory that others may read is found', async () => {
    const report = await verifyWith(
      () => fs.chmodSync(directoryOf('user/joe/Box'), 0o755),
      () => fs.chmodSync(directoryOf('user/joe/Box'), 0o700),
    );
    expect(codes(report)).toEqual(['VERIFY_MODE']);
  });
});

describe('the index', () => {
  it('that is damaged', async () => {
    const report = await verifyWithContent(`${directoryOf('user/joe/INBOX')}/store.idx`, (content) => {
      content[300]! ^= 0xff;
      return content;
    });
    expect(codes(report)).toEqual(['VERIFY_INDEX']);
    expect(report.findings[0]!.message).toContain('IDX_CACHE');
  });

  it('that is gone', async () => {
    const path = `${directoryOf('user/joe/Box')}/store.idx`;
    const report = await verifyWith(
      () => fs.renameSync(path, `${store.root}/away`),
      () => fs.renameSync(`${store.root}/away`, path),
    );
    expect(codes(report)).toEqual(['VERIFY_INDEX']);
  });

  it('with its directory gone', async () => {
    const path = directoryOf('user/joe/Box');
    const report = await verifyWith(
      () => fs.renameSync(path, `${store.root}/away`),
      () => fs.renameSync(`${store.root}/away`, path),
    );
    expect(codes(report)).toEqual(['VERIFY_DIRECTORY_MISSING']);
  });
});

describe('3.x', () => {
  const original = (name: string) => `${store.mailbox}/joe/${name}`;

  it.each([
    ['another flag', 'F ', 'SD ', 'VERIFY_FLAGS'],
    ['another keyword', ' F ', ' F,Junk ', 'VERIFY_FLAGS'],
    ['another date', '1000000001', '1000000002', 'VERIFY_DATE'],
    ['another uid', '\n1 ', '\n9 ', 'VERIFY_UID'],
    ['a higher uidvalidity', 'NSMB 3 8 ', 'NSMB 3 88 ', 'VERIFY_UIDVALIDITY'],
    ['a higher uidnext', 'NSMB 3 8 2', 'NSMB 3 8 99', 'VERIFY_UIDNEXT'],
  ])('with %s', async (_, from, to, code) => {
    const report = await verifyWithContent(original('Box/.mailbox'), (content) =>
      Buffer.from(content.toString().replace(from, to)),
    );
    expect(codes(report)).toEqual([code]);
  });

  it('with a message that is not the migrated one any more', async () => {
    const report = await verifyWithContent(original('INBOX/msg105'), (content) =>
      Buffer.concat([content, Buffer.from('x')]),
    );
    expect(codes(report)).toEqual(['VERIFY_SOURCE_CHANGED']);
  });

  it('with a copy of the migrated message in its place, as a restored backup leaves it: a note', async () => {
    const path = original('INBOX/msg105');
    const report = await verifyWith(
      () => {
        fs.renameSync(path, `${store.root}/kept`);
        fs.copyFileSync(`${store.root}/kept`, path);
      },
      () => fs.renameSync(`${store.root}/kept`, path),
    );
    expect(codes(report)).toEqual(['VERIFY_SOURCE_REPLACED']);
    expect(report.exitCode).toBe(0);
  });

  it('with other bytes in a message of the same size and time', async () => {
    const report = await verifyWithContent(original('INBOX/msg105'), (content) =>
      Buffer.from(content).fill(0x58, 2, 3),
    );
    expect(codes(report)).toEqual(['VERIFY_SOURCE_CONTENT']);
  });

  it('with a message and a folder that came later', async () => {
    const report = await verifyWith(
      () => {
        fs.writeFileSync(original('INBOX/late'), 'Subject: late\r\n\r\n');
        fs.mkdirSync(original('New'));
      },
      () => {
        fs.unlinkSync(original('INBOX/late'));
        fs.rmdirSync(original('New'));
      },
    );
    expect(codes(report)).toEqual(['VERIFY_FOLDER_UNKNOWN', 'VERIFY_SOURCE_NEW']);
  });

  it('gone altogether is only worth a note', async () => {
    const report = await verifyWith(
      () => fs.renameSync(original('Box'), `${store.root}/away`),
      () => fs.renameSync(`${store.root}/away`, original('Box')),
    );
    expect(codes(report)).toEqual(['VERIFY_SOURCE_GONE']);
    expect(report.exitCode).toBe(0);
  });
});

describe('the databases', () => {
  it('with other counts or quota than the index', async () => {
    const database = await openMailboxDatabase(`${store.instance}/store/mboxlist`, { readOnly: true });
    const record = database.get('user/joe/Box')!;
    const quota = database.quota('joe')!;
    await database.close();
    const report = await verifyWith(
      () =>
        changeMailboxes((writes) => {
          writes.put({ ...record, uidnext: 77, summary: { ...record.summary!, seen: 9 } });
          writes.setQuota('joe', { ...quota, usedBytes: 1 });
        }),
      () =>
        changeMailboxes((writes) => {
          writes.put(record);
          writes.setQuota('joe', quota);
        }),
    );
    expect(codes(report)).toEqual(['VERIFY_QUOTA', 'VERIFY_SUMMARY', 'VERIFY_UIDNEXT']);
  });

  it('where a published mailbox is in TRANSITION again', async () => {
    const database = await openMailboxDatabase(`${store.instance}/store/mboxlist`, { readOnly: true });
    const record = database.get('user/joe/INBOX/deep/er')!;
    await database.close();
    const report = await verifyWith(
      () => changeMailboxes((writes) => writes.put({ ...record, state: 'TRANSITION', summary: null })),
      () => changeMailboxes((writes) => writes.put(record)),
    );
    expect(codes(report)).toEqual(['VERIFY_DATABASES']);
  });

  it('with failures on record', async () => {
    const failure = { uid: 1, file: 'msg1', code: 'MSG_UNREADABLE', message: 'EIO' };
    const mapping = await openMappingDatabase(openRoot(store.mailbox), undefined, { readOnly: true });
    const { id } = mapping.folderByMailbox('user/joe/Box')!;
    await mapping.close();
    const report = await verifyWith(
      () => changeMapping((writes) => writes.setFailures(id, [failure])),
      () => changeMapping((writes) => writes.setFailures(id, [])),
    );
    expect(codes(report)).toEqual(['VERIFY_NOT_MIGRATED']);
  });

  it('with a record that does not name a message of the index', async () => {
    const mapping = await openMappingDatabase(openRoot(store.mailbox), undefined, { readOnly: true });
    const { id } = mapping.folderByMailbox('user/joe/Box')!;
    const record = mapping.record(id)!;
    await mapping.close();
    const report = await verifyWith(
      () => changeMapping((writes) => writes.putRecord(id, { ...record, uids: Uint32Array.of(1, 6) })),
      () => changeMapping((writes) => writes.putRecord(id, record)),
    );
    expect(report.byCode.VERIFY_COUNT).toBe(2);
  });
});

it('after -r, and with a folder that waits, the rest holds', async () => {
  const other = smallStore();
  try {
    other.user('ann');
    fillFolder(other, 'ann', 'INBOX', 7, [{ uid: 1, content: simpleMessage('a') }]);
    migrate(other, { remove: true });
    expect(fs.existsSync(`${other.mailbox}/ann/INBOX/msg1`)).toBe(false);
    fillFolder(other, 'ann', 'Late', 9, [{ uid: 1, content: simpleMessage('b') }]);
    migrate(other, { foldersOnly: true });
    const report = await verifyStore({ instance: other.instance });
    expect(report.byCode).toEqual({ VERIFY_WAITING: 1 });
    expect(report).toMatchObject({ exitCode: 0, messages: { checked: 1, read: 1, compared: 0 } });
  } finally {
    other.remove();
  }
});

it('writes nothing, in 3.x or 4.x', async () => {
  const state = () =>
    spawnSync('find', [store.root, '!', '-name', '*-lock', '-printf', '%p %i %s %m %U %T@ %C@\\n'], {
      encoding: 'utf8',
    }).stdout;
  const before = state();
  await verify();
  expect(state()).toBe(before);
});
