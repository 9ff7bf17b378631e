/**
 * The plan of one folder: its index and its directory brought together (design.md, "One folder, in order",
 * step 2). Every message, those that will fail too, gets its uid, date and flags here; the record made from the
 * plan fixes them before the first message is linked.
 *
 *     index lines ─┐ by name                    ┌─ refused: not regular, foreign, unreadable
 *                  ├─▶ message ─▶ uid (plan-uids) ─▶ columns, ascending uid
 *     scan files ──┘                            └─ keywords: one table, without case
 *
 * Pure: nothing is opened, and the same folder gives the same plan whatever the order of its directory.
 */
import { type DirectoryScan, MESSAGE_ERRORS, type MessageTable } from '../engine/types.js';
import type { FolderIndex } from '../source/types.js';
import { quoteBytes, type WarningList, warningList } from '../source/warnings.js';
import { collectKeywords } from './plan-keywords.js';
import { type NameTable, nameTable } from './plan-names.js';
import { pairs, select, sortByKey } from './plan-order.js';
import { assignUids, wholeSeconds } from './plan-uids.js';
import type { FolderPlan, MigrationRecord } from './types.js';

export interface PlanInput {
  /** undefined: the folder has no directory, or nothing of its index is wanted. */
  readonly index: FolderIndex | undefined;
  readonly scan: DirectoryScan;
  /** The record of an earlier attempt. */
  readonly previous: MigrationRecord | undefined;
  /** From the mapping: the header's uidvalidity when `-s` saw it, or the one that `-s` chose. */
  readonly chosenUidvalidity: number;
  /** `-s` chose it: no header that comes back changes it. Else a higher one in the header counts. */
  readonly uidvalidityIsFinal?: boolean | undefined;
  /** The folder is published: this is a retry of what failed. */
  readonly published?: boolean | undefined;
  /** The server account. */
  readonly ownerUid: number;
  /** Take files of other accounts, and files that others may write to. */
  readonly takeForeign: boolean;
  /** Seconds since 1970; used only for a new uidvalidity. */
  readonly now: number;
}

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IWOTH = 0o002;
const ENOENT = 2;

const REFUSED = {
  notRegular: MESSAGE_ERRORS.indexOf('MSG_NOT_REGULAR'),
  foreignOwner: MESSAGE_ERRORS.indexOf('MSG_FOREIGN_OWNER'),
  writableByOthers: MESSAGE_ERRORS.indexOf('MSG_WRITABLE_BY_OTHERS'),
  unreadable: MESSAGE_ERRORS.indexOf('MSG_UNREADABLE'),
} as const;

const NO_INDEX: FolderIndex = {
  header: undefined,
  count: 0,
  uids: new Uint32Array(0),
  internalDates: new Float64Array(0),
  flags: new Uint8Array(0),
  sizes: new Float64Array(0),
  lines: new Uint32Array(0),
  names: new Uint8Array(0),
  nameOffsets: new Uint32Array(1),
  keywords: [],
  keywordOffsets: new Uint32Array(1),
  keywordRefs: new Uint32Array(0),
  highestUid: 0,
  warnings: [],
};

/** Plans a folder. Never throws for what the folder holds. */
export function planFolder(input: PlanInput): FolderPlan {
  const { scan, previous, chosenUidvalidity, now } = input;
  const uidvalidityIsFinal = input.uidvalidityIsFinal === true;
  const index = input.index ?? NO_INDEX;
  const warnings = warningList();
  const table = nameTable(scan);
  const unstatted = new Map(scan.errors.map(({ index: file, errno }) => [file, errno]));
  const { lineOf, ignored } = matchLines(index, scan, table, unstatted, warnings);
  const found = messageFiles(scan, lineOf, unstatted);
  const published = input.published === true;
  const numbering = { previous, published, chosenUidvalidity, uidvalidityIsFinal, now };
  const numbers = assignUids({ index, scan, table, lineOf, ignored, messages: found, ...numbering }, warnings);
  const files = sortByKey(found, numbers.uids);
  const refused = new Uint8Array(files.length);
  const uids = new Uint32Array(files.length);
  const errnos = new Map<number, number>();
  for (let i = 0; i < files.length; i++) {
    const file = files[i] ?? 0;
    const uid = numbers.uids[file] ?? 0;
    refused[i] = refusalOf(input, file, unstatted);
    uids[i] = uid;
    if (refused[i] === REFUSED.unreadable) errnos.set(uid, unstatted.get(file) ?? 0);
  }
  warnAboutFiles(index, scan, files, refused, lineOf, warnings);
  const keywords = collectKeywords(index, files, lineOf, published ? 'lines' : 'uids');
  return {
    uidvalidity: numbers.uidvalidity,
    uidnext: numbers.uidnext,
    keywords: keywords.table,
    messages: {
      ...messageColumns(index, scan, files, lineOf),
      uids,
      keywordOffsets: keywords.offsets,
      keywordRefs: keywords.refs,
      refused,
    },
    errnos,
    warnings: [...index.warnings, ...warnings.finish()],
  };
}

