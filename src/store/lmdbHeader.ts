/**
 * Looks at a file before LMDB opens it. lmdb 3.5 crashes the process when an open fails (it frees its state
 * twice), or when the file is shorter than it says (a page beyond the end of a map is SIGBUS), so whatever would
 * make it fail must be found here first.
 *
 * The file begins with two meta pages, the one with the higher transaction number counts
 * (docs/formats/mboxlist.md, "The file"):
 *
 *     18  u16 flags, 08 meta page     24  u32 magic BEEFC0DE     28  u32 version 2 (low half)     48  u32 page size
 *     52  u16 flags, u16 depth, 88 u64 root page: the list of free pages
 *     100 u16 flags, u16 depth, 136 u64 root page: the tables     144 u64 last page in use     152 u64 transaction
 *
 * A root is a page, or all ones for an empty tree. The other meta page's may lie beyond its last page: when LMDB could
 * not write a commit's meta page, it puts the old numbers of last page and transaction in it, and leaves the new roots.
 * LMDB trusts its pages: a tree that is damaged further down, in a file of full length, may end the process.
 */
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { readOpen, statOpen } from '../fs/descriptor.js';
import { type Dir, displayPath } from '../fs/dir.js';
import { openFile, withFile } from '../fs/file.js';
import { effect } from '../fs/seam.js';
import { treesLieWithin } from './lmdbPages.js';

const META_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const HEADER_BYTES = 160;
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
/** Pages that a transaction took and did not need in the end are not written, so that the file may be shorter. */
const UNWRITTEN_PAGES = 65_536;
/** Root of an empty tree. */
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
const SMALLEST_PAGE = 256;
const LARGEST_PAGE = 65536;

/** Looks at a file that another process is writing to, before it counts as damaged, and the pause between two. */
const LOOKS = 3;
const PAUSE_MS = 10;

interface Meta {
  readonly pageSize: number;
  /** The trees begin within the pages in use. */
  readonly within: boolean;
  readonly roots: readonly bigint[];
  readonly lastPage: bigint;
  readonly transaction: bigint;
}

/**
 * Checks the meta pages and the length. `renew`: LMDB may write, so an empty file is fine (LMDB fills it), and a file
 * of nothing but zeros, which power loss leaves of a database that never had its first commit, is emptied.
 * Errors: DB_MISSING, DB_INVALID, DB_TRUNCATED, DB_OPEN.
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
    let state = lookAt(fd);
    for (let look = 1; look < LOOKS && state !== 'sound' && state !== 'empty'; look++) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
      state = lookAt(fd);
    }
    if (state === 'sound') return;
    if (state === 'empty') {
      if (renew) return;
      throw new MailhaulError('DB_MISSING', 'The database was never filled.', {
        where,
        hint: 'Run `upgrade -s` again.',
      });
    }
    if (state === 'truncated') {
      throw new MailhaulError('DB_TRUNCATED', 'The end of the database is missing: the file is shorter than it says.', {
        where,
        hint: 'Restore it from a backup.',
      });
    }
    if (!renew || !isZero(fd)) {
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

function lookAt(fd: number): 'sound' | 'empty' | 'invalid' | 'truncated' {
  if (statOpen(fd).size === 0) return 'empty';
  const first = readMeta(fd, 0);
  const second = first === undefined ? undefined : readMeta(fd, first.pageSize);
  if (first === undefined || second?.pageSize !== first.pageSize) return 'invalid';
  const meta = first.transaction >= second.transaction ? first : second;
  // Looked at after the meta page: a writer makes the file longer before it says so.
  const filePages = Math.floor(statOpen(fd).size / meta.pageSize);
  const most = BigInt(filePages * 2 + UNWRITTEN_PAGES);
  if (!meta.within || first.lastPage >= most || second.lastPage >= most) return 'invalid';
  if (meta.lastPage < BigInt(filePages)) return 'sound';
  return treesLieWithin(fd, meta.pageSize, filePages, meta.roots) ? 'sound' : 'truncated';
}

/** The meta page at `offset`; undefined when there is none. */
function readMeta(fd: number, offset: number): Meta | undefined {
  const page = Buffer.alloc(HEADER_BYTES);
  if (readOpen(fd, page, offset) !== HEADER_BYTES) return undefined;
  const pageSize = page.readUInt32LE(48);
  const sound =
    (page.readUInt16LE(18) & META_FLAG) !== 0 &&
    page.readUInt32LE(24) === MAGIC &&
    page.readUInt16LE(28) === DATA_VERSION &&
    pageSize >= SMALLEST_PAGE &&
    pageSize <= LARGEST_PAGE &&
    (pageSize & (pageSize - 1)) === 0;
  const trees = TREES.map(({ flagsAt, rootAt }) => ({
    flags: page.readUInt16LE(flagsAt),
    depth: page.readUInt16LE(flagsAt + 2),
    root: page.readBigUInt64LE(rootAt),
  }));
  const lastPage = page.readBigUInt64LE(LAST_PAGE_AT);
  // The trees are ones that this program makes. LMDB looks at flags of both meta pages.
  const ours = trees.every(({ flags, depth, root }) => (flags & FOREIGN_FLAGS) === 0 && depth <= DEEPEST && root > 1n);
  if (!sound || !ours) return undefined;
  const within = trees.every(({ root }) => root === NO_PAGE || root <= lastPage);
  return { pageSize, within, roots: trees.map(({ root }) => root), lastPage, transaction: page.readBigUInt64LE(152) };
}

/** Nothing but zeros, as of a database that never had its first commit. Throws what opening and reading throw. */
export function isZeroFile(dir: Dir, name: string): boolean {
  return withFile(dir, name, isZero);
}

function isZero(fd: number): boolean {
  const { size } = statOpen(fd);
  if (size > LARGEST_PAGE * 2) return false;
  const bytes = Buffer.alloc(size);
  return readOpen(fd, bytes, 0) === size && bytes.every((byte) => byte === 0);
}
