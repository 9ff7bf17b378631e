/**
 * `type/subtype`, tokens and parameters of the Content-* fields (RFC 2045 5.1, RFC 2183, RFC 2231).
 *
 * Broken input: a parameter that cannot be read, or has no value, or has text behind its value, is passed over up to the
 * next `;`. A value without quotes may hold blanks and specials. Sections of RFC 2231 (`name*0`, `name*1*` …) are put
 * together at the place of section 0, under `name` or, when any of them is encoded, `name*`; nothing is decoded.
 */
import {
  BACKSLASH,
  COMMA,
  DASH,
  EQUALS,
  equalsLower,
  isAlphanumeric,
  isFold,
  isLineEnd,
  isToken,
  OPEN,
  QUOTE,
  SEMICOLON,
  SLASH,
  STAR,
  skipCfws,
} from './bytes.js';
import type { Writer } from './writer.js';

/** Parameters of a field that are read; what follows is passed over. */
const MAX_PARAMETERS = 1000;

/** Sections are put together among this many first parameters of a field; bounds the work on hostile fields. */
const MAX_SECTIONED = 128;

/** One `name=value`: spans of the message; for a quoted value without its quotes. */
export interface Parameter {
  readonly nameStart: number;
  /** Without the section mark when `sections` holds more than the parameter itself or the mark was `*0`. */
  nameEnd: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  readonly quoted: boolean;
  /** A `*` goes after the name: some section is encoded. */
  star: boolean;
  /** Further sections in order, after this one. */
  sections: Parameter[];
  /** The section itself ended in `*`. */
  encoded: boolean;
  consumed: boolean;
}

/** A Content-Type that could be read. */
export interface ContentType {
  readonly typeStart: number;
  readonly typeEnd: number;
  readonly subtypeStart: number;
  readonly subtypeEnd: number;
  readonly parameters: readonly Parameter[];
}

function tokenEnd(data: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && isToken(data[at]!)) at++;
  return at;
}

/** The end of a language tag: letters, digits and `-` (RFC 5646 2.1). */
function tagEnd(data: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && (data[at] === DASH || isAlphanumeric(data[at]!))) at++;
  return at;
}

/** Reads a Content-Type; undefined when it is not `token/token` followed by the end or `;` (RFC 2045 5.2). */
export function parseContentType(data: Uint8Array, start: number, end: number): ContentType | undefined {
  const typeStart = skipCfws(data, start, end);
  const typeEnd = tokenEnd(data, typeStart, end);
  let at = skipCfws(data, typeEnd, end);
  if (typeEnd === typeStart || at === end || data[at] !== SLASH) return undefined;
  const subtypeStart = skipCfws(data, at + 1, end);
  const subtypeEnd = tokenEnd(data, subtypeStart, end);
  at = skipCfws(data, subtypeEnd, end);
  if (subtypeEnd === subtypeStart || (at < end && data[at] !== SEMICOLON)) return undefined;
  return { typeStart, typeEnd, subtypeStart, subtypeEnd, parameters: parseParameters(data, at, end) };
}

/** The one token of a Content-Transfer-Encoding; undefined when there is none or more than one. */
export function parseEncoding(
  data: Uint8Array,
  start: number,
  end: number,
): { start: number; end: number } | undefined {
  const from = skipCfws(data, start, end);
  const to = tokenEnd(data, from, end);
  return to > from && skipCfws(data, to, end) === end ? { start: from, end: to } : undefined;
}

/** A Content-Disposition; undefined when it is not a token followed by the end or `;`, nor an empty one before a `;`. */
export function parseDisposition(
  data: Uint8Array,
  start: number,
  end: number,
): { start: number; end: number; parameters: readonly Parameter[] } | undefined {
  const from = skipCfws(data, start, end);
  const to = tokenEnd(data, from, end);
  const at = skipCfws(data, to, end);
  if (at === end ? to === from : data[at] !== SEMICOLON) return undefined;
  return { start: from, end: to, parameters: parseParameters(data, at, end) };
}

/** The tags of a Content-Language up to the first one that neither a comma nor the end follows. */
export function parseLanguages(data: Uint8Array, start: number, end: number): { start: number; end: number }[] {
  const tags: { start: number; end: number }[] = [];
  for (let at = start; ; at++) {
    const from = skipCfws(data, at, end);
    const to = tagEnd(data, from, end);
    at = skipCfws(data, to, end);
    if (to === from || (at < end && data[at] !== COMMA)) return tags;
    tags.push({ start: from, end: to });
    if (at === end) return tags;
  }
}

