/**
 * RFC 2849 files, read as a stream in bounded memory.
 *
 * Physical lines become logical lines (a line that begins with a space continues the one before; comments fold
 * too), logical lines become records (separated by empty lines), records become users or problems. Only the
 * attributes that matter here are kept; a value of any size of another attribute (a photograph) passes by
 * unread. A record that breaks the grammar is reported with its line and skipped whole, because what was lost
 * might have been its mailMessageStore; the next record goes on.
 *
 * Taken: `version: 1` in front, byte order mark, CRLF, `changetype: add`, base64, text that is not ASCII
 * although it should be base64, the closing `search:`/`result:` lines that ldapsearch prints. Refused: values
 * by URL (`attribute:< …`), other change types, `result:` other than 0 (then the file is a part of a directory).
 */
import { MailhaulError } from '../errors.js';
import { readOpen } from '../fs/descriptor.js';
import { escapeLogText } from '../log/log.js';
import type { DirectoryProblemCode, SourceItem } from './types.js';
import { isUserOf, KEPT_ATTRIBUTES, problem, validateEntry, warning } from './validate.js';

/** Characters of somebody else's word that a message shows. */
const SHOWN = 40;

function shown(word: string): string {
  return escapeLogText(word.slice(0, SHOWN));
}

/** Bytes kept of one logical line; what is longer cannot be a value that matters here. */
const LINE_LIMIT = 65536;
/** Bytes of kept values in one record. */
const RECORD_LIMIT = 1 << 20;
const CHUNK = 1 << 18;

interface LogicalLine {
  /** Number of its first physical line, 1-based. */
  readonly number: number;
  /** Without line ends and folds; at most LINE_LIMIT bytes. */
  readonly bytes: Buffer;
  readonly cut: boolean;
  /** The file ends in this line, without the line end that RFC 2849 asks for. */
  readonly unended: boolean;
}

/** As it lies in the file. */
interface PhysicalLine {
  readonly bytes: Buffer;
  readonly cut: boolean;
  readonly unended: boolean;
}

/** Users of `hostName` and problems, in file order. `file` is an open descriptor, read from its beginning. */
export function* readLdif(file: number, hostName: string): Generator<SourceItem> {
  let record: LdifRecord | undefined;
  let first = true;
  let unended: number | undefined;
  for (const line of logicalLines(physicalLines(chunksOf(file)))) {
    if (line === undefined) {
      if (record !== undefined) yield* record.finish(hostName);
      record = undefined;
      continue;
    }
    if (first && /^version:/i.test(line.bytes.toString('latin1', 0, 9))) {
      first = false;
      const version = line.bytes.toString('latin1', 8, 40).trim();
      if (version !== '1') {
        yield problem(null, 'DIR_LDIF', '', at(line.number, `LDIF version “${shown(version)}” is not 1.`));
      }
      continue;
    }
    first = false;
    if (record !== undefined && /^dn:/i.test(line.bytes.toString('latin1', 0, 3)) && record.hasDn) {
      record.fail(line.number, 'DIR_LDIF', 'A second “dn:” without an empty line in front.');
      yield* record.finish(hostName);
      record = undefined;
    }
    record ??= new LdifRecord();
    record.take(line);
    if (line.unended) unended = line.number;
  }
  if (record === undefined) return;
  yield* record.finish(hostName);
  if (unended !== undefined && !record.isTrailer) yield cutShort(record.dn, unended);
}

/**
 * A value that lost its end is most often a valid one: /mail/sales becomes /mail/sa. Many files that people make lack
 * the line end, so the entry counts; but nobody shall learn of it from a mailbox that is empty.
 */
function cutShort(dn: string, line: number): SourceItem {
  const message =
    'The file ends in this line without a line end: the value may have lost its end, and entries after it. It was ' +
    'taken as it is; if the file is whole, add a line end.';
  return warning('DIR_LDIF_CUT', dn, at(line, message));
}

function at(line: number, message: string): string {
  return `Line ${line}: ${message}`;
}

function* chunksOf(file: number): Generator<Buffer> {
  for (let position = 0; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK);
    const bytes = readOpen(file, chunk, position);
    if (bytes === 0) return;
    position += bytes;
    yield chunk.subarray(0, bytes);
  }
}

