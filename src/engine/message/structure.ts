/**
 * The MIME tree of a message: one forward pass over its lines (RFC 2045, RFC 2046).
 *
 * Parts are in pre-order. A part is its header [headerStart, bodyStart) and its body [bodyStart, bodyEnd). The line
 * end before a boundary line belongs to the boundary, but where the body (or, after a closing boundary, the epilogue)
 * has no line of its own before it. A header may be ended by a boundary too; the same is true of its last line end.
 *
 * Work and memory are bounded: 100 levels and 10,000 parts, as Dovecot has it; a part that would go deeper is a leaf,
 * and after the last part no boundary is looked for. The pass keeps its own stack, the writers recurse 100 deep at most.
 */
import { DASH, equalsLower, nextLf, type Span } from './bytes.js';
import { colonOf, FIELD, fieldKind, type HeaderField, isCachedField, lastField, nameEnd, valueSpan } from './header.js';
import { appendValue, type ContentType, parseContentType } from './parameters.js';
import { Writer } from './writer.js';

export const MAX_LEVELS = 100;
export const MAX_PARTS = 10_000;
/** Fields of a part that ENVELOPE and BODYSTRUCTURE look at. */
const MAX_FIELDS = 1000;
/** Bytes of all values of a message that they look at; the first field past them ends it. */
const MAX_VALUE_BYTES = 16 * 1024 * 1024;
/** Bytes of `fields` in the cache entry, not counting the mark that says some are missing. */
const MAX_CACHED_BYTES = 65_536;

export const KIND = { leaf: 0, multipart: 1, message: 2 } as const;

export interface Part {
  readonly parent: Part | undefined;
  readonly level: number;
  kind: number;
  /** Fields of the header that ENVELOPE and BODYSTRUCTURE use, in header order. */
  fields: HeaderField[];
  /** The Content-Type, when it can be read. */
  contentType: ContentType | undefined;
  /** Multipart or message by its type, but too deep or one too many to be opened. */
  overflow: boolean;
  readonly headerStart: number;
  bodyStart: number;
  bodyEnd: number;
  /** Lines (LFs) of the body; while the part is open, LFs of the message before the body. */
  lines: number;
  readonly children: Part[];
}

export interface MessageTree {
  readonly root: Part;
  /** Raw fields that the cache keeps: spans from the name to the end of the last line. */
  readonly cached: readonly Span[];
  /** Some did not fit in MAX_CACHED_BYTES. */
  readonly cachedCut: boolean;
  readonly parts: number;
}

interface Boundary {
  readonly part: Part;
  readonly bytes: Uint8Array;
}

/** A boundary line of one of the open multiparts. */
interface Found {
  readonly level: number;
  readonly closing: boolean;
}

export function parseTree(data: Uint8Array): MessageTree {
  return new TreeParser(data).parse();
}

class TreeParser {
  private at = 0;
  /** LFs before `at`. */
  private lines = 0;
  private parts = 0;
  private readonly open: Boundary[] = [];
  private readonly cached: Span[] = [];
  private cachedBytes = 0;
  private valueBytes = 0;
  private readonly scratch = new Writer(128);

  constructor(private readonly data: Uint8Array) {}

  parse(): MessageTree {
    const root = this.begin(undefined, 0);
    let part = root;
    for (;;) {
      let bodyStart = this.readHeader(part);
      while (part.kind === KIND.message) {
        part = this.begin(part, bodyStart);
        bodyStart = this.readHeader(part);
      }
      const next = this.readBody(part, bodyStart);
      if (next === undefined) break;
      part = this.begin(next, this.at);
    }
    return { root, cached: this.cached, cachedCut: this.cachedBytes > MAX_CACHED_BYTES, parts: this.parts };
  }

  private begin(parent: Part | undefined, headerStart: number): Part {
    const part: Part = {
      parent,
      level: parent === undefined ? 0 : parent.level + 1,
      kind: KIND.leaf,
      fields: [],
      contentType: undefined,
      overflow: false,
      headerStart,
      bodyStart: headerStart,
      bodyEnd: headerStart,
      lines: 0,
      children: [],
    };
    parent?.children.push(part);
    this.parts++;
    return part;
  }

