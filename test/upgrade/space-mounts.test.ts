/**
 * One file system that is mounted in two places: link(2) does not go from one mount to the other (EXDEV), so messages
 * are copied, and need their room, although both places have the same device number.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { wayOf } from '../../src/upgrade/spaceCheck.js';
import { type HandSite, handSite, type MessagesResult, putMail } from '../e2e/hand-site.js';
import { run } from '../e2e/loop.js';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot } from './small-store.js';

let site: HandSite | undefined;
let mounts: string[] = [];
let removed: string[] = [];

afterEach(() => {
  for (const directory of mounts.reverse()) run('umount', directory);
  for (const directory of removed) fs.rmSync(directory, { recursive: true });
  [mounts, removed] = [[], []];
  site?.remove();
  site = undefined;
});

function mount(directory: string, ...args: string[]): string {
  fs.mkdirSync(directory);
  run('mount', ...args, directory);
  mounts.push(directory);
  return directory;
}

/**
 * fred's mail, half of a disk of 6 MB, and the partition `primary` on the same disk: by its own mount point, or by a
 * bind mount.
 */
function halfFull(by: 'disk' | 'bound'): { made: HandSite; store: string; partition: string } {
  const made = handSite();
  site = made;
  const { root } = made.store;
  const disk = mount(path.join(root, 'mail/disk'), '-t', 'tmpfs', '-o', 'size=6m,mode=755', 'tmpfs');
  mount(path.join(root, 'mail/bound'), '--bind', disk);
  const store = made.store.storePath('mail/disk/mail');
  made.store.user('fred', { mailMessageStore: store });
  for (const name of ['INBOX', 'Sent']) {
    const folder = made.store.folder(store, 'fred', name, INDEX(7, 6));
    for (let i = 0; i < 5; i++) putMail(folder, `${name}${i}`, `Subject: ${i}\r\n\r\n${'x'.repeat(350_000)}\r\n`);
  }
  made.store.finish();
  const prepared = made.folders();
  if (prepared.status !== 0) throw new Error(prepared.stderr + prepared.stdout);
  const partition = path.join(root, 'mail', by, 'partition');
  fs.mkdirSync(partition, { mode: 0o700 });
  fs.chownSync(partition, ACCOUNT.uid, ACCOUNT.gid);
  expect(made.run('configutil', '-o', 'store.partition.mail.path', '-v', partition).status).toBe(0);
  return { made, store, partition };
}

interface Report extends MessagesResult {
  readonly halted: { readonly code: string } | null;
}

function xfsMissing(): string | undefined {
  if (spawnSync('mkfs.xfs', ['-V']).status !== 0) return 'mkfs.xfs is not installed (apt-get install xfsprogs)';
  if (!fs.existsSync('/dev/loop-control')) return 'this machine has no loop devices';
  spawnSync('modprobe', ['-q', 'xfs']);
  return fs.readFileSync('/proc/filesystems', 'utf8').includes('xfs') ? undefined : 'the kernel has no xfs';
}

describe('how messages get to a partition', () => {
  it('by copying when it is reached by another mount of the same file system, also of one directory', (ctx) => {
    needRoot(ctx);
    const { store } = halfFull('disk');
    const again = store.replace('/disk/', '/bound/');
    const dirs = [store, path.dirname(store), again].map(openRoot);
    const [one, above, bound] = dirs;
    try {
      expect(fs.fstatSync(bound!.fd).dev).toBe(fs.fstatSync(one!.fd).dev);
      expect([wayOf(one!, above!), wayOf(one!, bound!), wayOf(bound!, one!)]).toEqual(['link', 'copy', 'copy']);
    } finally {
      for (const dir of dirs) closeDir(dir);
    }
  });

  it('by sharing blocks between mounts of one xfs: a run that would fit must not be refused', (ctx) => {
    needRoot(ctx);
    const missing = xfsMissing();
    if (missing !== undefined) {
      console.log(`skipped: ${ctx.task.name}: ${missing}`);
      return ctx.skip(missing);
    }
    const base = fs.mkdtempSync(path.join(tmpdir(), 'mailhaul-xfs-'));
    removed.push(base);
    const image = path.join(base, 'image');
    run('truncate', '-s', '320M', image);
    run('mkfs.xfs', '-q', image);
    const disk = mount(path.join(base, 'disk'), '-o', 'loop', image);
    const dirs = [disk, mount(path.join(base, 'bound'), '--bind', disk)].map(openRoot);
    try {
      expect([wayOf(dirs[0]!, dirs[0]!), wayOf(dirs[0]!, dirs[1]!)]).toEqual(['link', 'reflink']);
    } finally {
      for (const dir of dirs) closeDir(dir);
    }
  });

  it.for(['disk', 'bound'] as const)('is told by --dry-run: partition by the mount %s', (by, ctx) => {
    needRoot(ctx);
    const { made } = halfFull(by);
    const result = made.run('upgrade', '-m', '--dry-run', '--json');
    const { partitions } = JSON.parse(result.stdout) as { partitions: { name: string; method: string }[] };
    const method = partitions.find(({ name }) => name === 'mail')?.method;
    expect([result.status, method]).toEqual(by === 'disk' ? [0, 'link'] : [4, 'copy']);
  });
});

describe.each(engineOptions())('-m to another mount of the same file system, %s', (engine) => {
  it('is refused before the start when the copies cannot fit', (ctx) => {
    needRoot(ctx);
    const { made, partition } = halfFull('bound');
    const result = made.messages(engine);
    const report = JSON.parse(result.stdout) as Report;
    expect([result.status, report.halted?.code, report.folders.done]).toEqual([4, 'SPACE_NEEDED', 0]);
    expect(fs.readdirSync(partition)).toEqual(['=single']);
  });

  it('is not refused with -r: each folder gives back what its copies took', (ctx) => {
    needRoot(ctx);
    const { made } = halfFull('bound');
    // A folder at a time: all copies at once may fill the disk before the first group gives back what it took.
    const report = JSON.parse(made.run('upgrade', '-m', '--json', engine, '-r', '-t', '1', '-q', '1').stdout) as Report;
    expect(report.halted?.code).not.toBe('SPACE_NEEDED');
    expect(report.methods.copy).toBeGreaterThan(0);
  });
});

it('links to a partition that is reached by the same mount, however full the disk is', (ctx) => {
  needRoot(ctx);
  const { made } = halfFull('disk');
  const result = made.messages();
  expect(result.status, result.stdout).toBe(0);
  expect((JSON.parse(result.stdout) as Report).methods).toMatchObject({ link: 10, copy: 0 });
});
