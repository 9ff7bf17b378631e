/** The moments around the locking of `.lock`, which only a wrapped flock, or a wrapped look, can hit every time. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { tryLockFolder } from '../../../src/source/nsms3/lock.js';
import { type TestFolder, testFolder } from './folder.js';

const hook = vi.hoisted(() => ({ beforeLock: () => {}, beforeLook: () => {} }));
vi.mock('../../../src/fs/dir.js', async (importOriginal) => {
  const real = await importOriginal<typeof import('../../../src/fs/dir.js')>();
  const stat: typeof real.stat = (dir, name) => {
    hook.beforeLook();
    return real.stat(dir, name);
  };
  return { ...real, stat };
});
vi.mock('../../../src/fs/flock.js', async (importOriginal) => {
  const real = await importOriginal<typeof import('../../../src/fs/flock.js')>();
  return {
    ...real,
    tryFlock: (fd: number, mode: 'exclusive' | 'shared') => {
      // The directory is locked first.
      if (fs.fstatSync(fd).isFile()) hook.beforeLock();
      return real.tryFlock(fd, mode);
    },
  };
});

const owner = { uid: process.getuid!(), gid: process.getgid!() };
let folder: TestFolder;
let times: number;
beforeEach(() => {
  folder = testFolder();
  times = 0;
  hook.beforeLock = () => {};
  hook.beforeLook = () => {};
});
afterEach(() => folder.remove());

/** Puts a new file in place of `.lock` at each of the first `limit` attempts. */
function replaceBeforeLock(limit: number): void {
  hook.beforeLock = () => {
    if (times++ >= limit) return;
    // Renamed, not removed: the inode stays in use, so the new file cannot get its number.
    fs.renameSync(`${folder.path}/.lock`, `${folder.path}/.old${times}`);
    fs.writeFileSync(`${folder.path}/.lock`, '', { mode: 0o600 });
  };
}

test('a file that is replaced after it was opened is let go, and the new one is locked', () => {
  replaceBeforeLock(1);
  const lock = tryLockFolder(folder.dir, owner);
  if (lock === 'busy') throw new Error('the folder is busy');
  expect(fs.fstatSync(lock.fd).ino).toBe(fs.statSync(`${folder.path}/.lock`).ino);
  expect(times).toBe(2);
  lock.release();
});

test('a file that is replaced again and again makes the folder busy, without leaving descriptors open', () => {
  const before = fs.readdirSync('/proc/self/fd').length;
  replaceBeforeLock(Number.POSITIVE_INFINITY);
  expect(tryLockFolder(folder.dir, owner)).toBe('busy');
  expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
});

test('a look that fails after the file was locked lets it go', () => {
  const before = fs.readdirSync('/proc/self/fd').length;
  hook.beforeLock = () => {
    hook.beforeLook = () => {
      throw new Error('the disk does not answer');
    };
  };
  expect(() => tryLockFolder(folder.dir, owner)).toThrow('the disk does not answer');
  expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  hook.beforeLock = () => {};
  hook.beforeLook = () => {};
  const lock = tryLockFolder(folder.dir, owner);
  if (lock === 'busy') throw new Error('the folder is busy');
  lock.release();
});
