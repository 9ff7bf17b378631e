/**
 * The layout of store.idx, version 1 (docs/formats/store-idx.md): constants, the header's codec, and the
 * numbers both need. All numbers are little-endian; sections start at multiples of 8.
 *
 *     header (256) | cache | records (80 each) | keywordRefs | keywords | admin
 */
import { MailhaulError } from '../../errors.js';
import { check64 } from '../digest.js';

const INDEX_MAGIC = Uint8Array.of(0x89, 0x4e, 0x53, 0x49, 0x44, 0x58, 0x0d, 0x0a);
const INDEX_VERSION = 1;
export const HEADER_BYTES = 256;
export const RECORD_BYTES = 80;
/** Where the header's own check lies; it covers all bytes before. */
export const HEADER_CHECK_AT = 248;
/** Four u32 lengths in front of every cache entry. */
export const CACHE_HEAD_BYTES = 16;
/** All flag bits that version 1 knows (FLAG in engine/types.ts). */
export const KNOWN_FLAGS = 31;

const SECTIONS_AT = 88;
const SECTION_BYTES = 24;

/** Sections in file order. */
export const SECTION_NAMES = ['cache', 'records', 'keywordRefs', 'keywords', 'admin'] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

export interface Section {
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
  /** XXH3-64 of the section; 0 for `cache`, whose entries are checked one by one. */
  readonly check: bigint;
}

export interface IndexHeader {
  readonly fileBytes: number;
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly messages: number;
  readonly seen: number;
  readonly answered: number;
  readonly flagged: number;
  readonly deleted: number;
  readonly draft: number;
  /** Entries of the keyword table. */
  readonly keywords: number;
  /** Sum of the messages' sizes. */
  readonly bytesUsed: number;
  /** Highest internal date, seconds; 0 for an empty folder. */
  readonly lastAppend: number;
  /** 0 as migrated, one more with each folding of the journal. */
  readonly generation: number;
  readonly sections: Readonly<Record<SectionName, Section>>;
}

/** Codes of damage in store.idx (docs/formats/store-idx.md, "Damage"). */
export type IndexDamageCode =
  | 'IDX_MAGIC'
  | 'IDX_VERSION'
  | 'IDX_TRUNCATED'
  | 'IDX_HEADER'
  | 'IDX_SECTION'
  | 'IDX_RECORD'
  | 'IDX_CACHE';

/** The four sections of a cache entry fill it ("Cache entry"): what every reader of one relies on. */
export function isCacheEntry(bytes: Uint8Array): boolean {
  if (bytes.length < CACHE_HEAD_BYTES) return false;
  const view = viewOf(bytes);
  let inner = CACHE_HEAD_BYTES;
  for (let i = 0; i < 4; i++) inner += view.getUint32(i * 4, true);
  return inner === bytes.length;
}

/** Damage as an error; `where` is the section or the uid. */
export function indexDamage(code: IndexDamageCode, message: string, where?: string): MailhaulError {
  const hint =
    code === 'IDX_VERSION'
      ? 'It was written by a newer release: use that one.'
      : 'Rebuild store.idx from the message files with `reconstruct`.';
  return new MailhaulError(code, message, where === undefined ? { hint } : { where, hint });
}

/** Rounds up to the next multiple of 8, where sections start. */
export function align8(offset: number): number {
  return Math.ceil(offset / 8) * 8;
}

/** A view for reading and writing numbers in `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads a u64. Above 2^53 the result is not exact and not a safe integer, which callers refuse as damage. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/** Reads an i64, with the same limit. */
export function readI64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/** Writes a whole number between -2^53 and 2^53 as u64 or i64 (two's complement). */
export function write64(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  view.setUint32(at, value - high * 0x1_0000_0000, true);
  view.setInt32(at + 4, high, true);
}

