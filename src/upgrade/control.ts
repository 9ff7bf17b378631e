/**
 * `lock/upgrade.control` of the instance: changes the limits of a run that is under way (docs/formats/control.md).
 *
 *     version 1
 *     bwlimit 20M
 *     iops 500
 *     nice yes
 *
 * Invariant: a file is taken as a whole or not at all, and once. One that lies there when a run begins is from an earlier
 * one and means nothing to it.
 */
import { closeSync } from 'node:fs';
import { describeError, hasErrno, isOutOfResources, MailhaulError } from '../errors.js';
import { replaceFile } from '../fs/atomic.js';
import { readOpen, statOpen } from '../fs/descriptor.js';
import { type Dir, displayPath, type Ownership, stat } from '../fs/dir.js';
import { openOwnedFile } from '../fs/ownedFile.js';
import { type LimitsChange, parseIops, parseRate } from './limits.js';

export const CONTROL_FILE = 'upgrade.control';

/** A file that is larger is none. */
const BYTES_AT_MOST = 4096;
const VERSION = 1;
/** Of a line, in a message. */
const SHOWN = 40;

type Key = 'version' | keyof LimitsChange;

const READERS: Readonly<Record<Key, (value: string) => number | boolean | undefined>> = {
  version: (value) => (value === String(VERSION) ? VERSION : undefined),
  bwlimit: parseRate,
  iops: parseIops,
  nice: (value) => (value === 'yes' ? true : value === 'no' ? false : undefined),
};

/** Reads the file's bytes; throws MailhaulError CONTROL_FILE, which names the line. */
export function parseControl(bytes: Uint8Array): LimitsChange {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (bytes.length > BYTES_AT_MOST) throw refused(`The file is larger than ${BYTES_AT_MOST} bytes`);
  // Half a number is a number, too.
  if (text !== '' && !text.endsWith('\n')) throw refused('The last line has no end');
  const found = new Map<Key, number | boolean>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const { key, value } = readLine(line, index + 1);
    if (found.has(key)) throw refused(`Line ${index + 1} names ${key} once more`);
    found.set(key, value);
  }
  found.delete('version');
  return Object.fromEntries(found);
}

function readLine(line: string, number: number): { key: Key; value: number | boolean } {
  const match = /^[ \t]*(version|bwlimit|iops|nice)[ \t=]+(\S{1,40})[ \t]*$/.exec(line);
  const key = match?.[1] as Key | undefined;
  const value = key === undefined ? undefined : READERS[key](match?.[2] ?? '');
  if (key !== undefined && value !== undefined) return { key, value };
  const shown = line.replace(/[^ -~]/g, '?').slice(0, SHOWN);
  throw refused(`Line ${number} cannot be read: ${shown}`);
}

function refused(what: string): MailhaulError {
  return new MailhaulError('CONTROL_FILE', `${what}; nothing of it was taken.`, {
    where: CONTROL_FILE,
    hint: 'Lines are `bwlimit 20M`, `iops 500`, `nice yes`; each ends with a line end. 0 is no limit.',
  });
}

/** What `parseControl` reads. */
export function formatControl({ bwlimit, iops, nice }: LimitsChange): string {
  return [
    `version ${VERSION}`,
    ...(bwlimit === undefined ? [] : [`bwlimit ${bwlimit}`]),
    ...(iops === undefined ? [] : [`iops ${iops}`]),
    ...(nice === undefined ? [] : [`nice ${nice ? 'yes' : 'no'}`]),
    '',
  ].join('\n');
}

/** Replaces the file as a whole; every run of the instance finds it within a second. */
export function writeControl(lockDir: Dir, change: LimitsChange, owner: Ownership): void {
  replaceFile(lockDir, CONTROL_FILE, formatControl(change), owner);
}

/** The file as a run sees it. */
export class ControlFile {
  private seen: string;

  /** What lies there now is not taken. */
  constructor(
    private readonly lockDir: Dir,
    private readonly accountUid: number,
  ) {
    this.seen = this.look();
  }

  /** What the file says, when it is another one than before; throws MailhaulError CONTROL_FILE, once a file. */
  changed(): LimitsChange | undefined {
    const now = this.look();
    if (now === this.seen) return undefined;
    const before = this.seen;
    this.seen = now;
    try {
      return now === GONE ? undefined : parseControl(this.read());
    } catch (error) {
      if (!isOutOfResources(error)) throw error;
      this.seen = before;
      return undefined;
    }
  }

  private look(): string {
    const status = stat(this.lockDir, CONTROL_FILE);
    return status === undefined ? GONE : `${status.ino} ${status.size} ${status.mtimeNs} ${status.ctimeNs}`;
  }

  /** At most one byte more than a file may have. What the process lacks at the moment is thrown as it is. */
  private read(): Uint8Array {
    try {
      const fd = openOwnedFile(this.lockDir, CONTROL_FILE, { accountUid: this.accountUid });
      try {
        const bytes = Buffer.alloc(Math.min(statOpen(fd).size, BYTES_AT_MOST) + 1);
        return bytes.subarray(0, readOpen(fd, bytes, 0));
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      // Gone again: the same as an empty one.
      if (hasErrno(error, 'ENOENT')) return new Uint8Array(0);
      if (isOutOfResources(error)) throw error;
      throw new MailhaulError('CONTROL_FILE', `The file cannot be read: ${describeError(error)}.`, {
        where: displayPath(this.lockDir, CONTROL_FILE),
        hint: 'It must belong to the server account, or be readable by all.',
        cause: error,
      });
    }
  }
}

const GONE = '';
