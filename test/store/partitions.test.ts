import * as fs from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import {
  checkPartitionDirectory,
  defaultPartitionPath,
  makePartitionDirectory,
  openPartition,
  PartitionNamesError,
  partitionNameOf,
  planPartitions,
} from '../../src/store/partitions.js';
import { codeOf, needRoot } from '../upgrade/small-store.js';

const isRoot = process.getuid?.() === 0;
const { uid, gid } = userInfo();

describe('partition names', () => {
  it('come from the last subdirectory, letters and digits in lower case', () => {
    expect(partitionNameOf('/disk1/partition.one')).toBe('partitionone');
    expect(partitionNameOf('/mail/Marketing-2/')).toBe('marketing2');
    expect(partitionNameOf('/mail/Übung')).toBe('bung');
    expect(partitionNameOf('/')).toBe('');
  });

  it('lead to a directory in the store path', () => {
    expect(defaultPartitionPath('/mail/marketing', 'marketing')).toBe('/mail/marketing/.0004x.marketing');
  });

  it('put primary first, with the default path, also without users', () => {
    const plans = planPartitions([{ path: '/b/sales', users: 2 }], {
      defaultStorePath: '/a',
      primaryPath: '/i/primary',
    });
    expect(plans).toEqual([
      { name: 'primary', path: '/a', users: 0, defaultPath: '/i/primary' },
      { name: 'sales', path: '/b/sales', users: 2, defaultPath: '/b/sales/.0004x.sales' },
    ]);
  });

  it('that collide, are empty or reserved are all told at once, with paths and users', () => {
    const uses = [
      { path: '/disk1/partition.one', users: 3 },
      { path: '/disk2/partition.one', users: 1 },
      { path: '/disk3/Primary', users: 4 },
      { path: '/disk4/---', users: 5 },
      { path: '/disk5/fine', users: 6 },
    ];
    let error: unknown;
    try {
      planPartitions(uses, { defaultStorePath: '/mail', primaryPath: '/i/primary' });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(PartitionNamesError);
    const { collisions, message, exit, code } = error as PartitionNamesError;
    expect([code, exit]).toEqual(['PARTITION_NAMES', 3]);
    expect(collisions.map(({ reason, paths }) => [reason, paths.map(({ path }) => path)])).toEqual([
      ['duplicate', ['/disk1/partition.one', '/disk2/partition.one']],
      ['reserved', ['/mail', '/disk3/Primary']],
      ['empty', ['/disk4/---']],
    ]);
    expect(message).toContain('/disk1/partition.one (3 users), /disk2/partition.one (1 user)');
    expect(message).toContain('/disk4/--- (5 users)');
    expect(message).not.toContain('/disk5');
  });
});

describe('partition directories', () => {
  let root: string;
  const owner = { uid, gid };
  beforeEach(() => {
    root = fs.mkdtempSync(join(tmpdir(), 'mailhaul-parts-'));
  });
  afterEach(() => fs.rmSync(root, { recursive: true }));
  const within = <T>(action: (dir: ReturnType<typeof openRoot>) => T): T => {
    const dir = openRoot(root);
    try {
      return action(dir);
    } finally {
      closeDir(dir);
    }
  };

  it('are made with mode 0700 whatever the umask, and made again without harm', () => {
    const old = process.umask(0o277);
    try {
      within((dir) => makePartitionDirectory(dir, 'sales', owner));
    } finally {
      process.umask(old);
    }
    expect(fs.statSync(join(root, '.0004x.sales')).mode & 0o7777).toBe(0o700);
    fs.writeFileSync(join(root, '.0004x.sales/kept'), '');
    within((dir) => makePartitionDirectory(dir, 'sales', owner));
    expect(fs.existsSync(join(root, '.0004x.sales/kept'))).toBe(true);
  });

  it('go to the server account, also one that a killed run left to root', (ctx) => {
    needRoot(ctx);
    fs.mkdirSync(join(root, '.0004x.sales'), 0o755);
    within((dir) => makePartitionDirectory(dir, 'sales', { uid: 8, gid: 8 }));
    const { uid: now, mode } = fs.statSync(join(root, '.0004x.sales'));
    expect([now, mode & 0o7777]).toEqual([8, 0o700]);
  });

  it('are never a link, a file or somebody else’s', () => {
    fs.symlinkSync('/etc', join(root, '.0004x.link'));
    fs.writeFileSync(join(root, '.0004x.file'), '');
    for (const name of ['link', 'file']) {
      expect(within((dir) => codeOf(() => checkPartitionDirectory(dir, name, owner)))).toBe('PARTITION_DIRECTORY');
      expect(within((dir) => codeOf(() => makePartitionDirectory(dir, name, owner)))).toBe('PARTITION_DIRECTORY');
    }
    if (isRoot) {
      fs.mkdirSync(join(root, '.0004x.theirs'));
      fs.chownSync(join(root, '.0004x.theirs'), 12345, 12345);
      expect(within((dir) => codeOf(() => makePartitionDirectory(dir, 'theirs', owner)))).toBe('PARTITION_DIRECTORY');
      expect(fs.statSync(join(root, '.0004x.theirs')).uid).toBe(12345);
    }
  });

  it('are refused by name before messages move when missing, or with a wrong mode or owner', () => {
    const path = join(root, 'p');
    expect(() => openPartition('sales', path, owner)).toThrow(/partition sales is missing/);
    expect(fs.existsSync(path)).toBe(false);
    fs.mkdirSync(path);
    fs.chmodSync(path, 0o755);
    expect(codeOf(() => openPartition('sales', path, owner))).toBe('PARTITION_MODE');
    fs.chmodSync(path, 0o700);
    expect(codeOf(() => openPartition('sales', path, { uid: uid + 1, gid }))).toBe('PARTITION_OWNER');
    closeDir(openPartition('sales', path, owner));
  });
});
