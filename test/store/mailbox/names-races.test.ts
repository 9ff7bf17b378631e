/** What others do to names while a mailbox is made, deleted or renamed: no mail is covered, removed or out of reach. */
import * as fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MailhaulError } from '../../../src/errors.js';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import { tryFlock } from '../../../src/fs/flock.js';
import { changeMailbox } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { createMailbox, deleteMailbox, renameMailbox } from '../../../src/store/mailbox/names.js';
import { finishNameChanges } from '../../../src/store/mailbox/unfinished.js';
import { mailboxPathComponents } from '../../../src/store/names.js';
import type { MailboxDatabase } from '../../../src/store/types.js';
import { codeOfAsync } from '../../upgrade/small-store.js';
import { failingAt, type TestStore, testStore } from './support.js';

const [INBOX, A, B, X] = ['user/anna/INBOX', 'user/anna/A', 'user/anna/B', 'user/anna/A/x'];

let store: TestStore;
beforeEach(async () => {
  store = await testStore();
  await store.make(INBOX, 'in');
});
afterEach(() => store.close());

const made = () => ({ owner: 'anna', partition: 'test', root: store.partition });

/** The store as a process sees it that is about to do its n-th transaction while the others do `meanwhile`. */
function beforeUpdate(n: number, meanwhile: () => Promise<unknown>): MailStore {
  let calls = 0;
  const update: MailboxDatabase['update'] = async (change) => {
    calls += 1;
    if (calls === n) await meanwhile();
    return store.mailboxes.update(change);
  };
  return { ...store, mailboxes: { ...store.mailboxes, update } };
}

/** A delete or rename that was killed after its transaction: its directory has not followed. */
async function killed(action: (store: MailStore) => Promise<void>): Promise<void> {
  let calls = 0;
  const update: MailboxDatabase['update'] = async (change) => {
    const result = await store.mailboxes.update(change);
    calls += 1;
    if (calls === 1) throw new Error('killed');
    return result;
  };
  await expect(action({ ...store, mailboxes: { ...store.mailboxes, update } })).rejects.toThrow('killed');
  expect([...store.mailboxes.nameChanges()]).toHaveLength(1);
}

const append = (name: string, text: string): Promise<number> =>
  changeMailbox(store, name, (changes) => changes.append({ content: Buffer.from(text), internalDate: 5 }));

/** A rename of A to B that waits, because somebody has X, which lies below; until `busy` is closed. */
async function renameWhileBusy(): Promise<{ renamed: Promise<void>; busy: Dir }> {
  await store.make(A, 'one');
  await store.make(X, 'two');
  const busy = openRoot(store.directory(X));
  expect(tryFlock(busy.fd, 'exclusive')).toBe(true);
  const renamed = renameMailbox({ ...store, lockWaitMs: 10_000 }, A, B);
  await sleep(100);
  return { renamed, busy };
}

describe('INBOX in another spelling', () => {
  it('is the INBOX: made again it is taken, and its mail stays', async () => {
    expect(await codeOfAsync(() => createMailbox(store, 'user/anna/Inbox', made()))).toBe('MAILBOX_EXISTS');
    expect(await append('user/anna/inbox', 'more')).toBe(2);
    expect(store.content()).toEqual({ [INBOX]: ['1 in', '2 more'] });
  });

  it('leads to what is below it', async () => {
    await createMailbox(store, 'user/anna/inbox/sub', made());
    await append('user/anna/INBOX/sub', 'one');
    expect(await codeOfAsync(() => createMailbox(store, 'user/anna/iNBOX/sub', made()))).toBe('MAILBOX_EXISTS');
    await renameMailbox(store, 'user/anna/Inbox/sub', 'user/anna/inbox/other');
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], 'user/anna/INBOX/other': ['1 one'] });
    await deleteMailbox(store, 'user/anna/inbox/other');
    expect(store.content()).toEqual({ [INBOX]: ['1 in'] });
  });
});

