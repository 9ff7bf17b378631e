import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { lockHolders, tryLockFolder } from '../../../src/source/nsms3/lock.js';
import type { FolderLock } from '../../../src/source/types.js';
import { type TestFolder, testFolder, unprivileged } from './folder.js';

let folder: TestFolder;
let held: FolderLock[];
beforeEach(() => {
  folder = testFolder();
  held = [];
});
afterEach(() => {
  for (const lock of held) lock.release();
  folder.remove();
});

const owner = { uid: process.getuid!(), gid: process.getgid!() };
const lockPath = () => `${folder.path}/.lock`;

function lock(as = owner): FolderLock {
  const taken = tryLockFolder(folder.dir, as);
  if (taken === 'busy') throw new Error('the folder is busy');
  held.push(taken);
  return taken;
}

/** flock(1), another process, says whether the path is free. */
function freeForOthers(path: string): boolean {
  try {
    execFileSync('flock', ['-n', path, 'true']);
    return true;
  } catch {
    return false;
  }
}

describe('the lock file', () => {
  test('is made with mode 0600 and locked for every process', () => {
    expect(lock().target).toBe('file');
    expect(fs.statSync(lockPath()).mode & 0o7777).toBe(0o600);
    expect(freeForOthers(lockPath())).toBe(false);
    expect(lockHolders(folder.dir).length).toBeGreaterThan(0);
  });

  test('belongs to the server account when root makes it', (ctx) => {
    if (process.getuid?.() !== 0) return ctx.skip('only root gives files to other accounts');
    lock({ uid: 8, gid: 9 });
    expect([fs.statSync(lockPath()).uid, fs.statSync(lockPath()).gid]).toEqual([8, 9]);
  });

  test('is never removed, and can be locked again after release', () => {
    held.pop();
    lock().release();
    held.pop();
    expect(fs.existsSync(lockPath())).toBe(true);
    const inode = fs.statSync(lockPath()).ino;
    lock();
    expect(fs.statSync(lockPath()).ino).toBe(inode);
  });

  test('a second attempt of the same process is busy', () => {
    lock();
    expect(tryLockFolder(folder.dir, owner)).toBe('busy');
  });

  test('closing the descriptor lets go', () => {
    const taken = lock();
    held.pop();
    fs.closeSync(taken.fd);
    expect(tryLockFolder(folder.dir, owner)).not.toBe('busy');
  });

  test('a 3.x process that holds it makes the folder busy, and is named', async () => {
    fs.writeFileSync(lockPath(), '', { mode: 0o600 });
    const child = spawn('flock', [lockPath(), 'sh', '-c', 'echo held; read x'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(tryLockFolder(folder.dir, owner)).toBe('busy');
    expect(lockHolders(folder.dir)).toEqual([child.pid]);
    child.stdin.end('\n');
    await ended;
    lock();
  });

  test('a file that was replaced while it was held is not the lock any more', () => {
    lock();
    fs.renameSync(lockPath(), `${folder.path}/.old`);
    expect(lock().target).toBe('file');
    expect(fs.statSync(lockPath()).ino).not.toBe(fs.statSync(`${folder.path}/.old`).ino);
  });

  test('no descriptor stays open after busy attempts', () => {
    lock();
    const before = fs.readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 5; i++) tryLockFolder(folder.dir, owner);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('what cannot be locked', () => {
  const refused = expect.objectContaining({ code: 'FOLDER_LOCK' });

  test('a symbolic link is neither followed nor made real', () => {
    fs.symlinkSync('target', lockPath());
    expect(() => tryLockFolder(folder.dir, owner)).toThrow(refused);
    expect(fs.existsSync(`${folder.path}/target`)).toBe(false);
  });

  test('a fifo does not block', () => {
    execFileSync('mkfifo', [lockPath()]);
    expect(() => tryLockFolder(folder.dir, owner)).toThrow(refused);
  });

  test('a directory', () => {
    fs.mkdirSync(lockPath());
    expect(() => tryLockFolder(folder.dir, owner)).toThrow(refused);
  });
});

test('where the file cannot be made, the directory alone is locked', () => {
  fs.chmodSync(folder.path, 0o555);
  const taken = unprivileged(() => lock());
  expect(taken.target).toBe('directory');
  expect(fs.existsSync(lockPath())).toBe(false);
  expect(freeForOthers(folder.path)).toBe(false);
  fs.chmodSync(folder.path, 0o755);
});

describe('the directory keeps migrators apart', () => {
  /** What another process, with a descriptor of its own, is told. */
  function another(): ReturnType<typeof tryLockFolder> {
    const dir = openRoot(folder.path);
    try {
      const taken = tryLockFolder(dir, owner);
      if (taken !== 'busy') taken.release();
      return taken;
    } finally {
      closeDir(dir);
    }
  }

  test('also when one of them could not make the lock file and the next one can', () => {
    fs.chmodSync(folder.path, 0o555);
    unprivileged(() => lock());
    fs.chmodSync(folder.path, 0o755);
    expect(another()).toBe('busy');
    expect(fs.existsSync(lockPath())).toBe(false);
    expect(lockHolders(folder.dir)).toEqual([]);
  });

  test('also when the lock file is removed or replaced while it is locked', () => {
    lock();
    fs.unlinkSync(lockPath());
    expect(another()).toBe('busy');
    fs.writeFileSync(lockPath(), '', { mode: 0o600 });
    expect(another()).toBe('busy');
  });

  test('until the folder is closed', () => {
    const dir = openRoot(folder.path);
    const taken = tryLockFolder(dir, owner);
    if (taken === 'busy') throw new Error('the folder is busy');
    taken.release();
    expect(another()).toBe('busy');
    closeDir(dir);
    expect(another()).not.toBe('busy');
  });
});

test('an existing file that is not writable is locked as it is', () => {
  fs.writeFileSync(lockPath(), '', { mode: 0o644 });
  fs.chmodSync(lockPath(), 0o444);
  expect(unprivileged(() => lock()).target).toBe('file');
});
