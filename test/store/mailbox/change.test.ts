/** Appended messages, flags and expunges through the journal: durable, counted, and whole when stopped anywhere. */
import * as fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FLAG } from '../../../src/engine/types.js';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { tryFlock } from '../../../src/fs/flock.js';
import { foldJournal } from '../../../src/store/index/fold.js';
import { openMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { changeMailbox, type MailboxChanges } from '../../../src/store/mailbox/change.js';
import { codeOfAsync } from '../../upgrade/small-store.js';
import { failingAt, type TestStore, testStore } from './support.js';

const A = 'user/anna/A';

let store: TestStore;
beforeEach(async () => {
  store = await testStore();
  await store.make(A, 'one', 'two', 'three');
});
afterEach(() => store.close());

const append = (text: string, flags = 0) =>
  changeMailbox(store, A, (changes) => changes.append({ content: Buffer.from(text), flags, internalDate: 99 }));

describe('changeMailbox', () => {
  it('appends in CRLF form with the next uid, and counts it', async () => {
    expect(await append('Subject: x\n\nbody\n', FLAG.seen)).toBe(4);
    expect(store.content()[A]).toEqual(['1 one', '2 two', '3 three', '4 Subject: x\r\n\r\nbody\r\n']);
    const record = store.mailboxes.get(A);
    expect(record?.summary).toMatchObject({ messages: 4, bytes: 11 + 20, seen: 1, lastAppend: 99 });
    expect(store.mailboxes.quota('anna')).toMatchObject({ usedMessages: 4, usedBytes: 31 });
  });

  it('changes flags and expunges; the counts are those of a folded index', async () => {
    await append('four', FLAG.flagged);
    await changeMailbox(store, A, (changes) => {
      changes.setFlags(1, FLAG.seen | FLAG.deleted, ['later']);
      changes.setFlags(4, FLAG.seen, []);
      changes.expunge(2);
      changes.expunge(1);
    });
    expect(store.content()[A]).toEqual(['3 three', '4 four']);
    expect(await codeOfAsync(() => changeMailbox(store, A, (changes) => changes.expunge(2)))).toBe('NO_MESSAGE');
    const dir = openRoot(store.directory(A));
    const index = openMailboxIndex(dir);
    const summary = index.summary();
    index.close();
    expect(summary).toEqual(store.mailboxes.get(A)?.summary);
    expect(foldJournal(dir)).toEqual(summary);
    closeDir(dir);
  });

  it('gives no message the uid of a file that is there: it may be the last copy of another', async () => {
    const left = [4, 5].map((uid) => path.join(store.directory(A), `00/${uid}.msg`));
    for (const file of left) fs.writeFileSync(file, 'left over', { mode: 0o600 });
    expect(await append('six')).toBe(6);
    expect(await append('seven')).toBe(7);
    expect(store.content()[A]?.slice(3)).toEqual(['6 six', '7 seven']);
    for (const file of left) expect(fs.readFileSync(file, 'latin1')).toBe('left over');
  });

  it('replaces what a kill left of a message before it had its name', async () => {
    fs.writeFileSync(path.join(store.directory(A), '.new-4'), 'half', { mode: 0o600 });
    expect(await append('four')).toBe(4);
    expect(store.content()[A]?.[3]).toBe('4 four');
  });

  it('refuses what no reader would take, before anything is written', async () => {
    const delivery = { content: Buffer.from('x'), internalDate: 5 };
    const before = store.files();
    for (const odd of [
      { flags: 32 },
      { flags: -1 },
      { flags: 2 ** 32 },
      { internalDate: 1.5 },
      { keywords: ['\ud800'] },
    ]) {
      const refused = changeMailbox(store, A, (changes) => changes.append({ ...delivery, ...odd }));
      await expect(refused).rejects.toMatchObject({ code: 'CHANGE_INVALID' });
    }
    for (const [flags, keyword] of [
      [64, 'fine'],
      [Number.NaN, 'fine'],
      [1, '\udc00'],
    ] as const) {
      const refused = changeMailbox(store, A, (changes) => changes.setFlags(1, flags, [keyword]));
      await expect(refused).rejects.toMatchObject({ code: 'CHANGE_INVALID' });
    }
    expect(store.files()).toEqual(before);
    expect(await append('four', 31)).toBe(4);
    expect(store.content()[A]).toEqual(['1 one', '2 two', '3 three', '4 four']);
  });

  it('stopped at any call has the message whole or not at all, and goes on', async () => {
    let calls = 0;
    for (let n = 1; ; n++) {
      const before = store.content()[A]?.filter((line) => !line.startsWith('database')) ?? [];
      const stopped = await failingAt(n, () => append(`message ${n}`));
      const now = store.content()[A]?.filter((line) => !line.startsWith('database')) ?? [];
      expect([before.length, before.length + 1]).toContain(now.length);
      expect(now.slice(0, before.length)).toEqual(before);
      if (!stopped) break;
      calls += 1;
      await append(`after ${n}`);
      // The database says what the mailbox holds again.
      expect(store.content()[A]?.at(-1)).toMatch(/ after /);
    }
    expect(calls).toBeGreaterThan(8);
  });
});

describe('what a callback began and did not wait for', () => {
  const B = 'user/bob/B';
  const LATE: [string, (changes: MailboxChanges) => unknown][] = [
    ['append', (changes) => changes.append({ content: Buffer.from('late') })],
    ['setFlags', (changes) => changes.setFlags(1, FLAG.seen, [])],
    ['expunge', (changes) => changes.expunge(1)],
    ['a read of the index', (changes) => changes.index.reader.admin()],
  ];

  it.each(LATE)('%s: is refused, and touches no mailbox that has got the descriptors since', async (_what, late) => {
    await store.make(B, 'b1', 'b2', 'b3');
    const before = store.content();
    let outcome: Promise<string | undefined> | undefined;
    const failed = changeMailbox(store, A, (changes) => {
      outcome = sleep(50).then(() => codeOfAsync(async () => late(changes)));
      return Promise.all([outcome, Promise.reject(new Error('the other one failed'))]);
    });
    await expect(failed).rejects.toThrow('the other one failed');
    await changeMailbox(store, B, async (changes) => {
      expect(await outcome).toBe('MAILBOX_CLOSED');
      expect(changes.append({ content: Buffer.from('b4') })).toBe(4);
    });
    expect(store.content()).toEqual({ ...before, [B]: ['1 b1', '2 b2', '3 b3', '4 b4'] });
  });
});

it('a close that fails is no failure of the change, and leaves no lock', async () => {
  const fs = createRequire(import.meta.url)('node:fs') as { closeSync(fd: number): void };
  const { closeSync } = fs;
  let failures = 0;
  const changed = changeMailbox(store, A, (changes) => {
    const uid = changes.append({ content: Buffer.from('four') });
    fs.closeSync = (fd) => {
      closeSync(fd);
      failures += 1;
      throw Object.assign(new Error('EIO: i/o error, close'), { code: 'EIO', errno: -5, syscall: 'close' });
    };
    syncBuiltinESMExports();
    return uid;
  });
  try {
    expect(await changed).toBe(4);
  } finally {
    fs.closeSync = closeSync;
    syncBuiltinESMExports();
  }
  // The journal, the index with it, the mailbox and its partition.
  expect(failures).toBeGreaterThanOrEqual(4);
  const dir = openRoot(store.directory(A));
  expect(tryFlock(dir.fd, 'exclusive')).toBe(true);
  closeDir(dir);
  expect(store.content()[A]?.at(-1)).toBe('4 four');
});