  /** Reads the header at `at`, decides what the part is, and returns where its body begins. */
  private readHeader(part: Part): number {
    const { data } = this;
    let field = -1;
    let blank = false;
    let atBoundary = false;
    while (this.at < data.length) {
      const line = this.at;
      const lf = nextLf(data, line);
      const end = Math.min(lf + 1, data.length);
      const first = data[line]!;
      if (field >= 0 && (first === 0x20 || first === 0x09)) {
        this.take(end, lf);
        continue;
      }
      if (field >= 0) this.addField(part, field, line);
      field = -1;
      if (first === 0x0a || (first === 0x0d && lf === line + 1 && lf < data.length)) {
        this.take(end, lf);
        blank = true;
        break;
      }
      if (first === DASH && this.findBoundary(line, lf) !== undefined) {
        atBoundary = true;
        break;
      }
      field = line;
      this.take(end, lf);
    }
    if (field >= 0) this.addField(part, field, this.at);

    let bodyStart = this.at;
    let lines = this.lines;
    if (atBoundary && this.at > part.headerStart) {
      bodyStart -= lineEndBefore(data, this.at, part.headerStart);
      lines--;
    }
    part.bodyStart = bodyStart;
    part.lines = lines;
    this.decide(part, blank);
    return bodyStart;
  }

  private take(end: number, lf: number): void {
    this.at = end;
    if (lf < this.data.length) this.lines++;
  }

  /** The header of a message, not of a part of a multipart: it makes an ENVELOPE and may be no MIME at all. */
  private isMessageHeader(part: Part): boolean {
    return part.parent === undefined || part.parent.kind === KIND.message;
  }

  /** Notes the field in [start, end) when the cache entry uses it. */
  private addField(part: Part, start: number, end: number): void {
    const { data } = this;
    const colon = colonOf(data, start, end);
    if (colon === end) return;
    const last = nameEnd(data, start, colon);
    const kind = fieldKind(data, start, last);
    if (kind >= 0 && this.valueBytes <= MAX_VALUE_BYTES && part.fields.length < MAX_FIELDS) {
      if (kind >= FIELD.contentType || this.isMessageHeader(part)) {
        const value = valueSpan(data, colon, end);
        this.valueBytes += value.end - value.start;
        if (this.valueBytes <= MAX_VALUE_BYTES) part.fields.push({ kind, ...value });
      }
    }
    if (part.parent === undefined && this.cachedBytes <= MAX_CACHED_BYTES && isCachedField(data, start, last)) {
      this.cachedBytes += end - start;
      if (this.cachedBytes <= MAX_CACHED_BYTES) this.cached.push({ start, end });
    }
  }

  private decide(part: Part, blank: boolean): void {
    const { data } = this;
    if (
      this.isMessageHeader(part) &&
      !part.fields.some(({ kind }) => kind === FIELD.mimeVersion || kind === FIELD.contentType)
    ) {
      // Not MIME: its Content-* fields mean nothing (RFC 2045 4).
      part.fields = part.fields.filter(({ kind }) => kind < FIELD.contentType);
    }
    const field = lastField(part.fields, FIELD.contentType);
    const type = field === undefined ? undefined : parseContentType(data, field.start, field.end);
    part.contentType = type;
    const room = part.level + 1 < MAX_LEVELS;
    if (isMessage(data, part)) {
      if (room && this.parts < MAX_PARTS) part.kind = KIND.message;
      else part.overflow = true;
    } else if (type !== undefined && equalsLower(data, type.typeStart, type.typeEnd, 'multipart')) {
      const boundary = type.parameters.find(
        (parameter) => !parameter.star && equalsLower(data, parameter.nameStart, parameter.nameEnd, 'boundary'),
      );
      part.kind = KIND.multipart;
      if (boundary === undefined || !blank) return;
      if (!room) {
        part.kind = KIND.leaf;
        part.overflow = true;
        return;
      }
      this.scratch.clear();
      appendValue(data, boundary, this.scratch);
      this.open.push({ part, bytes: this.scratch.copy() });
    }
  }