/** Lines without LF and CR. Of a line longer than LINE_LIMIT the beginning, marked as cut. */
function* physicalLines(chunks: Iterable<Buffer>): Generator<PhysicalLine> {
  let pieces: Buffer[] = [];
  let kept = 0;
  let cut = false;
  let start = true;
  const add = (piece: Buffer) => {
    const room = LINE_LIMIT + 1 - kept;
    if (piece.length > room) cut = true;
    if (room > 0 && piece.length > 0) {
      const part = piece.subarray(0, room);
      pieces.push(part);
      kept += part.length;
    }
  };
  const finish = (unended = false): PhysicalLine => {
    const whole = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
    const line = { bytes: whole.at(-1) === 0x0d && !cut ? whole.subarray(0, -1) : whole, cut, unended };
    pieces = [];
    kept = 0;
    cut = false;
    return line;
  };
  for (let chunk of chunks) {
    if (start && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) chunk = chunk.subarray(3);
    start = false;
    for (let from = 0; from < chunk.length; ) {
      const end = chunk.indexOf(0x0a, from);
      add(chunk.subarray(from, end < 0 ? chunk.length : end));
      if (end < 0) break;
      yield finish();
      from = end + 1;
    }
  }
  if (kept > 0 || cut) yield finish(true);
}

/** Unfolds; comments go; undefined stands for an empty line. */
function* logicalLines(lines: Iterable<PhysicalLine>): Generator<LogicalLine | undefined> {
  let number = 0;
  let open:
    | { number: number; pieces: Buffer[]; bytes: number; cut: boolean; comment: boolean; unended: boolean }
    | undefined;
  const close = (): LogicalLine | undefined => {
    const line = open;
    open = undefined;
    if (line === undefined || line.comment) return undefined;
    const bytes = line.pieces.length === 1 ? (line.pieces[0] as Buffer) : Buffer.concat(line.pieces);
    return { number: line.number, bytes, cut: line.cut, unended: line.unended };
  };
  for (const { bytes, cut, unended } of lines) {
    number += 1;
    if (bytes[0] === 0x20 && open !== undefined) {
      if (open.comment) continue;
      const part = bytes.subarray(1, Math.max(1, 1 + LINE_LIMIT - open.bytes));
      open.cut ||= cut || part.length < bytes.length - 1;
      if (part.length > 0) open.pieces.push(part);
      open.bytes += part.length;
      open.unended = unended;
      continue;
    }
    const done = close();
    if (done !== undefined) yield done;
    // A line of blanks with nothing to continue separates records too: editors leave such lines.
    if (bytes.length === 0 || (bytes.length < 256 && /^[ \t]+$/.test(bytes.toString('latin1')))) {
      yield undefined;
    } else {
      const part = bytes.subarray(0, LINE_LIMIT);
      const tooLong = cut || part.length < bytes.length;
      open = { number, pieces: [part], bytes: part.length, cut: tooLong, comment: bytes[0] === 0x23, unended };
    }
  }
  const done = close();
  if (done !== undefined) yield done;
}

/** Lines of the record that ldapsearch ends its output with. */
const TRAILER: ReadonlySet<string> = new Set(['search', 'result', 'text', 'matcheddn', 'control', 'pagedresults']);

interface Fault {
  readonly code: DirectoryProblemCode;
  readonly message: string;
}

/** One record while its lines come in. */
class LdifRecord {
  #dn: string | undefined;
  #fault: Fault | undefined;
  /** The closing lines of ldapsearch instead of an entry. */
  #trailer = false;
  #bytes = 0;
  readonly #attributes = new Map<string, Buffer[]>();

  get hasDn(): boolean {
    return this.#dn !== undefined;
  }

  get isTrailer(): boolean {
    return this.#trailer;
  }

  get dn(): string {
    return this.#dn ?? '';
  }

  /** The first fault is the one that is reported. */
  fail(line: number, code: DirectoryProblemCode, message: string): void {
    this.#fault ??= { code, message: at(line, message) };
  }

