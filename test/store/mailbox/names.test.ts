/** Deleting and renaming mailboxes: whole, durable, and finished by the next one when it was stopped anywhere. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { tryFlock } from '../../../src/fs/flock.js';
import { changeMailbox } from '../../../src/store/mailbox/change.js';
import { createMailbox, deleteMailbox, renameMailbox } from '../../../src/store/mailbox/names.js';
import { finishNameChanges } from '../../../src/store/mailbox/unfinished.js';
import { codeOfAsync } from '../../upgrade/small-store.js';
import { failingAt, type TestStore, testStore, UIDVALIDITY } from './support.js';

const [A, B, BELOW] = ['user/anna/A', 'user/anna/B', 'user/anna/A/below'];

let store: TestStore;
beforeEach(async () => {
  store = await testStore();
  await store.make('user/anna/INBOX', 'in');
  await store.make(A, 'one', 'two');
  await store.make(BELOW, 'three');
});
afterEach(() => store.close());

describe('deleteMailbox', () => {
  it('removes entry, messages and quota use; sub-folders and unknown files stay', async () => {
    fs.writeFileSync(path.join(store.directory(A), 'notes.txt'), 'mine');
    await deleteMailbox(store, A);
    expect(store.content()).toEqual({ 'user/anna/INBOX': ['1 in'], [BELOW]: ['1 three'] });
    expect(fs.readdirSync(store.directory(A)).sort()).toEqual(['=below', 'notes.txt']);
    expect(store.mailboxes.quota('anna')).toMatchObject({ usedBytes: 7, usedMessages: 2 });
    await deleteMailbox(store, BELOW);
    expect(fs.existsSync(store.directory(BELOW))).toBe(false);
  });

  it('takes away the empty directories that only led to the mailbox, not those of mailboxes', async () => {
    const way = path.dirname(store.directory('user/anna/INBOX/sub'));
    await store.make('user/anna/INBOX/sub', 'x');
    await store.make('user/anna/A/no/mailbox/deep', 'y');
    await deleteMailbox(store, 'user/anna/INBOX/sub');
    await deleteMailbox(store, 'user/anna/A/no/mailbox/deep');
    expect(fs.existsSync(way)).toBe(false);
    expect(fs.readdirSync(store.directory(A)).filter((name) => name.startsWith('='))).toEqual(['=below']);
    await deleteMailbox(store, A);
    await renameMailbox(store, BELOW, 'user/anna/INBOX/below');
    expect(fs.existsSync(store.directory(A))).toBe(false);
    expect(fs.readdirSync(way)).toEqual(['=below']);
  });

  it('leaves a directory that is empty because its migration only begins', async () => {
    const record = store.mailboxes.get(A);
    if (record === undefined) throw new Error('no record');
    await deleteMailbox(store, A);
    await store.mailboxes.update((writes) => writes.put({ ...record, state: 'TRANSITION', summary: null }));
    await deleteMailbox(store, BELOW);
    expect(fs.readdirSync(store.directory(A))).toEqual([]);
  });

  it('refuses an INBOX, a mailbox that is not there, and one that somebody holds', async () => {
    expect(await codeOfAsync(() => deleteMailbox(store, 'user/anna/INBOX'))).toBe('MAILBOX_INBOX');
    expect(await codeOfAsync(() => deleteMailbox(store, B))).toBe('NO_MAILBOX');
    const dir = openRoot(store.directory(A));
    expect(tryFlock(dir.fd, 'exclusive')).toBe(true);
    expect(await codeOfAsync(() => deleteMailbox(store, A))).toBe('MAILBOX_BUSY');
    closeDir(dir);
    await deleteMailbox(store, A);
  });

  it('refuses a mailbox in TRANSITION: its messages are in 3.x', async () => {
    const record = store.mailboxes.get(A);
    if (record === undefined) throw new Error('no record');
    await store.mailboxes.update((writes) => writes.put({ ...record, state: 'TRANSITION', summary: null }));
    expect(await codeOfAsync(() => deleteMailbox(store, A))).toBe('MAILBOX_TRANSITION');
    expect(await codeOfAsync(() => renameMailbox(store, A, B))).toBe('MAILBOX_TRANSITION');
  });

  it('stopped at any call is finished by the next one, or never began', async () => {
    let calls = 0;
    for (let n = 1; ; n++) {
      const victim = `user/anna/victim${n}`;
      await store.make(victim, 'gone');
      const stopped = await failingAt(n, () => deleteMailbox(store, victim));
      if (!stopped) break;
      calls += 1;
      const before = store.mailboxes.get(victim) !== undefined;
      expect(await finishNameChanges(store)).toBeUndefined();
      if (before) expect(store.content()[victim]).toEqual(['1 gone']);
      else expect(fs.existsSync(store.directory(victim))).toBe(false);
      expect([...store.mailboxes.nameChanges()]).toEqual([]);
      if (before) await deleteMailbox(store, victim);
      await store.make(victim, 'new');
      expect(store.content()[victim]).toEqual(['1 new']);
      await deleteMailbox(store, victim);
    }
    expect(calls).toBeGreaterThan(5);
  });
});

describe('renameMailbox', () => {
  it('takes everything below along, keeps uids and counts', async () => {
    await renameMailbox(store, A, 'user/anna/new/place');
    expect(store.content()).toEqual({
      'user/anna/INBOX': ['1 in'],
      'user/anna/new/place': ['1 one', '2 two'],
      'user/anna/new/place/below': ['1 three'],
    });
    expect(store.mailboxes.get('user/anna/new/place')).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 3 });
    expect(store.mailboxes.quota('anna')).toMatchObject({ usedMessages: 4 });
    expect(fs.existsSync(store.directory(A))).toBe(false);
  });

  it('refuses a name that is taken, by a mailbox or by mailboxes below it, and a place within itself', async () => {
    await store.make(B);
    await store.make('user/anna/C/deep');
    expect(await codeOfAsync(() => renameMailbox(store, A, B))).toBe('MAILBOX_EXISTS');
    expect(await codeOfAsync(() => renameMailbox(store, A, 'user/anna/C'))).toBe('MAILBOX_EXISTS');
    expect(await codeOfAsync(() => renameMailbox(store, A, `${A}/deeper`))).toBe('NAME_INVALID');
    expect(await codeOfAsync(() => renameMailbox(store, A, 'user/fred/A'))).toBe('NAME_INVALID');
    expect(await codeOfAsync(() => renameMailbox(store, 'user/anna/INBOX', B))).toBe('MAILBOX_INBOX');
    expect(store.content()[A]).toEqual(['1 one', '2 two']);
  });

  it('stopped at any call is finished by whoever opens the mailbox, or never began', async () => {
    let calls = 0;
    for (let n = 1; ; n++) {
      const [from, to] = [`user/anna/from${n}`, `user/anna/to${n}/x`];
      await store.make(from, 'text');
      const stopped = await failingAt(n, () => renameMailbox(store, from, to));
      const now = store.mailboxes.get(to) === undefined ? from : to;
      await changeMailbox(store, now, (changes) => changes.append({ content: Buffer.from('more'), internalDate: 6 }));
      expect(store.content()[now]).toEqual(['1 text', '2 more']);
      expect([...store.mailboxes.nameChanges()]).toEqual([]);
      if (!stopped) break;
      calls += 1;
    }
    expect(calls).toBeGreaterThan(5);
  });

  it('keeps its name while the directory of the old one has not followed', async () => {
    for (let n = 1; ; n++) {
      const stopped = await failingAt(n, () => renameMailbox(store, A, B));
      if (store.mailboxes.get(B) !== undefined) break;
      if (!stopped) throw new Error('never renamed');
    }
    expect([...store.mailboxes.nameChanges()]).toHaveLength(1);
    await store.make(A, 'another');
    expect(store.content()).toMatchObject({ [A]: ['1 another'], [B]: ['1 one', '2 two'] });
  });
});

/** As a service leaves it that is killed between the transaction and the directory. */
async function killedRename(from: string, to: string): Promise<void> {
  const below = [...store.mailboxes.list(`${from}/`)].map(({ name }) => name);
  await store.mailboxes.update((writes) => {
    for (const name of [from, ...below]) writes.rename(name, to + name.slice(from.length));
    writes.beginNameChange({ id: 77, name: from, to, owner: 'anna', partition: 'test', root: store.partition });
  });
}

