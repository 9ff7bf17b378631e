/**
 * The disk that a block device is a part of. Two partitions of one spindle share its head, so they are one device for
 * the schedule (upgrade/routes.ts), whatever st_dev says.
 *
 *     /sys/dev/block/8:17 -> …/block/sdb/sdb1      has `partition`: the disk is the directory above
 *     /sys/dev/block/253:0 -> …/block/dm-0         has `slaves/`: when that is one, what lies on it lies on that disk
 *
 * A volume over several disks stays what it is, and so does what sysfs does not know (btrfs, overlays, NFS).
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** Volumes on volumes on partitions; more is no sound sysfs. */
const DEEPEST = 8;

/**
 * @param name `8:17`: major and minor number
 * @param sysfs where sysfs is mounted
 * @returns the name of the disk, or `name`
 */
export function wholeDisk(name: string, sysfs = '/sys'): string {
  let disk = name;
  for (let depth = 0; depth < DEEPEST; depth++) {
    const below = lyingOn(disk, sysfs);
    if (below === undefined) break;
    disk = below;
  }
  return disk;
}

function lyingOn(name: string, sysfs: string): string | undefined {
  try {
    const at = realpathSync(join(sysfs, 'dev/block', name));
    if (existsSync(join(at, 'partition'))) return numbersOf(join(at, '..'));
    const [slave, ...others] = readdirSync(join(at, 'slaves'));
    return slave === undefined || others.length > 0 ? undefined : numbersOf(join(at, 'slaves', slave));
  } catch {
    // Not a block device, or no sysfs: only the schedule is less exact.
    return undefined;
  }
}

function numbersOf(directory: string): string | undefined {
  const numbers = readFileSync(join(directory, 'dev'), 'utf8').trim();
  return /^\d+:\d+$/.test(numbers) ? numbers : undefined;
}
