/** What `--reset` refuses, each by name. One migrated store; every test damages it, asks with a dry run, repairs. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { type Database, open } from 'lmdb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryFlock } from '../../src/fs/flock.js';
import { MAILBOX_DATABASE_FILE } from '../../src/store/database.js';
import { encodeJournalHeader } from '../../src/store/index/journal.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import type { MailboxWrites } from '../../src/store/types.js';
import type { ResetReport } from '../../src/upgrade/reset.js';
import type { MigrationRecord } from '../../src/upgrade/types.js';
import { asService } from '../campaign/support/service.js';
import { fillFolder, migrate, runCli, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { filesBelow, namedAsStopped, primaryOf, refusalsOf, reset, stoppedHolder } from './reset-support.js';
import { ACCOUNT, databases } from './small-store.js';

let store: SmallStore;

/** ann's mail is in 4.x only; joe's is in 3.x too. */
beforeAll(() => {
  store = smallStore();
  for (const uid of ['ann', 'joe']) {
    store.user(uid);
    fillFolder(store, uid, 'INBOX', 7, [
      { uid: 1, content: simpleMessage('first'), flags: 'S' },
      { uid: 2, content: 'Subject: bare\n\nLF\n' },
    ]);
    fillFolder(store, uid, 'Box', 8, [{ uid: 1, content: simpleMessage('boxed') }]);
    fs.writeFileSync(`${store.mailbox}/${uid}/Box/.acl`, 'ann lrs\n');
    fs.writeFileSync(`${store.mailbox}/${uid}/.subscriptions`, 'Box\n');
  }
  migrate(store);
  const list = `${store.root}/ann.txt`;
  const head = `[4x partition]:primary\n[3x MailStorePath]:${store.mailbox}\n#---------List of mail user id ------\n`;
  fs.writeFileSync(list, `${head}ann\n`);
  expect(runCli('upgrade', '-u', list, '-r', '--instance', store.instance)).toMatchObject({ status: 0 });
});

afterAll(() => store.remove());

const mailboxOf = (uid: string, mailbox: string): string =>
  `${primaryOf(store)}/${mailboxPathComponents(uid, `user/${uid}/${mailbox}`).join('/')}`;
const annFile = (uid: number): string => `${mailboxOf('ann', 'INBOX')}/00/${uid}.msg`;

const ask = (): Promise<ResetReport> => reset(store, { dryRun: true });

/** The whole 3.x and 4.x tree, without what every run writes anew. */
const everything = (): Record<string, string> =>
  filesBelow(store.root, (name) => !/-lock$|__lock|log\/default/.test(name));

/** Damages the store, asks and resets, repairs. Nothing may have changed in between. */
async function refused(damage: () => unknown, repair: () => unknown): Promise<ResetReport> {
  await damage();
  try {
    const before = everything();
    const report = await reset(store, { confirm: () => expect.unreachable('it must not ask') });
    expect(report).toMatchObject({ outcome: 'refused', exitCode: 3 });
    expect(everything()).toEqual(before);
    return report;
  } finally {
    await repair();
  }
}

/** Changes a file for one test; times stay. */
function refusedWith(file: string, content: string): Promise<ResetReport> {
  const original = fs.readFileSync(file);
  const reference = `${store.root}/reference`;
  spawnSync('touch', ['-r', file, reference]);
  return refused(
    () => fs.writeFileSync(file, content),
    () => {
      fs.writeFileSync(file, original);
      spawnSync('touch', ['-r', reference, file]);
    },
  );
}

function owned(file: string): void {
  if (process.geteuid?.() === 0) fs.chownSync(file, ACCOUNT.uid, ACCOUNT.gid);
}

const changeMailboxes = (change: (writes: MailboxWrites) => void): Promise<void> =>
  databases(store, (_, mailboxes) => mailboxes.update(change));

/** Runs something as a 4.x service, and puts the whole instance and 3.x store back afterwards. */
async function refusedAfter(service: Parameters<typeof asService<unknown>>[1]): Promise<ResetReport> {
  const kept = `${store.root}-kept`;
  const copy = (from: string, to: string): void => {
    fs.rmSync(to, { recursive: true, force: true });
    expect(spawnSync('cp', ['-a', from, to]).status).toBe(0);
  };
  copy(store.root, kept);
  try {
    return await refused(
      () => asService(store.instance, service),
      () => {},
    );
  } finally {
    copy(kept, store.root);
    fs.rmSync(kept, { recursive: true });
  }
}

