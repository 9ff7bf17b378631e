/**
 * Address lists (RFC 5322 3.4 with the obsolete forms of 4.4) as ENVELOPE shows them: (name route mailbox host).
 *
 * One pass over the value, never an error; a quoted string that is never closed ends the list. Text up to one of `, ; : @ <` is a phrase, and the delimiter says what it
 * was: `<` a display name, `@` a local part, `:` the name of a group, the others a mailbox without a host. What RFC
 * 3501 has no word for is an empty string: a missing mailbox, a missing host (NIL would mean a group).
 */
import {
  AT,
  BACKSLASH,
  CLOSE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  DOT,
  GREATER,
  isFold,
  isLineEnd,
  LESS,
  OPEN,
  OPEN_BRACKET,
  QUOTE,
  SEMICOLON,
  SPACE,
  type Span,
  skipCfws,
  skipComment,
} from './bytes.js';
import { Writer } from './writer.js';

/** Addresses of one list that are shown; what follows is passed over. The end of a group may come on top. */
const MAX_ADDRESSES = 32_768;

/** What an address list is written through: the bytes and three scratch buffers that live as long as the parser. */
export interface AddressScratch {
  readonly name: Writer;
  readonly local: Writer;
  readonly domain: Writer;
}

export function addressScratch(): AddressScratch {
  return { name: new Writer(256), local: new Writer(256), domain: new Writer(256) };
}

/** Which delimiters end the words: those of a list, those within angle brackets, or none. */
type Stop = 'list' | 'angle' | 'none';

interface Words {
  /** Where it stopped: at a delimiter or the end. */
  readonly at: number;
  /** Atoms and quoted strings read; 0 when a quoted string is never closed. */
  readonly words: number;
  readonly quoted: boolean;
}

/**
 * Writes the addresses of one field behind the `before` that the list has; returns the new count. The parentheses
 * around the list are the caller's.
 */
export function writeAddresses(
  data: Uint8Array,
  { start, end: fieldEnd }: Span,
  before: number,
  out: Writer,
  s: AddressScratch,
): number {
  const nul = data.subarray(start, fieldEnd).indexOf(0);
  const end = nul === -1 ? fieldEnd : start + nul; // A NUL ends the list, in both servers.
  let count = before;
  let inGroup = false;
  // Right behind an address, without a comma: words that make no address there are not shown.
  let behind = false;
  const group = (open: boolean): void => {
    out.ascii('(NIL NIL ');
    if (open) out.string(s.name.view());
    else out.nil();
    out.ascii(' NIL)');
    inGroup = open;
    count++;
  };
  let at = start;
  while (at < end && count < MAX_ADDRESSES) {
    const from = at;
    const phrase = readWords(data, from, end, 'list', false, s.name);
    at = phrase.at;
    const delimiter = at < end ? data[at]! : COMMA;
    at++;
    if (delimiter === COLON) {
      if (inGroup) {
        out.ascii('(NIL NIL NIL NIL)');
        count++;
      }
      group(true);
      behind = false;
    } else if (delimiter === AT) {
      readWords(data, from, at - 1, 'none', true, s.local);
      const domain = readDomain(data, at, end, s.domain);
      at = domain.at;
      if (at < end && data[at] === LESS) {
        // An address as the display name of another: the address in the angle brackets rules.
        readWords(data, from, at, 'none', false, s.name);
        at = writeAngle(data, at + 1, end, out, s);
      } else {
        s.name.clear();
        if (domain.commentStart >= 0) appendComment(data, domain.commentStart, domain.at, s.name);
        writeAddress(out, s, -1, -1, data);
        if (at < end && data[at] === QUOTE) {
          at = end; // A quoted string right behind it ends the list, in both servers.
        }
      }
      count++;
      behind = true;
    } else if (delimiter === LESS) {
      at = writeAngle(data, at, end, out, s);
      count++;
      behind = true;
    } else {
      if (phrase.words > 0 && !behind) {
        writeBare(out, s, phrase);
        count++;
      }
      behind = false;
      if (delimiter === SEMICOLON && inGroup) group(false);
    }
  }
  if (inGroup) group(false);
  return count;
}

