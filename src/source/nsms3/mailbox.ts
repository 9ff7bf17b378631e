/**
 * Reader of `.mailbox`, a folder's index (3x-profile.md, "`.mailbox`" and "Damage that must not stop a migration").
 *
 *     NSMB 3 <uidvalidity> <uidnext>
 *     <uid> <internaldate> <flags> <size> <file name>
 *
 * A line is usable when its uid and its name parse; a bad date or size becomes NaN (the file rules), bad flag
 * letters and keywords are dropped. Nothing is put in order here: the columns are the file, line by line.
 */
import * as fs from 'node:fs';
import { FLAG } from '../../engine/types.js';
import { hasErrno, MailhaulError, messageOf } from '../../errors.js';
import { type Dir, displayPath } from '../../fs/dir.js';
import type { OpenedFile } from '../../fs/file.js';
import { ASK, headOf, type SmallFiles } from '../../fs/glance.js';
import { openOwnedFileIfThere } from '../../fs/ownedFile.js';
import type { FolderIndex, IndexHeader, IndexLook } from '../types.js';
import { quoteBytes, type WarningList, warningList } from '../warnings.js';
import { IndexColumns, LIMITS, INDEX_NAME as NAME, tooLarge } from './columns.js';
import { openFileSource, readLines } from './lines.js';

const MAX_UINT32 = 4294967295;
/** 9999-12-31T23:59:59Z: an IMAP date-time has four digits for the year (RFC 3501, `date-year`). */
const MAX_DATE = 253402300799;

const SPACE = 0x20;
const COMMA = 0x2c;
const DASH = 0x2d;

/** The whole index. Throws FOLDER_INDEX when it cannot be read, FOLDER_INDEX_SIZE when it is beyond LIMITS. */
export function readIndex(folder: Dir, accountUid?: number): FolderIndex {
  const warnings = warningList();
  const columns = new IndexColumns(folder);
  const opened = openIndex(folder, accountUid);
  if (opened === undefined) {
    warnings.add('INDEX_MISSING', NAME, 'The folder has no index; its message files are taken without flags.');
    return columns.finish(undefined, warnings.finish());
  }
  try {
    if (opened.seen.size > LIMITS.fileBytes) throw tooLarge(folder);
    return parse(folder, opened.fd, columns, warnings);
  } catch (error) {
    throw error instanceof MailhaulError ? error : unreadable(folder, error);
  } finally {
    fs.closeSync(opened.fd);
  }
}

/**
 * Gives the index, open at its beginning, to a reader that takes only one with nothing wrong (native/src/plan/mailbox.h).
 * undefined: there is none. Throws FOLDER_INDEX as readIndex does.
 */
