import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDirectory, lockStore } from '../../src/config/store-lock.js';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { INSIDE } from '../support/process.js';
import { codeOf } from '../upgrade/small-store.js';

/** A process that takes the lock, says so, and waits. */
const HOLDER = `
import { lockStore, openRoot } from ${INSIDE};
lockStore(openRoot(process.argv[2]), process.argv[3], 'upgrade -s');
console.log('locked');
setInterval(() => {}, 1000);
`;

describe('the store-wide lock', () => {
  let root: string;
  let dir: Dir;
  const children: ChildProcess[] = [];
  beforeEach(() => {
    root = fs.mkdtempSync(join(tmpdir(), 'mailhaul-lock-'));
    dir = openRoot(root);
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    closeDir(dir);
    fs.rmSync(root, { recursive: true });
  });

  async function holder(mode: 'exclusive' | 'shared'): Promise<ChildProcess> {
    const script = join(root, 'holder.mjs');
    fs.writeFileSync(script, HOLDER);
    const child = spawn(process.execPath, [script, root, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', () => reject(new Error('the holder ended')));
    });
    return child;
  }

  it('is shared by many and exclusive for one', () => {
    const locks = [lockStore(dir, 'shared', 'imap'), lockStore(dir, 'shared', 'pop')];
    expect(codeOf(() => lockStore(dir, 'exclusive', 'upgrade -s'))).toBe('STORE_LOCKED');
    for (const lock of locks) lock.release();
    const alone = lockStore(dir, 'exclusive', 'upgrade -s');
    expect(codeOf(() => lockStore(dir, 'shared', 'imap'))).toBe('STORE_LOCKED');
    alone.release();
    alone.release();
    lockStore(dir, 'shared', 'imap').release();
    expect(fs.statSync(join(root, '__lock.share')).mode & 0o777).toBe(0o600);
  });

  it('names the process that holds it exclusively, and what it does', async () => {
    const child = await holder('exclusive');
    expect(() => lockStore(dir, 'shared', 'imap')).toThrow(`process ${child.pid} (upgrade -s)`);
    expect(() => lockStore(dir, 'exclusive', 'upgrade -s')).toThrow(expect.objectContaining({ exit: 3 }));
  });

  it('names a process that shares it', async () => {
    const child = await holder('shared');
    expect(() => lockStore(dir, 'exclusive', 'upgrade -s')).toThrow(`process ${child.pid} (`);
  });

  it('is gone with a killed holder, whatever the file says', async () => {
    const child = await holder('exclusive');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(fs.readFileSync(join(root, '__lock.share'), 'utf8')).toContain(String(child.pid));
    lockStore(dir, 'exclusive', 'upgrade -s').release();
  });

  it('is taken on the file that has the name, also after somebody removed the old one', () => {
    const old = lockStore(dir, 'exclusive', 'upgrade -s');
    fs.unlinkSync(join(root, '__lock.share'));
    lockStore(dir, 'exclusive', 'upgrade -s').release();
    old.release();
  });

  it('is never taken through a link', () => {
    fs.writeFileSync(join(root, 'target'), 'precious');
    fs.symlinkSync('target', join(root, '__lock.share'));
    expect(codeOf(() => lockStore(dir, 'exclusive', 'upgrade -s'))).toBe('FS_NOT_REGULAR');
    expect(fs.readFileSync(join(root, 'target'), 'utf8')).toBe('precious');
  });

  it('is never taken on, nor written into, a hard link of another file', () => {
    fs.writeFileSync(join(root, 'target'), 'precious');
    fs.linkSync(join(root, 'target'), join(root, '__lock.share'));
    expect(codeOf(() => lockStore(dir, 'exclusive', 'upgrade -s'))).toBe('FS_LINKED');
    expect(fs.readFileSync(join(root, 'target'), 'utf8')).toBe('precious');
  });

  it('of a directory keeps two runs from one mapping database', () => {
    const lock = lockDirectory(dir, 'The mapping database');
    expect(codeOf(() => lockDirectory(dir, 'The mapping database'))).toBe('UPGRADE_RUNNING');
    lock.release();
    lockDirectory(dir, 'The mapping database').release();
  });
});
