/** `-s` and `-m` beside deletes and renames that a service was stopped at: their mail is where a new folder would go. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { tryFlock } from '../../src/fs/flock.js';
import { openMailboxDatabase } from '../../src/store/database.js';
import { changeMailbox } from '../../src/store/mailbox/change.js';
import type { MailStore } from '../../src/store/mailbox/held.js';
import { createMailbox } from '../../src/store/mailbox/names.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import type { MailboxRecord, NameChange } from '../../src/store/types.js';
import type { MessagesReport } from '../../src/upgrade/report.js';
import { fillFolder, migrate, runCli, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { ACCOUNT } from './small-store.js';

const [A, B] = ['user/joe/A', 'user/joe/B'];
const OURS = 'Subject: made in 4.x\r\n\r\nours\r\n';

let store: SmallStore;
let primary: string;
beforeEach(() => {
  store = smallStore();
  store.user('joe');
  fillFolder(store, 'joe', 'INBOX', 7, [{ uid: 1, content: simpleMessage('in') }]);
  migrate(store);
  primary = join(store.instance, 'store/partition/primary');
});
afterEach(() => store.remove());

const directory = (name: string): string => join(primary, ...mailboxPathComponents('joe', name));
const message = (name: string): string => fs.readFileSync(join(directory(name), '00/1.msg'), 'latin1');

async function inStore<T>(action: (opened: MailStore) => Promise<T>): Promise<T> {
  const mailboxes = await openMailboxDatabase(join(store.instance, 'store/mboxlist'));
  try {
    return await action({ mailboxes, owner: ACCOUNT });
  } finally {
    await mailboxes.close();
  }
}

async function makeMailbox(name: string): Promise<void> {
  await inStore(async (opened) => {
    await createMailbox(opened, name, { owner: 'joe', partition: 'primary', root: primary });
    await changeMailbox(opened, name, (changes) => changes.append({ content: Buffer.from(OURS) }));
  });
}

/** As a service leaves it that is killed between the transaction and the directory. */
async function killedChange(change: Pick<NameChange, 'name' | 'to'> & Partial<NameChange>): Promise<void> {
  await inStore(({ mailboxes }) =>
    mailboxes.update((writes) => {
      if (writes.get(change.name) !== undefined) {
        if (change.to === null) writes.remove(change.name);
        else writes.rename(change.name, change.to);
      }
      writes.beginNameChange({ id: 2, owner: 'joe', partition: 'primary', root: primary, ...change });
    }),
  );
}

const records = (): Promise<MailboxRecord[]> => inStore(async ({ mailboxes }) => [...mailboxes.list()]);
const left = (): Promise<string[]> =>
  inStore(async ({ mailboxes }) => [...mailboxes.nameChanges()].map(({ name }) => name));

function upgrade(...args: string[]): MessagesReport {
  return JSON.parse(runCli('upgrade', '-m', '--json', '--instance', store.instance, ...args).stdout);
}

it('a folder does not get the name of a rename on record; one on a missing disk keeps no other from its end', async () => {
  await makeMailbox(A);
  await killedChange({ id: 1, name: 'user/joe/X', to: 'user/joe/Y', root: join(primary, 'not-mounted') });
  await killedChange({ id: 2, name: A, to: B });
  fillFolder(store, 'joe', 'A', 9, [{ uid: 1, content: simpleMessage('theirs') }]);
  migrate(store);
  expect(message(B)).toBe(OURS);
  const found = (await records()).find(({ legacyName }) => legacyName === 'A');
  expect(found?.name).toMatch(/^user\/joe\/A~[0-9a-f]{8}$/);
  expect(found?.state).toBe('NON-TRANSITION');
  expect(message(found?.name ?? '')).toBe(simpleMessage('theirs'));
  expect(await left()).toEqual(['user/joe/X']);
});

/** The folder has the name already, as it could from an earlier release. */
async function folderNamedA(to: string | null): Promise<void> {
  fillFolder(store, 'joe', 'A', 9, [{ uid: 1, content: simpleMessage('theirs') }]);
  fillFolder(store, 'joe', 'A/sub', 10, [{ uid: 1, content: simpleMessage('below') }]);
  migrate(store, { foldersOnly: true });
  await makeMailbox(to ?? 'user/joe/gone');
  fs.renameSync(directory(to ?? 'user/joe/gone'), directory(A));
  if (to === null) await inStore(({ mailboxes }) => mailboxes.update((writes) => writes.remove('user/joe/gone')));
  await inStore(({ mailboxes }) =>
    mailboxes.update((writes) =>
      writes.beginNameChange({ id: 2, name: A, to, owner: 'joe', partition: 'primary', root: primary }),
    ),
  );
}

it.each([B, null])('a folder waits for the change that still has its name, and is then migrated: to %s', async (to) => {
  await folderNamedA(to);
  const held = openRoot(directory(A));
  expect(tryFlock(held.fd, 'exclusive')).toBe(true);
  const waiting = upgrade('--lock-wait', '0');
  expect(waiting.errors.map(({ folder, code }) => [folder, code]).sort()).toEqual([
    ['A', 'FOLDER_BUSY'],
    ['A/sub', 'FOLDER_BUSY'],
  ]);
  expect(message(A)).toBe(OURS);
  closeDir(held);
  expect(upgrade().errors).toEqual([]);
  expect([message(A), message(`${A}/sub`)]).toEqual([simpleMessage('theirs'), simpleMessage('below')]);
  if (to !== null) expect(message(to)).toBe(OURS);
  expect(await left()).toEqual([]);
});

it('reports a folder whose place is that of a rename which cannot be finished, and touches neither', async () => {
  await folderNamedA(B);
  // Mail in the place of the renamed mailbox.
  fs.mkdirSync(directory(B));
  fs.writeFileSync(join(directory(B), 'store.jnl'), '');
  fs.chownSync(directory(B), ACCOUNT.uid, ACCOUNT.gid);
  const report = upgrade();
  expect(report.errors.map(({ folder, code }) => [folder, code]).sort()).toEqual([
    ['A', 'MAILBOX_CHANGING'],
    ['A/sub', 'MAILBOX_CHANGING'],
  ]);
  expect(report.errors[0]?.message).toContain('MAILBOX_IN_THE_WAY');
  expect(message(A)).toBe(OURS);
  expect((await records()).find(({ name }) => name === A)?.state).toBe('TRANSITION');
});
