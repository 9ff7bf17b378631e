/** What fails when a change is durable is told, and is no failure of the change: who is told of one makes it again. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { armFaults } from '../../../src/fs/seam.js';
import { foldJournal } from '../../../src/store/index/fold.js';
import { openMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { changeMailbox, type MailboxChanges } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { deleteMailbox, renameMailbox } from '../../../src/store/mailbox/names.js';
import { finishNameChanges } from '../../../src/store/mailbox/unfinished.js';
import { codeOf, codeOfAsync } from '../../upgrade/small-store.js';
import { failingAt, type TestStore, testStore } from './support.js';

const A = 'user/anna/A';
/** More of them than a journal is let grow to. */
const KEYWORDS = Array.from({ length: 300 }, (_, i) => `${i}-${'k'.repeat(4_000)}`);
const ENOSPC = 28;

let store: TestStore;
let told: string[];
let telling: MailStore;
beforeEach(async () => {
  store = await testStore();
  told = [];
  telling = { ...store, notice: ({ code }) => told.push(code) };
  await store.make(A, 'one', 'two', 'three');
});
afterEach(() => store.close());

const append = (changes: MailboxChanges, text: string): number =>
  changes.append({ content: Buffer.from(text), internalDate: 5 });
const messages = (): string[] => (store.content()[A] ?? []).filter((line) => !line.startsWith('database'));

it('a message keeps its uid whatever call fails after it is durable: folding, the counts', async () => {
  let after = 0;
  const dir = openRoot(store.directory(A));
  for (let n = 1; ; n++) {
    // The same calls in every round: a journal that was not folded is there in the next.
    foldJournal(dir, store.owner);
    told = [];
    const before = messages();
    let inside = true;
    const counter = armFaults({ mode: 'fail', at: n, errno: ENOSPC, report: '' });
    const result = await changeMailbox(telling, A, (changes) => {
      changes.setFlags(1, 0, KEYWORDS);
      const uid = append(changes, `message ${n}`);
      inside = false;
      return uid;
    }).catch(() => undefined);
    const calls = Atomics.load(counter ?? new Int32Array(1), 0);
    armFaults(undefined);
    expect(result === undefined).toBe(inside);
    expect(messages()).toEqual(result === undefined ? before : [...before, `${result} message ${n}`]);
    expect(store.files().filter((file) => file.endsWith('store.idx.new'))).toEqual([]);
    if (calls < n) break;
    expect(told.length).toBe(inside ? 0 : 1);
    if (!inside) after += 1;
  }
  closeDir(dir);
  expect(told).toEqual([]);
  expect(after).toBeGreaterThan(8);
  expect(store.content()[A]?.at(-1)).not.toContain('database');
}, 120_000);

it('a damaged cache entry is folded as it is: it hides its own message, and ends no change', async () => {
  const dir = openRoot(store.directory(A));
  foldJournal(dir, store.owner);
  const file = path.join(store.directory(A), 'store.idx');
  const bytes = fs.readFileSync(file);
  const mailbox = openMailboxIndex(dir);
  const { cacheOffset } = mailbox.reader.record(1);
  const at = mailbox.reader.header.sections.cache.offset + cacheOffset + 20;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  mailbox.close();
  fs.writeFileSync(file, bytes);
  const uid = await changeMailbox(telling, A, (changes) => {
    changes.setFlags(1, 0, KEYWORDS);
    return append(changes, 'four');
  });
  expect([uid, told]).toEqual([4, []]);
  const folded = openMailboxIndex(dir);
  try {
    expect([folded.changes, folded.reader.header.generation]).toEqual([0, 3]);
    const cacheOf = (message: number) => codeOf(() => folded.byUid(message)?.cache());
    expect([1, 2, 3, 4].map(cacheOf)).toEqual([undefined, 'IDX_CACHE', undefined, undefined]);
  } finally {
    folded.close();
    closeDir(dir);
  }
});

const busy = (): Promise<never> => Promise.reject(new MailhaulError('DB_BUSY', 'Another process has it.'));

it('a database that cannot be written is told of; the next change brings the counts up to date', async () => {
  const stuck = { ...telling, mailboxes: { ...store.mailboxes, update: busy } };
  expect(await changeMailbox(stuck, A, (changes) => append(changes, 'four'))).toBe(4);
  expect(told).toEqual(['MAILBOX_COUNTS']);
  expect(store.content()[A]?.at(-1)).toBe('database: 3 messages, uidnext 4');
  await changeMailbox(telling, A, (changes) => append(changes, 'five'));
  expect(store.content()[A]).toEqual(['1 one', '2 two', '3 three', '4 four', '5 five']);
});

it('an error of the change itself is the one that is thrown', async () => {
  const stuck = { ...telling, mailboxes: { ...store.mailboxes, update: busy } };
  expect(await codeOfAsync(() => changeMailbox(stuck, A, (changes) => changes.expunge(9)))).toBe('NO_MESSAGE');
  expect(told).toEqual(['MAILBOX_COUNTS']);
});

it('an expunge is done though the file cannot be removed', async () => {
  fs.renameSync(path.join(store.directory(A), '00'), path.join(store.directory(A), 'moved'));
  await changeMailbox(telling, A, (changes) => changes.expunge(2));
  fs.renameSync(path.join(store.directory(A), 'moved'), path.join(store.directory(A), '00'));
  expect(told).toEqual(['MAILBOX_FILE']);
  expect(messages()).toEqual(['1 one', '3 three']);
});

describe('a delete or rename', () => {
  const B = 'user/anna/B';
  it.each([
    ['delete', (to: MailStore) => deleteMailbox(to, A)],
    ['rename', (to: MailStore) => renameMailbox(to, A, B)],
  ])('has failed only where nothing has happened: %s', async (_what, action) => {
    let after = 0;
    for (let n = 1; ; n++) {
      told = [];
      let failed = false;
      const there = await failingAt(n, async () => {
        failed = true;
        await action(telling);
        failed = false;
      });
      expect(store.mailboxes.get(A) !== undefined).toBe(failed);
      if (!there) break;
      expect(told).toEqual(failed ? [] : ['MAILBOX_DIRECTORY_LEFT']);
      if (!failed) after += 1;
      expect(await finishNameChanges(store)).toBeUndefined();
      for (const name of [A, B]) {
        store.mailboxes.refresh();
        if (store.mailboxes.get(name) !== undefined) await deleteMailbox(store, name);
      }
      await store.make(A, 'one');
    }
    expect(told).toEqual([]);
    expect(after).toBeGreaterThan(3);
  });
});

it('without anybody to tell it is a warning of the process', async () => {
  const warned = new Promise<Error & { code?: string }>((resolve) => process.once('warning', resolve));
  const stuck = { ...store, mailboxes: { ...store.mailboxes, update: busy } };
  await changeMailbox(stuck, A, (changes) => append(changes, 'four'));
  expect((await warned).code).toBe('MAILBOX_COUNTS');
});
