/** `configutil` beside processes that use the store: the path of a partition stays while they do. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { lockDirectory, lockStore } from '../../src/config/store-lock.js';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { commandFile, runCli } from '../support/process.js';
import { run, type SmallStore, smallStore } from '../upgrade/small-store.js';

let store: SmallStore;
let lockDir: Dir;
beforeEach(async () => {
  store = smallStore();
  store.user('fred');
  store.folder(store.mailbox, 'fred', 'INBOX');
  store.finish();
  await run(store);
  lockDir = openRoot(join(store.instance, 'lock'));
});
afterEach(() => {
  closeDir(lockDir);
  store.remove();
});

const PATH = 'store.partition.primary.path';
const configutil = (...args: string[]) => runCli('configutil', '--instance', store.instance, ...args);
const show = (option: string): string => configutil('-o', option).stdout.trim();

/** Whether that process holds the store-wide lock exclusively, by /proc/locks. */
function isLockedBy(pid: number | undefined): boolean {
  const file = fs.statSync(join(store.instance, 'lock/__lock.share'), { throwIfNoEntry: false });
  const locks = fs.readFileSync('/proc/locks', 'latin1').split('\n');
  return locks.some((line) => line.includes(` WRITE ${pid} `) && line.includes(`:${file?.ino} `));
}

it('changes no partition path while a process uses the store, and names that process', () => {
  const before = show(PATH);
  const lock = lockStore(lockDir, 'shared', 'imap');
  try {
    const refused = configutil('-o', PATH, '-v', '/new/primary');
    expect(refused.status).toBe(3);
    expect(refused.stderr).toMatch(new RegExp(`STORE_LOCKED.*process ${process.pid} `));
    expect(show(PATH)).toBe(before);
    // No change, and no partition.
    expect(configutil('-o', PATH, '-v', before)).toMatchObject({ status: 0 });
    expect(configutil('-o', 'service.imap.port', '-v', '1143')).toMatchObject({ status: 0 });
  } finally {
    lock.release();
  }
  expect(configutil('-o', PATH, '-v', '/new/primary')).toMatchObject({ status: 0 });
  expect(show(PATH)).toBe('/new/primary');
});

it('takes the other lines of a file meanwhile', () => {
  const before = show(PATH);
  const file = join(store.root, 'lines');
  fs.writeFileSync(file, `${PATH}|/new/primary\nservice.imap.port|1143\nstore.partition.other.path|/new/other\n`);
  const lock = lockStore(lockDir, 'shared', 'imap');
  try {
    const { status, stderr } = configutil('-i', file);
    expect(status).toBe(1);
    expect(stderr.match(/STORE_LOCKED/g)).toHaveLength(2);
  } finally {
    lock.release();
  }
  expect([show(PATH), show('service.imap.port')]).toEqual([before, '1143']);
  expect(configutil('-i', file)).toMatchObject({ status: 0 });
  expect([show(PATH), show('store.partition.other.path')]).toEqual(['/new/primary', '/new/other']);
});

it('lets nobody begin to use the store between its look and its change, also where nobody has used it yet', async () => {
  fs.rmSync(join(store.instance, 'lock/__lock.share'));
  const config = openRoot(join(store.instance, 'config'));
  // Its change waits for this one.
  const held = lockDirectory(config, 'configdb');
  try {
    const argv = [commandFile('configutil'), '--instance', store.instance, '-o', PATH, '-v', '/new/primary'];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // Looked for where nothing is locked: a lock taken to find out could itself refuse the child.
    while (!isLockedBy(child.pid)) {
      expect(child.exitCode).toBeNull();
      await sleep(25);
    }
    // It has the lock a moment before it has written its name.
    await vi.waitFor(
      () => expect(() => lockStore(lockDir, 'shared', '-m')).toThrow(`process ${child.pid} (configutil)`),
      10_000,
    );
    held.release();
    expect(await ended).toBe(0);
  } finally {
    held.release();
    closeDir(config);
  }
  expect(show(PATH)).toBe('/new/primary');
  lockStore(lockDir, 'shared', '-m').release();
});