it('nothing of a store as -m and -r left it', async () => {
  const report = await ask();
  expect(report.refusals).toEqual([]);
  expect(report).toMatchObject({ outcome: 'planned', exitCode: 0 });
  expect(report.restore).toMatchObject({ messages: 3, rewritten: 1 });
});

describe('what services did', () => {
  it('a message that was delivered', async () => {
    const report = await refusedAfter((service) => service.append('user/joe/INBOX', simpleMessage('new')));
    expect(refusalsOf(report)).toEqual(['RESET_CHANGED', 'RESET_UNKNOWN_FILE']);
    expect(report.refusals.map(({ mailbox }) => mailbox)).toContain('user/joe/INBOX');
  });

  it('flags', async () => {
    const report = await refusedAfter((service) => service.flag('user/joe/INBOX', 1, 4));
    expect(refusalsOf(report)).toEqual(['RESET_CHANGED']);
  });

  it('flags behind a damaged record of the journal, which nobody can read', async () => {
    const report = await refusedAfter(async (service) => {
      await service.flag('user/joe/INBOX', 1, 4);
      await service.flag('user/joe/INBOX', 1, 1);
      const file = `${mailboxOf('joe', 'INBOX')}/store.jnl`;
      const journal = fs.readFileSync(file);
      journal[32 + 12]! ^= 1;
      fs.writeFileSync(file, journal);
    });
    expect(refusalsOf(report)).toEqual(['RESET_CHANGED']);
  });

  it('the journal of another index, whose changes nobody can tell', async () => {
    const report = await refusedAfter(async (service) => {
      await service.flag('user/joe/INBOX', 1, 4);
      const file = `${mailboxOf('joe', 'INBOX')}/store.jnl`;
      fs.writeFileSync(file, encodeJournalHeader({ generation: 1, headerCheck: 1n }));
    });
    expect(refusalsOf(report)).toEqual(['RESET_CHANGED']);
  });

  it('an expunge', async () => {
    const report = await refusedAfter((service) => service.expunge('user/joe/INBOX', 1));
    expect(refusalsOf(report)).toContain('RESET_CHANGED');
  });

  it('a new mailbox', async () => {
    const report = await refusedAfter((service) => service.create('user/joe/New', 'user/joe/Box'));
    expect(refusalsOf(report)).toContain('RESET_MADE_IN_4X');
    expect(report.refusals.map(({ mailbox }) => mailbox)).toContain('user/joe/New');
  });

  it('a rename', async () => {
    const report = await refusedAfter((service) => service.rename('user/joe/Box', 'user/joe/Chest'));
    expect(refusalsOf(report)).toContain('RESET_RENAMED');
  });

  it('a delete, when 3.x has not all of its messages', async () => {
    const report = await refusedAfter((service) => service.delete('user/ann/Box'));
    expect(refusalsOf(report)).toEqual(['RESET_DELETED']);
    expect(report.refusals[0]).toMatchObject({ mailbox: 'user/ann/Box' });
  });

  it('opening a mailbox changes nothing and is no reason', async () => {
    const kept = `${mailboxOf('joe', 'INBOX')}/store.jnl`;
    await asService(store.instance, (service) => service.open('user/joe/INBOX'));
    try {
      expect((await ask()).refusals).toEqual([]);
    } finally {
      fs.rmSync(kept);
    }
  });

  it('other rights', async () => {
    let before: readonly { identifier: string; rights: string }[] = [];
    const report = await refused(
      () =>
        changeMailboxes((writes) => {
          const record = writes.get('user/joe/Box')!;
          before = record.acl;
          writes.put({ ...record, acl: [{ identifier: 'joe', rights: 'l' }] });
        }),
      () => changeMailboxes((writes) => writes.put({ ...writes.get('user/joe/Box')!, acl: before })),
    );
    expect(refusalsOf(report)).toEqual(['RESET_ACL']);
  });

  it('another quota', async () => {
    let before = { limit: null as number | null, usedBytes: 0, usedMessages: 0 };
    const report = await refused(
      () =>
        databases(store, (_, mailboxes) => {
          before = { ...before, ...mailboxes.quota('joe') };
          return mailboxes.update((writes) => writes.setQuota('joe', { ...before, limit: 99 }));
        }),
      () => changeMailboxes((writes) => writes.setQuota('joe', before)),
    );
    expect(refusalsOf(report)).toEqual(['RESET_QUOTA']);
  });

  it('other subscriptions', async () => {
    const report = await refused(
      () => changeMailboxes((writes) => writes.setSubscriptions('joe', ['user/joe/Box', 'user/joe/INBOX'])),
      () => changeMailboxes((writes) => writes.setSubscriptions('joe', ['user/joe/Box'])),
    );
    expect(refusalsOf(report)).toEqual(['RESET_SUBSCRIPTIONS']);
  });

  it('quota and subscriptions of a user who came in 4.x', async () => {
    const report = await refusedAfter(({ store: { mailboxes } }) =>
      mailboxes.update((writes) => {
        writes.setQuota('new', { limit: 5, usedBytes: 0, usedMessages: 0 });
        writes.setSubscriptions('new', ['user/new/INBOX']);
      }),
    );
    expect(refusalsOf(report)).toEqual(['RESET_QUOTA', 'RESET_SUBSCRIPTIONS']);
  });
});