/** A phrase without an address: one atom is taken for a mailbox, anything else for a name. */
function writeBare(out: Writer, s: AddressScratch, phrase: Words): void {
  if (phrase.words === 1 && !phrase.quoted) {
    out.ascii('(NIL NIL ');
    out.string(s.name.view());
    out.ascii(' "")');
  } else {
    out.byte(OPEN);
    nameOrNil(out, s.name);
    out.ascii(' NIL "" "")');
  }
}

function nameOrNil(out: Writer, name: Writer): void {
  if (name.length === 0) out.nil();
  else out.string(name.view());
}

function writeAddress(out: Writer, s: AddressScratch, routeStart: number, routeEnd: number, data: Uint8Array): void {
  out.byte(OPEN);
  nameOrNil(out, s.name);
  out.byte(0x20);
  if (routeEnd > routeStart) {
    s.name.clear();
    appendRoute(data, routeStart, routeEnd, s.name);
    out.string(s.name.view());
  } else out.nil();
  out.byte(0x20);
  out.string(s.local.view());
  out.byte(0x20);
  out.string(s.domain.view());
  out.byte(0x29);
}

/** `[@a,@b:]local@domain>`, after its `<`; the display name is in `s.name`. Returns the position after it. */
function writeAngle(data: Uint8Array, from: number, end: number, out: Writer, s: AddressScratch): number {
  let at = skipCfws(data, from, end);
  let routeStart = -1;
  let routeEnd = -1;
  if (at < end && data[at] === AT) {
    let stop = at;
    while (stop < end && data[stop] !== COLON && data[stop] !== GREATER && data[stop] !== LESS) stop++;
    if (stop < end && data[stop] === COLON) {
      routeStart = at;
      routeEnd = stop;
      at = stop + 1;
    }
  }
  at = readWords(data, at, end, 'angle', true, s.local).at;
  s.domain.clear();
  if (at < end && data[at] === AT) at = readDomain(data, at + 1, end, s.domain).at;
  writeAddress(out, s, routeStart, routeEnd, data);
  while (at < end) {
    const byte = data[at]!;
    if (byte === GREATER) return at + 1;
    if (byte === COMMA || byte === SEMICOLON || byte === LESS) return at;
    at++;
  }
  return at;
}

/** Route without white space and comments: `@a,@b`. */
function appendRoute(data: Uint8Array, start: number, end: number, out: Writer): void {
  for (let at = start; at < end; ) {
    const byte = data[at]!;
    if (byte === OPEN) at = skipComment(data, at, end);
    else {
      if (!isFold(byte)) out.byte(byte);
      at++;
    }
  }
}

function isStop(byte: number, stop: Stop): boolean {
  switch (byte) {
    case COMMA:
    case LESS:
    case AT:
      return stop !== 'none';
    case COLON:
    case SEMICOLON:
      return stop === 'list';
    case GREATER:
      return stop === 'angle';
    default:
      return false;
  }
}

/**
 * Reads atoms and quoted strings into `out`, one space where white space or comments part them. In a local part
 * no space is left beside a dot (RFC 5322 4.4). A `>` where none can be is white space.
 */
