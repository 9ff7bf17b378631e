/** Disk images: made, copied, mounted through loop devices, with and without the log of blockdev.cc below them. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Ground, must, run, unmount } from './machine.js';

/** A file system as it is made and mounted. */
export interface FileSystem {
  readonly name: string;
  readonly type: 'ext4' | 'xfs';
  /** Mount options of the recorded run and of the run after the crash. */
  readonly options: string;
}

export const FILE_SYSTEMS: readonly FileSystem[] = [
  { name: 'ext4', type: 'ext4', options: 'defaults' },
  // What an administrator may have set, and what hides no missing sync: a rename does not write data out, the
  // journal is committed every second, and data may come after the metadata that points to it.
  { name: 'ext4-harsh', type: 'ext4', options: 'data=writeback,noauto_da_alloc,commit=1' },
  { name: 'ext4-nodelalloc', type: 'ext4', options: 'nodelalloc,noauto_da_alloc,commit=1' },
  // Two disks begin as copies: the same uuid is mounted twice.
  { name: 'xfs', type: 'xfs', options: 'nouuid' },
];

/** MiB; the least that mkfs.xfs takes is 300. */
const SIZE = { ext4: 96, xfs: 300 } as const;

/** An empty file system in a new image. */
export function makeImage(image: string, { type }: FileSystem): void {
  fs.closeSync(fs.openSync(image, 'w'));
  fs.truncateSync(image, SIZE[type] * 1024 * 1024);
  // A small journal comes round, so that a checkpoint is among what is replayed. Nothing is left to be done lazily.
  const ext4 = ['-q', '-F', '-b', '4096', '-N', '16384', '-J', 'size=4', '-E', 'lazy_itable_init=0'];
  if (type === 'ext4') must('mkfs.ext4', [...ext4, image]);
  else must('mkfs.xfs', ['-q', '-f', image]);
}

/** Copies an image; holes stay holes. */
export function copyImage(from: string, to: string): void {
  must('cp', ['--sparse=always', '--reflink=auto', from, to]);
}

/** A file system on a loop device; `unmount` gives both back. */
export interface Mounted {
  readonly device: string;
  unmount(): void;
}

/** Mounts an image, or a file of blockdev.cc, at `point`. Throws what mount says. */
export function mountImage(file: string, point: string, { type, options }: FileSystem): Mounted {
  const device = attach(file);
  try {
    must('mount', ['-t', type, '-o', options, device, point]);
  } catch (error) {
    run('losetup', ['-d', device]);
    throw error;
  }
  return {
    device,
    unmount() {
      unmount(point);
      detach(device);
    },
  };
}

export function attach(file: string): string {
  return must('losetup', ['-f', '--show', file]).trim();
}

export function detach(device: string): void {
  must('losetup', ['-d', device]);
}

/** What e2fsck or xfs_repair has against an unmounted image whose journal was replayed; undefined when nothing. */
export function fsckComplaint(image: string, { type }: FileSystem): string | undefined {
  const checked = type === 'ext4' ? run('e2fsck', ['-fn', image]) : run('xfs_repair', ['-n', '-f', image]);
  return checked.status === 0 ? undefined : `${checked.stdout}${checked.stderr}`.slice(0, 600);
}

/** Builds blockdev.cc; the program's path. */
export function buildBlockdev(directory: string): string {
  return build('blockdev', path.join(directory, 'blockdev'), []);
}

/** Builds lies.cc; the path of what LD_PRELOAD takes. */
export function buildLies(directory: string): string {
  return build('lies', path.join(directory, 'lies.so'), ['-shared', '-fPIC']);
}

function build(name: string, program: string, flags: readonly string[]): string {
  const source = fileURLToPath(new URL(`${name}.cc`, import.meta.url));
  const warnings = ['-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Werror'];
  must('c++', ['-std=c++20', '-O2', ...warnings, ...flags, '-o', program, source]);
  return program;
}

/** Disks with a log below them. */
export interface LoggedDisks {
  /** Files for `attach` and `mountImage`, in the order of the images. */
  readonly files: readonly string[];
  /** Bytes of the log: this moment, on all disks. */
  mark(): number;
  /** Ends the server; every disk must be unmounted. The log. */
  stop(): Promise<Buffer>;
}

export async function startLoggedDisks(
  program: string,
  ground: Ground,
  images: readonly string[],
): Promise<LoggedDisks> {
  const log = path.join(ground.images, 'log');
  const server = spawn(program, [ground.below, log, ...images], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const ended = new Promise<number | null>((resolve) => server.once('close', resolve));
  const ready = new Promise<boolean>((resolve) => server.stdout.once('data', () => resolve(true)));
  if (!(await Promise.race([ready, ended.then(() => false)]))) throw new Error(`blockdev did not start: ${complaint}`);
  return {
    files: images.map((_, i) => path.join(ground.below, `disk${i}`)),
    mark: () => fs.statSync(log).size,
    async stop() {
      server.stdin.end();
      const status = await ended;
      if (status !== 0) throw new Error(`blockdev ended with ${status}: ${complaint}`);
      const bytes = fs.readFileSync(log);
      fs.rmSync(log);
      return bytes;
    },
  };
}