/** What is fixed durably of a plan: the identity and the uid of every message, failed ones too. */
export function recordOf({ uidvalidity, uidnext, messages }: FolderPlan): MigrationRecord {
  const { count, uids, names, nameOffsets, inodes, sizes, mtimes } = messages;
  return { uidvalidity, uidnext, count, uids, names, nameOffsets, inodes, sizes, mtimes };
}

/**
 * Of all messages. By number: each element that `for of` takes of a column leaves an object behind, and the main thread,
 * which does this for the whole store, then has a larger young generation.
 */
export function bytesOf({ count, sizes }: Pick<MigrationRecord, 'count' | 'sizes'>): number {
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += sizes[i]!;
  return bytes;
}

interface Matched {
  /** By file of the scan: its line, or -1. */
  readonly lineOf: Int32Array;
  /** By line: 1 for a second line of a file. */
  readonly ignored: Uint8Array;
}

/**
 * Which line belongs to which file: by name, the first line of a file wins. Lines whose name is not there are
 * tried once more without a CR at its end, which a copy through another system adds; a name that is there as
 * written always goes first.
 */
function matchLines(
  index: FolderIndex,
  scan: DirectoryScan,
  table: NameTable,
  unstatted: ReadonlyMap<number, number>,
  warnings: WarningList,
): Matched {
  const lineOf = new Int32Array(scan.count).fill(-1);
  const ignored = new Uint8Array(index.count);
  const take = (line: number, trim: number): boolean => {
    const start = index.nameOffsets[line] ?? 0;
    const end = (index.nameOffsets[line + 1] ?? 0) - trim;
    const file = table.find(index.names, start, end);
    if (file < 0 || unstatted.get(file) === ENOENT) return false;
    if (lineOf[file] === -1) {
      lineOf[file] = line;
    } else {
      ignored[line] = 1;
      const name = () => quoteBytes(index.names.subarray(start, end));
      warnings.add(
        'FILE_TWICE',
        index.lines[line] ?? 0,
        () => `The file ${name()} has an earlier line; this is ignored.`,
      );
    }
    return true;
  };
  const missing: number[] = [];
  for (let line = 0; line < index.count; line++) {
    if (!take(line, 0)) missing.push(line);
  }
  for (const line of missing) {
    const [start, end] = [index.nameOffsets[line] ?? 0, index.nameOffsets[line + 1] ?? 0];
    if (index.names[end - 1] === 0x0d && take(line, 1)) continue;
    const name = () => quoteBytes(index.names.subarray(start, end));
    warnings.add('LINE_WITHOUT_FILE', index.lines[line] ?? 0, () => `There is no file ${name()}; nothing is migrated.`);
  }
  return { lineOf, ignored };
}

/** Files of the scan that are messages: all but sub-folders and what went away meanwhile. */
function messageFiles(scan: DirectoryScan, lineOf: Int32Array, unstatted: ReadonlyMap<number, number>): Uint32Array {
  return select(scan.count, (file) => {
    if (unstatted.size > 0 && unstatted.get(file) === ENOENT) return false;
    const directory = ((scan.modes[file] ?? 0) & S_IFMT) === S_IFDIR;
    return !directory || (lineOf[file] ?? -1) >= 0;
  });
}