describe('createMailbox', () => {
  it('covers no mail of which the database knows nothing, by an index, a journal or a message file', async () => {
    await store.make(A, 'one');
    await store.mailboxes.update((writes) => writes.remove(A));
    const message = path.join(store.directory(A), '00', '1.msg');
    for (const file of ['store.jnl', 'store.idx', undefined]) {
      expect(await codeOfAsync(() => createMailbox(store, A, made()))).toBe('MAILBOX_IN_THE_WAY');
      expect(fs.readFileSync(message, 'latin1')).toBe('one');
      if (file !== undefined) fs.rmSync(path.join(store.directory(A), file));
    }
    fs.rmSync(message);
    fs.writeFileSync(path.join(store.directory(A), '00', 'notes.txt'), 'mine');
    await createMailbox(store, A, made());
    expect(store.content()[A]).toEqual([]);
  });

  it('makes its directory again when the end of a delete has taken it along, empty as it was', async () => {
    let looks = 0;
    const refresh = (): void => {
      looks += 1;
      // The one after the lock.
      if (looks === 2) fs.rmdirSync(store.directory(A));
      store.mailboxes.refresh();
    };
    await createMailbox({ ...store, mailboxes: { ...store.mailboxes, refresh } }, A, made());
    expect(looks).toBeGreaterThan(2);
    expect(store.content()[A]).toEqual([]);
  });

  it('makes nothing below a mailbox that is renamed meanwhile', async () => {
    await store.make(A, 'one');
    const late = beforeUpdate(1, () => renameMailbox(store, A, B));
    expect(await codeOfAsync(() => createMailbox(late, X, made()))).toBe('MAILBOX_BUSY');
    await createMailbox(store, 'user/anna/B/x', made());
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'], 'user/anna/B/x': [] });
  });

  it('nor where such a rename was killed; it is finished by the next one', async () => {
    await store.make(A, 'one');
    const late = beforeUpdate(1, () => killed((killedStore) => renameMailbox(killedStore, A, B)));
    expect(await codeOfAsync(() => createMailbox(late, X, made()))).toBe('MAILBOX_BUSY');
    expect(await finishNameChanges(store)).toBeUndefined();
    await store.make(X, 'two');
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'], [X]: ['1 two'] });
  });
});

describe('renameMailbox', () => {
  it('takes a name of which a createMailbox was killed before it had it', async () => {
    await store.make(A, 'one');
    const dying = beforeUpdate(1, async () => {
      throw new Error('killed');
    });
    await expect(createMailbox(dying, B, made())).rejects.toThrow('killed');
    expect(fs.readdirSync(store.directory(B))).toEqual(['store.idx']);
    await renameMailbox(store, A, B);
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'] });
  });

  it('takes a name below which a createMailbox was killed before it had an index', async () => {
    await store.make(A, 'one');
    const deep = store.directory('user/anna/B/x/y');
    fs.mkdirSync(deep, { recursive: true, mode: 0o700 });
    fs.writeFileSync(path.join(deep, 'store.idx.new'), 'half');
    fs.writeFileSync(path.join(deep, '=z'), 'unknown');
    expect(await codeOfAsync(() => renameMailbox(store, A, B))).toBe('MAILBOX_EXISTS');
    fs.rmSync(path.join(deep, '=z'));
    await renameMailbox(store, A, B);
    await store.make('user/anna/B/x/y', 'two');
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'], 'user/anna/B/x/y': ['1 two'] });
  });

  it('takes along what was made below while it waited', async () => {
    await store.make(A, 'one');
    await renameMailbox(
      beforeUpdate(1, () => store.make(X, 'two')),
      A,
      B,
    );
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'], 'user/anna/B/x': ['1 two'] });
  });

  it('and what was deleted below meanwhile stays deleted', async () => {
    await store.make(A, 'one');
    await store.make(X, 'two');
    const before = [...store.mailboxes.list(`${A}/`)];
    await deleteMailbox(store, X);
    // The first look is from before.
    let looks = 0;
    const list = (prefix?: string) => {
      looks += 1;
      return looks === 1 ? before : store.mailboxes.list(prefix);
    };
    const late = { ...store, mailboxes: { ...store.mailboxes, list } };
    await renameMailbox(late, A, B);
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'] });
  });

  it('waits for a mailbox below while it holds none, and then goes on', async () => {
    const { renamed, busy } = await renameWhileBusy();
    expect(await append(A, 'delivered')).toBe(2);
    closeDir(busy);
    await renamed;
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one', '2 delivered'], 'user/anna/B/x': ['1 two'] });
  });

  it('goes on without a mailbox below that is deleted while it waits for it', async () => {
    const { renamed, busy } = await renameWhileBusy();
    await store.mailboxes.update((writes) => {
      writes.remove(X);
      writes.beginNameChange({ id: 9, name: X, to: null, owner: 'anna', partition: 'test', root: store.partition });
    });
    closeDir(busy);
    await renamed;
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [B]: ['1 one'] });
    expect(store.files().filter((file) => file.endsWith('.msg'))).toHaveLength(2);
  });

  it('makes the way to its new place again when the end of another change has taken it along', async () => {
    await store.make(A, 'one');
    const fs = createRequire(import.meta.url)('node:fs') as typeof import('node:fs');
    const { renameSync } = fs;
    let taken = 0;
    fs.renameSync = (from, to) => {
      if (taken === 0 && to.toString().endsWith('/=place')) {
        taken += 1;
        fs.rmdirSync(path.dirname(store.directory('user/anna/new/place')));
      }
      renameSync(from, to);
    };
    syncBuiltinESMExports();
    try {
      await renameMailbox(store, A, 'user/anna/new/place');
    } finally {
      fs.renameSync = renameSync;
      syncBuiltinESMExports();
    }
    expect(taken).toBe(1);
    expect([...store.mailboxes.nameChanges()]).toEqual([]);
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], 'user/anna/new/place': ['1 one'] });
  });

  it('gives no mailbox the name of one whose delete has not ended', async () => {
    const [from, below] = ['user/anna/C', 'user/anna/C/x'];
    await store.make(X, 'old');
    await store.make(from, 'one');
    await store.make(below, 'two');
    // While the rename waits for a lock, a delete is killed whose directory is gone, before that is on record.
    const busy = openRoot(store.directory(from));
    expect(tryFlock(busy.fd, 'exclusive')).toBe(true);
    const renamed = codeOfAsync(() => renameMailbox({ ...store, lockWaitMs: 10_000 }, from, A));
    let calls = 0;
    const update: MailboxDatabase['update'] = async (change) => {
      calls += 1;
      if (calls === 2) throw new Error('killed');
      return store.mailboxes.update(change);
    };
    const told: string[] = [];
    const notice = ({ code }: MailhaulError) => told.push(code);
    await deleteMailbox({ ...store, notice, mailboxes: { ...store.mailboxes, update } }, X);
    expect(told).toEqual(['MAILBOX_DIRECTORY_LEFT']);
    expect(fs.existsSync(store.directory(A))).toBe(false);
    closeDir(busy);
    expect(await renamed).toBe('MAILBOX_BUSY');
    expect(await finishNameChanges(store)).toBeUndefined();
    await renameMailbox(store, from, A);
    expect(await finishNameChanges(store)).toBeUndefined();
    expect(store.content()).toEqual({ [INBOX]: ['1 in'], [A]: ['1 one'], [X]: ['1 two'] });
  });
});

