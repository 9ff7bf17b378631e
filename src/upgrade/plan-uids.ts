/**
 * Which uid every message of a folder gets (3x-profile.md, "Damage"; 4x-store.md, "The migration record").
 *
 *     1. on record:  a file that the migration record of an earlier attempt knows keeps that uid
 *     2. on a line:  the first line with a uid has it; of a repeated uid the later lines get new ones
 *     3. new uids:   from the base up: files of repeated lines in the order of the lines, then files without a
 *                    line by (modification time, name bytes)
 *
 * The base is above every uid that any line, the header or the record has ever named, so a deleted uid is not
 * used again. When the new uids do not fit below 2^32 - 1, the folder gets a new uidvalidity and is numbered
 * from 1 in the same order. The result depends on nothing but the arguments.
 */
import { rowOfUid } from '../engine/rows.js';
import type { DirectoryScan } from '../engine/types.js';
import type { FolderIndex } from '../source/types.js';
import type { WarningList } from '../source/warnings.js';
import type { NameTable } from './plan-names.js';
import { pairs, select, sortByKey, sortByTime } from './plan-order.js';
import type { MigrationRecord } from './types.js';

/** Highest value of uid, uidnext and uidvalidity (RFC 3501 2.3.1.1: 32 bits, not 0). */
export const MAX_UID = 4294967295;

export interface UidInput {
  readonly index: FolderIndex;
  readonly scan: DirectoryScan;
  readonly table: NameTable;
  /** By file of the scan: its line, or -1. */
  readonly lineOf: Int32Array;
  /** By line: 1 when it is a second line for a file, which is ignored. */
  readonly ignored: Uint8Array;
  /** Files of the scan that are messages, refused ones too. */
  readonly messages: Uint32Array;
  readonly previous: MigrationRecord | undefined;
  /** The record is that of a published folder: a retry may have given uids at the end (additions-plan.ts). */
  readonly published: boolean;
  readonly chosenUidvalidity: number;
  /** `-s` chose it, and it never changes (3x-profile.md, "header lost"). */
  readonly uidvalidityIsFinal: boolean;
  /** Seconds since 1970. */
  readonly now: number;
}

export interface UidResult {
  readonly uidvalidity: number;
  readonly uidnext: number;
  /** By file of the scan; 0 where there is no message. */
  readonly uids: Uint32Array;
}

export function assignUids(input: UidInput, warnings: WarningList): UidResult {
  const { index, scan, messages, previous, chosenUidvalidity } = input;
  const wanted = uidsOfLines(input, warnings);
  const recorded =
    previous === undefined
      ? { uids: new Uint32Array(scan.count), given: new Uint8Array(0) }
      : uidsOnRecord(input, previous, wanted);

  const ofHeader = input.uidvalidityIsFinal ? 0 : (index.header?.uidvalidity ?? 0);
  const uidvalidity = previous?.uidvalidity ?? Math.max(ofHeader, chosenUidvalidity, 1);
  const numbered = previous === undefined || linesApply(input, previous, wanted, recorded.uids);
  const first = number(input, wanted, recorded, numbered);
  if (first.uidnext <= MAX_UID) return { uidvalidity, ...first };
  if (previous !== undefined && numbered) {
    // Lines near the end of the numbers must not disturb a folder that was numbered anew before.
    const again = number(input, wanted, recorded, false);
    if (again.uidnext <= MAX_UID) return { uidvalidity, ...again };
  }

  const renewed = newUidvalidity(uidvalidity, input.now);
  warnings.add('UID_OVERFLOW', '', `No uids are left: the folder gets uidvalidity ${renewed} and is numbered anew.`);
  const uids = new Uint32Array(scan.count);
  let next = 1;
  for (const file of inUidOrder(input, first)) uids[file] = next++;
  return { uidvalidity: renewed, uidnext: Math.max(next, messages.length + 1), uids };
}

/** Higher than the one before, as RFC 3501 2.3.1.1 asks; at the end of the numbers at least another one. */
function newUidvalidity(before: number, now: number): number {
  const next = Math.max(before + 1, Math.min(now, MAX_UID));
  return next <= MAX_UID ? next : before - 1;
}

