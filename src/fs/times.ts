/**
 * Modification times to the nanosecond. Node's own calls take seconds as a double, which is some 240 ns wide in this
 * century, and nothing before 1970: enough for people, not for an order of files (3x-profile.md, "file without a
 * line"). touch(1), which works on a descriptor that it inherits from us, does it exactly.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { statOpenExactly } from './descriptor.js';
import { effect } from './seam.js';

const NANOSECONDS = 1_000_000_000n;

/** Where touch(1) finds the inherited descriptor. */
const INHERITED_FD = '/proc/self/fd/3';

/** As columns hold it, and the native engine: 64 bits, so that a time after 2262-04-11 wraps. */
export function recordedMtime({ mtimeNs }: Pick<fs.BigIntStats, 'mtimeNs'>): bigint {
  return BigInt.asIntN(64, mtimeNs);
}

/**
 * Sets the modification time of an open file to `mtimeNs` since 1970. With `exact` false it may be off by
 * a micro-second or two, which saves a process.
 *
 * @throws MailhaulError TIME_NOT_SET when it must be exact and cannot be
 */
export function setModificationTime(fd: number, mtimeNs: bigint, exact: boolean): void {
  if (recordedMtime(statOpenExactly(fd)) === mtimeNs) return;
  effect('chmod');
  if (!exact && mtimeNs >= 0n) {
    const seconds = Number(mtimeNs / NANOSECONDS) + Number(mtimeNs % NANOSECONDS) / 1e9;
    fs.futimesSync(fd, Date.now() / 1000, seconds);
    return;
  }
  const size = mtimeNs < 0n ? -mtimeNs : mtimeNs;
  const digits = String(size % NANOSECONDS).padStart(9, '0');
  const date = `@${mtimeNs < 0n ? '-' : ''}${size / NANOSECONDS}.${digits}`;
  const touched = spawnSync('touch', ['-c', '-m', '-d', date, INHERITED_FD], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  if (statOpenExactly(fd).mtimeNs === mtimeNs) return;
  throw new MailhaulError('TIME_NOT_SET', 'The modification time of a message file cannot be set.', {
    hint: 'touch(1) of coreutils does it: is it installed, and does the file system keep nanoseconds?',
    cause: touched.error,
  });
}