describe('a change whose directory somebody has moved or removed', () => {
  it.each([B, null])('stays on record until that is durable: to %s', async (to) => {
    await store.make('user/anna/X', 'x');
    const old = 'user/anna/X';
    if (to !== null) {
      await killedRename(old, to);
      fs.renameSync(store.directory(old), store.directory(to));
    } else {
      await store.mailboxes.update((writes) => {
        writes.remove(old);
        writes.beginNameChange({ id: 77, name: old, to, owner: 'anna', partition: 'test', root: store.partition });
      });
      fs.rmSync(store.directory(old), { recursive: true });
    }
    let calls = 0;
    while (await failingAt(calls + 1, () => finishNameChanges(store))) {
      calls += 1;
      expect([...store.mailboxes.nameChanges()]).toHaveLength(1);
    }
    // The commit, and before it a sync of each directory that leads there.
    expect(calls).toBeGreaterThan(1);
    expect([...store.mailboxes.nameChanges()]).toEqual([]);
  });
});

describe('a rename that was killed, and whose new place is there', () => {
  const emptyIndex = async (name: string): Promise<void> => {
    await store.make('user/anna/empty');
    fs.mkdirSync(store.directory(name), { recursive: true, mode: 0o700 });
    fs.copyFileSync(
      path.join(store.directory('user/anna/empty'), 'store.idx'),
      path.join(store.directory(name), 'store.idx'),
    );
    await deleteMailbox(store, 'user/anna/empty');
  };
  const whole = { [B]: ['1 one', '2 two'], 'user/anna/B/below': ['1 three'] };

  it('is finished after a stop at any call: sub-mailboxes on both sides, the index of a refused createMailbox', async () => {
    let calls = 0;
    for (let n = 1; ; n++) {
      const [from, to] = [`user/anna/from${n}`, `user/anna/to${n}`];
      await store.make(from, 'one', 'two');
      await store.make(`${from}/way/deep`, 'three');
      await killedRename(from, to);
      await emptyIndex(to);
      // What a migration makes; createMailbox finishes the change of the name above it first.
      const other = `${to}/way/other`;
      await store.make('user/anna/made', 'four');
      fs.mkdirSync(path.dirname(store.directory(other)), { recursive: true, mode: 0o700 });
      fs.renameSync(store.directory('user/anna/made'), store.directory(other));
      await store.mailboxes.update((writes) => writes.rename('user/anna/made', other));

      const stopped = await failingAt(n, () => finishNameChanges(store));
      await changeMailbox(store, to, (changes) => changes.append({ content: Buffer.from('more'), internalDate: 6 }));
      expect(store.content()).toMatchObject({
        [to]: ['1 one', '2 two', '3 more'],
        [`${to}/way/deep`]: ['1 three'],
        [other]: ['1 four'],
      });
      expect([...store.mailboxes.nameChanges()]).toEqual([]);
      expect(fs.existsSync(store.directory(from))).toBe(false);
      if (!stopped) break;
      calls += 1;
    }
    expect(calls).toBeGreaterThan(10);
  });

  it('leaves nothing there of a createMailbox that was killed while it wrote its index', async () => {
    await killedRename(A, B);
    await emptyIndex(B);
    fs.writeFileSync(path.join(store.directory(B), 'store.idx.new'), 'half', { mode: 0o600 });
    expect(await finishNameChanges(store)).toBeUndefined();
    expect(fs.existsSync(path.join(store.directory(B), 'store.idx.new'))).toBe(false);
    expect(store.content()).toMatchObject(whole);
  });

  it('waits for who makes a mailbox there: its index would replace that of the renamed one', async () => {
    await killedRename(A, B);
    await emptyIndex(B);
    const dir = openRoot(store.directory(B));
    try {
      expect(tryFlock(dir.fd, 'exclusive')).toBe(true);
      expect(await finishNameChanges(store)).toEqual([process.pid]);
      expect(fs.existsSync(path.join(store.directory(A), 'store.idx'))).toBe(true);
    } finally {
      closeDir(dir);
    }
    expect(await finishNameChanges(store)).toBeUndefined();
    expect(store.content()).toMatchObject(whole);
  });

  it('says what is in the way when there is mail in it, and goes on when that is gone', async () => {
    await store.make('user/anna/made', 'four');
    await killedRename(A, B);
    const [ours, theirs] = [store.directory(BELOW), store.directory('user/anna/B/below')];
    fs.mkdirSync(store.directory(B), { mode: 0o700 });
    fs.renameSync(store.directory('user/anna/made'), theirs);
    await store.mailboxes.update((writes) => writes.remove('user/anna/made'));
    const refused = finishNameChanges(store);
    await expect(refused).rejects.toMatchObject({ code: 'MAILBOX_IN_THE_WAY' });
    await expect(refused).rejects.toThrow(`${theirs}/00 is in the way of ${ours}/00`);
    expect(fs.readFileSync(path.join(ours, '00', '1.msg'), 'latin1')).toBe('three');
    expect(fs.readFileSync(path.join(theirs, '00', '1.msg'), 'latin1')).toBe('four');
    fs.rmSync(theirs, { recursive: true });
    expect(await finishNameChanges(store)).toBeUndefined();
    expect(store.content()).toMatchObject(whole);
  });
});

