/** `upgrade -s` and what is on record of users who left the directory, and of store paths that are refused now. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openInstance } from '../../src/config/instance.js';
import { databases, INDEX, publish, run, type SmallStore, smallStore } from './small-store.js';

let store: SmallStore;
let disk: string;

beforeEach(async () => {
  store = smallStore();
  disk = store.storePath('mail/sales');
  store.user('fred');
  store.user('anna', { mailMessageStore: disk, mailQuota: '77' });
  store.folder(store.mailbox, 'fred', 'INBOX', INDEX(10));
  store.folder(disk, 'anna', 'INBOX', INDEX(12));
  store.folder(disk, 'anna', 'Work', INDEX(13));
  fs.writeFileSync(join(disk, 'anna/.subscriptions'), 'Work\n');
  store.finish();
  await run(store);
});
afterEach(() => store.remove());

/** anna is not in the directory any more; `uid` is, in that store path. */
function leave(uid?: string, storePath = ''): void {
  const [fred] = fs.readFileSync(store.ldif, 'utf8').split('\n\n');
  const other = fred!.replace('uid: fred', `uid: ${uid}`).replace('cn=0', 'cn=9');
  fs.writeFileSync(store.ldif, `${fred}\n${uid === undefined ? '' : `\n${other}\nmailMessageStore: ${storePath}\n`}`);
}

/** What the first `-s` leaves when it is killed between its databases. */
async function stopped(): Promise<void> {
  await databases(store, (_, mailboxes) =>
    mailboxes.update((writes) => {
      for (const name of ['user/anna/INBOX', 'user/anna/Work']) writes.remove(name);
      writes.setSubscriptions('anna', []);
      writes.setQuotaLimit('anna', null);
    }),
  );
  const instance = openInstance(store.instance);
  await instance.config.set('store.partition.sales.path', null);
  instance.close();
}

const entries = (): Promise<unknown> =>
  databases(store, (mapping, mailboxes) => [
    [...mapping.users()],
    [...mapping.folders()],
    [...mailboxes.list()],
    mailboxes.quota('anna'),
    mailboxes.subscriptions('anna'),
  ]);

const partitionPath = (): string | undefined => {
  const instance = openInstance(store.instance);
  try {
    return instance.partitionPath('sales');
  } finally {
    instance.close();
  }
};

const problems = ({ errors }: Awaited<ReturnType<typeof run>>): unknown =>
  errors.map(({ code, user }) => `${code} ${user}`);

describe('a user who left the directory when -s had been stopped', () => {
  it('gets the mailboxes, and the partition its path, as if nothing had been in the way', async () => {
    const before = await entries();
    await stopped();
    leave();
    const report = await run(store);
    expect([report.exitCode, report.users.found]).toEqual([0, 2]);
    expect(await entries()).toEqual(before);
    expect(partitionPath()).toBe(join(disk, '.0004x.sales'));
    // From then on there is nothing to do.
    expect((await run(store)).users.found).toBe(1);
  });

  it('is not looked at when every mailbox is there, or was', async () => {
    await publish(store, 'user/anna/Work');
    await databases(store, (_, mailboxes) => mailboxes.update((writes) => writes.remove('user/anna/Work')));
    leave();
    fs.renameSync(disk, `${disk}.away`);
    const report = await run(store);
    expect([report.exitCode, report.users.found]).toEqual([0, 1]);
  });

  it('is left, and named, while the store path is not there', async () => {
    const before = await entries();
    await stopped();
    leave();
    fs.renameSync(disk, `${disk}.away`);
    const report = await run(store);
    expect([report.exitCode, problems(report)]).toEqual([1, ['STORE_PATH_MISSING anna']]);
    fs.renameSync(`${disk}.away`, disk);
    expect((await run(store)).exitCode).toBe(0);
    expect(await entries()).toEqual(before);
  });

  it('refuses nobody else when the store path is that of others now', async () => {
    await stopped();
    const other = store.storePath('mail/research');
    leave('zoe', other);
    fs.renameSync(disk, `${disk}.away`);
    fs.symlinkSync(other, disk);
    store.folder(other, 'zoe', 'INBOX', INDEX(20));
    const report = await run(store);
    expect([report.exitCode, problems(report)]).toEqual([1, ['STORE_PATHS_OVERLAP anna']]);
    await databases(store, (_, mailboxes) => expect(mailboxes.get('user/zoe/INBOX')?.partition).toBe('research'));
  });
});

describe('a store path that is on record and refused now', () => {
  it('keeps its partition name for itself', async () => {
    fs.chmodSync(disk, 0o777);
    expect(problems(await run(store))).toEqual(['STORE_PATH_UNTRUSTED anna']);
    const other = store.storePath('disk2/sales');
    const anna = fs.readFileSync(store.ldif, 'utf8');
    leave('zoe', other);
    fs.appendFileSync(store.ldif, `\n${anna.split('\n\n')[1]}\n`);
    await expect(run(store)).rejects.toMatchObject({ code: 'PARTITION_NAMES', exit: 3 });
  });
});
