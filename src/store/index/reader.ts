/**
 * Reads a store.idx (docs/formats/store-idx.md) from a descriptor or from memory.
 *
 * The header is checked when the index is opened, each section when it is first used, each cache entry when
 * it is read. No offset is used before it is known to lie inside its section, so a damaged or forged file
 * gives an error with an IDX_ code and nothing else. Memory: the records (80 bytes a message), the keyword
 * references and the keyword table, each from their first use on.
 */
import { check32, check64 } from '../digest.js';
import {
  CACHE_HEAD_BYTES,
  decodeHeader,
  HEADER_BYTES,
  HEADER_CHECK_AT,
  type IndexHeader,
  indexDamage,
  isCacheEntry,
  RECORD_BYTES,
  type Section,
  type SectionName,
  viewOf,
} from './format.js';
import { type ByteSource, bytesSource, fileSource } from './io.js';
import { decodeRecord, type IndexRecord } from './record.js';

/** Opens the index in an open file, which stays the caller's to close, or in memory. Throws IDX_ damage. */
export function openIndex(source: number | Uint8Array): IndexReader {
  return new IndexReader(typeof source === 'number' ? fileSource(source) : bytesSource(source));
}

/** A section that is held in memory whole has fewer bytes: 53 million messages. */
const LARGEST_SECTION = 2 ** 32 - 1;

export class IndexReader {
  readonly header: IndexHeader;
  /** The header's check: what a journal is tied to. */
  readonly headerCheck: bigint;
  private readonly source: ByteSource;
  private recordBytes: Uint8Array | undefined;
  private recordView: DataView | undefined;
  private refView: DataView | undefined;
  private keywordTable: readonly string[] | undefined;

  constructor(source: ByteSource) {
    this.source = source;
    const head = source.read(0, HEADER_BYTES);
    this.header = decodeHeader(head, source.size);
    this.headerCheck = viewOf(head).getBigUint64(HEADER_CHECK_AT, true);
  }

  /** Messages in the index. */
  get count(): number {
    return this.header.messages;
  }

  /** Record `i` (0-based, ascending uid). Throws RangeError outside 0 … count - 1, IDX_SECTION, IDX_RECORD. */
  record(i: number): IndexRecord {
    if (!Number.isInteger(i) || i < 0 || i >= this.count) throw new RangeError(`There is no record ${i}.`);
    const [bytes, view] = this.loadRecords();
    const record = decodeRecord(bytes, view, i * RECORD_BYTES);
    const problem = this.recordProblem(record) ?? this.orderProblem(record, view, i);
    if (problem !== undefined) throw indexDamage('IDX_RECORD', problem, `uid ${record.uid}`);
    return record;
  }

  /** All records in ascending uid. */
  *records(): Generator<IndexRecord> {
    for (let i = 0; i < this.count; i++) yield this.record(i);
  }

  /** The number of the record with this uid, -1 if there is none. */
  find(uid: number): number {
    const [, view] = this.loadRecords();
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = view.getUint32(middle * RECORD_BYTES, true);
      if (found === uid) return middle;
      if (found < uid) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** The record with this uid, undefined if there is none. */
  byUid(uid: number): IndexRecord | undefined {
    const i = this.find(uid);
    return i < 0 ? undefined : this.record(i);
  }

  /** The keyword table. */
  keywords(): readonly string[] {
    this.keywordTable ??= decodeKeywordTable(this.section('keywords'), this.header.keywords);
    return this.keywordTable;
  }

  /** Keywords of one message. Throws IDX_RECORD for a reference past the table. */
  keywordsOf(record: IndexRecord): string[] {
    if (record.keywordCount === 0) return [];
    const table = this.keywords();
    return this.keywordRefs(record).map((ref) => {
      const keyword = table[ref];
      if (keyword === undefined) {
        throw indexDamage('IDX_RECORD', `Keyword ${ref} is not in the table.`, `uid ${record.uid}`);
      }
      return keyword;
    });
  }

  /** Indexes into the keyword table of one message. */
  keywordRefs(record: IndexRecord): number[] {
    this.refView ??= viewOf(this.section('keywordRefs'));
    const refs: number[] = [];
    for (let i = 0; i < record.keywordCount; i++) {
      refs.push(this.refView.getUint32((record.keywordFirst + i) * 4, true));
    }
    return refs;
  }

  /** The cache entry of one message, its check and inner lengths verified. Throws IDX_CACHE. */
  cache(record: IndexRecord): Uint8Array {
    const bytes = this.storedCache(record);
    const where = `uid ${record.uid}`;
    if (check32(bytes) !== record.cacheCheck) {
      throw indexDamage('IDX_CACHE', 'The cache entry does not fit its check.', where);
    }
    if (!isCacheEntry(bytes)) throw indexDamage('IDX_CACHE', 'The parts of the cache entry do not fill it.', where);
    return bytes;
  }

  /** The cache entry as it is in the file, for whoever takes it over with its check. Throws IDX_CACHE where it is cut. */
  storedCache(record: IndexRecord): Uint8Array {
    const { offset } = this.place('cache');
    const bytes = this.source.read(offset + record.cacheOffset, record.cacheBytes);
    if (bytes.length === record.cacheBytes) return bytes;
    throw indexDamage('IDX_CACHE', 'The cache entry is cut.', `uid ${record.uid}`);
  }

  /** The admin section: JSON of store/adminRecord.ts. */
  admin(): Uint8Array {
    return this.section('admin');
  }

  /** Bytes of the file as they are, for whoever looks at what belongs to no section. */
  bytesAt(offset: number, length: number): Uint8Array {
    return this.source.read(offset, length);
  }

  /** Checks where a section lies and, but for `cache`, its bytes. Throws IDX_SECTION, IDX_TRUNCATED. */
  verify(name: SectionName): void {
    if (name === 'cache') this.place(name);
    else if (name === 'keywords') this.keywords();
    else if (name === 'records') this.loadRecords();
    else this.section(name);
  }

  /** Where a section lies, after checking that it lies inside the file and has a length that is possible. */
  place(name: SectionName): Section {
    const section = this.header.sections[name];
    const problem = this.sectionProblem(name, section);
    if (problem !== undefined) throw indexDamage('IDX_SECTION', problem, name);
    return section;
  }

  /** What is wrong with where a section lies; undefined for nothing. */
  private sectionProblem(name: SectionName, { offset, bytes }: Section): string | undefined {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(bytes) || offset + bytes > this.header.fileBytes) {
      return 'The section lies outside the file.';
    }
    if (name !== 'cache' && bytes > LARGEST_SECTION) return 'The section is larger than any can be.';
    if (offset < HEADER_BYTES || offset % 8 !== 0) return 'The section does not start where one may.';
    if (name === 'records' && bytes !== this.count * RECORD_BYTES) {
      return `The section has ${bytes} bytes for ${this.count} messages.`;
    }
    if (name === 'keywordRefs' && bytes % 4 !== 0) return 'The section is not a whole number of references.';
    return undefined;
  }

