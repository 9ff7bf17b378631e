/**
 * A small file system of its own, mounted through the loop device at a path that stays the same. Its image may lie on
 * storage that is smaller than it says (thin): then writes fail with EIO, as on an over-committed array.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

export type DiskType = 'ext4' | 'xfs' | 'btrfs';

export interface SmallDisk {
  /** Where it is mounted. */
  readonly directory: string;
  readonly freeBytes: number;
  readonly freeInodes: number;
  /** Takes space until so many bytes are left, about. */
  fill(leaveBytes: number): void;
  /** Takes inodes until so many are left (ext4). */
  fillInodes(leave: number): void;
  /** Gives back what `fill` and `fillInodes` took. */
  makeSpace(): void;
  remount(options: string): boolean;
  /** Storage below the image: bytes that it has in all. Only of a thin disk. */
  storage(bytes: number): void;
  /** Unmounts, repairs, mounts again. */
  repair(): void;
  remove(): void;
}

export interface SmallDiskOptions {
  readonly type: DiskType;
  readonly megabytes: number;
  /** ext4: inodes. */
  readonly inodes?: number;
  readonly mountOptions?: string;
  /** The image lies on storage of this many bytes, which can be changed. */
  readonly thinBytes?: number;
}

/** Why no disk of a type can be made here; undefined when one can. */
export function diskMissing(type: DiskType): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root (mount)';
  if (!fs.existsSync('/dev/loop-control')) return 'this machine has no loop devices';
  if (spawnSync(`mkfs.${type}`, ['-V']).status !== 0) return `mkfs.${type} is not installed`;
  if (spawnSync('modprobe', ['-q', type]).status !== 0 && !fs.readFileSync('/proc/filesystems', 'utf8').includes(type))
    return `the kernel has no ${type}`;
  return undefined;
}

/** mkfs.xfs makes nothing smaller. */
const XFS_LEAST = 300;
const BTRFS_LEAST = 128;

export function smallDisk(base: string, name: string, options: SmallDiskOptions): SmallDisk {
  const { type } = options;
  const storageDirectory = path.join(base, `${name}-storage`);
  const directory = path.join(base, name);
  const image = path.join(storageDirectory, 'image');
  fs.mkdirSync(storageDirectory, { recursive: true });
  fs.mkdirSync(directory, { recursive: true });
  const thin = options.thinBytes !== undefined;
  if (thin) run('mount', '-t', 'tmpfs', '-o', 'size=1g', 'tmpfs', storageDirectory);
  const mount = (): void =>
    run('mount', '-o', ['loop', options.mountOptions].filter((word) => word !== undefined).join(','), image, directory);
  const fillers = path.join(directory, 'fillers');
  const disk: SmallDisk = {
    directory,
    get freeBytes() {
      const { bavail, bsize } = fs.statfsSync(directory);
      return bavail * bsize;
    },
    get freeInodes() {
      return fs.statfsSync(directory).ffree;
    },
    fill(leaveBytes) {
      fs.mkdirSync(fillers, { recursive: true });
      for (let piece = 1 << 24, n = 0; piece >= 4096; ) {
        const room = disk.freeBytes - leaveBytes;
        if (room < 4096) break;
        const bytes = Math.min(piece, Math.floor(room / 4096) * 4096);
        try {
          fs.writeFileSync(path.join(fillers, `${process.hrtime.bigint()}-${n++}`), Buffer.alloc(bytes, 1), {
            flush: true,
          });
        } catch {
          piece >>= 1;
        }
      }
    },
    fillInodes(leave) {
      fs.mkdirSync(fillers, { recursive: true });
      for (let n = disk.freeInodes - leave; n > 0; n--) fs.writeFileSync(path.join(fillers, `inode-${n}`), '');
    },
    makeSpace() {
      fs.rmSync(fillers, { recursive: true, force: true });
      spawnSync('sync', ['-f', directory]);
    },
    remount: (mountOptions) => spawnSync('mount', ['-o', `remount,${mountOptions}`, directory]).status === 0,
    storage: (bytes) => run('mount', '-o', `remount,size=${bytes}`, storageDirectory),
    repair() {
      spawnSync('umount', [directory]);
      // A journal is replayed by mounting; what mounting cannot do, the checker does.
      if (type === 'ext4') spawnSync('e2fsck', ['-fy', image]);
      mount();
    },
    remove() {
      spawnSync('umount', ['-l', directory]);
      if (thin) spawnSync('umount', ['-l', storageDirectory]);
      fs.rmSync(storageDirectory, { recursive: true, force: true });
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    const least = { ext4: 1, xfs: XFS_LEAST, btrfs: BTRFS_LEAST }[type];
    run('truncate', '-s', `${Math.max(options.megabytes, least)}M`, image);
    const inodes = options.inodes === undefined ? [] : ['-N', String(options.inodes)];
    if (type === 'ext4') run('mkfs.ext4', '-q', '-m', '0', ...inodes, image);
    else if (type === 'xfs') run('mkfs.xfs', '-q', image);
    else run('mkfs.btrfs', '-q', '-m', 'single', image);
    mount();
    fs.chmodSync(directory, 0o755);
    if (options.thinBytes !== undefined) {
      spawnSync('sync', ['-f', directory]);
      const used = Number(fs.statSync(image).blocks) * 512;
      disk.storage(used + options.thinBytes);
    }
    return disk;
  } catch (error) {
    disk.remove();
    throw error;
  }
}

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr || error?.message}`);
}
