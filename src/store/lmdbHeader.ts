/**
 * Looks at a file before LMDB opens it. lmdb 3.5 crashes the process when an open fails (it frees its state
 * twice), so whatever would make it fail must be found here first.
 *
 * The file begins with two meta pages (docs/formats/mboxlist.md, "The file"):
 *
 *     18  u16 flags, 08 meta page     24  u32 magic BEEFC0DE     28  u32 version 2 (low half)     48  u32 page size
 */
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { type Dir, displayPath, openFile } from '../fs/dir.js';
import { effect } from '../fs/seam.js';

const META_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const HEADER_BYTES = 152;
const SMALLEST_PAGE = 256;
const LARGEST_PAGE = 65536;

/**
 * Checks the meta pages. `renew`: LMDB may write, so an empty file is fine (LMDB fills it), and a file of nothing
 * but zeros, which power loss leaves of a database that never had its first commit, is emptied.
 * Errors: DB_MISSING, DB_INVALID, DB_OPEN.
 */
export function checkDatabaseFile(dir: Dir, name: string, renew: boolean): void {
  const where = displayPath(dir, name);
  let fd: number;
  try {
    fd = openFile(dir, name, renew ? fs.constants.O_RDWR : fs.constants.O_RDONLY);
  } catch (cause) {
    throw new MailhaulError('DB_OPEN', 'The database cannot be opened.', { where, cause });
  }
  try {
    const { size } = fs.fstatSync(fd);
    if (size === 0) {
      if (renew) return;
      throw new MailhaulError('DB_MISSING', 'The database was never filled.', {
        where,
        hint: 'Run `upgrade -s` again.',
      });
    }
    const pageSize = checkMeta(fd, 0);
    if (pageSize !== undefined && checkMeta(fd, pageSize) === pageSize) return;
    if (!renew || size > LARGEST_PAGE * 2 || !isZero(fd, size)) {
      throw new MailhaulError('DB_INVALID', 'The file is not a database of this program, or it is damaged.', {
        where,
        hint: 'Restore it from a backup.',
      });
    }
    effect('truncate');
    fs.ftruncateSync(fd, 0);
  } finally {
    fs.closeSync(fd);
  }
}

/** The page size that a meta page at `offset` states; undefined when there is no meta page. */
function checkMeta(fd: number, offset: number): number | undefined {
  const page = Buffer.alloc(HEADER_BYTES);
  if (fs.readSync(fd, page, 0, HEADER_BYTES, offset) !== HEADER_BYTES) return undefined;
  const pageSize = page.readUInt32LE(48);
  const sound =
    (page.readUInt16LE(18) & META_FLAG) !== 0 &&
    page.readUInt32LE(24) === MAGIC &&
    page.readUInt16LE(28) === DATA_VERSION &&
    pageSize >= SMALLEST_PAGE &&
    pageSize <= LARGEST_PAGE &&
    (pageSize & (pageSize - 1)) === 0;
  return sound ? pageSize : undefined;
}

function isZero(fd: number, size: number): boolean {
  const bytes = Buffer.alloc(size);
  return fs.readSync(fd, bytes, 0, size, 0) === size && bytes.every((byte) => byte === 0);
}
