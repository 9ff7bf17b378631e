/** What `--reset` gives back: every message with its times and links, the lines of `.mailbox`, also from another disk. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openInstance, partitionPathOption } from '../../src/config/instance.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import { fillFolder, migrate, runCli, type SmallStore, smallStore } from '../support/migrated-store.js';
import { expectClean, fillMail, inboxOf } from './reset-mail-support.js';
import { filesBelow, originalsOf, primaryOf, refusalsOf, reset, timesOf } from './reset-support.js';
import { ACCOUNT } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => store.remove());

it('after -m -r every message is back, and -s, -m give the same to the byte', async () => {
  fillMail(store);
  migrate(store);
  const golden = filesBelow(primaryOf(store));
  const before = originalsOf(store);
  const times = timesOf(store);
  expect((await reset(store)).restore.messages).toBe(0);
  expectClean(store);
  expect(originalsOf(store)).toEqual(before);

  migrate(store, { remove: true });
  expect(Object.keys(originalsOf(store))).toEqual([]);
  const report = await reset(store);
  expect(report).toMatchObject({ outcome: 'done', exitCode: 0, resumed: false });
  expect(report.restore).toMatchObject({ messages: 10, rewritten: 5, copied: 0, lines: 0 });
  expectClean(store);
  const after = originalsOf(store);
  expect(Object.keys(after)).toEqual(Object.keys(before));
  expect(after['joe/INBOX/msg3']).toBe(before['joe/INBOX/msg3']);
  expect(fs.readFileSync(`${inboxOf(store)}/msg105`, 'latin1')).toBe('Subject: bare\r\n\r\nLF\r\n');
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
  fillMail(store);
  migrate(store, { remove: true });
  await reset(store);
  const stats = fs.statSync(`${inboxOf(store)}/msg105`);
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
    fillMail(store);
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
    expectClean(store);
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
    fillMail(store);
    fs.linkSync(`${inboxOf(store)}/msg104`, `${inboxOf(store)}/twice`);
    await migrateFar();
    await reset(store);
    expect(fs.statSync(`${inboxOf(store)}/twice`).ino).toBe(fs.statSync(`${inboxOf(store)}/msg104`).ino);
    expect(fs.statSync(`${inboxOf(store)}/twice`).nlink).toBe(3);
  });

  it('a copy that is not what the index says is refused, and nothing was changed', async () => {
    fillMail(store);
    await migrateFar();
    const file = `${far}/${mailboxPathComponents('joe', 'user/joe/Box').join('/')}/00/1.msg`;
    fs.writeFileSync(file, fs.readFileSync(file, 'latin1').replace('boxed', 'boxEd'), 'latin1');
    expect(refusalsOf(await reset(store))).toEqual(['RESET_CONTENT']);
    expect(Object.keys(originalsOf(store))).toEqual([]);
  });
});

it('names that -r took from a shared message become links of the original that is still there', async () => {
  store.user('ann');
  fillMail(store);
  fillFolder(store, 'ann', 'INBOX', 4, []);
  fs.linkSync(`${inboxOf(store)}/msg106`, `${store.mailbox}/ann/INBOX/mine`);
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
  expect(fs.statSync(`${store.mailbox}/ann/INBOX/mine`).ino).toBe(fs.statSync(`${inboxOf(store)}/msg106`).ino);
  expect(fs.readFileSync(`${store.mailbox}/ann/INBOX/mine`, 'latin1')).toContain('\n\nLF\n');
  expect(fs.readdirSync(store.mailbox).sort()).toEqual(['ann', 'joe']);
});

describe('.mailbox', () => {
  const golden = (): Record<string, string> => filesBelow(primaryOf(store));

  it('gets the lines that were lost since, so that uid, flags, keywords and date stay', async () => {
    fillMail(store);
    migrate(store);
    const before = golden();
    await reset(store);
    migrate(store, { remove: true });
    const lines = fs.readFileSync(`${inboxOf(store)}/.mailbox`, 'latin1').split('\n');
    fs.writeFileSync(`${inboxOf(store)}/.mailbox`, lines.filter((line) => !/ msg(3|105)$/.test(line)).join('\n'));
    const report = await reset(store);
    expect(report.restore.lines).toBe(2);
    expect(fs.readFileSync(`${inboxOf(store)}/.mailbox`, 'latin1')).toContain('\n3 946684800 SA,$Forwarded,Junk ');
    migrate(store);
    expect(golden()).toEqual(before);
  });

  it('is written anew when it is gone', async () => {
    fillMail(store);
    migrate(store);
    const before = golden();
    await reset(store);
    migrate(store, { remove: true });
    fs.rmSync(`${inboxOf(store)}/.mailbox`);
    await reset(store);
    migrate(store);
    expect(golden()).toEqual(before);
  });

  it('stays as it is when nothing of it is missing', async () => {
    fillMail(store);
    migrate(store, { remove: true });
    const before = fs.readFileSync(`${inboxOf(store)}/.mailbox`);
    await reset(store);
    expect(fs.readFileSync(`${inboxOf(store)}/.mailbox`)).toEqual(before);
  });
});