it('createMailbox leaves alone what another process has made of the name since it looked', async () => {
  const name = 'user/anna/Sent';
  const made = { owner: 'anna', partition: 'test', root: store.partition };
  await createMailbox(store, name, { ...made, uidvalidity: 70 });
  await changeMailbox(store, name, (changes) => changes.append({ content: Buffer.from('precious') }));
  // Its first look is from before.
  let looks = 0;
  const get = (mailbox: string) => (looks++ === 0 ? undefined : store.mailboxes.get(mailbox));
  const late = { ...store, mailboxes: { ...store.mailboxes, get } };
  expect(await codeOfAsync(() => createMailbox(late, name, { ...made, uidvalidity: 71 }))).toBe('MAILBOX_EXISTS');
  expect(store.content()[name]).toEqual(['1 precious']);
});

it('createMailbox waits for nobody for ever who holds the directory', async () => {
  const name = 'user/anna/Sent';
  fs.mkdirSync(store.directory(name), { mode: 0o700 });
  const dir = openRoot(store.directory(name));
  try {
    expect(tryFlock(dir.fd, 'exclusive')).toBe(true);
    const made = { owner: 'anna', partition: 'test', root: store.partition };
    expect(await codeOfAsync(() => createMailbox({ ...store, lockWaitMs: 50 }, name, made))).toBe('MAILBOX_BUSY');
  } finally {
    closeDir(dir);
  }
});