/** Index into MESSAGE_ERRORS: why a file is not migrated, or 0. */
function refusalOf(input: PlanInput, file: number, unstatted: ReadonlyMap<number, number>): number {
  const { scan, ownerUid, takeForeign } = input;
  if (unstatted.size > 0 && unstatted.has(file)) return REFUSED.unreadable;
  const mode = scan.modes[file] ?? 0;
  if ((mode & S_IFMT) !== S_IFREG) return REFUSED.notRegular;
  if (takeForeign) return 0;
  if (scan.uids[file] !== ownerUid) return REFUSED.foreignOwner;
  return (mode & S_IWOTH) === 0 ? 0 : REFUSED.writableByOthers;
}

function warnAboutFiles(
  index: FolderIndex,
  scan: DirectoryScan,
  files: Uint32Array,
  refused: Uint8Array,
  lineOf: Int32Array,
  warnings: WarningList,
): void {
  for (let i = 0; i < files.length; i++) {
    const file = files[i] ?? 0;
    if (refused[i] !== 0) continue;
    const line = lineOf[file] ?? -1;
    const size = scan.sizes[file] ?? 0;
    if (line >= 0 && size !== 0 && index.sizes[line] === size) continue;
    const name = () => quoteBytes(scan.names.subarray(scan.nameOffsets[file], scan.nameOffsets[file + 1]));
    if (line < 0) {
      warnings.add('FILE_WITHOUT_LINE', name, 'The file has no line in the index; it is taken without flags.');
    } else if (index.sizes[line] !== size) {
      warnings.add('SIZE_DIFFERS', name, `The file has ${size} bytes, line ${index.lines[line]} says otherwise.`);
    }
    if (size === 0) warnings.add('FILE_EMPTY', name, 'The file is empty; it is migrated as an empty message.');
  }
}

type FileColumns = Omit<MessageTable, 'uids' | 'keywordOffsets' | 'keywordRefs' | 'refused'>;

/** The columns that come from the directory and from single lines. */
function messageColumns(index: FolderIndex, scan: DirectoryScan, files: Uint32Array, lineOf: Int32Array): FileColumns {
  const count = files.length;
  const internalDates = new Float64Array(count);
  const flags = new Uint32Array(count);
  const sizes = new Float64Array(count);
  const nameOffsets = new Uint32Array(count + 1);
  const inodes = new BigUint64Array(count);
  const mtimes = new BigInt64Array(count);
  // 64-bit numbers are copied as pairs of 32 bits, so that no BigInt is made for each of them.
  const [scanInodes, toInodes] = [pairs(scan.inodes), pairs(inodes)];
  const [scanMtimes, toMtimes] = [pairs(scan.mtimes), pairs(mtimes)];
  let nameBytes = 0;
  for (let i = 0; i < count; i++) {
    const file = files[i] ?? 0;
    const line = lineOf[file] ?? -1;
    const date = line < 0 ? Number.NaN : (index.internalDates[line] ?? Number.NaN);
    internalDates[i] = Number.isNaN(date) ? wholeSeconds(scan.mtimes[file] ?? 0n) : date;
    flags[i] = line < 0 ? 0 : (index.flags[line] ?? 0);
    sizes[i] = scan.sizes[file] ?? 0;
    toInodes[2 * i] = scanInodes[2 * file] ?? 0;
    toInodes[2 * i + 1] = scanInodes[2 * file + 1] ?? 0;
    toMtimes[2 * i] = scanMtimes[2 * file] ?? 0;
    toMtimes[2 * i + 1] = scanMtimes[2 * file + 1] ?? 0;
    nameBytes += (scan.nameOffsets[file + 1] ?? 0) - (scan.nameOffsets[file] ?? 0);
    nameOffsets[i + 1] = nameBytes;
  }
  const names = new Uint8Array(nameBytes);
  for (let i = 0; i < count; i++) {
    const file = files[i] ?? 0;
    let to = nameOffsets[i] ?? 0;
    const end = scan.nameOffsets[file + 1] ?? 0;
    for (let from = scan.nameOffsets[file] ?? 0; from < end; from++) names[to++] = scan.names[from] ?? 0;
  }
  return { count, internalDates, flags, names, nameOffsets, inodes, sizes, mtimes };
}
