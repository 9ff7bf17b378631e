/** A partition's path while `-m` is at work: folders have their root there, and nothing is published yet. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runCli } from '../support/process.js';
import { databases, run, type SmallStore, smallStore } from '../upgrade/small-store.js';

let store: SmallStore;
beforeEach(async () => {
  store = smallStore();
  store.user('fred');
  store.folder(store.mailbox, 'fred', 'INBOX');
  store.finish();
  await run(store);
});
afterEach(() => store.remove());

const setPath = (path: string) =>
  runCli('configutil', '--instance', store.instance, '-o', 'store.partition.primary.path', '-v', path);

it('is not changed once a folder has its root there; before that it is', async () => {
  expect(setPath('/new/primary')).toMatchObject({ status: 0 });
  await databases(store, (mapping) => {
    const folder = mapping.folderByMailbox('user/fred/INBOX')!;
    return mapping.update((writes) => writes.putFolder({ ...folder, root: '/new/primary', attempts: 1 }));
  });
  const refused = setPath('/other/primary');
  expect(refused.status).toBe(3);
  expect(refused.stderr).toContain('CONF_PARTITION_IN_USE');
  expect(setPath('/new/primary')).toMatchObject({ status: 0 });
});
