/** Who is named as the holder of a lock: never a process that holds another file of the same inode number. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { firstByteLockers, firstByteWriters, flockPids } from '../../src/fs/holders.js';
import { type Mounted, mountBtrfs, mountExt4, mountMissing, run } from '../e2e/loop.js';

const hidden = vi.hoisted(() => ({ addon: false }));
vi.mock('../../src/fs/addon.js', async (importOriginal) => {
  const real = await importOriginal<typeof import('../../src/fs/addon.js')>();
  return { ...real, loadAddon: () => (hidden.addon ? undefined : real.loadAddon()) };
});

let disks: Mounted[] = [];
let children: ChildProcess[] = [];
let descriptors: number[] = [];

afterEach(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
  }
  for (const fd of descriptors) fs.closeSync(fd);
  for (const disk of disks) disk.remove();
  [disks, children, descriptors] = [[], [], []];
  hidden.addon = false;
});

function mounted(disk: Mounted): string {
  disks.push(disk);
  return disk.directory;
}

function open(file: string): number {
  const fd = fs.openSync(file, 'a+');
  descriptors.push(fd);
  return fd;
}

/** A process that has both kinds of lock on a file: flock(2), and a POSIX lock of one byte. */
async function holder(file: string, posix: 'LOCK_EX' | 'LOCK_SH' = 'LOCK_EX', byte = 0): Promise<number> {
  const program = `
import fcntl, sys, time
file = open(sys.argv[1], 'a+')
fcntl.flock(file, fcntl.LOCK_EX)
fcntl.lockf(file, fcntl.${posix}, 1, ${byte})
print('held', flush=True)
time.sleep(1000)`;
  const child = spawn('python3', ['-c', program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('close', reject);
  });
  return child.pid ?? 0;
}

const named = (fd: number) => {
  hidden.addon = true;
  const byTable = firstByteWriters(fd);
  hidden.addon = false;
  expect(firstByteWriters(fd)).toEqual(byTable);
  expect(firstByteLockers(fd)).toEqual(byTable);
  return [flockPids(fd), byTable];
};

describe.each(['with', 'without'])('who write-locks the first byte, %s the addon', (how) => {
  it('is no other than that process: not one that read-locks it, nor of another byte, nor this one', async () => {
    hidden.addon = how === 'without';
    const directory = fs.mkdtempSync(`${tmpdir()}/mailhaul-holders-`);
    try {
      const [written, read, other] = ['written', 'read', 'other'].map((name) => `${directory}/${name}`) as [
        string,
        string,
        string,
      ];
      const pid = await holder(written);
      const reader = await holder(read, 'LOCK_SH');
      await holder(other, 'LOCK_EX', 7);
      expect(firstByteWriters(open(written))).toEqual([pid]);
      expect(firstByteWriters(open(read))).toEqual([]);
      expect(firstByteLockers(open(read))).toEqual([reader]);
      expect(firstByteWriters(open(other))).toEqual([]);
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });
});

describe('a file system of its own', () => {
  it('is told from another one with the same inode numbers', async (ctx) => {
    const missing = mountMissing();
    if (missing !== undefined) {
      console.log(`skipped: ${ctx.task.name}: ${missing}`);
      return ctx.skip(missing);
    }
    const [one, two] = [mountExt4(4, '^has_journal'), mountExt4(4, '^has_journal')].map((d) => `${mounted(d)}/file`);
    const [held, free] = [open(one ?? ''), open(two ?? '')];
    expect(fs.fstatSync(held).ino).toBe(fs.fstatSync(free).ino);
    const pid = await holder(one ?? '');
    expect(named(held)).toEqual([[pid], [pid]]);
    expect(named(free)).toEqual([[], []]);
  });
});

describe('btrfs, which shows another device to stat than in /proc/locks', () => {
  it('has its holders named, in each of two subvolumes with the same inode numbers', async (ctx) => {
    const missing = mountMissing('btrfs');
    if (missing !== undefined) {
      console.log(`skipped: ${ctx.task.name}: ${missing}`);
      return ctx.skip(missing);
    }
    const root = mounted(mountBtrfs());
    for (const name of ['one', 'two', 'three']) run('btrfs', '-q', 'subvolume', 'create', `${root}/${name}`);
    const fds = ['one', 'two', 'three'].map((name) => open(`${root}/${name}/file`));
    expect(new Set(fds.map((fd) => fs.fstatSync(fd).ino)).size).toBe(1);
    const pids = [await holder(`${root}/one/file`), await holder(`${root}/two/file`)];
    expect(fds.map(named)).toEqual([
      [[pids[0]], [pids[0]]],
      [[pids[1]], [pids[1]]],
      [[], []],
    ]);
  });
});