describe('a tree of mailboxes in two partitions', () => {
  let second: string;
  beforeEach(() => {
    second = path.join(path.dirname(store.partition), 'second');
    fs.mkdirSync(second, { mode: 0o700 });
  });

  const tree = async (name: string): Promise<void> => {
    await store.make(name, 'one');
    await createMailbox(store, `${name}/x`, { ...made(), partition: 'second', root: second });
    await append(`${name}/x`, 'two');
    await store.make(`${name}/x/y`, 'three');
  };
  const fileOf = (root: string, name: string): string =>
    path.join(root, ...mailboxPathComponents('anna', name), '00', '1.msg');
  const isWhole = (name: string): boolean =>
    [fileOf(store.partition, name), fileOf(second, `${name}/x`), fileOf(store.partition, `${name}/x/y`)]
      .map((file) => (fs.existsSync(file) ? fs.readFileSync(file, 'latin1') : ''))
      .join(' ') === 'one two three';

  it('follows in one where it cannot in the other', async () => {
    await tree(A);
    const told: string[] = [];
    const late = beforeUpdate(1, async () => {
      // Mail in the new place, since it was looked at.
      fs.mkdirSync(store.directory(B), { mode: 0o700 });
      fs.writeFileSync(path.join(store.directory(B), 'store.jnl'), 'mail');
    });
    await renameMailbox({ ...late, notice: ({ message }) => told.push(message) }, A, B);
    expect(told).toEqual([expect.stringContaining('MAILBOX_IN_THE_WAY')]);
    expect([...store.mailboxes.nameChanges()]).toMatchObject([{ name: A, to: B, root: store.partition }]);
    expect(fs.existsSync(fileOf(second, `${B}/x`))).toBe(true);
  });

  it('gets its new name in both, also when the rename is stopped at any call', async () => {
    let calls = 0;
    for (let n = 1; ; n++) {
      const [from, to] = [`user/anna/from${n}`, `user/anna/to${n}`];
      await tree(from);
      const stopped = await failingAt(n, () => renameMailbox(store, from, to));
      expect(await finishNameChanges(store)).toBeUndefined();
      const name = store.mailboxes.get(to) === undefined ? from : to;
      expect(isWhole(name)).toBe(true);
      for (const mailbox of [name, `${name}/x`, `${name}/x/y`]) expect(await append(mailbox, 'more')).toBe(2);
      if (!stopped) {
        expect(name).toBe(to);
        break;
      }
      calls += 1;
    }
    expect(calls).toBeGreaterThan(5);
  });
});