/** A table of the mailbox database as LMDB has it: `upgrade` itself writes no such values. */
async function withTable(name: string, change: (table: Database<Buffer, Buffer>) => Promise<unknown>): Promise<void> {
  const path = `${store.instance}/store/mboxlist/${MAILBOX_DATABASE_FILE}`;
  const raw = open({ path, noSubdir: true, overlappingSync: false, maxDbs: 12 });
  try {
    await change(raw.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }));
  } finally {
    await raw.close();
  }
}

describe('databases', () => {
  it('with per-user flags, which 3.x cannot hold', async () => {
    const key = 'user/joe/INBOX\0ann';
    const report = await refused(
      () => withTable('peruser', (table) => table.put(Buffer.from(key), Buffer.from('S'))),
      () => withTable('peruser', (table) => table.remove(Buffer.from(key))),
    );
    expect(report.refusals).toMatchObject([
      { code: 'RESET_PER_USER', user: '', mailbox: '', uid: null, where: `per-user flags, ${key}` },
    ]);
  });

  it('with a value that cannot be read', async () => {
    const key = Buffer.from('user/joe/Odd');
    const report = await refused(
      () => withTable('folder', (table) => table.put(key, Buffer.from([0xc1, 0xff]))),
      () => withTable('folder', (table) => table.remove(key)),
    );
    expect(refusalsOf(report)).toEqual(['RESET_RECORD']);
  });

  it('whose record lacks a message that the index has: nobody knows where it came from', async () => {
    const change = (to: (record: MigrationRecord) => MigrationRecord): Promise<void> =>
      databases(store, (mapping) => {
        const { id } = mapping.folderByMailbox('user/joe/INBOX')!;
        return mapping.update((writes) => writes.putRecord(id, to(mapping.record(id)!)));
      });
    let whole: MigrationRecord | undefined;
    const report = await refused(
      () =>
        change((record) => {
          whole = record;
          return withoutLast(record);
        }),
      () => change((record) => whole ?? record),
    );
    expect(refusalsOf(report)).toEqual(['RESET_NOT_ON_RECORD', 'RESET_UNKNOWN_FILE']);
    const [inIndex] = report.refusals.filter(({ code }) => code === 'RESET_NOT_ON_RECORD');
    expect(inIndex).toMatchObject({ user: 'joe', mailbox: 'user/joe/INBOX', uid: 2 });
  });
});

function withoutLast(record: MigrationRecord): MigrationRecord {
  const count = record.count - 1;
  return {
    ...record,
    count,
    uids: record.uids.slice(0, count),
    names: record.names.slice(0, record.nameOffsets[count]),
    nameOffsets: record.nameOffsets.slice(0, count + 1),
    inodes: record.inodes.slice(0, count),
    sizes: record.sizes.slice(0, count),
    mtimes: record.mtimes.slice(0, count),
  };
}

