/** Users whose mail is not in the store path of their partition (any more): on record in lists and upgrade4x.conf. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { storePathsOnRecord } from '../../src/upgrade/folders-files.js';
import { verifyStore } from '../../src/upgrade/verify.js';
import { INDEX, run, type SmallStore, smallStore } from './small-store.js';

describe('users who have not followed their partition', () => {
  let store: SmallStore;
  const USERS = ['anna', 'bert', 'carl'] as const;
  /** Of one partition name, in the order in which the directory names them. */
  let disks: readonly [string, string, string];

  beforeEach(() => {
    store = smallStore();
    disks = [store.storePath('mail/sales'), store.storePath('b/sales'), store.storePath('a/sales')];
    for (const [i, uid] of USERS.entries()) {
      store.user(uid, { mailMessageStore: disks[0] });
      store.folder(disks[0], uid, 'INBOX', INDEX(10 + i));
    }
    store.folder(store.mailbox, 'fred', 'INBOX');
    store.user('fred');
    store.finish();
  });
  afterEach(() => store.remove());

  const assign = (path: string): void => {
    const ldif = fs.readFileSync(store.ldif, 'utf8');
    fs.writeFileSync(store.ldif, ldif.replaceAll(/mailMessageStore: .*/g, `mailMessageStore: ${path}`));
  };
  const follow = (uid: string, from: string, to: string): void => fs.renameSync(join(from, uid), join(to, uid));
  const ofSales = (): string[] =>
    fs
      .readFileSync(join(store.mailbox, 'upgrade4x.conf'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('upgrade.partition.sales.'));
  const headers = (): string[] =>
    fs
      .readdirSync(store.mailbox)
      .filter((name) => name.startsWith('__up.sales.'))
      .sort()
      .map((name) => `${name} ${fs.readFileSync(join(store.mailbox, name), 'utf8').split('\n')[1]}`);

  it('have their store paths in upgrade4x.conf, numbered as their lists are, and hold to --verify', async () => {
    const [first, second, third] = disks;
    await run(store);
    assign(second);
    follow('bert', first, second);
    await run(store);
    assign(third);
    follow('carl', first, third);
    expect((await run(store)).warnings.map(({ code, user }) => [code, user])).toEqual([
      ['USER_STORE_PATH', 'anna'],
      ['USER_STORE_PATH', 'bert'],
    ]);
    expect(ofSales()).toEqual([
      `upgrade.partition.sales.storepath|${third}`,
      `upgrade.partition.sales.former1.storepath|${second}`,
      `upgrade.partition.sales.former2.storepath|${first}`,
    ]);
    expect(headers()).toEqual([
      `__up.sales.former1.txt [3x MailStorePath]:${second}`,
      `__up.sales.former2.txt [3x MailStorePath]:${first}`,
      `__up.sales.txt [3x MailStorePath]:${third}`,
    ]);
    expect((await verifyStore({ instance: store.instance })).byCode).toEqual({ VERIFY_WAITING: 4 });
  });

  it('are gone from it with the run in which they follow', async () => {
    const [first, second] = disks;
    await run(store);
    assign(second);
    await run(store);
    // The partition of nobody in the new place yet: all are in the old one.
    expect(ofSales()).toContain(`upgrade.partition.sales.former1.storepath|${first}`);
    for (const uid of USERS) follow(uid, first, second);
    await run(store);
    expect(ofSales()).toEqual([`upgrade.partition.sales.storepath|${second}`]);
    expect((await verifyStore({ instance: store.instance })).byCode).toEqual({ VERIFY_WAITING: 4 });
  });
});

it('only options that are store paths of a partition count as such', () => {
  const options = new Map([
    ['upgrade.partition.sales.storepath', '/a'],
    ['upgrade.partition.sales.former1.storepath', '/b'],
    ['upgrade.partition.sales.former12.storepath', '/c'],
    ['upgrade.partition.sales.former0.storepath', '/d'],
    ['upgrade.partition.sales.former.storepath', '/e'],
    ['upgrade.partition.sales.path', '/f'],
    ['upgrade.mailboxdirectory', '/g'],
  ]);
  expect(storePathsOnRecord(options)).toEqual(new Map([['sales', new Set(['/a', '/b', '/c'])]]));
});
