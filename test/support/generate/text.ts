/**
 * Pools of text lines in several charsets and encodings, made once; a message takes a run of whole lines from a
 * pool, which costs a copy instead of a call a word. Every line ends in CRLF.
 */
import type { Random } from './random.js';

export interface Pool {
  readonly bytes: Buffer;
  /** Offset of every line, and the length of `bytes` at the end. */
  readonly lines: Uint32Array;
}

export interface Pools {
  readonly ascii: Pool;
  readonly html: Pool;
  readonly latin1: Pool;
  readonly utf8: Pool;
  /** UTF-8 text, quoted-printable. */
  readonly quotedPrintable: Pool;
  /** UTF-8 text, base64, 76 characters a line. */
  readonly base64Text: Pool;
  readonly koi8: Pool;
  readonly iso2022jp: Pool;
  /** Random bytes, base64: attachments do not compress. */
  readonly base64: Pool;
  readonly uuencoded: Pool;
}

const WORDS =
  `the of and to in is that for it as was with be by on not he this are or his from at which but have an had they you
were their one all we can her has there been if more when will would who so no out up into than them can only other
time new some could these two may first then do any like my now over such our man me even most made after also did
many before must through years where much your way well down should because each just those people how too little
state good very make world still own see men work long here get both between life being under never day same another
know while last might us great old year off come since against go came right used take three message server mailbox
folder meeting budget quarter release schedule invoice order customer project review network disk tape backup Monday
Thursday office report draft attached regards thanks please forward reply list`.split(/\s+/);
const EUROPEAN = 'Größe Straße über für déjà été garçon señor mañana ação São Ærø blåbær façade naïve Müller'.split(
  ' ',
);
const CYRILLIC = 'письмо сервер почта папка привет спасибо отчет встреча завтра список диск работа новый год'.split(
  ' ',
);
/** Lower-case Cyrillic letters in the order of KOI8-R, from 0xC0 on. */
const KOI8_ORDER = 'юабцдефгхийклмнопярстужвьызшэщчъ';

export function makePools(random: Random, lineCount = 1500): Pools {
  const ascii = lines(lineCount, () => sentence(random, WORDS, 58, 72));
  const european = lines(lineCount, () => sentence(random, [...WORDS.slice(0, 60), ...EUROPEAN], 40, 66));
  const cyrillic = lines(lineCount, () => sentence(random, CYRILLIC, 40, 66));
  const encode = (rows: readonly string[], encoding: BufferEncoding) => rows.map((row) => Buffer.from(row, encoding));
  return {
    ascii: poolOf(encode(ascii, 'latin1')),
    html: poolOf(encode(ascii, 'latin1').map((row) => Buffer.concat([Buffer.from('<p>'), row, Buffer.from('</p>')]))),
    latin1: poolOf(encode(european, 'latin1')),
    utf8: poolOf(encode(european, 'utf8')),
    quotedPrintable: poolOf(european.map((row) => Buffer.from(quotedPrintableLine(row), 'latin1'))),
    base64Text: poolOf(base64Lines(Buffer.from(european.join('\r\n'), 'utf8'))),
    koi8: poolOf(cyrillic.map(koi8)),
    iso2022jp: poolOf(lines(lineCount, () => hiragana(random)).map((row) => Buffer.from(row, 'latin1'))),
    base64: poolOf(base64Lines(randomBytes(random, lineCount * 57))),
    uuencoded: poolOf(lines(lineCount, () => uuLine(randomBytes(random, 45))).map((row) => Buffer.from(row, 'latin1'))),
  };
}

/** Whole lines from a random place of the pool, at least one, about `bytes` long (never more than a line over). */
export function takeLines(pool: Pool, random: Random, bytes: number): Buffer {
  const count = pool.lines.length - 1;
  let line = random.int(0, count - 1);
  const pieces: Buffer[] = [];
  let left = bytes;
  do {
    const start = pool.lines[line]!;
    let end = upperLine(pool.lines, start + left);
    if (end <= line) end = line + 1;
    pieces.push(pool.bytes.subarray(start, pool.lines[end]));
    left -= pool.lines[end]! - start;
    line = 0;
  } while (left > 80);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

/** The last line boundary that is not beyond `offset`. */
function upperLine(boundaries: Uint32Array, offset: number): number {
  let low = 0;
  let high = boundaries.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (boundaries[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** An encoded word (RFC 2047) of `text`, in one of the ways that mail programs of the time wrote them. */
export function encodedWord(random: Random, text: string): string {
  if (random.chance(0.5)) return `=?UTF-8?B?${Buffer.from(text, 'utf8').toString('base64')}?=`;
  const q = [...Buffer.from(text, 'latin1')]
    .map((byte) => {
      if (byte === 0x20) return '_';
      if ((byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)) {
        return String.fromCharCode(byte);
      }
      return `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  return `=?iso-8859-1?Q?${q}?=`;
}

export function words(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.pick(WORDS)).join(' ');
}

export function europeanWords(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.pick(EUROPEAN)).join(' ');
}

function lines(count: number, make: () => string): string[] {
  return Array.from({ length: count }, make);
}

function sentence(random: Random, vocabulary: readonly string[], low: number, high: number): string {
  const length = random.int(low, high);
  let line = random.pick(vocabulary);
  while (line.length < length) line += `${random.chance(0.08) ? ', ' : ' '}${random.pick(vocabulary)}`;
  return random.chance(0.05) ? '' : line;
}

function poolOf(rows: readonly Buffer[]): Pool {
  const offsets = new Uint32Array(rows.length + 1);
  const end = Buffer.from('\r\n');
  rows.forEach((row, index) => {
    offsets[index + 1] = offsets[index]! + row.length + 2;
  });
  return { bytes: Buffer.concat(rows.flatMap((row) => [row, end])), lines: offsets };
}

function randomBytes(random: Random, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  for (let i = 0; i < count; i++) bytes[i] = random.int(0, 255);
  return bytes;
}

function base64Lines(data: Buffer): Buffer[] {
  const rows: Buffer[] = [];
  for (let at = 0; at + 57 <= data.length; at += 57) {
    rows.push(Buffer.from(data.subarray(at, at + 57).toString('base64'), 'latin1'));
  }
  return rows;
}

/** One line in quoted-printable; a long one becomes two by a soft line break (RFC 2045 6.7). */
function quotedPrintableLine(text: string): string {
  let encoded = '';
  let column = 0;
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x3d;
    const piece = plain ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    if (column + piece.length > 75) {
      encoded += '=\r\n';
      column = 0;
    }
    encoded += piece;
    column += piece.length;
  }
  return encoded;
}

function koi8(text: string): Buffer {
  return Buffer.from(
    [...text].map((letter) => {
      const index = KOI8_ORDER.indexOf(letter);
      return index < 0 ? letter.charCodeAt(0) : 0xc0 + index;
    }),
  );
}

/** A line of hiragana in ISO-2022-JP, back in ASCII at its end (RFC 1468). */
function hiragana(random: Random): string {
  const count = random.int(12, 30);
  let line = '\x1b$B';
  for (let i = 0; i < count; i++) line += `$${String.fromCharCode(random.int(0x21, 0x73))}`;
  return `${line}\x1b(B`;
}

function uuLine(data: Buffer): string {
  const character = (value: number) => String.fromCharCode(value === 0 ? 0x60 : 0x20 + value);
  let line = character(data.length);
  for (let at = 0; at < data.length; at += 3) {
    const [a, b, c] = [data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0];
    line += [a >> 2, ((a & 3) << 4) | (b >> 4), ((b & 15) << 2) | (c >> 6), c & 63].map(character).join('');
  }
  return line;
}
