/**
 * `.mailbox` of a folder that messages go back to. `-r` never touches it, so normally every line is there. Whether it
 * is, the plan of the next `-m` decides: made now, as if the messages were back, it must give each of them the uid,
 * flags, keywords and date that it has in 4.x. A message for which it does not, and that has no line, gets one.
 *
 * A message that never had a line (3.x-profile.md, "Damage") gets none as long as the plan numbers it the same without.
 */
import * as fs from 'node:fs';
import { rowOfUid } from '../../engine/rows.js';
import { type DirectoryScan, FLAG } from '../../engine/types.js';
import { describeError } from '../../errors.js';
import { createOver, type Dir, own, rename, stat, sync, unlinkIfThere, writeAll } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import type { FolderIndex } from '../../source/types.js';
import type { MailboxIndex } from '../../store/index/mailboxIndex.js';
import { rawKey } from '../../store/names.js';
import { planFolder } from '../plan.js';
import type { FolderPlan } from '../types.js';
import { pieces } from './content.js';
import type { ResetContext } from './context.js';
import { MessageFinder, nameOf, type OpenFolder } from './opened.js';

const INDEX_NAME = '.mailbox';
const TEMPORARY = '.__up.mailbox';

/** What is to be written; nothing when `rows` is empty and `header` false. */
export interface MissingLines {
  /** Rows of the record that need a line. */
  readonly rows: readonly number[];
  /** The first line is lost, and `-s` did not find it so. */
  readonly header: boolean;
  /** Names (rawKey) with a line that has a date: their files' times do not matter to the nanosecond. */
  readonly dated: ReadonlySet<string>;
}

const NOTHING_MISSING: MissingLines = { rows: [], header: false, dated: new Set() };

/** Lines that are missing for `rows`, messages that are in 4.x only. undefined: `.mailbox` cannot be read (refused). */
export function missingLines(
  context: ResetContext,
  open: OpenFolder,
  rows: readonly number[],
): MissingLines | undefined {
  const { source, subject, folder, record } = open;
  if (rows.length === 0 || source === undefined) return NOTHING_MISSING;
  let lines: FolderIndex;
  try {
    lines = context.source.readIndex(source);
  } catch (error) {
    context.refusals.add(subject, 'RESET_SOURCE_INDEX', `${source.path}/${INDEX_NAME}`, describeError(error));
    return undefined;
  }
  const chosen = folder.uidvalidityChosen === true;
  const header = lines.header === undefined && !chosen && record.uidvalidity === folder.uidvalidity;
  const plan = planFolder({
    index: lines,
    scan: withRows(context.engine.scan(source.fd), context, open, rows),
    previous: undefined,
    chosenUidvalidity: folder.uidvalidity,
    uidvalidityIsFinal: chosen,
    ownerUid: context.owner.uid,
    takeForeign: false,
    now: folder.uidvalidity,
  });
  const listed = new Set<string>();
  const dated = new Set<string>();
  for (let line = 0; line < lines.count; line++) {
    const name = rawKey(lines.names.subarray(lines.nameOffsets[line], lines.nameOffsets[line + 1]));
    listed.add(name.endsWith('\r') ? name.slice(0, -1) : name);
    if (!Number.isNaN(lines.internalDates[line])) dated.add(name);
  }
  const needed: number[] = [];
  let different = 0;
  for (const i of rows) {
    if (isPlanned(open, plan, i)) continue;
    const name = nameOf(record, i);
    if (listed.has(rawKey(name)) || name.includes(0x0a)) different += 1;
    else needed.push(i);
  }
  if (different > 0) {
    const text = `${folder.mailbox}: .mailbox says otherwise about ${different} messages than 4.x does, and counts.`;
    context.refusals.note(text);
  }
  return { rows: needed, header, dated };
}

const MODE_FILE = 0o100600;

/** The directory as it will be when the messages of `rows` are back. */
function withRows(
  scan: DirectoryScan,
  context: ResetContext,
  { record }: OpenFolder,
  rows: readonly number[],
): DirectoryScan {
  const { count } = scan;
  const all = count + rows.length;
  const grow = <T extends Uint32Array | Float64Array | BigUint64Array | BigInt64Array>(
    column: T,
    length: number,
  ): T => {
    const larger = new (column.constructor as new (length: number) => T)(length);
    larger.set(column as never);
    return larger;
  };
  const names: Uint8Array[] = [scan.names.subarray(0, scan.nameOffsets[count])];
  const grown = {
    count: all,
    nameOffsets: grow(scan.nameOffsets, all + 1),
    inodes: grow(scan.inodes, all),
    sizes: grow(scan.sizes, all),
    mtimes: grow(scan.mtimes, all),
    modes: grow(scan.modes, all),
    uids: grow(scan.uids, all),
    nlinks: grow(scan.nlinks, all),
    errors: scan.errors,
  };
  rows.forEach((row, k) => {
    const at = count + k;
    const name = nameOf(record, row);
    names.push(name);
    grown.nameOffsets[at + 1] = (grown.nameOffsets[at] ?? 0) + name.length;
    grown.inodes[at] = record.inodes[row] ?? 0n;
    grown.sizes[at] = record.sizes[row] ?? 0;
    grown.mtimes[at] = record.mtimes[row] ?? 0n;
    grown.modes[at] = MODE_FILE;
    grown.uids[at] = context.owner.uid;
    grown.nlinks[at] = 1;
  });
  return { ...grown, names: Buffer.concat(names) };
}