function readWords(data: Uint8Array, from: number, end: number, stop: Stop, local: boolean, out: Writer): Words {
  out.clear();
  let at = from;
  let words = 0;
  let quoted = false;
  let inAtom = false;
  let gap = false;
  while (at < end) {
    const byte = data[at]!;
    if (isStop(byte, stop)) break;
    if (byte === OPEN) {
      at = skipComment(data, at, end);
      gap = true;
      inAtom = false;
    } else if (isFold(byte) || (byte === GREATER && stop !== 'angle')) {
      at++;
      gap = true;
      inAtom = false;
    } else {
      if (gap && out.length > 0) {
        const dotted = local && (byte === DOT || out.last() === DOT);
        if (!dotted) out.byte(0x20);
      }
      gap = false;
      if (byte === QUOTE) {
        at = appendQuoted(data, at, end, out);
        if (at > end) {
          out.clear();
          return { at: end, words: 0, quoted };
        }
        words++;
        quoted = true;
        inAtom = false;
      } else {
        out.byte(byte);
        at++;
        if (!inAtom) words++;
        inAtom = true;
      }
    }
  }
  return { at, words, quoted };
}

/** Appends the content of the quoted string at `from`; returns the position after it, past `end` when it is never closed. */
function appendQuoted(data: Uint8Array, from: number, end: number, out: Writer): number {
  let at = from + 1;
  while (at < end) {
    let byte = data[at]!;
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH && at + 1 < end && !isLineEnd(data, at + 1, end)) byte = data[++at]!;
    else if (isLineEnd(data, at, end)) {
      at++;
      continue;
    }
    out.byte(byte);
    at++;
  }
  return end + 1;
}

/** The comment that opens at `start`, without its parentheses, backslashes and folds. */
function appendComment(data: Uint8Array, start: number, limit: number, out: Writer): void {
  let depth = 0;
  for (let at = start; at < limit; at++) {
    let byte = data[at]!;
    if (byte === OPEN && depth++ === 0) continue;
    if (byte === 0x29 && --depth === 0) return;
    if (isLineEnd(data, at, limit)) continue;
    if (byte === BACKSLASH && at + 1 < limit && !isLineEnd(data, at + 1, limit)) byte = data[++at]!;
    out.byte(byte);
  }
}

/**
 * A domain after its `@`: atoms and dots, white space and comments around the dots dropped, or a literal in brackets.
 * Also tells where the last comment behind it opens, -1 for none: `joe@example.com (Joe)` has his name there.
 */
function readDomain(
  data: Uint8Array,
  from: number,
  end: number,
  out: Writer,
): { readonly at: number; readonly commentStart: number } {
  out.clear();
  let at = skipCfws(data, from, end);
  let commentStart = -1;
  while (at < end) {
    const begin = at;
    while (at < end && isDomainByte(data[at]!)) {
      if (data[at] === OPEN_BRACKET) at = appendLiteral(data, at, end, out);
      else out.byte(data[at++]!);
    }
    if (at === begin) break;
    commentStart = -1;
    while (at < end && (data[at] === OPEN || isFold(data[at]!))) {
      if (data[at] === OPEN) {
        commentStart = at;
        at = skipComment(data, at, end);
      } else at++;
    }
    if (at === end || (data[at] !== DOT && out.last() !== DOT)) break;
  }
  return { at, commentStart };
}

/** Atoms, dots and the `[` of a literal; also `@` and `:`, as in `a@b@c` and `a@b:25`. */
function isDomainByte(byte: number): boolean {
  return byte > SPACE && byte !== 0x7f && !ENDS_DOMAIN.includes(byte);
}

const ENDS_DOMAIN: readonly number[] = [OPEN, CLOSE, COMMA, SEMICOLON, LESS, GREATER, QUOTE, BACKSLASH];

/** `[…]` with its brackets and backslashes, without folds; one that is never closed reaches to the end. */
function appendLiteral(data: Uint8Array, from: number, end: number, out: Writer): number {
  for (let at = from; at < end; at++) {
    const byte = data[at]!;
    if (isLineEnd(data, at, end)) continue;
    out.byte(byte);
    if (byte === CLOSE_BRACKET) return at + 1;
    if (byte === BACKSLASH && at + 1 < end && !isLineEnd(data, at + 1, end)) out.byte(data[++at]!);
  }
  return end;
}
