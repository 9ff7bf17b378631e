/**
 * Whether everything that a database uses lies within its file. LMDB maps the file, and a page beyond its end is
 * SIGBUS: the end of the process. The last page number of the meta page settles it for nearly every file; pages at
 * the end that were given up before they were written are not in the file of a sound database either, and then the
 * trees are walked.
 *
 * A page (64-bit, little-endian; docs/formats/mboxlist.md, "The file"):
 *
 *     0  u64 number    18  u16 flags: 01 branch, 02 leaf    20  u16 bytes of the slots    24  u16 slots: offset − 24
 *
 * A node: u16 low, u16 middle, u16 flags or high, u16 key bytes, key, data. In a branch the three words are the page
 * number of a child. In a leaf low and middle are the bytes of data; flag 01: the data is u64 page, u64, u64 pages of
 * an overflow run; flag 02: it is a table, whose root is at 40.
 */
import { readOpen } from '../fs/descriptor.js';

const PAGE_HEADER = 24;
const BRANCH = 0x01;
const LEAF = 0x02;
const NODE_HEADER = 8;
const BIG_DATA = 0x01;
const TABLE = 0x02;
const TABLE_ROOT = 40;
const TABLE_BYTES = 48;
const OVERFLOW_BYTES = 24;
const NO_PAGE = 0xffffffffffffffffn;

/** A node that does not lie within its page, a page of another kind, a page beyond the end, a circle. */
class Unsound extends Error {}

/** True when every page that can be reached from `roots` lies within the first `filePages` pages of `fd`. */
export function treesLieWithin(fd: number, pageSize: number, filePages: number, roots: readonly bigint[]): boolean {
  const page = Buffer.alloc(pageSize);
  const waiting: number[] = [];
  /** A sound database reaches no page twice: more visits than pages are a circle. */
  let visits = 0;
  const within = (first: bigint, count: bigint): void => {
    if (count < 1n || first + count > BigInt(filePages)) throw new Unsound();
  };
  const visit = (root: bigint): void => {
    if (root === NO_PAGE) return;
    within(root, 1n);
    waiting.push(Number(root));
  };
  try {
    for (const root of roots) visit(root);
    for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
      visits += 1;
      if (visits > filePages || readOpen(fd, page, number * pageSize) !== pageSize) return false;
      for (const reached of reachedFrom(page)) {
        if (reached.pages === undefined) visit(reached.page);
        else within(reached.page, reached.pages);
      }
    }
    return true;
  } catch (error) {
    if (error instanceof Unsound || error instanceof RangeError) return false;
    throw error;
  }
}

/** What a page refers to: pages of trees, and overflow runs with their length. */
function* reachedFrom(page: Buffer): Generator<{ page: bigint; pages?: bigint }> {
  const flags = page.readUInt16LE(18);
  if ((flags & (BRANCH | LEAF)) === 0) throw new Unsound();
  const slots = page.readUInt16LE(20) >> 1;
  for (let slot = 0; slot < slots; slot++) {
    const node = page.readUInt16LE(PAGE_HEADER + slot * 2) + PAGE_HEADER;
    const nodeFlags = page.readUInt16LE(node + 4);
    if ((flags & BRANCH) !== 0) {
      yield { page: BigInt(page.readUInt32LE(node)) | (BigInt(nodeFlags) << 32n) };
      continue;
    }
    const data = node + NODE_HEADER + page.readUInt16LE(node + 6);
    if ((nodeFlags & BIG_DATA) !== 0) {
      if (data + OVERFLOW_BYTES > page.length) throw new Unsound();
      yield { page: page.readBigUInt64LE(data), pages: page.readBigUInt64LE(data + 16) };
    } else if ((nodeFlags & TABLE) !== 0) {
      if (data + TABLE_BYTES > page.length) throw new Unsound();
      yield { page: page.readBigUInt64LE(data + TABLE_ROOT) };
    }
  }
}