export function withPlainIndex<T>(folder: Dir, accountUid: number, read: (fd: number) => T): T | undefined {
  const fd = openIndex(folder, accountUid)?.fd;
  if (fd === undefined) return undefined;
  try {
    return read(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Only the first line, and the size. Throws FOLDER_INDEX. */
export function lookAtIndex(folder: Dir, files?: SmallFiles): IndexLook {
  const head = headOf(folder, NAME, HEADER_BYTES, files);
  if (head === ASK) return lookAtOpenIndex(folder);
  return head === undefined ? NO_INDEX : { header: headerIn(head.text), bytes: head.size };
}

/** Longer than any header (`headerIn`). */
const HEADER_BYTES = 64;
const NO_INDEX: IndexLook = { header: undefined, bytes: 0 };

function lookAtOpenIndex(folder: Dir): IndexLook {
  const opened = openIndex(folder);
  if (opened === undefined) return NO_INDEX;
  const { fd, seen } = opened;
  try {
    const bytes = Buffer.alloc(HEADER_BYTES);
    const read = fs.readSync(fd, bytes, 0, bytes.length, 0);
    return { header: headerIn(bytes.toString('latin1', 0, read)), bytes: Number(seen.size) };
  } catch (error) {
    throw unreadable(folder, error);
  } finally {
    fs.closeSync(fd);
  }
}

function openIndex(folder: Dir, accountUid?: number): OpenedFile | undefined {
  try {
    return openOwnedFileIfThere(folder, NAME, { accountUid });
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw unreadable(folder, error);
  }
}

/**
 * An index that is there but cannot be read is an error of the folder, not a lost index: to go on without it
 * would throw away uids and flags that a repair brings back.
 */
function unreadable(folder: Dir, cause: unknown): MailhaulError {
  const what = messageOf(cause);
  return new MailhaulError('FOLDER_INDEX', `The folder's index cannot be read: ${what}`, {
    where: displayPath(folder, NAME),
    hint: 'Repair or remove it, then run the same command again.',
    cause,
  });
}

function parse(folder: Dir, fd: number, columns: IndexColumns, warnings: WarningList): FolderIndex {
  let header: IndexHeader | undefined;
  const onLine = (bytes: Buffer, start: number, end: number, number: number): void => {
    if (number === 1) {
      header = parseHeader(bytes.toString('latin1', start, Math.min(end, start + HEADER_BYTES)));
      if (header !== undefined) return;
    }
    if (!parseLine(bytes, start, end, number, columns, warnings)) {
      const text = () => `The line cannot be used: ${quoteBytes(bytes.subarray(start, end))}`;
      warnings.add('INDEX_LINE', number, text);
    }
  };
  const onLong = (number: number): void => {
    warnings.add('INDEX_LINE', number, `The line is longer than ${LIMITS.lineBytes} bytes and is not used.`);
  };
  const read = readLines(openFileSource(fd), LIMITS, onLine, onLong);
  if (read.cut) throw tooLarge(folder);
  if (read.lines === 0) {
    warnings.add('INDEX_EMPTY', NAME, 'The index is empty; the message files are taken without flags.');
  } else if (header === undefined) {
    warnings.add('INDEX_HEADER', 1, 'The header of the index is lost; the folder gets a new uidvalidity.');
  }
  if (read.unterminated) {
    warnings.add('INDEX_CUT', read.lines, 'The last line has no end; the index may have been cut here.');
  }
  return columns.finish(header, warnings.finish());
}

/** The header in the beginning of an index. */
function headerIn(text: string): IndexHeader | undefined {
  const end = text.indexOf('\n');
  return parseHeader(end === -1 ? text : text.slice(0, end));
}

/** `NSMB 3 <uidvalidity> <uidnext>`; blanks and a CR at the end do no harm. A half header is a lost one. */
function parseHeader(line: string): IndexHeader | undefined {
  const match = line.length > 60 ? null : /^NSMB 3 (\d{1,20}) (\d{1,20})[ \t\r]*$/.exec(line);
  if (match === null) return undefined;
  const [uidvalidity, uidnext] = [Number(match[1]), Number(match[2])];
  const valid = (value: number) => value >= 1 && value <= MAX_UINT32;
  return valid(uidvalidity) && valid(uidnext) ? { uidvalidity, uidnext } : undefined;
}

/** Adds one line to the columns; false when it is not usable. */
function parseLine(
  bytes: Buffer,
  start: number,
  end: number,
  number: number,
  columns: IndexColumns,
  warnings: WarningList,
): boolean {
  const date = fieldEnd(bytes, start, end) + 1;
  const flags = fieldEnd(bytes, date, end) + 1;
  const size = fieldEnd(bytes, flags, end) + 1;
  const name = fieldEnd(bytes, size, end) + 1;
  if (name > end) return false;
  const uid = decimal(bytes, start, date - 1);
  if (!(uid >= 1 && uid <= MAX_UINT32) || !usableName(bytes, name, end)) return false;

  let seconds = decimal(bytes, date, flags - 1);
  if (!(seconds <= MAX_DATE)) {
    seconds = Number.NaN;
    const text = () => `The date cannot be used, the file's is taken: ${quoteBytes(bytes.subarray(date, flags - 1))}`;
    warnings.add('INDEX_DATE', number, text);
  }
  columns.add(uid, seconds, decimal(bytes, size, name - 1), number, bytes, name, end);
  parseFlags(bytes, flags, size - 1, number, columns, warnings);
  return true;
}

/** Position of the next space, or `end`, so that the field after the last one begins behind `end`. */
function fieldEnd(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] !== SPACE) at++;
  return at;
}

/** Decimal digits only, at most 20 of them; NaN for anything else. Exact up to 2^53. */
function decimal(bytes: Buffer, start: number, end: number): number {
  if (start >= end || end - start > 20) return Number.NaN;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** "Empty, with `/` or NUL, or with a leading `.`: the line is not usable." */
function usableName(bytes: Buffer, start: number, end: number): boolean {
  if (start >= end || bytes[start] === 0x2e) return false;
  for (let at = start; at < end; at++) {
    if (bytes[at] === 0x2f || bytes[at] === 0) return false;
  }
  return true;
}

/** Letters by character code; `R`, recent, is read and dropped (3x-profile.md, `flags`). */
const LETTERS = new Map<number, number>([
  [0x53, FLAG.seen],
  [0x41, FLAG.answered],
  [0x46, FLAG.flagged],
  [0x44, FLAG.deleted],
  [0x54, FLAG.draft],
  [0x52, 0],
]);

function parseFlags(
  bytes: Buffer,
  start: number,
  end: number,
  number: number,
  columns: IndexColumns,
  warnings: WarningList,
): void {
  let at = start;
  let flags = 0;
  let bad = false;
  if (end - start === 1 && bytes[start] === DASH) at = end;
  for (; at < end && bytes[at] !== COMMA; at++) {
    const bit = LETTERS.get(bytes[at] ?? 0);
    if (bit === undefined || (flags & bit) !== 0) bad = true;
    else flags |= bit;
  }
  columns.setFlags(flags);
  if (bad) {
    const text = () => `Flag letters that are not valid were dropped: ${quoteBytes(bytes.subarray(start, at))}`;
    warnings.add('INDEX_FLAGS', number, text);
  }
  while (at < end) {
    const from = at + 1;
    for (at = from; at < end && bytes[at] !== COMMA; ) at++;
    if (isAtom(bytes, from, at)) columns.addKeyword(bytes, from, at);
    else {
      const text = () => `A keyword that is not an IMAP atom was dropped: ${quoteBytes(bytes.subarray(from, at))}`;
      warnings.add('INDEX_KEYWORD', number, text);
    }
  }
}

/** RFC 3501 `atom`: 7-bit, no controls, none of `(){%*"\]` and space. */
function isAtom(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    if (ATOM[bytes[at] ?? 0] === 0) return false;
  }
  return end > start;
}

const ATOM = new Uint8Array(256).map((_, c) =>
  c > SPACE && c < 0x7f && !'(){%*"\\]'.includes(String.fromCharCode(c)) ? 1 : 0,
);