it('a mailbox directory in whose place a link stands is not followed', async () => {
  const directory = mailboxOf('joe', 'Box');
  const away = `${store.root}/away`;
  const report = await refused(
    () => {
      fs.renameSync(directory, away);
      fs.symlinkSync(away, directory);
    },
    () => {
      fs.unlinkSync(directory);
      fs.renameSync(away, directory);
    },
  );
  expect(refusalsOf(report)).toEqual(['RESET_UNKNOWN_FILE', 'RESET_UNREADABLE']);
});

describe('message files', () => {
  it('that were changed, when they are the only copy', async () => {
    const report = await refusedWith(annFile(2), 'Subject: bare\r\n\r\nXX\r\n');
    expect(refusalsOf(report)).toEqual(['RESET_CONTENT']);
    expect(report.refusals[0]).toMatchObject({ user: 'ann', mailbox: 'user/ann/INBOX', uid: 2, where: annFile(2) });
  });

  it('that were changed, when 3.x has the original', async () => {
    const report = await refusedWith(`${mailboxOf('joe', 'INBOX')}/00/2.msg`, 'Subject: bare\r\n\r\nXX\r\n');
    expect(refusalsOf(report)).toEqual(['RESET_CONTENT']);
  });

  it('that are in neither store', async () => {
    const away = `${store.root}/away`;
    const report = await refused(
      () => fs.renameSync(annFile(1), away),
      () => fs.renameSync(away, annFile(1)),
    );
    expect(refusalsOf(report)).toEqual(['RESET_LOST']);
  });

  it('that are symbolic links, which are not followed', async () => {
    const away = `${store.root}/away`;
    const report = await refused(
      () => {
        fs.renameSync(annFile(1), away);
        fs.symlinkSync(away, annFile(1));
      },
      () => {
        fs.rmSync(annFile(1));
        fs.renameSync(away, annFile(1));
      },
    );
    expect(refusalsOf(report)).toEqual(['RESET_UNKNOWN_FILE']);
  });

  it.each([
    ['in a mailbox directory', () => `${mailboxOf('joe', 'INBOX')}/notes`],
    ['in a hash directory', () => `${mailboxOf('joe', 'INBOX')}/00/77.msg`],
    ['in the partition', () => `${primaryOf(store)}/data`],
    ['among the hash levels', () => `${primaryOf(store)}/=user/zz`],
    ['in store/user', () => `${store.instance}/store/user/prefs`],
    ['in store/mboxlist', () => `${store.instance}/store/mboxlist/other.db`],
  ])('that nobody knows, %s', async (_, place) => {
    const file = place();
    const report = await refused(
      () => fs.writeFileSync(file, 'mine'),
      () => fs.rmSync(file),
    );
    expect(report.refusals).toMatchObject([{ code: 'RESET_UNKNOWN_FILE', where: file }]);
  });

  it('of a mailbox whose index is damaged or gone', async () => {
    const index = `${mailboxOf('ann', 'INBOX')}/store.idx`;
    expect(refusalsOf(await refusedWith(index, 'junk'))).toEqual(['RESET_INDEX', 'RESET_UNVERIFIED']);
    const away = `${store.root}/away`;
    const gone = await refused(
      () => fs.renameSync(index, away),
      () => fs.renameSync(away, index),
    );
    expect(refusalsOf(gone)).toEqual(['RESET_INDEX', 'RESET_UNVERIFIED']);
  });
});