/** By file: the uid of its line; 0 without a line, or when an earlier line has that uid. */
function uidsOfLines(input: UidInput, warnings: WarningList): Uint32Array {
  const { index, scan, lineOf, ignored, messages } = input;
  const repeated = new Uint8Array(index.count);
  const counted = select(index.count, (line) => ignored[line] === 0);
  let ordered = true;
  for (let i = 1; i < counted.length && ordered; i++) {
    const line = counted[i] ?? 0;
    ordered = (index.uids[counted[i - 1] ?? 0] ?? 0) < (index.uids[line] ?? 0);
    if (!ordered) {
      warnings.add(
        'UID_ORDER',
        `line ${index.lines[line]}`,
        'The uids do not ascend; the messages were sorted by uid.',
      );
    }
  }
  if (!ordered) {
    const sorted = sortByKey(counted, index.uids);
    for (let i = 1; i < sorted.length; i++) {
      const line = sorted[i] ?? 0;
      if (index.uids[sorted[i - 1] ?? 0] === index.uids[line]) repeated[line] = 1;
    }
  }
  for (const line of counted) {
    if (repeated[line] === 0) continue;
    const message = () => `The uid ${index.uids[line]} is on an earlier line too; this message gets a new one.`;
    warnings.add('UID_REPEATED', index.lines[line] ?? 0, message);
  }
  const wanted = new Uint32Array(scan.count);
  for (const file of messages) {
    const line = lineOf[file] ?? -1;
    if (line >= 0 && repeated[line] === 0) wanted[file] = index.uids[line] ?? 0;
  }
  return wanted;
}

interface Recorded {
  /** By file: the uid that the record gave it; 0 for a file that the record does not know. */
  readonly uids: Uint32Array;
  /** By row of the record: 1 when a file got its uid. */
  readonly given: Uint8Array;
}

/**
 * Which files the record knows.
 *
 * Under the same name another file: repaired, restored, or replaced by the 3.x server ("it replaces message files").
 * It is the recorded message unless its line says that it is a different one, and a line can say so only where the
 * recorded uid is one of its numbering.
 *
 * Of a published folder several rows may have one name: a retry brought in what replaced the first. The file is that
 * of the row that it is the same as; else of the row with its line's uid; else of one that it looks like; else of the
 * latest, which was there last.
 */
function uidsOnRecord(input: UidInput, previous: MigrationRecord, wanted: Uint32Array): Recorded {
  const { scan, lineOf, published } = input;
  const renumbered = headerApplies(input, previous) === false;
  const { recorded, highestShared, pending } = sameOnRecord(input, previous, wanted);
  // What a folder in TRANSITION has of it is written again: there is nothing that could come in twice.
  const unnumbered = (file: number): boolean =>
    (lineOf[file] ?? -1) < 0 || wanted[file] === 0 || (renumbered && !published);
  const give = (says: (file: number, row: number) => boolean): void => {
    for (let k = pending.length - 2; k >= 0; k -= 2) {
      const [file, row] = [pending[k] ?? 0, pending[k + 1] ?? 0];
      if (recorded.uids[file] !== 0 || !says(file, row)) continue;
      recorded.uids[file] = previous.uids[row] ?? 0;
      recorded.given[row] = 1;
    }
  };
  // 3.x numbers upwards, so a line below the recorded uid is no later message's: a retry gave the uid, at the end. It
  // is certain for a line that is older than one that the record shares, else the file must look the same.
  const isLater = (file: number, row: number): boolean =>
    !published || (!renumbered && (wanted[file] ?? 0) >= (previous.uids[row] ?? 0));
  give((file, row) => (unnumbered(file) || !isLater(file, row)) && looksTheSame(scan, file, previous, row));
  give((file, row) => unnumbered(file) || (!isLater(file, row) && !renumbered && (wanted[file] ?? 0) < highestShared));
  return recorded;
}

/** The files that are the same as on record or have the recorded uid on their line, and what is left for a guess. */
function sameOnRecord(
  { scan, table, messages }: UidInput,
  previous: MigrationRecord,
  wanted: Uint32Array,
): { readonly recorded: Recorded; readonly highestShared: number; readonly pending: number[] } {
  const isMessage = new Uint8Array(scan.count);
  for (const file of messages) isMessage[file] = 1;
  const uids = new Uint32Array(scan.count);
  const given = new Uint8Array(previous.count);
  const sameFile = sameAs(scan, previous);
  let highestShared = 0;
  /** file and row in turn. */
  const pending: number[] = [];
  for (let row = 0; row < previous.count; row++) {
    const file = table.find(previous.names, previous.nameOffsets[row] ?? 0, previous.nameOffsets[row + 1] ?? 0);
    if (file < 0 || isMessage[file] === 0) continue;
    const uid = previous.uids[row] ?? 0;
    const shared = wanted[file] === uid;
    if (shared) highestShared = uid;
    const same = sameFile(file, row);
    if (uids[file] === 0 && (same || shared)) {
      uids[file] = uid;
      given[row] = 1;
    } else if (same) {
      // An earlier row of the name had the line's uid.
      given[rowOfUid(previous.uids, uids[file] ?? 0)] = 0;
      uids[file] = uid;
      given[row] = 1;
    } else {
      pending.push(file, row);
    }
  }
  return { recorded: { uids, given }, highestShared, pending };
}

/** Size and time, as a backup brings them back: many keep whole seconds only. */
function looksTheSame(scan: DirectoryScan, file: number, record: MigrationRecord, i: number): boolean {
  return (
    scan.sizes[file] === record.sizes[i] &&
    wholeSeconds(scan.mtimes[file] ?? 0n) === wholeSeconds(record.mtimes[i] ?? 0n)
  );
}