  /** Reads the body up to the boundary line that ends it; the multipart that gets the next part, if there is one. */
  private readBody(first: Part, bodyStart: number): Part | undefined {
    const { data } = this;
    let part = first;
    let start = bodyStart;
    for (;;) {
      const found = this.toBoundary();
      const line = this.at;
      const end = found === undefined ? line : Math.max(start, line - lineEndBefore(data, line, 0));
      const lines = this.lines - (end < line ? 1 : 0);
      const owner = found === undefined ? undefined : this.open[found.level]!.part;
      for (let open: Part | undefined = part; open !== owner; open = open?.parent) {
        if (open === undefined) break;
        open.bodyEnd = end;
        open.lines = lines - open.lines;
      }
      if (found === undefined || owner === undefined) return undefined;
      this.open.length = found.closing ? found.level : found.level + 1;
      part = owner;
      const lf = nextLf(data, line);
      this.take(Math.min(lf + 1, data.length), lf);
      if (!found.closing && lf < data.length) return owner;
      start = this.at;
    }
  }

  /** Moves `at` to the next boundary line of an open multipart, or to the end. */
  private toBoundary(): Found | undefined {
    const { data } = this;
    while (this.at < data.length) {
      const line = this.at;
      const lf = nextLf(data, line);
      const found = data[line] === DASH ? this.findBoundary(line, lf) : undefined;
      if (found !== undefined) return found;
      this.take(Math.min(lf + 1, data.length), lf);
    }
    return undefined;
  }

  /**
   * The open multipart whose boundary the line [line, lf) begins with (RFC 2046 5.1.1: what follows does not matter):
   * the longest boundary that fits, of equal ones the innermost, but one that is the whole line, or all of it before
   * `--`, at once.
   */
  private findBoundary(line: number, lf: number): Found | undefined {
    const { data } = this;
    if (this.open.length === 0 || this.parts >= MAX_PARTS || data[line + 1] !== DASH) return undefined;
    const start = line + 2;
    let end = lf;
    if (end > start && data[end - 1] === 0x0d) end--;
    const dashes = end - start > 2 && data[end - 1] === DASH && data[end - 2] === DASH;
    let level = -1;
    let length = -1;
    for (let i = this.open.length - 1; i >= 0; i--) {
      const { bytes } = this.open[i]!;
      if (bytes.length <= length || !startsWith(data, start, end, bytes)) continue;
      level = i;
      length = bytes.length;
      if (length === end - start || (dashes && length === end - start - 2)) break;
    }
    if (level === -1) return undefined;
    const rest = start + length;
    return { level, closing: rest + 2 <= data.length && data[rest] === DASH && data[rest + 1] === DASH };
  }
}

/** message/rfc822 by its type, or by default in a multipart/digest (RFC 2046 5.1.5). */
export function isMessage(data: Uint8Array, part: Part): boolean {
  const type = part.contentType;
  if (type !== undefined) {
    return (
      equalsLower(data, type.typeStart, type.typeEnd, 'message') &&
      equalsLower(data, type.subtypeStart, type.subtypeEnd, 'rfc822')
    );
  }
  const outer = part.parent?.contentType;
  return (
    part.parent?.kind === KIND.multipart &&
    outer !== undefined &&
    equalsLower(data, outer.subtypeStart, outer.subtypeEnd, 'digest')
  );
}

/** Bytes of the line end just before `at`: 2 for CRLF, 1 for LF, 0 for none; nothing before `floor` counts. */
function lineEndBefore(data: Uint8Array, at: number, floor: number): number {
  if (at <= floor || data[at - 1] !== 0x0a) return 0;
  return at - 1 > floor && data[at - 2] === 0x0d ? 2 : 1;
}

function startsWith(data: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean {
  if (end - start < bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) if (data[start + i] !== bytes[i]) return false;
  return true;
}
