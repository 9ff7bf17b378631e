/**
 * Limits how fast a command may read from a device, by the kernel's own block controller: cgroup v1 (blkio.throttle) or
 * v2 (io.max). Reads only: v1 does not know whose pages it writes. By bytes: the controller counts reads before neighbours
 * are joined, the counters of a disk after, so that a share of what those say would be no such share. Needs root.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { wholeDisk } from '../src/fs/wholeDisk.js';
import type { Device } from './devices.js';

export interface ReadLimit {
  readonly device: Device;
  readonly bytesPerSecond: number;
}

export interface Throttle {
  /** The same command under the limit. */
  wrap(command: readonly string[]): readonly string[];
  remove(): void;
}

const V1 = '/sys/fs/cgroup/blkio';
const V2 = '/sys/fs/cgroup';

export function canThrottle(): boolean {
  return process.geteuid?.() === 0 && (fs.existsSync(`${V1}/blkio.throttle.read_bps_device`) || hasIoMax());
}

export function throttle({ device, bytesPerSecond }: ReadLimit): Throttle {
  const v1 = fs.existsSync(`${V1}/blkio.throttle.read_bps_device`);
  const group = fs.mkdtempSync(path.join(v1 ? V1 : V2, 'msg-bench-'));
  // The controller knows no partitions.
  const id = diskOf(device);
  const bytes = Math.max(1, Math.round(bytesPerSecond));
  try {
    if (v1) {
      fs.writeFileSync(path.join(group, 'blkio.throttle.read_bps_device'), `${id} ${bytes}`);
    } else fs.writeFileSync(path.join(group, 'io.max'), `${id} rbps=${bytes}`);
  } catch (error) {
    fs.rmdirSync(group);
    throw error;
  }
  return {
    wrap: (command) => ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', group, ...command],
    remove: () => fs.rmdirSync(group),
  };
}

/** `8:16`: of the disk that a device is a part of. */
export function diskOf({ major, minor }: Device): string {
  return wholeDisk(`${major}:${minor}`);
}

/** The controller must be handed to groups below the root; a benchmark does not change that. */
function hasIoMax(): boolean {
  const handed = path.join(V2, 'cgroup.subtree_control');
  return fs.existsSync(handed) && /\bio\b/.test(fs.readFileSync(handed, 'utf8'));
}
