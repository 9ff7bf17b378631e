/** Disks to measure on: file systems of our own on loop devices as root, else directories that were named. */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Device, deviceOf, mountOf } from './devices.js';

export type FileSystem = 'ext4' | 'xfs' | 'btrfs';

export interface Disk {
  /** Store paths lie here, and their partitions and copies where nothing else is asked for. */
  readonly path: string;
  /** Another file system for partitions and copies. */
  readonly across: string | null;
  readonly device: Device | null;
}

export interface Workspace {
  readonly disks: readonly Disk[];
  /** What it is, for the report. */
  readonly description: string;
  /** Every device that its files lie on. */
  readonly devices: readonly Device[];
  /** Every file system. */
  readonly paths: readonly string[];
  /** What was made lies in memory once: not in the image's pages as well as in those of the file system. */
  settle(): void;
  remove(): void;
}

interface Place {
  readonly path: string;
  readonly image: string | null;
  remove(): void;
}

export interface LoopSize {
  readonly gigabytes: number;
  /** As many files at least. */
  readonly inodes: number;
}

/**
 * New file systems of `gigabytes` each (sparse files in `directory`). After a big tree was removed, ext4 makes files
 * three times slower for a while: what copies have made goes with its file system.
 */
export function loopFileSystems(
  directory: string,
  type: FileSystem,
  { disks, across, ...size }: { readonly disks: number; readonly across: boolean } & LoopSize,
): Workspace {
  const made: Place[] = [];
  try {
    const makeOne = () => {
      const one = loopFileSystem(directory, size, type);
      made.push(one);
      return one.path;
    };
    const found = Array.from({ length: disks }, () => ({ path: makeOne(), across: across ? makeOne() : null }));
    return workspace(found, made, `${type} on ${plural(made.length, 'loop device')} (${directory})`);
  } catch (error) {
    removeAll(made);
    throw error;
  }
}

/** A directory of our own in each of existing directories. */
export function plainDirectories(directories: readonly string[], partitions: readonly string[]): Workspace {
  const made: Place[] = [];
  try {
    const makeOne = (directory: string) => {
      const one = plainDirectory(directory);
      made.push(one);
      return one.path;
    };
    const found = directories.map((directory, i) => {
      const partition = partitions[i % Math.max(partitions.length, 1)];
      return { path: makeOne(directory), across: partition === undefined ? null : makeOne(partition) };
    });
    const where = [...directories, ...partitions].map((directory) => `${mountOf(directory).type} (${directory})`);
    return workspace(found, made, where.join(', '));
  } catch (error) {
    removeAll(made);
    throw error;
  }
}

function workspace(disks: readonly Omit<Disk, 'device'>[], made: readonly Place[], description: string): Workspace {
  const devices = made.flatMap(({ path: at }) => deviceOf(at) ?? []);
  return {
    disks: disks.map((disk) => ({ ...disk, device: deviceOf(disk.path) })),
    description,
    devices: devices.filter(({ name }, i) => devices.findIndex((other) => other.name === name) === i),
    paths: made.map(({ path: at }) => at),
    settle() {
      spawnSync('sync');
      for (const { image } of made) {
        // GNU dd: "dd of=file oflag=nocache conv=notrunc,fdatasync count=0" drops the file's pages.
        if (image !== null) {
          spawnSync('dd', [`of=${image}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
        }
      }
    },
    remove: () => removeAll(made),
  };
}

/** All of them, whatever fails. */
export function removeAll(places: readonly Pick<Place, 'remove'>[]): void {
  const failures: unknown[] = [];
  for (const place of places) {
    try {
      place.remove();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function loopFileSystem(directory: string, { gigabytes, inodes }: LoopSize, type: FileSystem): Place {
  const work = makeWork(directory);
  const image = path.join(work, 'image');
  const mount = path.join(work, 'fs');
  fs.mkdirSync(mount);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, gigabytes * 2 ** 30);
  // Others make inodes when they are needed.
  const most = Math.max(inodes, Math.floor((gigabytes * 2 ** 30) / BYTES_AN_INODE));
  const force = type === 'ext4' ? ['-F', '-q', '-N', String(most), '-E', LAZY] : ['-f', '-q'];
  try {
    execFileSync(`mkfs.${type}`, [...force, image]);
    execFileSync('mount', ['-o', 'loop', image, mount]);
  } catch (error) {
    fs.rmSync(work, { recursive: true, force: true });
    throw error;
  }
  return {
    path: mount,
    image,
    remove() {
      unmount(mount);
      fs.rmSync(work, { recursive: true, force: true });
    },
  };
}

/** Twice as many as ext4 makes on its own. */
const BYTES_AN_INODE = 8192;
const LAZY = 'lazy_itable_init=0,lazy_journal_init=0';
const UNMOUNT_TRIES = 50;

/** A process that was just killed may hold the file system a moment longer. */
function unmount(mount: string): void {
  for (let left = UNMOUNT_TRIES; left > 0; left--) {
    if (spawnSync('umount', [mount]).status === 0) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
  throw new Error(`${mount} is in use and still mounted: umount it, then remove ${path.dirname(mount)}`);
}

function plainDirectory(directory: string): Place {
  const work = makeWork(directory);
  return { path: work, image: null, remove: () => fs.rmSync(work, { recursive: true, force: true }) };
}

/** The server account must be able to pass. */
function makeWork(directory: string): string {
  const work = fs.mkdtempSync(path.join(directory, 'mailhaul-bench-'));
  fs.chmodSync(work, 0o755);
  return work;
}

function plural(count: number, what: string): string {
  return count === 1 ? `a ${what}` : `${count} ${what}s`;
}
