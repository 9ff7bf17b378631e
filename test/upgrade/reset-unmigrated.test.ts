/** `--reset` of users whose mail was never migrated: nothing is looked for that a listing has not shown. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { spent } from '../../src/fs/pace.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import type { ResetReport } from '../../src/upgrade/reset.js';
import { fillFolder, migrate, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { haltedBy, primaryOf, refusalsOf, reset } from './reset-support.js';
import { ACCOUNT } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => {
  store.remove();
});

/** After `-s`: users of two folders each. */
function unmigrated(users: readonly string[]): void {
  for (const uid of users) {
    store.user(uid);
    for (const name of ['INBOX', 'Box']) fillFolder(store, uid, name, 7, [{ uid: 1, content: simpleMessage('one') }]);
  }
  migrate(store, { foldersOnly: true });
}

/** The mailbox directory of joe's Box, as `-m` makes it before it has a record. */
function makeMailboxDirectory(): string {
  let path = primaryOf(store);
  for (const name of mailboxPathComponents('joe', 'user/joe/Box')) {
    path += `/${name}`;
    if (fs.existsSync(path)) continue;
    fs.mkdirSync(path, { mode: 0o700 });
    fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
  }
  return path;
}

const isEmptied = (): boolean => !fs.existsSync(`${primaryOf(store)}/=user`);

it('a user more costs no call that opens something', async () => {
  const operations: number[] = [];
  for (const count of [2, 40]) {
    store.remove();
    store = smallStore();
    unmigrated(Array.from({ length: count }, (_, i) => `u${i}`));
    const before = spent.operations;
    expect(await reset(store)).toMatchObject({ outcome: 'done', folders: 0 });
    operations.push(spent.operations - before);
  }
  const [few, many] = operations;
  expect(few).toBeGreaterThan(0);
  expect(many).toBe(few);
});

describe('a mailbox directory that a killed -m made before it had a record', () => {
  beforeEach(() => unmigrated(['ann', 'joe']));

  it('is found, and goes', async () => {
    makeMailboxDirectory();
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expect(isEmptied()).toBe(true);
  });

  it('with something in it: refused by name', async () => {
    const directory = makeMailboxDirectory();
    fs.writeFileSync(`${directory}/1.msg`, 'mine');
    const report = await reset(store);
    expect(refusalsOf(report)).toEqual(['RESET_UNKNOWN_FILE']);
    expect(report.refusals[0]).toMatchObject({ user: 'joe', where: `${directory}/1.msg` });
  });

  it('that comes after the survey stays, which is told, and the next reset takes it', async () => {
    const halted: ResetReport = await reset(store, {
      confirm() {
        makeMailboxDirectory();
        return 'yes';
      },
    });
    expect(halted).toMatchObject(haltedBy('RESET_LEFT'));
    expect(isEmptied()).toBe(false);
    expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
    expect(isEmptied()).toBe(true);
  });
});