it('createMailbox refuses a name that is taken', async () => {
  const made = { owner: 'anna', partition: 'test', root: store.partition };
  expect(await codeOfAsync(() => createMailbox(store, A, made))).toBe('MAILBOX_EXISTS');
});

describe('the uidvalidity that createMailbox gives', () => {
  const made = () => ({ owner: 'anna', partition: 'test', root: store.partition });
  const create = async (name: string): Promise<number> => {
    await createMailbox(store, name, made());
    return store.mailboxes.get(name)?.uidvalidity ?? 0;
  };

  it('is none that the name had before, whatever became of the mailbox, within a second too', async () => {
    const given: number[] = [];
    for (let i = 0; i < 6; i++) {
      given.push(await create(B));
      if (i % 2 === 0) await deleteMailbox(store, B);
      else await renameMailbox(store, B, `user/anna/was${i}`);
    }
    expect(given).toEqual([...new Set(given)].sort((a, b) => a - b));
  });

  it('is above that of a mailbox from 3.x, which may be any', async () => {
    const record = store.mailboxes.get(A);
    if (record === undefined) throw new Error('no record');
    const ahead = Math.floor(Date.now() / 1000) + 1_000_000_000;
    await store.mailboxes.update((writes) => writes.put({ ...record, uidvalidity: ahead }));
    await deleteMailbox(store, A);
    expect(await create(A)).toBe(ahead + 1);
  });

  it('is the time where no number is above', async () => {
    await store.mailboxes.update((writes) => writes.noteUidvalidity('anna', 0xffffffff));
    expect(Math.abs((await create(B)) - Date.now() / 1000)).toBeLessThan(60);
  });

  it('is another one for each of those that are made at once', async () => {
    const names = ['user/anna/m1', 'user/anna/m2', 'user/anna/m3', 'user/anna/m4'];
    expect(new Set(await Promise.all(names.map(create))).size).toBe(4);
  });
});
