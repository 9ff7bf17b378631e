/** `upgrade -s` run again: users, their disks and store paths, partitions, quota and subscriptions. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openInstance } from '../../src/config/instance.js';
import { readUserList } from '../../src/upgrade/userlists.js';
import { rerunStore } from './folders-rerun-support.js';
import { databases, INDEX, mailboxNames, publish, run, type SmallStore } from './small-store.js';

describe('upgrade -s run again, users and partitions', () => {
  let store: SmallStore;
  let disk: string;
  beforeEach(async () => {
    ({ store, disk } = await rerunStore());
  });
  afterEach(() => store.remove());

  const setPath = async (partition: string, path: string): Promise<void> => {
    const instance = openInstance(store.instance);
    await instance.config.set(`store.partition.${partition}.path`, path);
    instance.close();
  };
  const pathOf = (partition: string): string | undefined => {
    const instance = openInstance(store.instance);
    try {
      return instance.partitionPath(partition);
    } finally {
      instance.close();
    }
  };

  it('sees a mailbox directory that was missing before, as long as its INBOX is not migrated', async () => {
    store.user('late');
    store.user('later');
    store.finish();
    await run(store);
    await publish(store, 'user/later/INBOX');
    store.folder(store.mailbox, 'late', 'INBOX', INDEX(60));
    store.folder(store.mailbox, 'later', 'INBOX', INDEX(61));
    store.finish();
    const report = await run(store);
    expect(report.exitCode).toBe(1);
    expect(report.errors.map(({ code, user }) => [code, user])).toEqual([['FOLDER_LATE', 'later']]);
    await databases(store, (mapping) => {
      expect(mapping.folderByMailbox('user/late/INBOX')).toMatchObject({ missing: false, uidvalidity: 60 });
    });
  });

  it('keeps the old store path of a user while nothing is at the new one, and says so', async () => {
    await publish(store, 'user/anna/INBOX');
    const moved = store.storePath('mail/moved');
    fs.writeFileSync(store.ldif, fs.readFileSync(store.ldif, 'utf8').replace(disk, moved));
    const storePath = () => databases(store, (mapping) => mapping.user('anna')?.storePath);
    const report = await run(store);
    expect([report.exitCode, report.warnings.map(({ code, user }) => [code, user])]).toEqual([
      0,
      [['USER_STORE_PATH', 'anna']],
    ]);
    expect(await storePath()).toBe(disk);
    fs.renameSync(join(disk, 'anna'), join(moved, 'anna'));
    expect((await run(store)).warnings).toEqual([]);
    expect(await storePath()).toBe(moved);
  });

  it('lists every user, those too who have not followed their partition to its new store path', async () => {
    store.user('bert', { mailMessageStore: disk });
    store.folder(disk, 'bert', 'INBOX', INDEX(13));
    store.finish();
    await run(store);
    const other = store.storePath('disk2/sales');
    fs.renameSync(join(disk, 'bert'), join(other, 'bert'));
    fs.writeFileSync(store.ldif, fs.readFileSync(store.ldif, 'utf8').replaceAll(disk, other));
    expect((await run(store)).warnings.map(({ code, user }) => [code, user])).toEqual([['USER_STORE_PATH', 'anna']]);
    const lists = () => fs.readdirSync(store.mailbox).filter((name) => /^__up\..*\.txt$/.test(name));
    const read = (name: string) =>
      databases(store, (mapping) => {
        const list = readUserList(join(store.mailbox, name), (uid) => mapping.user(uid));
        return [list.partition, list.storePath, list.users, list.errors];
      });
    expect(lists().sort()).toEqual(['__up.primary.txt', '__up.sales.former1.txt', '__up.sales.txt']);
    expect(await read('__up.sales.txt')).toEqual(['sales', other, ['bert'], []]);
    expect(await read('__up.sales.former1.txt')).toEqual(['sales', disk, ['anna'], []]);
    fs.renameSync(join(disk, 'anna'), join(other, 'anna'));
    await run(store);
    expect(lists().sort()).toEqual(['__up.primary.txt', '__up.sales.txt']);
    expect(await read('__up.sales.txt')).toEqual(['sales', other, ['anna', 'bert'], []]);
  });

  it('does not take an unmounted disk for empty mailboxes', async () => {
    fs.renameSync(join(disk, 'anna'), join(store.root, 'away'));
    const report = await run(store);
    expect(report.exitCode).toBe(1);
    expect(report.errors.map(({ code, user }) => [code, user])).toEqual([['USER_DIRECTORY_GONE', 'anna']]);
    await databases(store, (mapping) => {
      expect(mapping.folderByMailbox('user/anna/INBOX')).toMatchObject({ missing: false, uidvalidity: 12 });
    });
  });

  it('does not take an empty mount point for deleted folders; subscriptions and store path stay too', async () => {
    fs.writeFileSync(join(disk, 'anna/.subscriptions'), 'INBOX\n');
    await run(store);
    fs.renameSync(join(disk, 'anna'), join(store.root, 'away'));
    const moved = store.storePath('mail/moved');
    for (const path of [disk, moved]) fs.mkdirSync(join(path, 'anna'));
    store.finish();
    const before = await databases(store, (mapping, mailboxes) => [
      [...mapping.users()],
      [...mapping.folders()],
      [...mailboxes.list()],
      mailboxes.subscriptions('anna'),
    ]);
    expect(before[3]).toEqual(['user/anna/INBOX']);
    for (const path of [disk, moved]) {
      const ldif = fs.readFileSync(store.ldif, 'utf8');
      fs.writeFileSync(store.ldif, ldif.replace(/mailMessageStore: .*/, `mailMessageStore: ${path}`));
      const report = await run(store);
      expect([report.exitCode, report.errors.map(({ code, user }) => [code, user])]).toEqual([
        1,
        [['USER_DIRECTORY_GONE', 'anna']],
      ]);
      const after = await databases(store, (mapping, mailboxes) => [
        [...mapping.users()],
        [...mapping.folders()],
        [...mailboxes.list()],
        mailboxes.subscriptions('anna'),
      ]);
      expect(after).toEqual(before);
    }
  });

  it('keeps store paths of an unmounted disk, and of users who left, in upgrade4x.conf', async () => {
    const line = `upgrade.partition.sales.storepath|${disk}\n`;
    const conf = () => fs.readFileSync(join(store.mailbox, 'upgrade4x.conf'), 'utf8');
    expect(conf()).toContain(line);
    fs.renameSync(disk, `${disk}.away`);
    await run(store);
    expect(conf()).toContain(line);
    fs.renameSync(`${disk}.away`, disk);
    const [fred] = fs.readFileSync(store.ldif, 'utf8').split('\n\n');
    fs.writeFileSync(store.ldif, `${fred}\n`);
    const report = await run(store);
    expect(report.users.found).toBe(1);
    expect(conf()).toContain(line);
  });

  it('does not make a second user of one whose uid is in another case now', async () => {
    fs.renameSync(join(store.mailbox, 'fred'), join(store.mailbox, 'Fred'));
    fs.writeFileSync(store.ldif, fs.readFileSync(store.ldif, 'utf8').replace('uid: fred', 'uid: Fred'));
    const names = await mailboxNames(store);
    const report = await run(store);
    expect([report.exitCode, report.users.skipped]).toEqual([1, 1]);
    expect(report.errors.map(({ code, user }) => [code, user])).toEqual([['USER_CASE', 'Fred']]);
    expect(report.errors[0]?.message).toContain('“fred”');
    expect(await mailboxNames(store)).toEqual(names);
    await databases(store, (mapping) => {
      expect([...mapping.users()].map(({ uid }) => uid)).toEqual(['anna', 'fred']);
    });
  });

  it('takes no directory of 4.x for 3.x mail: neither as store path nor as mailbox directory', async () => {
    await publish(store, 'user/anna/INBOX', join(disk, '.0004x.sales'));
    const partition = join(disk, '.0004x.sales');
    // Each would read directories of 4.x as folders; nobody can vouch for that.
    store.user('=user', { mailMessageStore: partition });
    store.user('primary', { mailMessageStore: join(store.instance, 'store/partition') });
    store.user('store', { mailMessageStore: store.instance });
    store.user('msg-new', { mailMessageStore: join(store.root, 'server4') });
    store.finish();
    const report = await run(store, { storePaths: [partition, store.instance] });
    expect(report.exitCode).toBe(1);
    expect(report.errors.map(({ code, user }) => [code, user])).toEqual([
      ['STORE_PATH_UNTRUSTED', '=user'],
      ['STORE_PATH_UNTRUSTED', 'primary'],
      ['STORE_PATH_UNTRUSTED', 'store'],
      ['USER_DIRECTORY', 'msg-new'],
    ]);
    await databases(store, (mapping, mailboxes) => {
      expect([...mapping.users()].map(({ uid }) => uid)).toEqual(['anna', 'fred']);
      expect([...mailboxes.list()].map(({ owner }) => owner)).toEqual(['anna', 'fred', 'fred']);
    });
  });

  it('follows quota always, subscriptions until something of the user is migrated', async () => {
    fs.writeFileSync(join(store.mailbox, 'fred/.subscriptions'), 'Work\n');
    await run(store);
    const subscriptions = () => databases(store, (_, mailboxes) => mailboxes.subscriptions('fred'));
    expect(await subscriptions()).toEqual(['user/fred/Work']);
    await publish(store, 'user/fred/INBOX');
    await databases(store, (_, mailboxes) =>
      mailboxes.update((writes) => writes.setSubscriptions('fred', ['user/fred/INBOX'])),
    );
    await run(store);
    expect(await subscriptions()).toEqual(['user/fred/INBOX']);
    store.folder(store.mailbox, 'fred', 'New');
    fs.writeFileSync(join(store.mailbox, 'fred/.subscriptions'), 'Work\nNew\n');
    const ldif = fs.readFileSync(store.ldif, 'utf8').replace('uid: fred\n', 'uid: fred\nmailQuota: 77\n');
    fs.writeFileSync(store.ldif, ldif);
    await run(store);
    expect(await subscriptions()).toEqual(['user/fred/INBOX', 'user/fred/New']);
    await databases(store, (_, mailboxes) => {
      expect(mailboxes.quota('fred')).toEqual({ limit: 77, usedBytes: 10, usedMessages: 1 });
    });
  });

  it('subscribes a new folder whose mailbox an earlier run had no time to make', async () => {
    await publish(store, 'user/fred/INBOX');
    store.folder(store.mailbox, 'fred', 'New');
    fs.writeFileSync(join(store.mailbox, 'fred/.subscriptions'), 'Work\nNew\n');
    store.finish();
    await run(store);
    // Killed between the databases, or halted by FOLDER_NAME_TAKEN of another folder.
    await databases(store, (_, mailboxes) =>
      mailboxes.update((writes) => {
        writes.remove('user/fred/New');
        writes.setSubscriptions('fred', ['user/fred/INBOX']);
      }),
    );
    await run(store);
    await databases(store, (_, mailboxes) => {
      expect(mailboxes.get('user/fred/New')?.state).toBe('TRANSITION');
      expect(mailboxes.subscriptions('fred')).toEqual(['user/fred/INBOX', 'user/fred/New']);
    });
  });

  it('sets partition paths back to their defaults, as the guide says, and tells so', async () => {
    await setPath('sales', '/elsewhere/sales');
    const report = await run(store);
    expect(pathOf('sales')).toBe(join(disk, '.0004x.sales'));
    expect(report.partitions[1]).toMatchObject({ name: 'sales', kept: null, resetFrom: '/elsewhere/sales' });
    const log = fs.readFileSync(join(store.instance, 'log/default/default'), 'utf8');
    expect(log).toContain('partition sales: the path is');
  });

  it('keeps them with --keep-partition-paths', async () => {
    await setPath('sales', '/elsewhere/sales');
    const report = await run(store, { keepPartitionPaths: true });
    expect(pathOf('sales')).toBe('/elsewhere/sales');
    expect(report.partitions[1]).toMatchObject({ kept: 'option', resetFrom: null });
  });

  it('keeps the path of a partition that holds migrated mail, and does not make its directory again', async () => {
    await setPath('sales', '/elsewhere/sales');
    await publish(store, 'user/anna/INBOX', '/elsewhere/sales');
    fs.rmdirSync(join(disk, '.0004x.sales'));
    const report = await run(store);
    expect(pathOf('sales')).toBe('/elsewhere/sales');
    expect(report.partitions[1]).toMatchObject({ kept: 'migrated' });
    expect(fs.existsSync(join(disk, '.0004x.sales'))).toBe(false);
  });

  it('lets a user move to another store path before the mail is migrated', async () => {
    const other = store.storePath('mail/research');
    fs.renameSync(join(disk, 'anna'), join(other, 'anna'));
    fs.writeFileSync(store.ldif, fs.readFileSync(store.ldif, 'utf8').replace(disk, other));
    const report = await run(store);
    expect(report.exitCode).toBe(0);
    await databases(store, (mapping, mailboxes) => {
      expect(mapping.user('anna')).toMatchObject({ storePath: other, partition: 'research' });
      expect(mapping.folderByMailbox('user/anna/INBOX')?.partition).toBe('research');
      expect(mailboxes.get('user/anna/INBOX')?.partition).toBe('research');
    });
    expect(fs.readFileSync(join(store.mailbox, '__up.research.txt'), 'utf8')).toMatch(/-\nanna\n$/);
  });

  it('does not give the partition name of earlier users to another store path', async () => {
    const other = store.storePath('disk2/sales');
    fs.writeFileSync(
      store.ldif,
      fs.readFileSync(store.ldif, 'utf8').replace('uid: anna', 'uid: zoe').replace(disk, other),
    );
    await expect(run(store)).rejects.toMatchObject({ code: 'PARTITION_NAMES', exit: 3 });
  });

  it('keeps the answer to upgrade.removemessages', async () => {
    const conf = join(store.mailbox, 'upgrade4x.conf');
    fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace('removemessages|no', 'removemessages|yes'));
    await run(store);
    expect(fs.readFileSync(conf, 'utf8')).toContain('\nupgrade.removemessages|yes\n');
  });
});
