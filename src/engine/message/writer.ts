/** Builds the bytes of a cache entry: a growing buffer with the IMAP forms of strings and numbers. */
import { BACKSLASH, CR, isLineEnd, LF, QUOTE } from './bytes.js';

const NIL = Uint8Array.of(0x4e, 0x49, 0x4c);

export class Writer {
  private buffer: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(capacity = 4096) {
    this.buffer = new Uint8Array(capacity);
  }

  /** The bytes written so far; valid until the next write. */
  view(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  /** The byte written last; there must be one. */
  last(): number {
    return this.buffer[this.length - 1]!;
  }

  copy(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  byte(value: number): void {
    this.ensure(1);
    this.buffer[this.length++] = value;
  }

  bytes(data: Uint8Array, start = 0, end = data.length): void {
    this.ensure(end - start);
    this.buffer.set(data.subarray(start, end), this.length);
    this.length += end - start;
  }

  ascii(text: string): void {
    this.ensure(text.length);
    for (let i = 0; i < text.length; i++) this.buffer[this.length++] = text.charCodeAt(i);
  }

  /** Appends what was written in [start, end) once more. */
  repeat(start: number, end: number): void {
    this.ensure(end - start);
    this.buffer.copyWithin(this.length, start, end);
    this.length += end - start;
  }

  /** Overwrites four bytes with a little-endian u32. */
  u32At(offset: number, value: number): void {
    new DataView(this.buffer.buffer).setUint32(offset, value, true);
  }

  /** Unsigned LEB128 of a number below 2^53. */
  leb128(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  nil(): void {
    this.bytes(NIL);
  }

  /** A string, quoted where its bytes allow it, else a literal (store-idx.md, "Cache entry"). */
  string(data: Uint8Array, start = 0, end = data.length): void {
    let escapes = 0;
    for (let at = start; at < end; at++) {
      const byte = data[at]!;
      if (byte === 0 || byte >= 0x80 || byte === CR || byte === LF) {
        this.ascii(`{${end - start}}\r\n`);
        this.bytes(data, start, end);
        return;
      }
      if (byte === QUOTE || byte === BACKSLASH) escapes++;
    }
    this.byte(QUOTE);
    if (escapes === 0) this.bytes(data, start, end);
    else {
      for (let at = start; at < end; at++) {
        const byte = data[at]!;
        if (byte === QUOTE || byte === BACKSLASH) this.byte(BACKSLASH);
        this.byte(byte);
      }
    }
    this.byte(QUOTE);
  }

  /** The bytes of [start, end) without the line ends in them (unfolding, RFC 5322 2.2.3). */
  unfolded(data: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at++) if (!isLineEnd(data, at, end)) this.byte(data[at]!);
  }

  private ensure(more: number): void {
    const needed = this.length + more;
    if (needed <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }
}
