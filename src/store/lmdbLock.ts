/**
 * Looks into LMDB's lock file (`<name>-lock`), which LMDB maps and never shows. Format of lmdb 3.5 on 64-bit Linux
 * with glibc, host byte order (liblmdb, MDB_txninfo; test/store/lmdb-lock.test.ts compares it with the real thing):
 *
 *     0  u32 magic BEEFC0DE     4  u32 format     24  robust mutex of the reader table     64  of writers
 *
 * A robust pthread mutex begins with a u32: bits 0 to 29 the thread id of its owner, 0 when it is free; bit 30 the
 * owner died, the next one takes over; bit 31 somebody waits.
 */
import { MailhaulError } from '../errors.js';
import { readOpen } from '../fs/descriptor.js';
import { describeHolder, holdersText, processOfThread } from '../fs/holders.js';

const MAGIC = 0xbeefc0de;
/** MDB_LOCK_FORMAT: version and layout. Another lmdb may have another one; the test says so. */
const FORMAT = 0x2c2f6002;
const WRITER_MUTEX = 64;
const HEADER_BYTES = 68;
const OWNER_BITS = 0x3fffffff;

/** Whether the layout above is that of this machine. */
export const LOCK_FILE_KNOWN = process.platform === 'linux' && process.arch === 'x64';

/** The process whose thread holds LMDB's write lock now; undefined when it is free, or its owner died. */
export function lmdbWriter(lockFd: number): number | undefined {
  const header = readHeader(lockFd);
  if (header === undefined || !isKnown(header)) return undefined;
  const owner = header.readUInt32LE(WRITER_MUTEX) & OWNER_BITS;
  return owner === 0 ? undefined : processOfThread(owner);
}

/**
 * LMDB ends the process when it finds a lock file of another format that somebody uses; one that nobody uses it
 * makes anew. `users`: other processes that have it open; asked where it is of another format, as one that is being made
 * seems to be, too.
 *
 * @throws MailhaulError DB_LOCK_FORMAT
 */
export function checkLockFile(lockFd: number, users: () => readonly number[], where: string): void {
  if (isOurs(lockFd)) return;
  const pids = users();
  if (pids.length === 0 || isOurs(lockFd)) return;
  throw new MailhaulError(
    'DB_LOCK_FORMAT',
    `Another version of LMDB has the database open: ${holdersText(pids.map(describeHolder))}.`,
    { where, hint: 'End that process, then run the command again.' },
  );
}

function readHeader(lockFd: number): Buffer | undefined {
  if (!LOCK_FILE_KNOWN) return undefined;
  const header = Buffer.alloc(HEADER_BYTES);
  return readOpen(lockFd, header, 0) === HEADER_BYTES ? header : undefined;
}

function isOurs(lockFd: number): boolean {
  const header = readHeader(lockFd);
  return header !== undefined && isKnown(header);
}

function isKnown(header: Buffer): boolean {
  return header.readUInt32LE(0) === MAGIC && header.readUInt32LE(4) === FORMAT;
}
