/**
 * What the campaign borrows from the machine, below one directory, and how it is given back:
 *
 *     /tmp/mailhaul-power-<pid>-XXXXXX/
 *       images/        a tmpfs: disk images and logs
 *       below/         the FUSE file system of blockdev.cc, with one file a disk
 *       disk0/ disk1/  where the disks are mounted, recorded run and crash states alike (databases hold paths)
 *
 * The pid in the name tells a later campaign what an earlier one left when it was killed with SIGKILL.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const PREFIX = 'mailhaul-power-';
/** Bytes the tmpfs may take; images are sparse. */
const IMAGES_SIZE = '4g';

export interface Ground {
  readonly root: string;
  readonly images: string;
  readonly below: string;
  readonly disks: readonly string[];
}

export function run(program: string, args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs a tool that must succeed; its standard output. */
export function must(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = run(program, args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}${stdout}`);
  return stdout;
}

/** Why the campaign cannot run here, or undefined. Tries the real thing: rights cannot be told from ids alone. */
export function hindrance(): string | undefined {
  if (process.platform !== 'linux') return 'loop devices and FUSE are of Linux';
  if (process.geteuid?.() !== 0) return 'not root: nothing can be mounted';
  for (const device of ['/dev/fuse', '/dev/loop-control']) if (!fs.existsSync(device)) return `there is no ${device}`;
  for (const tool of ['losetup', 'mkfs.ext4', 'e2fsck', 'c++'])
    if (run('sh', ['-c', `command -v ${tool}`]).status !== 0) return `there is no ${tool}`;
  const probe = fs.mkdtempSync(path.join(os.tmpdir(), `${PREFIX}${process.pid}-`));
  const mounted = run('mount', ['-t', 'tmpfs', 'mailhaul-power', probe]);
  if (mounted.status === 0) run('umount', [probe]);
  fs.rmdirSync(probe);
  return mounted.status === 0 ? undefined : `nothing can be mounted: ${mounted.stderr.trim()}`;
}

export function makeGround(disks: number): Ground {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), `${PREFIX}${process.pid}-`));
  fs.chmodSync(root, 0o755);
  const inside = (name: string): string => {
    fs.mkdirSync(path.join(root, name), { mode: 0o755 });
    return path.join(root, name);
  };
  const ground = {
    root,
    images: inside('images'),
    below: inside('below'),
    disks: Array.from({ length: disks }, (_, i) => inside(`disk${i}`)),
  };
  must('mount', ['-t', 'tmpfs', '-o', `size=${IMAGES_SIZE},mode=0700`, 'mailhaul-power', ground.images]);
  return ground;
}

/** Gives everything below `root` back. Idempotent; what cannot be unmounted is detached. */
export function removeGround(root: string): void {
  for (const point of mountsBelow(root)) {
    if (path.basename(point) === 'images' || path.basename(point) === 'below') continue;
    unmount(point);
  }
  for (const { device, file } of loops()) if (isBelow(root, file)) run('losetup', ['-d', device]);
  for (const point of mountsBelow(root)) unmount(point);
  if (mountsBelow(root).length === 0) fs.rmSync(root, { recursive: true, force: true });
}

/** Gives back what campaigns that are no more have left; the directories found. */
export function removeStaleGrounds(): string[] {
  const stale: string[] = [];
  for (const name of fs.readdirSync(os.tmpdir())) {
    const pid = Number(/^mailhaul-power-(\d+)-/.exec(name)?.[1]);
    if (!Number.isInteger(pid) || isAlive(pid)) continue;
    const root = path.join(os.tmpdir(), name);
    removeGround(root);
    stale.push(root);
  }
  return stale;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** A process that has just ended may hold a mount for another moment. */
export function unmount(point: string): void {
  for (let attempt = 0; attempt < 20; attempt++) {
    if (run('umount', [point]).status === 0) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
  run('umount', ['-l', point]);
}

/** Mount points below `root`, the innermost first. */
function mountsBelow(root: string): string[] {
  return fs
    .readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => isBelow(root, point))
    .sort((a, b) => b.length - a.length);
}

function isBelow(root: string, file: string): boolean {
  return file.startsWith(`${root}/`);
}

function loops(): { device: string; file: string }[] {
  const { stdout } = run('losetup', ['-l', '-n', '-O', 'NAME,BACK-FILE']);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [device = '', file = ''] = line.trim().split(/\s+/);
      return { device, file };
    });
}
