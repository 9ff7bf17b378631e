import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openInstance, partitionPathOption } from '../../src/config/instance.js';
import { lockStore } from '../../src/config/store-lock.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { armFaults } from '../../src/fs/seam.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import { openSession } from '../../src/upgrade/session.js';
import { setUpInstance } from '../../src/upgrade/setup.js';
import { fillFolder, migrate, runCli, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { filesBelow, haltedBy, originalsOf, primaryOf, refusalsOf, reset, timesOf } from './reset-support.js';
import { ACCOUNT, codeOfAsync, databases, run as upgradeFolders } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => {
  armFaults(undefined);
  store.remove();
});

const BARE = 'Subject: bare\n\nLF\n';
const CRLF = 'Subject: bare\r\n\r\nLF\r\n';
const inbox = (): string => `${store.mailbox}/joe/INBOX`;

/**
 * joe: a plain message, bare LF, one shared by INBOX and Box, a bare one shared by both, two files without a line
 * whose times differ by a nanosecond; a sub-folder of INBOX; empty: no mailbox directory.
 */
function fill(): void {
  store.user('joe');
  store.user('empty');
  fillFolder(store, 'joe', 'INBOX', 7, [
    { uid: 3, content: simpleMessage('first'), flags: 'SA,$Forwarded,Junk', date: 946_684_800 },
    { uid: 104, content: simpleMessage('second') },
    { uid: 105, content: BARE, flags: 'F' },
    { uid: 106, content: 'Subject: shared bare\n\nLF\n' },
  ]);
  fillFolder(store, 'joe', 'Box', 8, [{ uid: 1, content: simpleMessage('boxed'), flags: 'F' }]);
  fillFolder(store, 'joe', 'INBOX/deep/er', 9, [{ uid: 5, content: simpleMessage('deep') }]);
  fs.linkSync(`${inbox()}/msg104`, `${store.mailbox}/joe/Box/shared`);
  fs.linkSync(`${inbox()}/msg106`, `${store.mailbox}/joe/Box/sharedbare`);
  fs.appendFileSync(`${store.mailbox}/joe/Box/.mailbox`, '2 1000 - 1 shared\n3 1000 - 1 sharedbare\n');
  for (const [name, nanoseconds] of [
    ['late', '2'],
    ['early', '1'],
  ] as const) {
    fs.writeFileSync(`${inbox()}/${name}`, `Subject: ${name}\n\nno line\n`);
    runTouch(`${inbox()}/${name}`, `@1000000000.00000000${nanoseconds}`);
  }
}

function runTouch(file: string, date: string): void {
  runProgram('touch', ['-d', date, file]);
}

function runProgram(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
}

/** What is left after a reset but the 3.x mail: nothing. */
function expectClean(): void {
  expect(fs.readdirSync(store.mailbox).sort()).toEqual(['joe']);
  expect(fs.readdirSync(primaryOf(store))).toEqual([]);
  expect(fs.readdirSync(`${store.instance}/store/mboxlist`)).toEqual([]);
  expect(fs.readdirSync(`${store.instance}/lock`)).toEqual([]);
}

it('after -m -r every message is back, and -s, -m give the same to the byte', async () => {
  fill();
  migrate(store);
  const golden = filesBelow(primaryOf(store));
  const before = originalsOf(store);
  const times = timesOf(store);
  expect((await reset(store)).restore.messages).toBe(0);
  expectClean();
  expect(originalsOf(store)).toEqual(before);

  migrate(store, { remove: true });
  expect(Object.keys(originalsOf(store))).toEqual([]);
  const report = await reset(store);
  expect(report).toMatchObject({ outcome: 'done', exitCode: 0, resumed: false });
  expect(report.restore).toMatchObject({ messages: 10, rewritten: 5, copied: 0, lines: 0 });
  expectClean();
  const after = originalsOf(store);
  expect(Object.keys(after)).toEqual(Object.keys(before));
  expect(after['joe/INBOX/msg3']).toBe(before['joe/INBOX/msg3']);
  expect(fs.readFileSync(`${inbox()}/msg105`, 'latin1')).toBe(CRLF);
  expect(after['joe/Box/shared']).toContain('joe/INBOX/msg104');
  expect(after['joe/Box/sharedbare']).toContain('joe/INBOX/msg106');
  // To the nanosecond where the order of files gives uids: early and late have no line.
  expect(timesOf(store)).toMatchObject({
    'joe/INBOX/early': times['joe/INBOX/early'],
    'joe/INBOX/late': times['joe/INBOX/late'],
  });

  migrate(store);
  expect(filesBelow(primaryOf(store))).toEqual(golden);
});