  /** A section's bytes, verified. */
  private section(name: SectionName): Uint8Array {
    const { offset, bytes, check } = this.place(name);
    const data = this.source.read(offset, bytes);
    if (data.length !== bytes) throw indexDamage('IDX_TRUNCATED', 'The section is cut.', name);
    if (check64(data) !== check) throw indexDamage('IDX_SECTION', 'The section does not fit its check.', name);
    return data;
  }

  private loadRecords(): [Uint8Array, DataView] {
    this.recordBytes ??= this.section('records');
    this.recordView ??= viewOf(this.recordBytes);
    return [this.recordBytes, this.recordView];
  }

  /** What makes a record unusable; undefined for nothing. */
  private recordProblem(record: IndexRecord): string | undefined {
    if (record.uid === 0) return 'A message has uid 0.';
    if (!Number.isSafeInteger(record.size) || !Number.isSafeInteger(record.internalDate)) {
      return 'Size or date is not a number that a message can have.';
    }
    if (record.headerBytes > record.size) return 'The header is longer than the message.';
    if (record.cacheBytes < CACHE_HEAD_BYTES) return 'The cache entry is too short.';
    if (record.cacheOffset + record.cacheBytes > this.place('cache').bytes) {
      return 'The cache entry lies outside the cache.';
    }
    if ((record.keywordFirst + record.keywordCount) * 4 > this.place('keywordRefs').bytes) {
      return 'The keywords lie outside the references.';
    }
    return undefined;
  }

  /**
   * Entries and references lie back to back, as every writer puts them. A forged index whose records all claim the
   * same ones would make a reader of all records read the square of the file.
   */
  private orderProblem(record: IndexRecord, view: DataView, i: number): string | undefined {
    const before = (i - 1) * RECORD_BYTES;
    const cacheEnd = i === 0 ? 0 : Number(view.getBigUint64(before + 48, true)) + view.getUint32(before + 56, true);
    const keywordEnd = i === 0 ? 0 : view.getUint32(before + 64, true) + view.getUint32(before + 68, true);
    if (record.cacheOffset !== cacheEnd) return 'The cache entry does not follow the one before.';
    return record.keywordFirst === keywordEnd ? undefined : 'The keywords do not follow those before.';
  }
}

function decodeKeywordTable(bytes: Uint8Array, count: number): string[] {
  const keywords = decodeKeywords(bytes, 0, count);
  if (keywords === undefined || keywords.end !== bytes.length) {
    throw indexDamage('IDX_SECTION', 'The keyword table does not fill its section.', 'keywords');
  }
  return keywords.values;
}

/** Reads `count` times u32 length and bytes from `at` on; undefined when they do not fit. */
export function decodeKeywords(
  bytes: Uint8Array,
  at: number,
  count: number,
): { values: string[]; end: number } | undefined {
  const view = viewOf(bytes);
  const values: string[] = [];
  let end = at;
  for (let i = 0; i < count; i++) {
    if (end + 4 > bytes.length) return undefined;
    const length = view.getUint32(end, true);
    if (end + 4 + length > bytes.length) return undefined;
    values.push(Buffer.from(bytes.buffer, bytes.byteOffset + end + 4, length).toString());
    end += 4 + length;
  }
  return { values, end };
}