/** The plan gives message `i` what it has in 4.x. */
function isPlanned({ record, index }: OpenFolder, plan: FolderPlan, i: number): boolean {
  const { messages, keywords } = plan;
  const uid = record.uids[i] ?? 0;
  const row = rowOfUid(messages.uids, uid);
  if (row < 0) return false;
  const name = messages.names.subarray(messages.nameOffsets[row], messages.nameOffsets[row + 1]);
  if (rawKey(name) !== rawKey(nameOf(record, i))) return false;
  const stored = index?.byUid(uid);
  // Never published: nothing but the uid is known of it.
  if (index === undefined || stored === undefined) return true;
  if (messages.flags[row] !== stored.flags || messages.internalDates[row] !== stored.internalDate) return false;
  const refs = messages.keywordRefs.subarray(messages.keywordOffsets[row], messages.keywordOffsets[row + 1]);
  return folded(Array.from(refs, (ref) => keywords[ref] ?? '')) === folded(stored.keywords);
}

/** Keywords as a set without case. */
function folded(keywords: readonly string[]): string {
  return keywords
    .map((keyword) => keyword.toLowerCase())
    .sort()
    .join(' ');
}

/**
 * Writes the missing lines behind those that are there, as a whole new file: a line that a kill has cut would take
 * the uid from the whole one.
 */
export function writeLines(context: ResetContext, open: OpenFolder, missing: MissingLines): void {
  const { source } = open;
  if (source === undefined || (missing.rows.length === 0 && !missing.header)) return;
  const found = stat(source, INDEX_NAME);
  const mode = found === undefined ? 0o600 : Number(found.mode & 0o777n);
  const to = createOver(source, TEMPORARY, context.owner);
  try {
    const { record } = open;
    if (missing.header) writeAll(to, Buffer.from(`NSMB 3 ${record.uidvalidity} ${record.uidnext}\n`));
    if (found !== undefined) copyLines(source, to);
    writeAll(to, Buffer.concat(linesOf(open, missing.rows)));
    if (mode !== 0o600) own(to, mode, context.owner);
    sync(to);
  } catch (error) {
    fs.closeSync(to);
    unlinkIfThere(source, TEMPORARY);
    throw error;
  }
  fs.closeSync(to);
  rename(source, TEMPORARY, source, INDEX_NAME);
  sync(source.fd);
}

/** Copies the old file, with an end for its last line. */
function copyLines(source: Dir, to: number): void {
  const from = openFile(source, INDEX_NAME);
  try {
    let last = 0x0a;
    for (const piece of pieces(from)) {
      writeAll(to, piece);
      last = piece[piece.length - 1] ?? last;
    }
    if (last !== 0x0a) writeAll(to, Buffer.of(0x0a));
  } finally {
    fs.closeSync(from);
  }
}

function linesOf(open: OpenFolder, rows: readonly number[]): Buffer[] {
  const lines: Buffer[] = [];
  const finder = new MessageFinder(open.target);
  try {
    for (const i of rows) {
      const uid = open.record.uids[i] ?? 0;
      const size = finder.find(uid)?.stats.size ?? open.record.sizes[i] ?? 0;
      lines.push(Buffer.from(`${uid} ${factsText(open.index, uid, open.record.mtimes[i] ?? 0n)} ${size} `));
      lines.push(Buffer.from(nameOf(open.record, i)), Buffer.of(0x0a));
    }
  } finally {
    finder.close();
  }
  return lines;
}

const LETTERS = [
  ['S', FLAG.seen],
  ['A', FLAG.answered],
  ['F', FLAG.flagged],
  ['D', FLAG.deleted],
  ['T', FLAG.draft],
] as const;

/** Date and flags of a line. A date before 1970 is none that a line can have: the file's time, which is the same, counts. */
function factsText(index: MailboxIndex | undefined, uid: number, mtime: bigint): string {
  const stored = index?.byUid(uid);
  if (index === undefined || stored === undefined) return `${mtime / 1_000_000_000n} -`;
  const letters = LETTERS.filter(([, bit]) => (stored.flags & bit) !== 0).map(([letter]) => letter);
  const flags = [letters.join(''), ...stored.keywords].join(',');
  return `${stored.internalDate} ${flags === '' ? '-' : flags}`;
}