it('gives the files owner and mode of the server account', async () => {
  fill();
  migrate(store, { remove: true });
  await reset(store);
  const stats = fs.statSync(`${inbox()}/msg105`);
  expect([stats.uid, stats.gid, stats.mode & 0o777]).toEqual([ACCOUNT.uid, ACCOUNT.gid, 0o600]);
});

describe('a partition on another file system', () => {
  const elsewhere = '/dev/shm';
  let far: string;

  beforeEach((ctx) => {
    if (!fs.existsSync(elsewhere) || fs.statSync(elsewhere).dev === fs.statSync(store.root).dev) {
      console.log(`skipped: ${ctx.task.name}: ${elsewhere} is no file system of its own here`);
      ctx.skip();
    }
    far = fs.mkdtempSync(path.join(elsewhere, 'mailhaul-reset-'));
    fs.chmodSync(far, 0o700);
    if (process.geteuid?.() === 0) fs.chownSync(far, ACCOUNT.uid, ACCOUNT.gid);
  });

  afterEach(() => fs.rmSync(far, { recursive: true, force: true }));

  async function migrateFar(): Promise<void> {
    migrate(store, { foldersOnly: true });
    const instance = openInstance(store.instance);
    await instance.config.update([{ option: partitionPathOption('primary'), language: null, value: far }]);
    instance.close();
    const { status, stderr } = runCli('upgrade', '-m', '-r', '--instance', store.instance);
    if (status !== 0) throw new Error(stderr);
  }

  it('messages are copied back, with their times, and shared ones are one file again', async () => {
    fill();
    migrate(store);
    const golden = filesBelow(primaryOf(store));
    const times = timesOf(store);
    await reset(store);
    await migrateFar();
    expect(Object.keys(originalsOf(store))).toEqual([]);
    const report = await reset(store);
    expect(report.restore).toMatchObject({ messages: 10, copied: 10, rewritten: 5 });
    expect(report.restore.stores[0]?.copyBytes).toBeGreaterThan(0);
    expect(fs.readdirSync(far)).toEqual([]);
    expectClean();
    const after = originalsOf(store);
    expect(after['joe/Box/shared']).toContain('joe/INBOX/msg104');
    expect(after['joe/Box/sharedbare']).toContain('joe/INBOX/msg106');
    const now = timesOf(store);
    for (const [name, time] of Object.entries(times))
      expect(Math.abs(Number((now[name] ?? 0n) - time)), name).toBeLessThan(2000);
    expect([now['joe/INBOX/early'], now['joe/INBOX/late']]).toEqual([
      times['joe/INBOX/early'],
      times['joe/INBOX/late'],
    ]);
    migrate(store);
    expect(filesBelow(primaryOf(store))).toEqual(golden);
  });

  it('names of one file in one folder are one file again', async () => {
    fill();
    fs.linkSync(`${inbox()}/msg104`, `${inbox()}/twice`);
    await migrateFar();
    await reset(store);
    expect(fs.statSync(`${inbox()}/twice`).ino).toBe(fs.statSync(`${inbox()}/msg104`).ino);
    expect(fs.statSync(`${inbox()}/twice`).nlink).toBe(3);
  });

  it('a copy that is not what the index says is refused, and nothing was changed', async () => {
    fill();
    await migrateFar();
    const file = `${far}/${mailboxPathComponents('joe', 'user/joe/Box').join('/')}/00/1.msg`;
    fs.writeFileSync(file, fs.readFileSync(file, 'latin1').replace('boxed', 'boxEd'), 'latin1');
    expect(refusalsOf(await reset(store))).toEqual(['RESET_CONTENT']);
    expect(Object.keys(originalsOf(store))).toEqual([]);
  });
});