  take(line: LogicalLine): void {
    const colon = line.bytes.indexOf(0x3a);
    const description = colon < 0 ? '' : line.bytes.toString('latin1', 0, Math.min(colon, 300)).toLowerCase();
    if (!/^[a-z0-9][a-z0-9._-]*(;[a-z0-9._-]+)*$/.test(description)) {
      // Not shown: it may be the rest of a userPassword that was folded wrongly.
      this.fail(line.number, 'DIR_LDIF', 'The line is not of the form “attribute: value”.');
      return;
    }
    if (this.#dn === undefined && TRAILER.has(description)) {
      this.#takeTrailer(line, description, colon);
    } else if (description === 'dn' && !this.#trailer) {
      this.#dn = this.#value(line, colon)?.toString('utf8') ?? '';
      if (line.cut) this.fail(line.number, 'DIR_ENTRY_SIZE', 'The distinguished name is too long.');
    } else if (this.#dn === undefined) {
      this.fail(line.number, 'DIR_LDIF', 'The record does not begin with “dn:”.');
    } else if (description === 'changetype') {
      const type = this.#value(line, colon)?.toString('latin1').trim().toLowerCase() ?? '';
      // Nothing else in such a record is worth a report.
      if (type !== 'add') this.fail(line.number, 'DIR_LDIF_CHANGE', `A change of type “${shown(type)}”.`);
    } else if (KEPT_ATTRIBUTES.has(description)) {
      this.#keep(line, description, colon);
    }
  }

  #keep(line: LogicalLine, attribute: string, colon: number): void {
    if (line.cut) {
      this.fail(line.number, 'DIR_ENTRY_SIZE', `The value of ${attribute} is longer than ${LINE_LIMIT} bytes.`);
      return;
    }
    const value = this.#value(line, colon);
    if (value === undefined) return;
    this.#bytes += value.length + 32;
    if (this.#bytes > RECORD_LIMIT) {
      this.fail(line.number, 'DIR_ENTRY_SIZE', `The record holds more than ${RECORD_LIMIT} bytes.`);
      return;
    }
    const values = this.#attributes.get(attribute);
    if (values === undefined) this.#attributes.set(attribute, [value]);
    else values.push(value);
  }

  /** What follows `attribute:`; undefined, and a fault, when it cannot be had. */
  #value(line: LogicalLine, colon: number): Buffer | undefined {
    const kind = line.bytes[colon + 1];
    if (kind === 0x3c) {
      this.fail(line.number, 'DIR_LDIF', 'A value by URL is not read; export the directory with the value itself.');
      return undefined;
    }
    let start = colon + (kind === 0x3a ? 2 : 1);
    while (line.bytes[start] === 0x20) start += 1;
    const bytes = line.bytes.subarray(start);
    // A copy: a view would keep the whole piece of the file that it lies in.
    if (kind !== 0x3a) return Buffer.from(bytes);
    const base64 = bytes.toString('latin1').trimEnd();
    if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
      this.fail(line.number, 'DIR_LDIF', 'The value is not base64.');
      return undefined;
    }
    return Buffer.from(base64, 'base64');
  }

  #takeTrailer(line: LogicalLine, description: string, colon: number): void {
    this.#trailer = true;
    if (description !== 'result') return;
    const result = line.bytes.toString('latin1', colon + 1, colon + 80).trim();
    if (/^0\b/.test(result)) return;
    throw new MailhaulError(
      'DIR_PARTIAL',
      `Line ${line.number}: the search that wrote this file did not end well (${escapeLogText(result)}), so users may be missing.`,
      { hint: 'Export the directory again, without a size limit.' },
    );
  }

  *finish(hostName: string): Generator<SourceItem> {
    const dn = this.#dn ?? '';
    const entry = { dn, attributes: this.#attributes };
    const fault = this.#fault;
    if (fault !== undefined) {
      // Its uid, if one was read, is taken all the same: a second entry with it is as doubtful as this one.
      const checked = isUserOf(entry, hostName) ? validateEntry(entry).uid : null;
      yield problem(fault.code === 'DIR_LDIF_CHANGE' ? null : checked, fault.code, dn, fault.message);
    } else if (!this.#trailer && this.#dn !== undefined && isUserOf(entry, hostName)) {
      yield validateEntry(entry);
    }
  }
}
