/** Renames and deletes beside disks that are mounted below a partition. Needs root, for the mounts. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deleteMailbox, renameMailbox } from '../../../src/store/mailbox/names.js';
import { codeOfAsync } from '../../upgrade/small-store.js';
import { type TestStore, testStore } from './support.js';

const [A, X, Y] = ['user/anna/A', 'user/anna/A/x', 'user/anna/Y'];

let store: TestStore;
let mounts: string[];
beforeEach(async () => {
  store = await testStore();
  mounts = [];
});
afterEach(async () => {
  for (const directory of mounts.reverse()) spawnSync('umount', ['-l', directory]);
  await store.close();
});

/** Puts a disk on the directory of a mailbox to be; false where nothing can be mounted. */
function mount(name: string, ...args: string[]): boolean {
  const directory = store.directory(name);
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const how = args.length > 0 ? args : ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs'];
  const mounted = spawnSync('mount', [...how, directory]).status === 0;
  if (mounted) mounts.push(directory);
  else console.log(`skipped: ${expect.getState().currentTestName}: nothing can be mounted here`);
  return mounted;
}

const isUnchanged = (before: Record<string, string[]>): void => {
  expect(store.content()).toEqual(before);
  expect([...store.mailboxes.nameChanges()]).toEqual([]);
};

it.each([
  ['out of a disk', A, X, Y],
  ['into a disk', A, Y, X],
  ['of a mount point', A, A, Y],
  ['onto a mount point', Y, A, Y],
])('a rename %s is refused before it begins', async (_what, mounted, from, to) => {
  if (!mount(mounted)) return;
  await store.make(from, 'one');
  expect(await codeOfAsync(() => renameMailbox(store, from, to))).toBe('MAILBOX_MOUNT');
  isUnchanged({ [from]: ['1 one'] });
});

it('so is one into another mount of the same disk', async () => {
  const other = `${store.partition}/other`;
  fs.mkdirSync(other, { mode: 0o700 });
  if (!mount(A, '--bind', other)) return;
  await store.make(Y, 'one');
  expect(await codeOfAsync(() => renameMailbox(store, Y, X))).toBe('MAILBOX_MOUNT');
  isUnchanged({ [Y]: ['1 one'] });
});

it('one within a disk is made', async () => {
  if (!mount(A)) return;
  await store.make(X, 'one');
  await renameMailbox(store, X, 'user/anna/A/y/z');
  isUnchanged({ 'user/anna/A/y/z': ['1 one'] });
});

it('a mailbox on a mount point is deleted; the mount point stays', async () => {
  if (!mount(A)) return;
  await store.make(A, 'one');
  await deleteMailbox(store, A);
  isUnchanged({});
  expect(fs.readdirSync(store.directory(A))).toEqual([]);
});
