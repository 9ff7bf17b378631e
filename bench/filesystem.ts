/** File systems to measure on: a fresh ext4 on a loop device as root, else a directory that was named. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

export interface Workspace {
  readonly path: string;
  /** What it is, for the report. */
  readonly description: string;
  remove(): void;
}

/**
 * A fresh file system of `gigabytes` (a sparse file in `directory`). Every round gets a new one: after a big tree
 * was removed, ext4 makes files three times slower for a while, so trees are never removed, only their file system.
 */
export function loopFileSystem(directory: string, gigabytes: number, type: 'ext4' | 'xfs' | 'btrfs'): Workspace {
  const work = fs.mkdtempSync(path.join(directory, 'mailhaul-bench-'));
  fs.chmodSync(work, 0o755);
  const image = path.join(work, 'image');
  const mount = path.join(work, 'fs');
  fs.mkdirSync(mount);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, gigabytes * 2 ** 30);
  const force = type === 'ext4' ? ['-F', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0'] : ['-f', '-q'];
  try {
    execFileSync(`mkfs.${type}`, [...force, image]);
    execFileSync('mount', ['-o', 'loop', image, mount]);
  } catch (error) {
    fs.rmSync(work, { recursive: true, force: true });
    throw error;
  }
  return {
    path: mount,
    description: `${type} on a loop device (${directory})`,
    remove() {
      execFileSync('umount', [mount]);
      fs.rmSync(work, { recursive: true, force: true });
    },
  };
}

/** A directory on an existing file system. */
export function plainDirectory(directory: string): Workspace {
  const work = fs.mkdtempSync(path.join(directory, 'mailhaul-bench-'));
  const type = execFileSync('stat', ['-f', '-c', '%T', work], { encoding: 'utf8' }).trim();
  return {
    path: work,
    description: `${type} (${directory})`,
    remove: () => fs.rmSync(work, { recursive: true, force: true }),
  };
}