describe('the 3.x side', () => {
  const original = (): string => `${store.mailbox}/ann/INBOX/msg1`;

  it('another message under the name of one that was removed', async () => {
    const report = await refused(
      () => {
        fs.writeFileSync(original(), simpleMessage('other'));
        owned(original());
      },
      () => fs.rmSync(original()),
    );
    expect(refusalsOf(report)).toEqual(['RESET_SOURCE_CHANGED']);
  });

  it('but not the same message, restored from a backup', async () => {
    fs.writeFileSync(original(), simpleMessage('first'));
    owned(original());
    try {
      const report = await ask();
      expect(report.refusals).toEqual([]);
      expect(report.restore.messages).toBe(2);
    } finally {
      fs.rmSync(original());
    }
  });

  it('a link under the name', async () => {
    const report = await refused(
      () => fs.symlinkSync('/etc/passwd', original()),
      () => fs.rmSync(original()),
    );
    expect(refusalsOf(report)).toEqual(['RESET_SOURCE_CHANGED']);
  });

  it('a folder whose directory is gone', async () => {
    const away = `${store.root}/away`;
    const report = await refused(
      () => fs.renameSync(`${store.mailbox}/ann/Box`, away),
      () => fs.renameSync(away, `${store.mailbox}/ann/Box`),
    );
    expect(refusalsOf(report)).toEqual(['RESET_FOLDER_GONE']);
  });

  it('an index that cannot be read', async () => {
    const index = `${store.mailbox}/ann/INBOX/.mailbox`;
    const away = `${store.root}/away`;
    const report = await refused(
      () => {
        fs.renameSync(index, away);
        fs.symlinkSync(away, index);
      },
      () => {
        fs.rmSync(index);
        fs.renameSync(away, index);
      },
    );
    expect(refusalsOf(report)).toEqual(['RESET_SOURCE_INDEX']);
  });

  it.each(['/.lock', ''])('a folder that another process holds by its %j', async (name) => {
    const fd = fs.openSync(`${store.mailbox}/joe/Box${name}`, 'r');
    const report = await refused(
      () => expect(tryFlock(fd, 'exclusive')).toBe(true),
      () => fs.closeSync(fd),
    );
    expect(refusalsOf(report)).toEqual(['RESET_FOLDER_BUSY']);
    // Of its own locks of a directory a process says nothing.
    if (name !== '') expect(report.refusals[0]?.message).toContain(`process ${process.pid} (`);
  });

  it.each(['/.lock', ''])(
    'a folder that a stopped process holds by its %j: its command, and that it is',
    async (name) => {
      const holder = await stoppedHolder(`${store.mailbox}/joe/Box${name}`);
      const ended = new Promise((resolve) => holder.once('exit', resolve));
      const report = await refused(
        () => {},
        async () => {
          holder.kill('SIGKILL');
          await ended;
        },
      );
      const message = `The 3.x folder is locked by ${namedAsStopped(holder)}. Wait until it has ended, or stop it.`;
      expect(report.refusals).toMatchObject([{ code: 'RESET_FOLDER_BUSY', message }]);
    },
  );
});

it('a partition that is not there, or is somebody else’s', async () => {
  const away = `${store.root}/away`;
  const gone = await refused(
    () => fs.renameSync(primaryOf(store), away),
    () => fs.renameSync(away, primaryOf(store)),
  );
  expect(gone.refusals).toMatchObject([{ code: 'RESET_PARTITION', where: primaryOf(store) }]);
  const open = await refused(
    () => fs.chmodSync(primaryOf(store), 0o755),
    () => fs.chmodSync(primaryOf(store), 0o700),
  );
  expect(open.refusals).toMatchObject([{ code: 'RESET_PARTITION', where: primaryOf(store) }]);
});

it('all there is to refuse at once', async () => {
  const file = `${mailboxOf('joe', 'INBOX')}/notes`;
  const away = `${store.root}/away`;
  const report = await refused(
    () => {
      fs.writeFileSync(file, 'mine');
      fs.renameSync(annFile(1), away);
    },
    () => {
      fs.rmSync(file);
      fs.renameSync(away, annFile(1));
    },
  );
  expect(refusalsOf(report)).toEqual(['RESET_LOST', 'RESET_UNKNOWN_FILE']);
});

it('a mailbox that was deleted in 4.x but is whole in 3.x is only noted', async () => {
  const kept = `${store.root}-kept`;
  expect(spawnSync('cp', ['-a', store.root, kept]).status).toBe(0);
  try {
    await asService(store.instance, (service) => service.delete('user/joe/Box'));
    const report = await ask();
    expect(report.refusals).toEqual([]);
    expect(report.notes.join()).toContain('user/joe/Box was deleted in 4.x');
  } finally {
    fs.rmSync(store.root, { recursive: true });
    fs.renameSync(kept, store.root);
  }
});