/** Nanoseconds to seconds, rounded down, also before 1970. */
export function wholeSeconds(nanoseconds: bigint): number {
  const seconds = nanoseconds / 1_000_000_000n;
  return Number(nanoseconds < seconds * 1_000_000_000n ? seconds - 1n : seconds);
}

/**
 * Whether a file is that of a row: compares inode, size and modification time; 64-bit numbers as pairs of 32 bits, which
 * costs no BigInt each.
 */
export function sameAs(scan: DirectoryScan, record: MigrationRecord): (file: number, i: number) => boolean {
  const [inodes, recordInodes] = [pairs(scan.inodes), pairs(record.inodes)];
  const [mtimes, recordMtimes] = [pairs(scan.mtimes), pairs(record.mtimes)];
  return (file, i) =>
    scan.sizes[file] === record.sizes[i] &&
    inodes[2 * file] === recordInodes[2 * i] &&
    inodes[2 * file + 1] === recordInodes[2 * i + 1] &&
    mtimes[2 * file] === recordMtimes[2 * i] &&
    mtimes[2 * file + 1] === recordMtimes[2 * i + 1];
}

/**
 * Whether lines number the same folder as the record. They do not after a uid overflow, when the record has a
 * uidvalidity of its own. Under the uidvalidity that `-s` chose, the header says nothing. Without a header a file whose
 * line and record differ shows it.
 */
function linesApply(input: UidInput, previous: MigrationRecord, wanted: Uint32Array, recorded: Uint32Array): boolean {
  return (
    headerApplies(input, previous) ??
    input.messages.every((file) => wanted[file] === 0 || recorded[file] === 0 || wanted[file] === recorded[file])
  );
}

/** linesApply as far as uidvalidities tell; undefined: there is no header. */
function headerApplies({ index, ...input }: UidInput, previous: MigrationRecord): boolean | undefined {
  if (input.uidvalidityIsFinal && previous.uidvalidity === input.chosenUidvalidity) return true;
  return index.header === undefined ? undefined : index.header.uidvalidity === previous.uidvalidity;
}

interface Numbering {
  readonly uids: Uint32Array;
  /** May be past MAX_UID: then the numbers do not fit. */
  readonly uidnext: number;
  /** Files with new uids, in their order. */
  readonly fresh: Uint32Array;
}

/** Gives the uids of rules 1 to 3; `useLines` false leaves out rule 2 and the header. */
function number(input: UidInput, wanted: Uint32Array, recorded: Recorded, useLines: boolean): Numbering {
  const { index, scan, lineOf, messages, previous } = input;
  const { header } = index;
  const uids = recorded.uids.slice();
  let base = Math.max(1, previous?.uidnext ?? 1);
  if (useLines && (previous === undefined || header !== undefined)) {
    base = Math.max(base, header?.uidnext ?? 1, index.highestUid + 1);
  }
  const byLine: number[] = [];
  const unlisted: number[] = [];
  for (const file of messages) {
    if (uids[file] !== 0) continue;
    const uid = wanted[file] ?? 0;
    if (useLines && uid !== 0 && !isTaken(input, recorded, uid)) {
      uids[file] = uid;
      base = Math.max(base, uid + 1);
    } else if ((lineOf[file] ?? -1) >= 0) {
      byLine.push(file);
    } else {
      unlisted.push(file);
    }
  }
  // Files without a line have the key 2^32 - 1, but none of them is among these.
  const inLineOrder = sortByKey(
    Uint32Array.from(byLine),
    new Uint32Array(lineOf.buffer, lineOf.byteOffset, scan.count),
  );
  const inTimeOrder = sortByTime(Uint32Array.from(unlisted), scan.mtimes, scan);
  const fresh = new Uint32Array(byLine.length + unlisted.length);
  fresh.set(inLineOrder);
  fresh.set(inTimeOrder, inLineOrder.length);
  const uidnext = base + fresh.length;
  if (uidnext <= MAX_UID) {
    fresh.forEach((file, i) => {
      uids[file] = base + i;
    });
  }
  return { uids, uidnext, fresh };
}

/**
 * True when the record has this uid for another file than that of its line. In TRANSITION only for one that is there:
 * nobody has seen the uid of a file that is gone or has another name now, and 3.x says whose it is.
 */
function isTaken({ previous, published }: UidInput, { given }: Recorded, uid: number): boolean {
  const row = previous === undefined ? -1 : rowOfUid(previous.uids, uid);
  return row >= 0 && (published || given[row] === 1);
}

/** All messages: those with a uid ascending, then those that would have got new ones. */
function inUidOrder(input: UidInput, numbering: Numbering): Uint32Array {
  const kept = sortByKey(
    select(input.scan.count, (file) => numbering.uids[file] !== 0),
    numbering.uids,
  );
  const order = new Uint32Array(kept.length + numbering.fresh.length);
  order.set(kept);
  order.set(numbering.fresh, kept.length);
  return order;
}