/** Parameters from `from`, where a `;` is or is looked for, with the sections of RFC 2231 put together. */
function parseParameters(data: Uint8Array, from: number, end: number): readonly Parameter[] {
  const list: Parameter[] = [];
  let starred = false;
  let at = nextSemicolon(data, from, end);
  while (at < end && list.length < MAX_PARAMETERS) {
    const nameStart = skipCfws(data, at + 1, end);
    const nameEnd = tokenEnd(data, nameStart, end);
    at = skipCfws(data, nameEnd, end);
    if (at === end) break;
    if (data[at] !== EQUALS) {
      // A `;` behind `name` and a blank does not end the broken parameter: both servers look for the next one.
      at = nextSemicolon(data, at === nameEnd ? at : at + 1, end);
      continue;
    }
    const value = skipCfws(data, at + 1, end);
    const quoted = value < end && data[value] === QUOTE;
    const read = quoted ? readQuoted(data, value, end) : readBare(data, value, end);
    if (read === undefined) break; // A quote that is never closed: nothing follows.
    at = skipCfws(data, read.next, end);
    if (at < end && data[at] !== SEMICOLON) {
      at = nextSemicolon(data, at + 1, end);
      continue;
    }
    const valueStart = quoted ? value + 1 : value;
    if (read.end === valueStart && !quoted) continue;
    starred ||= data.subarray(nameStart, nameEnd).includes(STAR);
    list.push({
      nameStart,
      nameEnd,
      valueStart,
      valueEnd: read.end,
      quoted,
      star: false,
      sections: [],
      encoded: false,
      consumed: false,
    });
  }
  return starred ? joinSections(data, list) : list;
}

/** The next `;`: what lies before it could not be read. */
function nextSemicolon(data: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && data[at] !== SEMICOLON) at++;
  return at;
}

function readQuoted(data: Uint8Array, from: number, end: number): { end: number; next: number } | undefined {
  for (let at = from + 1; at < end; at++) {
    const byte = data[at]!;
    if (byte === BACKSLASH) at++;
    else if (byte === QUOTE) return { end: at, next: at + 1 };
  }
  return undefined;
}

/** A value without quotes ends at `;`, a comment, a control character or the end; blanks behind it do not count. */
function readBare(data: Uint8Array, from: number, end: number): { end: number; next: number } {
  let last = from;
  let at = from;
  for (; at < end; at++) {
    const byte = data[at]!;
    if (isFold(byte)) continue;
    if (byte === SEMICOLON || byte === OPEN || byte < 0x20) break;
    last = at + 1;
  }
  return { end: last, next: at };
}

/** Appends the value of a parameter, all its sections, without folds and backslashes. */
export function appendValue(data: Uint8Array, parameter: Parameter, out: Writer): void {
  if (parameter.star && !parameter.encoded) out.ascii("''"); // Neither character set nor language (RFC 2231 4.1).
  appendSection(data, parameter, parameter.star && !parameter.encoded, out);
  for (const section of parameter.sections) {
    appendSection(data, section, parameter.star && !section.encoded, out);
  }
}

function appendSection(data: Uint8Array, section: Parameter, encode: boolean, out: Writer): void {
  for (let at = section.valueStart; at < section.valueEnd; at++) {
    if (isLineEnd(data, at, section.valueEnd)) continue;
    if (section.quoted && data[at] === BACKSLASH && at + 1 < section.valueEnd) {
      if (isLineEnd(data, at + 1, section.valueEnd)) continue;
      at++;
    }
    const byte = data[at]!;
    // attribute-char of RFC 2231 7: a token byte that is none of `*`, `'`, `%`.
    if (encode && (!isToken(byte) || byte === STAR || byte === 0x27 || byte === 0x25)) {
      out.ascii(`%${byte.toString(16).toUpperCase().padStart(2, '0')}`);
    } else out.byte(byte);
  }
}

/** Position of the section mark in a name and its number; -1 for a name without `*<n>` or `*<n>*` (n 0 … 99). */
function sectionOf(data: Uint8Array, parameter: Parameter): { base: number; section: number; encoded: boolean } {
  const { nameStart, nameEnd } = parameter;
  const none = { base: nameEnd, section: -1, encoded: false };
  const star = data.subarray(nameStart, nameEnd).indexOf(STAR);
  if (star === -1) return none;
  let at = nameStart + star + 1;
  const digits = at;
  let section = 0;
  while (at < nameEnd && at - digits < 2 && data[at]! >= 0x30 && data[at]! <= 0x39)
    section = section * 10 + data[at++]! - 0x30;
  if (at === digits || (at - digits === 2 && data[digits] === 0x30)) return none;
  const encoded = at < nameEnd && data[at] === STAR;
  if (encoded) at++;
  return at === nameEnd ? { base: nameStart + star, section, encoded } : none;
}

function joinSections(data: Uint8Array, list: Parameter[]): Parameter[] {
  const marks = list.slice(0, MAX_SECTIONED).map((parameter) => sectionOf(data, parameter));
  for (const [i, mark] of marks.entries()) {
    const first = list[i]!;
    if (mark.section !== 0 || first.consumed) continue;
    first.encoded = mark.encoded;
    first.star = mark.encoded;
    const base = Buffer.from(data.subarray(first.nameStart, mark.base)).toString('latin1').toLowerCase();
    for (let section = 1; section < 100; section++) {
      const next = marks.findIndex(
        (other, j) =>
          other.section === section && !list[j]!.consumed && equalsLower(data, list[j]!.nameStart, other.base, base),
      );
      if (next === -1) break;
      const found = list[next]!;
      found.consumed = true;
      found.encoded = marks[next]!.encoded;
      first.star ||= found.encoded;
      first.sections.push(found);
    }
    first.nameEnd = mark.base;
  }
  return list.filter((parameter) => !parameter.consumed);
}
