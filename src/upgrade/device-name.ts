import { wholeDisk } from '../fs/wholeDisk.js';

/** `8:17`, as lsblk shows it: the numbers in st_dev. */
export function deviceName(dev: bigint): string {
  const major = ((dev >> 32n) & 0xfffff000n) | ((dev >> 8n) & 0xfffn);
  const minor = ((dev >> 12n) & 0xffffff00n) | (dev & 0xffn);
  return `${major}:${minor}`;
}

/** The disk that lies below. Partitions of a disk are one device. @param dev as in st_dev */
export const diskOf = (dev: bigint): string => wholeDisk(deviceName(dev));
