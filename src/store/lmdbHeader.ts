/**
 * Looks at a file before LMDB opens it. lmdb 3.5 crashes the process when an open fails (it frees its state
 * twice), so whatever would make it fail must be found here first.
 *
 * The file begins with two meta pages (docs/formats/mboxlist.md, "The file"):
 *
 *     18  u16 flags, 08 meta page     24  u32 magic BEEFC0DE     28  u32 version 2 (low half)     48  u32 page size
 *     52  u16 flags, u16 depth, 88 u64 root page: the list of free pages
 *     100 u16 flags, u16 depth, 136 u64 root page: the tables              144 u64 last page in use
 *
 * A root is a page of the file, or all ones for an empty tree. Beyond the roots nothing is looked at: LMDB trusts its
 * pages, so that a tree that is damaged further down, or a file that was cut behind its roots, may end the process.
 */
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { type Dir, displayPath, openFile } from '../fs/dir.js';
import { effect } from '../fs/seam.js';

const META_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const HEADER_BYTES = 152;
/** Where flags, depth and root of the two trees lie. */
const TREES = [
  { flagsAt: 52, rootAt: 88 },
  { flagsAt: 100, rootAt: 136 },
] as const;
/** Repeated keys and encryption, which these trees never have. */
const FOREIGN_FLAGS = 0x2034;
/** LMDB's own limit of depth. */
const DEEPEST = 32;
const LAST_PAGE_AT = 144;
/** Root of an empty tree. */
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
/** Pages that a transaction took and did not need in the end are not written, so that the file may be shorter. */
const UNWRITTEN_PAGES = 65_536n;
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
  return sound && pagesAreThere(fd, page, BigInt(pageSize)) ? pageSize : undefined;
}

/** The trees are ones that this program makes, their roots lie in the file, and the last page where it can be. */
function pagesAreThere(fd: number, meta: Buffer, pageSize: bigint): boolean {
  // Asked after the meta page was read: another process writes pages first, then the meta page that names them.
  const pages = fs.fstatSync(fd, { bigint: true }).size / pageSize;
  const last = meta.readBigUInt64LE(LAST_PAGE_AT);
  if (last >= pages * 2n + UNWRITTEN_PAGES) return false;
  return TREES.every(({ flagsAt, rootAt }) => {
    const root = meta.readBigUInt64LE(rootAt);
    const known = (meta.readUInt16LE(flagsAt) & FOREIGN_FLAGS) === 0 && meta.readUInt16LE(flagsAt + 2) <= DEEPEST;
    return known && (root === NO_PAGE || (root > 1n && root <= last && root < pages));
  });
}

function isZero(fd: number, size: number): boolean {
  const bytes = Buffer.alloc(size);
  return fs.readSync(fd, bytes, 0, size, 0) === size && bytes.every((byte) => byte === 0);
}
