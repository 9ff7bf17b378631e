/** Small file systems of their own for a test: an image file, mounted through the loop device. Needs root. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

export interface Mounted {
  readonly directory: string;
  /** Runs `action` on the image while it is not mounted. */
  unmounted(action: (image: string) => void): void;
  remove(): void;
}

const PACKAGES = { ext4: 'e2fsprogs', btrfs: 'btrfs-progs' };

/** Why no file system can be mounted here; undefined when one can. */
export function mountMissing(type: keyof typeof PACKAGES = 'ext4'): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root (mount)';
  if (spawnSync(`mkfs.${type}`, ['-V']).status !== 0) {
    return `mkfs.${type} is not installed (apt-get install ${PACKAGES[type]})`;
  }
  if (!fs.existsSync('/dev/loop-control')) return 'this machine has no loop devices';
  spawnSync('modprobe', ['-q', type]);
  if (!fs.readFileSync('/proc/filesystems', 'utf8').includes(type)) return `the kernel has no ${type}`;
  return undefined;
}

/** An ext4 file system of `megabytes`; `features` as for `mkfs.ext4 -O`. */
export function mountExt4(megabytes: number, features: string): Mounted {
  return mountImage(megabytes, ['mkfs.ext4', '-q', '-b', '1024', '-m', '0', '-O', features]);
}

export function mountBtrfs(): Mounted {
  return mountImage(128, ['mkfs.btrfs', '-q', '-m', 'single']);
}

function mountImage(megabytes: number, [mkfs = '', ...options]: readonly string[]): Mounted {
  const base = fs.mkdtempSync(path.join(tmpdir(), 'mailhaul-loop-'));
  fs.chmodSync(base, 0o755);
  const image = path.join(base, 'image');
  const directory = path.join(base, 'mounted');
  const mount = () => run('mount', '-o', 'loop', image, directory);
  const remove = () => {
    spawnSync('umount', [directory]);
    fs.rmSync(base, { recursive: true, force: true });
  };
  try {
    fs.mkdirSync(directory);
    run('truncate', '-s', `${megabytes}M`, image);
    run(mkfs, ...options, image);
    mount();
  } catch (error) {
    remove();
    throw error;
  }
  return {
    directory,
    unmounted(action) {
      run('umount', directory);
      action(image);
      mount();
    },
    remove,
  };
}

export function run(command: string, ...args: string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr || result.error?.message}`);
  return result.stdout;
}
