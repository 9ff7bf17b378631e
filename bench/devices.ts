/** Block devices: which one a path lies on, and what it has read and written so far (/proc/diskstats). */
import * as fs from 'node:fs';

export interface Device {
  readonly name: string;
  readonly major: number;
  readonly minor: number;
}

/** Since the machine was started. */
export interface DeviceCounts {
  readonly reads: number;
  readonly readBytes: number;
  readonly writes: number;
  readonly writtenBytes: number;
}

/** Of diskstats, whatever the device's own sector is (Linux, Documentation/admin-guide/iostats.rst). */
const SECTOR = 512;

export function readCounts(text = fs.readFileSync('/proc/diskstats', 'utf8')): Map<string, DeviceCounts & Device> {
  const found = new Map<string, DeviceCounts & Device>();
  for (const line of text.split('\n')) {
    const [major, minor, name, reads, , readSectors, , writes, , writtenSectors] = line.trim().split(/\s+/);
    if (name === undefined || writtenSectors === undefined) continue;
    found.set(name, {
      name,
      major: Number(major),
      minor: Number(minor),
      reads: Number(reads),
      readBytes: Number(readSectors) * SECTOR,
      writes: Number(writes),
      writtenBytes: Number(writtenSectors) * SECTOR,
    });
  }
  return found;
}

/** null where the file system has no one device (a network, several disks, memory). */
export function deviceOf(at: string): Device | null {
  if (!fs.existsSync('/proc/diskstats')) return null;
  const all = [...readCounts().values()];
  const own = numbers(fs.statSync(at).dev);
  const direct = all.find(({ major, minor }) => major === own.major && minor === own.minor);
  const found = direct ?? mountedDevice(at, all);
  return found === undefined ? null : { name: found.name, major: found.major, minor: found.minor };
}

/** btrfs gives its files a device number of its own: the mount table names the disk. */
function mountedDevice(at: string, all: readonly Device[]): Device | undefined {
  const { source } = mountOf(at);
  if (!source.startsWith('/dev/') || !fs.existsSync(source)) return undefined;
  const wanted = numbers(fs.statSync(source).rdev);
  return all.find(({ major, minor }) => major === wanted.major && minor === wanted.minor);
}

/** Of a path: type of the file system, and what is mounted there. */
export function mountOf(at: string): { readonly type: string; readonly source: string } {
  const real = fs.realpathSync(at);
  const mounts = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields.length > 6)
    .map((fields) => {
      // Optional fields end with a dash (proc_pid_mountinfo(5)).
      const [type = '', source = ''] = fields.slice(fields.indexOf('-') + 1);
      return { point: unescapeOctal(fields[4]!), type, source };
    })
    .filter(({ point }) => real === point || real.startsWith(point === '/' ? '/' : `${point}/`));
  // Of two mounts on one directory the later one is seen.
  return mounts.toReversed().sort((a, b) => b.point.length - a.point.length)[0] ?? { type: 'unknown', source: '' };
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Linux's layout of dev_t: 12 bits of major, 20 bits of minor, each in two pieces. */
function numbers(dev: number): { major: number; minor: number } {
  const high = Math.floor(dev / 0x1_0000_0000);
  const low = dev % 0x1_0000_0000;
  return { major: ((low >>> 8) & 0xfff) | (high & ~0xfff), minor: (low & 0xff) | ((low >>> 12) & ~0xff) };
}
