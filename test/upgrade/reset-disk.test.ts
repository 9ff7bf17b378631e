/** `--reset` with a 3.x disk of its own: read-only, without room, full link counts. Needs root (loop mounts). */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openInstance, partitionPathOption } from '../../src/config/instance.js';
import { type Mounted, mountExt4, mountMissing } from '../e2e/loop.js';
import { migrate, runCli, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { haltedBy, primaryOf, refusalsOf, reset } from './reset-support.js';
import { ACCOUNT, run as upgradeFolders } from './small-store.js';

let store: SmallStore;
let disk: Mounted;
/** 3.x store path on the small disk. */
let mail: string;
const CONTENT = simpleMessage('large', `${'x'.repeat(76)}\r\n`.repeat(4000));

beforeEach((ctx) => {
  const missing = mountMissing();
  if (missing !== undefined) {
    console.log(`skipped: ${ctx.task.name}: ${missing}`);
    ctx.skip(missing);
  }
  store = smallStore();
  disk = mountExt4(8, '^has_journal');
  mail = `${disk.directory}/mail`;
  fs.mkdirSync(mail);
  store.user('joe', { mailMessageStore: mail });
  store.folder(mail, 'joe', 'INBOX', `NSMB 3 7 4\n1 1000 S ${CONTENT.length} one\n2 1000 - ${CONTENT.length} two\n`);
  fs.writeFileSync(`${mail}/joe/INBOX/one`, CONTENT);
  fs.writeFileSync(`${mail}/joe/INBOX/two`, CONTENT);
  spawnSync('chown', ['-R', `${ACCOUNT.uid}:${ACCOUNT.gid}`, mail]);
});

afterEach(() => {
  disk?.remove();
  store?.remove();
});

/** Onto another disk, and `-r`: both messages must be copied back. */
async function migrateAway(): Promise<string> {
  migrate(store, { foldersOnly: true });
  const partition = `${store.root}/partition`;
  fs.mkdirSync(partition, { mode: 0o700 });
  fs.chownSync(partition, ACCOUNT.uid, ACCOUNT.gid);
  const instance = openInstance(store.instance);
  await instance.config.update([{ option: partitionPathOption('mail'), language: null, value: partition }]);
  instance.close();
  expect(runCli('upgrade', '-m', '-r', '--instance', store.instance)).toMatchObject({ status: 0 });
  expect(fs.existsSync(`${mail}/joe/INBOX/one`)).toBe(false);
  return partition;
}

it('a disk that is read-only, or that is not mounted, is refused by name; mounted again everything goes back', async () => {
  await migrateAway();
  expect(spawnSync('mount', ['-o', 'remount,ro', disk.directory]).status).toBe(0);
  const readOnly = await reset(store);
  expect(readOnly.refusals).toMatchObject([{ code: 'RESET_READ_ONLY', mailbox: 'user/joe/INBOX' }]);
  expect(spawnSync('umount', [disk.directory]).status).toBe(0);
  const gone = await reset(store);
  expect(gone.refusals).toMatchObject([{ code: 'RESET_STORE_PATH', where: mail }]);
  expect(spawnSync('mount', ['-o', 'loop', `${disk.directory}/../image`, disk.directory]).status).toBe(0);
  expect((await reset(store)).restore).toMatchObject({ messages: 2, copied: 2 });
  expect(fs.readFileSync(`${mail}/joe/INBOX/two`, 'latin1')).toBe(CONTENT);
});

it('too little room is refused before anything is changed', async () => {
  const partition = await migrateAway();
  const { bavail, bsize } = fs.statfsSync(disk.directory);
  fs.writeFileSync(`${disk.directory}/ballast`, Buffer.alloc(bavail * bsize - 400_000));
  const report = await reset(store);
  expect(refusalsOf(report)).toEqual(['RESET_SPACE']);
  expect(fs.existsSync(`${mail}/joe/INBOX/one`)).toBe(false);
  expect(fs.readdirSync(partition)).toContain('=user');
  fs.rmSync(`${disk.directory}/ballast`);
  expect(await reset(store)).toMatchObject({ outcome: 'done' });
  expect(fs.readdirSync(partition)).toEqual([]);
});

it('a disk that fills up meanwhile: exit 4, and the next one goes on', async () => {
  await migrateAway();
  const ballast = `${disk.directory}/ballast`;
  const asked = reset(store, {
    confirm: () => {
      const { bavail, bsize } = fs.statfsSync(disk.directory);
      fs.writeFileSync(ballast, Buffer.alloc(bavail * bsize - 400_000));
      return 'yes';
    },
  });
  expect(await asked).toMatchObject(haltedBy('DISK_FULL'));
  fs.rmSync(ballast);
  expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
  expect(fs.readdirSync(`${mail}/joe/INBOX`).sort()).toEqual(['.lock', '.mailbox', 'one', 'two']);
  expect(fs.readFileSync(`${mail}/joe/INBOX/one`, 'latin1')).toBe(CONTENT);
});

it('a full link count: what cannot be linked is copied', async () => {
  migrate(store, { remove: true });
  const target = spawnSync('find', [mail, '-name', '1.msg'], { encoding: 'utf8' }).stdout.trim();
  // ext4 stops at 65,000 links.
  const links = `${disk.directory}/links`;
  fs.mkdirSync(links);
  try {
    for (let i = 0; ; i++) fs.linkSync(target, `${links}/${i}`);
  } catch (error) {
    expect(error).toMatchObject({ code: 'EMLINK' });
  }
  expect((await reset(store)).restore.messages).toBe(2);
  expect(fs.readFileSync(`${mail}/joe/INBOX/one`, 'latin1')).toBe(CONTENT);
  expect(fs.readdirSync(mail).sort()).toEqual(['.0004x.mail', 'joe']);
});

it('a read-only 3.x disk that was migrated by copying: nothing goes back there, and a marker on it stays', async () => {
  const workDir = store.storePath('work');
  fs.chownSync(workDir, ACCOUNT.uid, ACCOUNT.gid);
  store.configure({ MailboxDirectory: mail });
  fs.writeFileSync(`${mail}/__greeting_done__`, '');
  store.finish();
  expect(spawnSync('mount', ['-o', 'remount,ro', disk.directory]).status).toBe(0);
  await upgradeFolders(store, { workDir });
  expect(runCli('upgrade', '-m', '--instance', store.instance)).toMatchObject({ status: 0 });
  const report = await reset(store);
  expect(report).toMatchObject({ outcome: 'done', restore: { messages: 0 } });
  expect(report.notes).toEqual([`${mail}/__greeting_done__ is on a read-only disk and stays.`]);
  expect(fs.readdirSync(workDir)).toEqual([]);
  expect(fs.readdirSync(primaryOf(store))).toEqual([]);
  expect(fs.readFileSync(`${mail}/joe/INBOX/one`, 'latin1')).toBe(CONTENT);
});
