/** How `--reset` ends: stopped and gone on with, done on stores in every state that -s and -m leave, refused. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openInstance } from '../../src/config/instance.js';
import { lockStore } from '../../src/config/store-lock.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { armFaults } from '../../src/fs/seam.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import { openSession } from '../../src/upgrade/session.js';
import { setUpInstance } from '../../src/upgrade/setup.js';
import { migrate, runCli, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { expectClean, fillMail, inboxOf } from './reset-mail-support.js';
import { filesBelow, haltedBy, primaryOf, refusalsOf, reset } from './reset-support.js';
import { ACCOUNT, codeOfAsync, databases, run as upgradeFolders } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => {
  armFaults(undefined);
  store.remove();
});

describe('stopped', () => {
  it('by an error: everything else refuses, --reset goes on', async () => {
    fillMail(store);
    migrate(store);
    const golden = filesBelow(primaryOf(store));
    await reset(store);
    migrate(store, { remove: true });
    armFaults({ mode: 'fail', at: 12, errno: 28, report: '' });
    expect(await reset(store)).toMatchObject(haltedBy('DISK_FULL'));
    armFaults(undefined);
    const refused = { code: 'RESET_UNFINISHED', exit: 3 };
    await expect(openSession({ instance: store.instance }, 'test')).rejects.toMatchObject(refused);
    await expect(openSession({ instance: store.instance, readOnly: true }, 'test')).rejects.toMatchObject(refused);
    expect(await codeOfAsync(() => upgradeFolders(store))).toBe('RESET_UNFINISHED');
    expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
    expectClean(store);
    migrate(store);
    expect(filesBelow(primaryOf(store))).toEqual(golden);
  });

  it.each(['yes', 'no'] as const)(
    'by a signal while it asks, before the answer %j: exit 4, nothing is marked',
    async (answer) => {
      fillMail(store);
      migrate(store, { remove: true });
      const controller = new AbortController();
      const asked = reset(store, {
        signal: controller.signal,
        confirm: () => {
          controller.abort();
          return answer;
        },
      });
      expect(await asked).toMatchObject({ ...haltedBy('HALTED'), done: { restored: 0, removed: 0 } });
      expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: false });
    },
  );

  it('by a file that appeared since the survey: it stays, and the next one names it', async () => {
    fillMail(store);
    migrate(store);
    const stranger = `${primaryOf(store)}/${mailboxPathComponents('joe', 'user/joe/Box').join('/')}/mine`;
    const asked = reset(store, {
      confirm: () => {
        fs.writeFileSync(stranger, 'mine');
        return 'yes';
      },
    });
    expect(await asked).toMatchObject(haltedBy('RESET_LEFT'));
    expect(refusalsOf(await reset(store))).toEqual(['RESET_UNKNOWN_FILE']);
    fs.rmSync(stranger);
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean(store);
  });

  it('by an original that went since the survey: its 4.x file stays, and the next one puts it back', async () => {
    fillMail(store);
    migrate(store);
    const asked = reset(store, {
      confirm: () => {
        fs.rmSync(`${inboxOf(store)}/msg3`);
        return 'yes';
      },
    });
    expect(await asked).toMatchObject(haltedBy('RESET_LEFT'));
    expect((await reset(store)).restore.messages).toBe(1);
    expect(fs.readFileSync(`${inboxOf(store)}/msg3`, 'latin1')).toBe(simpleMessage('first'));
    expectClean(store);
  });
});

describe('works', () => {
  it('where nothing was ever done', async () => {
    store.user('joe');
    store.finish();
    await setUpInstance({ instance: store.instance, from: store.from });
    expect(await reset(store)).toMatchObject({ outcome: 'nothing', exitCode: 0 });
  });

  it('twice', async () => {
    fillMail(store);
    migrate(store, { remove: true });
    await reset(store);
    expect(await reset(store)).toMatchObject({ outcome: 'nothing', exitCode: 0 });
  });

  it('on an unfinished -s', async () => {
    fillMail(store);
    migrate(store, { foldersOnly: true });
    await databases(store, (mapping) =>
      mapping.update((writes) => writes.putMeta({ ...mapping.meta()!, finished: null })),
    );
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean(store);
  });

  it('on what a -s left that was killed before its first transaction', async () => {
    fillMail(store);
    migrate(store, { foldersOnly: true });
    for (const name of ['__upfolder.db', '__upfolder.db-lock']) fs.truncateSync(`${store.mailbox}/${name}`);
    fs.rmSync(`${store.instance}/store/mboxlist/mboxlist.mdb`);
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean(store);
  });

  it('with --from, where a killed -s had not put it on record yet', async () => {
    fillMail(store);
    migrate(store, { foldersOnly: true });
    const instance = openInstance(store.instance);
    await instance.config.update([{ option: 'local.upgrade.from', language: null, value: '' }]);
    instance.close();
    expect(await reset(store, { from: store.from })).toMatchObject({ outcome: 'done' });
    expectClean(store);
  });

  it('when somebody has begun the procedure of the guide by hand', async () => {
    fillMail(store);
    migrate(store, { remove: true });
    fs.rmSync(`${store.instance}/store/mboxlist`, { recursive: true });
    expect((await reset(store)).restore.messages).toBe(10);
    expectClean(store);
  });

  it('on a folder in TRANSITION whose messages failed', async () => {
    fillMail(store);
    store.finish();
    fs.symlinkSync('elsewhere', `${inboxOf(store)}/link`);
    migrate(store);
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean(store);
    expect(fs.existsSync(`${inboxOf(store)}/msg3`)).toBe(true);
  });

  it('and takes the markers and lists of the guide away, and no other file', async () => {
    fillMail(store);
    migrate(store);
    for (const name of ['__greeting_done__', '__snmp_done__', '__up.mine', 'upgrade4x.conf.old']) {
      fs.writeFileSync(`${store.mailbox}/${name}`, '');
    }
    await reset(store);
    expect(fs.readdirSync(store.mailbox).sort()).toEqual(['joe', 'upgrade4x.conf.old']);
  });

  it('with the files of -s in a work directory', async () => {
    fillMail(store);
    store.finish();
    const workDir = store.storePath('work');
    fs.chownSync(workDir, ACCOUNT.uid, ACCOUNT.gid);
    await upgradeFolders(store, { workDir });
    expect(runCli('upgrade', '-m', '-r', '--instance', store.instance).status).toBe(0);
    expect((await reset(store)).restore.messages).toBe(10);
    expect(fs.readdirSync(workDir)).toEqual([]);
    expectClean(store);
  });
});

describe('is refused', () => {
  it('when the mapping database is gone, which alone says what came from 3.x', async () => {
    fillMail(store);
    migrate(store, { remove: true });
    for (const name of ['__upfolder.db', '__upfolder.db-lock']) fs.rmSync(`${store.mailbox}/${name}`);
    const report = await reset(store);
    expect(refusalsOf(report)).toEqual(['RESET_MADE_IN_4X', 'RESET_UNKNOWN_FILE']);
    expect(fs.existsSync(`${store.instance}/store/mboxlist/mboxlist.mdb`)).toBe(true);
  });

  it('while a process uses the store', async () => {
    fillMail(store);
    migrate(store);
    const lockDir = openRoot(`${store.instance}/lock`);
    const lock = lockStore(lockDir, 'shared', 'imap');
    await expect(reset(store)).rejects.toMatchObject({ code: 'STORE_LOCKED', exit: 3 });
    lock.release();
    closeDir(lockDir);
  });

  it('while the 3.x server runs, but not with --pid-is-stale', async () => {
    fillMail(store);
    migrate(store);
    fs.writeFileSync(`${store.from}/NscpMail.pid`, `${process.pid}\n`);
    await expect(reset(store)).rejects.toMatchObject({ code: 'SOURCE_RUNNING', exit: 3 });
    expect(await reset(store, { pidIsStale: true })).toMatchObject({ outcome: 'done' });
  });

  it('by whoever is asked, and then nothing was changed', async () => {
    fillMail(store);
    migrate(store, { remove: true });
    const before = filesBelow(store.root, (name) => !/-lock$|__lock|log\/default/.test(name));
    expect(await reset(store, { confirm: () => 'no' })).toMatchObject({ outcome: 'declined', exitCode: 3 });
    expect(await reset(store, { dryRun: true })).toMatchObject({ outcome: 'planned', exitCode: 0 });
    expect(filesBelow(store.root, (name) => !/-lock$|__lock|log\/default/.test(name))).toEqual(before);
  });
});
