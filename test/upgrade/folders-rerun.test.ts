/** `upgrade -s` run again: the folders that are added, stay, or are gone, and their names and numbers. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createChangeWriter } from '../../src/upgrade/folders-write.js';
import { NOW, rerunStore } from './folders-rerun-support.js';
import { databases, INDEX, mailboxNames, publish, run, type SmallStore } from './small-store.js';

describe('upgrade -s run again', () => {
  let store: SmallStore;
  beforeEach(async () => {
    ({ store } = await rerunStore());
  });
  afterEach(() => store.remove());

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

  it('reports a folder that was deleted in 3.x meanwhile; it becomes an empty mailbox', async () => {
    fs.rmSync(join(store.mailbox, 'fred/Work'), { recursive: true });
    const report = await run(store);
    expect(report.exitCode).toBe(0);
    expect(report.warnings.map(({ code, folder }) => [code, folder])).toEqual([['FOLDER_VANISHED', 'Work']]);
    await databases(store, (mapping) => expect(mapping.folderByMailbox('user/fred/Work')?.missing).toBe(true));
  });
});
