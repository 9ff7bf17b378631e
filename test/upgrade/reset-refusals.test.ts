/** What `--reset` refuses, each by name: what services did, and what the databases have. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { type Database, open } from 'lmdb';
import { describe, expect, it } from 'vitest';
import { MAILBOX_DATABASE_FILE } from '../../src/store/database.js';
import { encodeJournalHeader } from '../../src/store/index/journal.js';
import type { MigrationRecord } from '../../src/upgrade/types.js';
import { asService } from '../campaign/support/service.js';
import { simpleMessage } from '../support/migrated-store.js';
import { ask, changeMailboxes, mailboxOf, refused, refusedAfter, site } from './reset-refusals-support.js';
import { refusalsOf } from './reset-support.js';
import { databases, makeReadable, makeUnreadable, needRoot } from './small-store.js';

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
    await asService(site().instance, (service) => service.open('user/joe/INBOX'));
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

  it('rights and subscriptions that cannot be compared: those of 3.x cannot be read', async (ctx) => {
    needRoot(ctx);
    const files = ['Box/.acl', '.subscriptions'].map((name) => `${site().mailbox}/joe/${name}`);
    let before: readonly { identifier: string; rights: string }[] = [];
    const report = await refused(
      async () => {
        files.forEach(makeUnreadable);
        await changeMailboxes((writes) => {
          const record = writes.get('user/joe/Box')!;
          before = record.acl;
          writes.put({ ...record, acl: [{ identifier: 'joe', rights: 'l' }] });
        });
      },
      async () => {
        files.forEach(makeReadable);
        await changeMailboxes((writes) => writes.put({ ...writes.get('user/joe/Box')!, acl: before }));
      },
    );
    expect(refusalsOf(report)).toEqual(['RESET_UNREADABLE']);
    expect(report.refusals.map(({ where }) => where).sort()).toEqual(files.sort());
  });

  it('another quota', async () => {
    let before = { limit: null as number | null, usedBytes: 0, usedMessages: 0 };
    const report = await refused(
      () =>
        databases(site(), (_, mailboxes) => {
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
  const path = `${site().instance}/store/mboxlist/${MAILBOX_DATABASE_FILE}`;
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
      databases(site(), (mapping) => {
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

it('a mailbox that was deleted in 4.x but is whole in 3.x is only noted', async () => {
  const kept = `${site().root}-kept`;
  expect(spawnSync('cp', ['-a', site().root, kept]).status).toBe(0);
  try {
    await asService(site().instance, (service) => service.delete('user/joe/Box'));
    const report = await ask();
    expect(report.refusals).toEqual([]);
    expect(report.notes.join()).toContain('user/joe/Box was deleted in 4.x');
  } finally {
    fs.rmSync(site().root, { recursive: true });
    fs.renameSync(kept, site().root);
  }
});
