/** `upgrade -s` run again: what is added, what stays, what is said. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openInstance } from '../../src/config/instance.js';
import { createChangeWriter } from '../../src/upgrade/folders-write.js';
import { readUserList } from '../../src/upgrade/userlists.js';
import { databases, INDEX, mailboxNames, publish, run, type SmallStore, smallStore } from './small-store.js';

const NOW = 2_000_000_000;

describe('upgrade -s run again', () => {
  let store: SmallStore;
  let disk: string;
  beforeEach(async () => {
    store = smallStore();
    disk = store.storePath('mail/sales');
    store.user('fred');
    store.user('anna', { mailMessageStore: disk });
    store.folder(store.mailbox, 'fred', 'INBOX', INDEX(10));
    store.folder(store.mailbox, 'fred', 'Work', INDEX(11));
    store.folder(disk, 'anna', 'INBOX', INDEX(12));
    store.finish();
    await run(store, { now: NOW });
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

  it('changes nothing when nothing changed', async () => {
    const before = await databases(store, (mapping, mailboxes) => [[...mapping.folders()], [...mailboxes.list()]]);
    const report = await run(store);
    expect(report.folders).toEqual({ found: 3, added: 0, waiting: 3, migrated: 0, failed: 0 });
    expect(report.users.added).toBe(0);
    expect(await databases(store, (mapping, mailboxes) => [[...mapping.folders()], [...mailboxes.list()]])).toEqual(
      before,
    );
  });

  it('adds new users and folders, with new ids', async () => {
    store.user('carl');
    store.folder(store.mailbox, 'carl', 'INBOX', INDEX(20));
    store.folder(store.mailbox, 'fred', 'New', INDEX(21));
    store.finish();
    const report = await run(store);
    expect([report.users.added, report.folders.added, report.folders.waiting]).toEqual([1, 2, 3]);
    await databases(store, (mapping) => {
      const ids = [...mapping.folders()].map(({ id }) => id);
      expect(ids).toEqual([1, 2, 3, 4, 5]);
    });
    expect(fs.readFileSync(join(store.mailbox, '__up.primary.txt'), 'utf8')).toMatch(/-\ncarl\nfred\n$/);
  });

  /** A mailbox that a service made. */
  const MADE = {
    name: 'user/fred/New',
    owner: 'fred',
    legacyName: null,
    partition: 'primary',
    acl: [],
    uidvalidity: 77,
    uidnext: 1,
    state: 'NON-TRANSITION' as const,
    summary: { messages: 0, bytes: 0, lastAppend: 0, seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 },
    mappingId: null,
    root: '/partition',
  };

  it('takes no name from a mailbox that a service made meanwhile; the folders get others at the next run', async () => {
    store.folder(store.mailbox, 'fred', 'New', INDEX(21));
    store.folder(store.mailbox, 'fred', 'New/below', INDEX(22));
    store.finish();
    await databases(store, async (mapping, mailboxes) => {
      // The service is in time between the look of `-s` and its transaction.
      const writer = createChangeWriter(mapping, {
        ...mailboxes,
        async update(change) {
          await mailboxes.update((writes) => writes.put(MADE));
          return mailboxes.update(change);
        },
      });
      const user = mapping.user('fred')!;
      const path = ['New', 'below'].map((name) => Buffer.from(name));
      for (const [depth, uidvalidity] of [
        [1, 21],
        [2, 22],
      ] as const) {
        const old = mapping.folderByMailbox('user/fred/Work')!;
        const mailbox = ['user/fred', ...path.slice(0, depth)].join('/');
        const folder = { ...old, id: 0, mailbox, path: path.slice(0, depth), uidvalidity, inode: String(depth) };
        const record = { ...mailboxes.get('user/fred/Work')!, name: mailbox, uidvalidity };
        await writer.add({
          user,
          newUser: false,
          putUser: false,
          folders: [{ folder, putFolder: true, mailbox: record }],
          quota: null,
          subscriptions: null,
          counts: { found: 1, added: 1, waiting: 0, migrated: 0 },
          indexBytes: 0,
          errors: [],
          warnings: [],
        });
      }
      await expect(writer.flush()).rejects.toMatchObject({ code: 'FOLDER_NAME_TAKEN' });
      expect(mapping.folderByMailbox('user/fred/New')?.uidvalidity).toBe(21);
    });
    await run(store);
    await databases(store, (mapping, mailboxes) => {
      expect(mailboxes.get('user/fred/New')).toEqual(MADE);
      const folders = [...mapping.folders()].filter(({ uidvalidity }) => uidvalidity === 21 || uidvalidity === 22);
      expect(folders.map(({ mailbox }) => mailbox.replace(/~[0-9a-f]{8}/, '~'))).toEqual([
        'user/fred/New~',
        'user/fred/New~/below',
      ]);
      for (const { id, mailbox } of folders) expect(mailboxes.get(mailbox)?.mappingId).toBe(id);
    });
  });

  const loseMapping = (): void => {
    for (const name of ['__upfolder.db', '__upfolder.db-lock']) fs.rmSync(join(store.mailbox, name), { force: true });
  };

  it('refuses when mail was migrated and the mapping database is gone', async () => {
    await publish(store, 'user/fred/INBOX');
    loseMapping();
    await expect(run(store)).rejects.toMatchObject({ code: 'MAPPING_LOST', exit: 3 });
    expect(fs.existsSync(join(store.mailbox, '__upfolder.db'))).toBe(false);
  });

  it('starts over under the same names when the mapping database is gone and nothing was migrated', async () => {
    const before = await databases(store, (_, mailboxes) => [...mailboxes.list()].map(({ name }) => name));
    loseMapping();
    await run(store);
    await databases(store, (mapping, mailboxes) => {
      expect([...mailboxes.list()].map(({ name }) => name)).toEqual(before);
      for (const { id, mailbox } of mapping.folders()) expect(mailboxes.get(mailbox)?.mappingId).toBe(id);
    });
  });

  it('leaves migrated folders alone, also when they were deleted or renamed in 4.x', async () => {
    await publish(store, 'user/fred/INBOX');
    await publish(store, 'user/fred/Work');
    await databases(store, async (_, mailboxes) => {
      const record = mailboxes.get('user/fred/Work')!;
      await mailboxes.update((writes) =>
        writes.put({ ...record, name: 'user/fred/Renamed', mappingId: record.mappingId }),
      );
    });
    fs.writeFileSync(join(store.mailbox, 'fred/INBOX/.mailbox'), INDEX(99));
    const report = await run(store);
    expect(report.folders).toMatchObject({ migrated: 2, waiting: 1, added: 0 });
    await databases(store, (mapping, mailboxes) => {
      expect(mailboxes.get('user/fred/INBOX')).toMatchObject({ state: 'NON-TRANSITION', uidvalidity: 10 });
      expect(mailboxes.get('user/fred/Renamed')?.state).toBe('NON-TRANSITION');
      expect(mapping.folderByMailbox('user/fred/INBOX')).toMatchObject({ migrated: true, uidvalidity: 10 });
    });
  });

  it('believes the tombstone, not the copy in the mapping database', async () => {
    await publish(store, 'user/fred/Work');
    await databases(store, async (mapping) => {
      const folder = mapping.folderByMailbox('user/fred/Work')!;
      await mapping.update((writes) => writes.putFolder({ ...folder, migrated: false }));
    });
    await run(store);
    const state = await databases(store, (_, mailboxes) => mailboxes.get('user/fred/Work')?.state);
    expect(state).toBe('NON-TRANSITION');
  });

  it('gives an entry with the id of another folder back to its own', async () => {
    const work = () =>
      databases(store, (mapping, mailboxes) => ({
        id: mapping.folderByMailbox('user/fred/Work')?.id,
        record: mailboxes.get('user/fred/Work')!,
      }));
    const before = await work();
    expect(before.record.mappingId).toBe(before.id);
    await databases(store, (_, mailboxes) =>
      mailboxes.update((writes) => writes.put({ ...before.record, mappingId: 99 })),
    );
    expect((await run(store)).exitCode).toBe(0);
    expect(await work()).toEqual(before);
  });

  it('leaves a mailbox alone that services made under the name of a folder while its entry was lost', async () => {
    const made = await databases(store, async (_, mailboxes) => {
      const record = mailboxes.get('user/fred/Work')!;
      const used = { ...record, mappingId: null, legacyName: null, state: 'NON-TRANSITION', root: '/p' } as const;
      await mailboxes.update((writes) => writes.put(used));
      return used;
    });
    const report = await run(store);
    expect([report.exitCode, report.warnings.map(({ code, folder }) => [code, folder])]).toEqual([
      0,
      [['FOLDER_RENAMED', 'Work']],
    ]);
    expect(await databases(store, (_, mailboxes) => mailboxes.get('user/fred/Work'))).toEqual(made);
    expect((await mailboxNames(store)).filter((name) => /^user\/fred\/Work~[0-9a-f]{8}$/.test(name))).toHaveLength(1);
  });

  it('leaves it alone, and says so, where the migration of the folder had begun', async () => {
    const made = await databases(store, async (mapping, mailboxes) => {
      const folder = [...mapping.foldersOf('fred')].find(({ mailbox }) => mailbox === 'user/fred/Work')!;
      await mapping.update((writes) => writes.putFolder({ ...folder, root: '/p', attempts: 1 }));
      const record = mailboxes.get('user/fred/Work')!;
      const used = { ...record, mappingId: null, legacyName: null, state: 'NON-TRANSITION', root: '/p' } as const;
      await mailboxes.update((writes) => writes.put(used));
      return used;
    });
    const report = await run(store);
    expect([report.exitCode, report.errors.map(({ code, folder }) => [code, folder])]).toEqual([
      1,
      [['DATABASES_DISAGREE', 'Work']],
    ]);
    expect(await databases(store, (_, mailboxes) => mailboxes.get('user/fred/Work'))).toEqual(made);
  });

  it('does not give a new folder the name of a mailbox made in 4.x', async () => {
    await databases(store, async (_, mailboxes) => {
      const record = mailboxes.get('user/fred/Work')!;
      await mailboxes.update((writes) => {
        writes.put({ ...record, name: 'user/fred/Made', mappingId: null, legacyName: null, uidvalidity: 77 });
      });
    });
    store.folder(store.mailbox, 'fred', 'Made', INDEX(50));
    store.folder(store.mailbox, 'fred', 'Made/below', INDEX(51));
    store.finish();
    const report = await run(store);
    expect(report.warnings.map(({ code, folder }) => [code, folder])).toEqual([['FOLDER_RENAMED', 'Made']]);
    const names = await mailboxNames(store);
    expect(names).toContain('user/fred/Made');
    expect(names.filter((name) => /^user\/fred\/Made~[0-9a-f]{8}(\/below)?$/.test(name))).toHaveLength(2);
    await databases(store, (_, mailboxes) => expect(mailboxes.get('user/fred/Made')?.uidvalidity).toBe(77));
    expect((await run(store)).warnings).toEqual([]);
  });

  it('keeps a 4.x name when a folder appears that would have had it', async () => {
    store.folder(store.mailbox, 'fred', 'a*', INDEX(30));
    store.finish();
    await run(store);
    store.folder(store.mailbox, 'fred', 'a%', INDEX(31));
    store.folder(store.mailbox, 'fred', 'a_', INDEX(32));
    store.finish();
    await run(store);
    await databases(store, (_, mailboxes) => {
      expect(mailboxes.get('user/fred/a_')).toMatchObject({ uidvalidity: 30, legacyName: 'a*' });
    });
  });

  it('takes a new header, but never changes a uidvalidity that it chose', async () => {
    store.folder(store.mailbox, 'fred', 'Lost', null);
    fs.writeFileSync(join(store.mailbox, 'fred/Work/.mailbox'), INDEX(400));
    store.finish();
    await run(store, { now: NOW });
    const uidvalidities = () =>
      databases(store, (mapping, mailboxes) =>
        ['Work', 'Lost'].map((name) => {
          const { uidvalidity } = mapping.folderByMailbox(`user/fred/${name}`)!;
          expect(mailboxes.get(`user/fred/${name}`)?.uidvalidity).toBe(uidvalidity);
          return uidvalidity;
        }),
      );
    expect(await uidvalidities()).toEqual([400, NOW]);
    fs.writeFileSync(join(store.mailbox, 'fred/Lost/.mailbox'), INDEX(5));
    await run(store, { now: NOW + 100 });
    expect(await uidvalidities()).toEqual([400, NOW]);
    // Lost now, after a header of the future: above it.
    fs.writeFileSync(join(store.mailbox, 'fred/Work/.mailbox'), INDEX(3_000_000_000));
    await run(store, { now: NOW + 200 });
    fs.writeFileSync(join(store.mailbox, 'fred/Work/.mailbox'), '');
    await run(store, { now: NOW + 300 });
    expect(await uidvalidities()).toEqual([3_000_000_001, NOW]);
  });

  it('keeps root, partition and uidvalidity of a folder whose migration has begun', async () => {
    await databases(store, async (mapping) => {
      const folder = mapping.folderByMailbox('user/fred/Work')!;
      await mapping.update((writes) => writes.putFolder({ ...folder, root: '/p', attempts: 1, uidvalidity: 12345 }));
    });
    await run(store);
    await databases(store, (mapping) => {
      expect(mapping.folderByMailbox('user/fred/Work')).toMatchObject({ root: '/p', attempts: 1, uidvalidity: 12345 });
    });
  });

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

  it('reports a folder that was deleted in 3.x meanwhile; it becomes an empty mailbox', async () => {
    fs.rmSync(join(store.mailbox, 'fred/Work'), { recursive: true });
    const report = await run(store);
    expect(report.exitCode).toBe(0);
    expect(report.warnings.map(({ code, folder }) => [code, folder])).toEqual([['FOLDER_VANISHED', 'Work']]);
    await databases(store, (mapping) => expect(mapping.folderByMailbox('user/fred/Work')?.missing).toBe(true));
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