/** The 256 bytes of a header, its check included. */
export function encodeHeader(header: IndexHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(INDEX_MAGIC);
  view.setUint32(8, INDEX_VERSION, true);
  view.setUint32(12, HEADER_BYTES, true);
  write64(view, 16, header.fileBytes);
  view.setUint32(24, header.uidvalidity, true);
  view.setUint32(28, header.uidnext, true);
  view.setUint32(32, header.messages, true);
  view.setUint32(36, RECORD_BYTES, true);
  view.setUint32(40, header.seen, true);
  view.setUint32(44, header.answered, true);
  view.setUint32(48, header.flagged, true);
  view.setUint32(52, header.deleted, true);
  view.setUint32(56, header.draft, true);
  view.setUint32(60, header.keywords, true);
  write64(view, 64, header.bytesUsed);
  write64(view, 72, header.lastAppend);
  view.setUint32(80, header.generation, true);
  SECTION_NAMES.forEach((name, i) => {
    const section = header.sections[name];
    const at = SECTIONS_AT + i * SECTION_BYTES;
    write64(view, at, section.offset);
    write64(view, at + 8, section.bytes);
    view.setBigUint64(at + 16, section.check, true);
  });
  view.setBigUint64(HEADER_CHECK_AT, check64(bytes.subarray(0, HEADER_CHECK_AT)), true);
  return bytes;
}

/**
 * Reads and checks a header: magic, version, size, check, then that the file is as long as it says. `bytes`
 * is the beginning of the file (256 bytes or the whole of a shorter one), `fileSize` its length. Where the
 * sections lie is not judged here: whoever uses one does.
 */
export function decodeHeader(bytes: Uint8Array, fileSize: number): IndexHeader {
  if (bytes.length < INDEX_MAGIC.length) {
    throw indexDamage('IDX_TRUNCATED', `The file has ${fileSize} bytes, less than a header.`);
  }
  if (!INDEX_MAGIC.every((byte, i) => bytes[i] === byte)) {
    throw indexDamage('IDX_MAGIC', 'The file does not begin like a store.idx.');
  }
  if (bytes.length < HEADER_BYTES) {
    throw indexDamage('IDX_TRUNCATED', `The file has ${fileSize} bytes, less than a header.`);
  }
  const view = viewOf(bytes);
  const version = view.getUint32(8, true);
  if (version !== INDEX_VERSION) throw indexDamage('IDX_VERSION', `Version ${version} of store.idx is not known.`);
  if (view.getBigUint64(HEADER_CHECK_AT, true) !== check64(bytes.subarray(0, HEADER_CHECK_AT))) {
    throw indexDamage('IDX_HEADER', 'The header does not fit its check.');
  }
  if (view.getUint32(12, true) !== HEADER_BYTES || view.getUint32(36, true) !== RECORD_BYTES) {
    throw indexDamage('IDX_HEADER', 'The header gives sizes that version 1 does not have.');
  }
  const fileBytes = readU64(view, 16);
  if (fileBytes > fileSize) {
    throw indexDamage('IDX_TRUNCATED', `The file has ${fileSize} bytes of ${fileBytes}.`);
  }
  if (fileBytes < fileSize) {
    throw indexDamage('IDX_HEADER', `The file has ${fileSize} bytes, ${fileSize - fileBytes} too many.`);
  }
  const section = (i: number): Section => {
    const at = SECTIONS_AT + i * SECTION_BYTES;
    return { offset: readU64(view, at), bytes: readU64(view, at + 8), check: view.getBigUint64(at + 16, true) };
  };
  return {
    fileBytes,
    uidvalidity: view.getUint32(24, true),
    uidnext: view.getUint32(28, true),
    messages: view.getUint32(32, true),
    seen: view.getUint32(40, true),
    answered: view.getUint32(44, true),
    flagged: view.getUint32(48, true),
    deleted: view.getUint32(52, true),
    draft: view.getUint32(56, true),
    keywords: view.getUint32(60, true),
    bytesUsed: readU64(view, 64),
    lastAppend: readI64(view, 72),
    generation: view.getUint32(80, true),
    sections: {
      cache: section(0),
      records: section(1),
      keywordRefs: section(2),
      keywords: section(3),
      admin: section(4),
    },
  };
}
