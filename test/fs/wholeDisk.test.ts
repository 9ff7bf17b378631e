import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { wholeDisk } from '../../src/fs/wholeDisk.js';

/** The kernels of our machines know neither partitions of loop devices nor dm: a tree laid out as sysfs lays it out. */
let sysfs: string;

beforeEach(() => {
  sysfs = fs.mkdtempSync(join(tmpdir(), 'sysfs-'));
  fs.mkdirSync(join(sysfs, 'dev/block'), { recursive: true });
  device('8:16', 'sdb');
  device('8:17', 'sdb/sdb1', { partition: '1\n' });
  device('8:18', 'sdb/sdb2', { partition: '2\n' });
  device('8:32', 'sdc');
  device('253:0', 'dm-0', { slaves: ['sdb/sdb2'] });
  device('253:1', 'dm-1', { slaves: ['dm-0'] });
  device('9:0', 'md0', { slaves: ['sdb/sdb1', 'sdc'] });
});

afterEach(() => fs.rmSync(sysfs, { recursive: true }));

function device(numbers: string, at: string, parts: { partition?: string; slaves?: readonly string[] } = {}): void {
  const directory = join(sysfs, 'devices/block', at);
  fs.mkdirSync(join(directory, 'slaves'), { recursive: true });
  fs.writeFileSync(join(directory, 'dev'), `${numbers}\n`);
  if (parts.partition !== undefined) fs.writeFileSync(join(directory, 'partition'), parts.partition);
  for (const slave of parts.slaves ?? []) {
    fs.symlinkSync(join(sysfs, 'devices/block', slave), join(directory, 'slaves', slave.replaceAll('/', '!')));
  }
  fs.symlinkSync(directory, join(sysfs, 'dev/block', numbers));
}

describe('wholeDisk', () => {
  it.each([
    ['a partition', '8:17', '8:16'],
    ['another partition of the same disk', '8:18', '8:16'],
    ['a volume on a partition', '253:0', '8:16'],
    ['a volume on a volume', '253:1', '8:16'],
    ['a disk', '8:32', '8:32'],
    ['an array of several disks', '9:0', '9:0'],
    ['what sysfs does not know', '0:42', '0:42'],
  ])('of %s', (_, name, disk) => {
    expect(wholeDisk(name, sysfs)).toBe(disk);
  });

  it('ends with a sysfs that goes round in circles, and with one that says nonsense', () => {
    device('253:7', 'dm-7', { slaves: ['dm-7'] });
    expect(wholeDisk('253:7', sysfs)).toBe('253:7');
    fs.writeFileSync(join(sysfs, 'devices/block/sdb/dev'), 'sdb\n');
    expect(wholeDisk('8:17', sysfs)).toBe('8:17');
  });

  it('of the disk under the temporary directory is one that sysfs knows, or itself', () => {
    const { dev } = fs.statSync(tmpdir());
    const name = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
    const disk = wholeDisk(name);
    expect(disk === name || fs.existsSync(join('/sys/dev/block', disk))).toBe(true);
  });
});
