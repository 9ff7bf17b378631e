/** Name changes on record, several of them: what keeps one from its end keeps no other. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { tryFlock } from '../../../src/fs/flock.js';
import { finishNameChange, finishNameChanges } from '../../../src/store/mailbox/unfinished.js';
import type { NameChange } from '../../../src/store/types.js';
import { codeOfAsync } from '../../upgrade/small-store.js';
import { type TestStore, testStore } from './support.js';

const [A, B, LOST] = ['user/anna/A', 'user/anna/B', 'user/bob/lost'];

let store: TestStore;
beforeEach(async () => {
  store = await testStore();
  await store.make(A, 'one', 'two');
});
afterEach(() => store.close());

/** As a service leaves it that is killed between the transaction and the directory. */
async function killedRename(id: number, name: string, to: string, root = store.partition): Promise<void> {
  const change: NameChange = { id, name, to, owner: name.split('/')[1] ?? '', partition: 'test', root };
  await store.mailboxes.update((writes) => {
    if (writes.get(name) !== undefined) writes.rename(name, to);
    writes.beginNameChange(change);
  });
}

const left = (): string[] => [...store.mailboxes.nameChanges()].map(({ name }) => name);

it('goes on after one whose partition is not there, and throws its error at the end', async () => {
  await killedRename(1, LOST, 'user/bob/found', path.join(store.partition, 'not-mounted'));
  await killedRename(2, A, B);
  expect(await codeOfAsync(() => finishNameChanges(store))).toBe('PARTITION_MISSING');
  expect(left()).toEqual([LOST]);
  expect(store.content()).toEqual({ [B]: ['1 one', '2 two'] });
});

it('goes on after one whose directory is locked, and returns who holds it', async () => {
  await store.make(LOST, 'x');
  await killedRename(1, LOST, 'user/bob/found');
  await killedRename(2, A, B);
  const dir = openRoot(store.directory(LOST));
  try {
    expect(tryFlock(dir.fd, 'exclusive')).toBe(true);
    expect(await finishNameChanges(store)).toEqual([process.pid]);
    expect(left()).toEqual([LOST]);
  } finally {
    closeDir(dir);
  }
});

describe('a change whose directory is in neither place', () => {
  const home = (): string => store.directory('user/anna/INBOX');
  /** The bare mount point in place of the user's disk. */
  const unmount = (): void => {
    fs.renameSync(home(), `${home()}.disk`);
    fs.mkdirSync(home(), { mode: 0o700 });
  };
  const mount = (): void => {
    fs.rmdirSync(home());
    fs.renameSync(`${home()}.disk`, home());
  };
  const killedDelete = (name: string): Promise<void> =>
    store.mailboxes.update((writes) => {
      writes.remove(name);
      writes.beginNameChange({ id: 3, name, to: null, owner: 'anna', partition: 'test', root: store.partition });
    });

  it('is a rename that waits for its disk', async () => {
    await killedRename(1, A, B);
    unmount();
    expect(await codeOfAsync(() => finishNameChanges(store))).toBe('MAILBOX_DIRECTORY');
    expect(left()).toEqual([A]);
    mount();
    expect(await finishNameChanges(store)).toBeUndefined();
    expect(store.content()).toEqual({ [B]: ['1 one', '2 two'] });
  });

  it('is nothing when another process has ended the rename since', async () => {
    await store.make(LOST);
    const change = { id: 9, name: A, to: B, owner: 'anna', partition: 'test', root: store.partition };
    fs.rmSync(store.directory(A), { recursive: true });
    expect(await finishNameChange(store, change)).toBeUndefined();
    // The first look was from before.
    let looks = 0;
    const nameChanges = () => (looks++ === 0 ? [change] : store.mailboxes.nameChanges());
    expect(
      await finishNameChange({ ...store, mailboxes: { ...store.mailboxes, nameChanges } }, change),
    ).toBeUndefined();
    expect(looks).toBe(2);
  });

  it.each([A, 'user/anna/A/x'])(
    'is a delete of %s that waits where the mailbox above is not there either',
    async (name) => {
      await store.make('user/anna/INBOX');
      if (name !== A) await store.make(name, 'x');
      await killedDelete(name);
      unmount();
      expect(await codeOfAsync(() => finishNameChanges(store))).toBe('MAILBOX_DIRECTORY');
      expect(left()).toEqual([name]);
      mount();
      expect(await finishNameChanges(store)).toBeUndefined();
      expect(fs.existsSync(path.join(store.directory(name), 'store.idx'))).toBe(false);
    },
  );

  it('is a delete that was done where that is there, or no mailbox is above', async () => {
    await killedDelete(A);
    fs.rmSync(store.directory(A), { recursive: true });
    expect(await finishNameChanges(store)).toBeUndefined();
    await store.make('user/anna/INBOX');
    await store.make(A);
    await killedDelete(A);
    fs.rmSync(store.directory(A), { recursive: true });
    expect(await finishNameChanges(store)).toBeUndefined();
    expect(left()).toEqual([]);
  });
});

it('tells of each failure where somebody wants to know', async () => {
  const gone = path.join(store.partition, 'not-mounted');
  await killedRename(1, LOST, 'user/bob/found', gone);
  await killedRename(2, 'user/bob/lost2', 'user/bob/found2', gone);
  const failed: string[] = [];
  await finishNameChanges(store, undefined, ({ name }) => failed.push(name));
  expect(failed).toEqual([LOST, 'user/bob/lost2']);
});

// The checksums of an index have to be loaded first, and modules that are loaded afresh have not.
describe('an empty index in the new place, in a process that has read no index yet', () => {
  const D = 'user/anna/D';
  beforeEach(async () => {
    // What a createMailbox left that was killed before it entered the mailbox.
    await store.make(D);
    fs.mkdirSync(store.directory(B));
    fs.copyFileSync(path.join(store.directory(D), 'store.idx'), path.join(store.directory(B), 'store.idx'));
    vi.resetModules();
  });

  it('is replaced by a rename', async () => {
    const { renameMailbox } = await import('../../../src/store/mailbox/names.js');
    await renameMailbox(store, A, B);
    expect(store.content()).toEqual({ [B]: ['1 one', '2 two'], [D]: [] });
  });

  it('is replaced when a killed rename is finished', async () => {
    const unfinished = await import('../../../src/store/mailbox/unfinished.js');
    await killedRename(1, A, B);
    expect(await unfinished.finishNameChanges(store)).toBeUndefined();
    expect(store.content()).toEqual({ [B]: ['1 one', '2 two'], [D]: [] });
  });
});
