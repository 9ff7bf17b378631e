/**
 * Byte classes and spans shared by the message parser.
 *
 * A span is a half-open range [start, end) of the message. Header values stay spans of the message (nothing is copied)
 * until they are written into the cache entry.
 */

const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const QUOTE = 0x22;
export const OPEN = 0x28;
export const CLOSE = 0x29;
export const STAR = 0x2a;
export const COMMA = 0x2c;
export const DASH = 0x2d;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const LESS = 0x3c;
export const EQUALS = 0x3d;
export const GREATER = 0x3e;
export const AT = 0x40;
export const OPEN_BRACKET = 0x5b;
export const BACKSLASH = 0x5c;
export const CLOSE_BRACKET = 0x5d;

/** A range of the message; `start` counts, `end` does not. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** 1 for the bytes of a MIME token (RFC 2045 5.1): printable ASCII without SPACE and tspecials. */
const TOKEN = new Uint8Array(256);
for (let byte = 0x21; byte < 0x7f; byte++) TOKEN[byte] = '()<>@,;:\\"/[]?='.includes(String.fromCharCode(byte)) ? 0 : 1;

export function isToken(byte: number): boolean {
  return TOKEN[byte] === 1;
}

/** A letter or digit of ASCII. */
export function isAlphanumeric(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a);
}

/** SPACE or TAB: what a folded line begins with. */
export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/** White space of a header value: SPACE, TAB and the CR and LF of its folds. */
export function isFold(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === CR || byte === LF;
}

/** Compares without case; `lower` is ASCII in lower case. */
export function equalsLower(data: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const byte = data[start + i]!;
    const small = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    if (small !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** Offset of the next LF at or after `from`, or the size. */
export function nextLf(data: Uint8Array, from: number): number {
  const found = data.indexOf(LF, from);
  return found === -1 ? data.length : found;
}

/**
 * Position after comments and white space (CFWS, RFC 5322 3.2.2), at most `end`. Comments nest, a backslash takes the
 * special meaning from the byte after it. A comment that is never closed reaches to the end.
 */
export function skipCfws(data: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const byte = data[at]!;
    if (byte === OPEN) at = skipComment(data, at, end);
    else if (isFold(byte)) at++;
    else break;
  }
  return at;
}

/** Position after the comment that opens at `from`. */
export function skipComment(data: Uint8Array, from: number, end: number): number {
  let depth = 0;
  for (let at = from; at < end; at++) {
    const byte = data[at]!;
    if (byte === BACKSLASH) at++;
    else if (byte === OPEN) depth++;
    else if (byte === CLOSE && --depth === 0) return at + 1;
  }
  return end;
}

/** True when the byte at `at` belongs to a line end: an LF, or a CR that an LF follows. */
export function isLineEnd(data: Uint8Array, at: number, end: number): boolean {
  const byte = data[at]!;
  return byte === LF || (byte === CR && at + 1 < end && data[at + 1] === LF);
}
