import { wholeDisk } from '../fs/wholeDisk.js';

/** `8:17`, as lsblk shows it: the numbers in st_dev. */
export function deviceName(dev: bigint): string {
  const known = names.get(dev);
  if (known !== undefined) return known;
  const major = ((dev >> 32n) & 0xfffff000n) | ((dev >> 8n) & 0xfffn);
  const minor = ((dev >> 12n) & 0xffffff00n) | (dev & 0xffn);
  const name = `${major}:${minor}`;
  names.set(dev, name);
  return name;
}

/** Of devices that were asked for: a few, once a folder each. */
const names = new Map<bigint, string>();

/** The disk that lies below. Partitions of a disk are one device. @param dev as in st_dev */
export const diskOf = (dev: bigint): string => wholeDisk(deviceName(dev));