it('names that -r took from a shared message become links of the original that is still there', async () => {
  store.user('ann');
  fill();
  fillFolder(store, 'ann', 'INBOX', 4, []);
  fs.linkSync(`${inbox()}/msg106`, `${store.mailbox}/ann/INBOX/mine`);
  fs.appendFileSync(`${store.mailbox}/ann/INBOX/.mailbox`, '1 1000 - 1 mine\n');
  migrate(store);
  const list = `${store.root}/one.txt`;
  fs.writeFileSync(
    list,
    `[4x partition]:primary\n[3x MailStorePath]:${store.mailbox}\n#---------List of mail user id ------\nann\n`,
  );
  expect(runCli('upgrade', '-u', list, '-r', '--instance', store.instance)).toMatchObject({ status: 0 });
  expect(fs.existsSync(`${store.mailbox}/ann/INBOX/mine`)).toBe(false);
  expect((await reset(store)).restore.messages).toBe(1);
  expect(fs.statSync(`${store.mailbox}/ann/INBOX/mine`).ino).toBe(fs.statSync(`${inbox()}/msg106`).ino);
  expect(fs.readFileSync(`${store.mailbox}/ann/INBOX/mine`, 'latin1')).toContain('\n\nLF\n');
  expect(fs.readdirSync(store.mailbox).sort()).toEqual(['ann', 'joe']);
});

describe('.mailbox', () => {
  const golden = (): Record<string, string> => filesBelow(primaryOf(store));

  it('gets the lines that were lost since, so that uid, flags, keywords and date stay', async () => {
    fill();
    migrate(store);
    const before = golden();
    await reset(store);
    migrate(store, { remove: true });
    const lines = fs.readFileSync(`${inbox()}/.mailbox`, 'latin1').split('\n');
    fs.writeFileSync(`${inbox()}/.mailbox`, lines.filter((line) => !/ msg(3|105)$/.test(line)).join('\n'));
    const report = await reset(store);
    expect(report.restore.lines).toBe(2);
    expect(fs.readFileSync(`${inbox()}/.mailbox`, 'latin1')).toContain('\n3 946684800 SA,$Forwarded,Junk ');
    migrate(store);
    expect(golden()).toEqual(before);
  });

  it('is written anew when it is gone', async () => {
    fill();
    migrate(store);
    const before = golden();
    await reset(store);
    migrate(store, { remove: true });
    fs.rmSync(`${inbox()}/.mailbox`);
    await reset(store);
    migrate(store);
    expect(golden()).toEqual(before);
  });

  it('stays as it is when nothing of it is missing', async () => {
    fill();
    migrate(store, { remove: true });
    const before = fs.readFileSync(`${inbox()}/.mailbox`);
    await reset(store);
    expect(fs.readFileSync(`${inbox()}/.mailbox`)).toEqual(before);
  });
});

