/**
 * What the tests of refusals of `--reset` share: one migrated store a file. Every test damages it, asks with a dry run,
 * repairs.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import { mailboxPathComponents } from '../../src/store/names.js';
import type { MailboxWrites } from '../../src/store/types.js';
import type { ResetReport } from '../../src/upgrade/reset.js';
import { asService } from '../campaign/support/service.js';
import { fillFolder, migrate, runCli, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { filesBelow, primaryOf, reset } from './reset-support.js';
import { ACCOUNT, databases } from './small-store.js';

let opened: SmallStore | undefined;

/** ann's mail is in 4.x only; joe's is in 3.x too. */
beforeAll(() => {
  const store = smallStore();
  opened = store;
  for (const uid of ['ann', 'joe']) {
    store.user(uid);
    fillFolder(store, uid, 'INBOX', 7, [
      { uid: 1, content: simpleMessage('first'), flags: 'S' },
      { uid: 2, content: 'Subject: bare\n\nLF\n' },
    ]);
    fillFolder(store, uid, 'Box', 8, [{ uid: 1, content: simpleMessage('boxed') }]);
    fs.writeFileSync(`${store.mailbox}/${uid}/Box/.acl`, 'ann lrs\n');
    fs.writeFileSync(`${store.mailbox}/${uid}/.subscriptions`, 'Box\n');
  }
  migrate(store);
  const list = `${store.root}/ann.txt`;
  const head = `[4x partition]:primary\n[3x MailStorePath]:${store.mailbox}\n#---------List of mail user id ------\n`;
  fs.writeFileSync(list, `${head}ann\n`);
  expect(runCli('upgrade', '-u', list, '-r', '--instance', store.instance)).toMatchObject({ status: 0 });
});

afterAll(() => opened?.remove());

export function site(): SmallStore {
  if (opened === undefined) throw new Error('the store is made before the tests of a file');
  return opened;
}

export const mailboxOf = (uid: string, mailbox: string): string =>
  `${primaryOf(site())}/${mailboxPathComponents(uid, `user/${uid}/${mailbox}`).join('/')}`;
export const annFile = (uid: number): string => `${mailboxOf('ann', 'INBOX')}/00/${uid}.msg`;

export const ask = (): Promise<ResetReport> => reset(site(), { dryRun: true });

/** The whole 3.x and 4.x tree, without what every run writes anew. */
const everything = (): Record<string, string> =>
  filesBelow(site().root, (name) => !/-lock$|__lock|log\/default/.test(name));

/** Damages the site(), asks and resets, repairs. Nothing may have changed in between. */
export async function refused(damage: () => unknown, repair: () => unknown): Promise<ResetReport> {
  await damage();
  try {
    const before = everything();
    const report = await reset(site(), { confirm: () => expect.unreachable('it must not ask') });
    expect(report).toMatchObject({ outcome: 'refused', exitCode: 3 });
    expect(everything()).toEqual(before);
    return report;
  } finally {
    await repair();
  }
}

/** Changes a file for one test; times stay. */
export function refusedWith(file: string, content: string): Promise<ResetReport> {
  const original = fs.readFileSync(file);
  const reference = `${site().root}/reference`;
  spawnSync('touch', ['-r', file, reference]);
  return refused(
    () => fs.writeFileSync(file, content),
    () => {
      fs.writeFileSync(file, original);
      spawnSync('touch', ['-r', reference, file]);
    },
  );
}

export function owned(file: string): void {
  if (process.geteuid?.() === 0) fs.chownSync(file, ACCOUNT.uid, ACCOUNT.gid);
}

export const changeMailboxes = (change: (writes: MailboxWrites) => void): Promise<void> =>
  databases(site(), (_, mailboxes) => mailboxes.update(change));

/** Runs something as a 4.x service, and puts the whole instance and 3.x store back afterwards. */
export async function refusedAfter(service: Parameters<typeof asService<unknown>>[1]): Promise<ResetReport> {
  const kept = `${site().root}-kept`;
  const copy = (from: string, to: string): void => {
    fs.rmSync(to, { recursive: true, force: true });
    expect(spawnSync('cp', ['-a', from, to]).status).toBe(0);
  };
  copy(site().root, kept);
  try {
    return await refused(
      () => asService(site().instance, service),
      () => {},
    );
  } finally {
    copy(kept, site().root);
    fs.rmSync(kept, { recursive: true });
  }
}