describe('stopped', () => {
  it('by an error: everything else refuses, --reset goes on', async () => {
    fill();
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
    expectClean();
    migrate(store);
    expect(filesBelow(primaryOf(store))).toEqual(golden);
  });

  it.each(['yes', 'no'] as const)(
    'by a signal while it asks, before the answer %j: exit 4, nothing is marked',
    async (answer) => {
      fill();
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
    fill();
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
    expectClean();
  });

  it('by an original that went since the survey: its 4.x file stays, and the next one puts it back', async () => {
    fill();
    migrate(store);
    const asked = reset(store, {
      confirm: () => {
        fs.rmSync(`${inbox()}/msg3`);
        return 'yes';
      },
    });
    expect(await asked).toMatchObject(haltedBy('RESET_LEFT'));
    expect((await reset(store)).restore.messages).toBe(1);
    expect(fs.readFileSync(`${inbox()}/msg3`, 'latin1')).toBe(simpleMessage('first'));
    expectClean();
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
    fill();
    migrate(store, { remove: true });
    await reset(store);
    expect(await reset(store)).toMatchObject({ outcome: 'nothing', exitCode: 0 });
  });

  it('on an unfinished -s', async () => {
    fill();
    migrate(store, { foldersOnly: true });
    await databases(store, (mapping) =>
      mapping.update((writes) => writes.putMeta({ ...mapping.meta()!, finished: null })),
    );
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean();
  });

  it('on what a -s left that was killed before its first transaction', async () => {
    fill();
    migrate(store, { foldersOnly: true });
    for (const name of ['__upfolder.db', '__upfolder.db-lock']) fs.truncateSync(`${store.mailbox}/${name}`);
    fs.rmSync(`${store.instance}/store/mboxlist/mboxlist.mdb`);
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean();
  });

  it('with --from, where a killed -s had not put it on record yet', async () => {
    fill();
    migrate(store, { foldersOnly: true });
    const instance = openInstance(store.instance);
    await instance.config.update([{ option: 'local.upgrade.from', language: null, value: '' }]);
    instance.close();
    expect(await reset(store, { from: store.from })).toMatchObject({ outcome: 'done' });
    expectClean();
  });

  it('when somebody has begun the procedure of the guide by hand', async () => {
    fill();
    migrate(store, { remove: true });
    fs.rmSync(`${store.instance}/store/mboxlist`, { recursive: true });
    expect((await reset(store)).restore.messages).toBe(10);
    expectClean();
  });

  it('on a folder in TRANSITION whose messages failed', async () => {
    fill();
    store.finish();
    fs.symlinkSync('elsewhere', `${inbox()}/link`);
    migrate(store);
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expectClean();
    expect(fs.existsSync(`${inbox()}/msg3`)).toBe(true);
  });

  it('and takes the markers and lists of the guide away, and no other file', async () => {
    fill();
    migrate(store);
    for (const name of ['__greeting_done__', '__snmp_done__', '__up.mine', 'upgrade4x.conf.old']) {
      fs.writeFileSync(`${store.mailbox}/${name}`, '');
    }
    await reset(store);
    expect(fs.readdirSync(store.mailbox).sort()).toEqual(['joe', 'upgrade4x.conf.old']);
  });

  it('with the files of -s in a work directory', async () => {
    fill();
    store.finish();
    const workDir = store.storePath('work');
    fs.chownSync(workDir, ACCOUNT.uid, ACCOUNT.gid);
    await upgradeFolders(store, { workDir });
    expect(runCli('upgrade', '-m', '-r', '--instance', store.instance).status).toBe(0);
    expect((await reset(store)).restore.messages).toBe(10);
    expect(fs.readdirSync(workDir)).toEqual([]);
    expectClean();
  });
});

describe('is refused', () => {
  it('when the mapping database is gone, which alone says what came from 3.x', async () => {
    fill();
    migrate(store, { remove: true });
    for (const name of ['__upfolder.db', '__upfolder.db-lock']) fs.rmSync(`${store.mailbox}/${name}`);
    const report = await reset(store);
    expect(refusalsOf(report)).toEqual(['RESET_MADE_IN_4X', 'RESET_UNKNOWN_FILE']);
    expect(fs.existsSync(`${store.instance}/store/mboxlist/mboxlist.mdb`)).toBe(true);
  });

  it('while a process uses the store', async () => {
    fill();
    migrate(store);
    const lockDir = openRoot(`${store.instance}/lock`);
    const lock = lockStore(lockDir, 'shared', 'imap');
    await expect(reset(store)).rejects.toMatchObject({ code: 'STORE_LOCKED', exit: 3 });
    lock.release();
    closeDir(lockDir);
  });

  it('while the 3.x server runs, but not with --pid-is-stale', async () => {
    fill();
    migrate(store);
    fs.writeFileSync(`${store.from}/NscpMail.pid`, `${process.pid}\n`);
    await expect(reset(store)).rejects.toMatchObject({ code: 'SOURCE_RUNNING', exit: 3 });
    expect(await reset(store, { pidIsStale: true })).toMatchObject({ outcome: 'done' });
  });

  it('by whoever is asked, and then nothing was changed', async () => {
    fill();
    migrate(store, { remove: true });
    const before = filesBelow(store.root, (name) => !/-lock$|__lock|log\/default/.test(name));
    expect(await reset(store, { confirm: () => 'no' })).toMatchObject({ outcome: 'declined', exitCode: 3 });
    expect(await reset(store, { dryRun: true })).toMatchObject({ outcome: 'planned', exitCode: 0 });
    expect(filesBelow(store.root, (name) => !/-lock$|__lock|log\/default/.test(name))).toEqual(before);
  });
});
