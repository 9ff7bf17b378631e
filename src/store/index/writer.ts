/**
 * Writes a store.idx (docs/formats/store-idx.md) message by message in ascending uid.
 *
 * Cache entries go to the sink as they come; in memory are only the fixed-size parts: 80 bytes a message and
 * 4 bytes a keyword of a message, until `finish` writes them and, last, the header. A file without its
 * header is no index, so a writer that stops half-way leaves nothing that a reader could believe.
 */
import { FLAG, type IndexSummary } from '../../engine/types.js';
import { MailhaulError } from '../../errors.js';
import { check32, check64 } from '../digest.js';
import { align8, encodeHeader, HEADER_BYTES, RECORD_BYTES, type Section, viewOf } from './format.js';
import type { ByteSink } from './io.js';
import { encodeRecord, type MessageFacts } from './record.js';

/** What is one per folder. */
export interface IndexFrame {
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly generation: number;
  /** Keyword table, in order of first appearance. */
  readonly keywords: readonly string[];
  /** The bytes of the admin section (store/adminRecord.ts). */
  readonly admin: Uint8Array;
}

const BUFFER_BYTES = 262_144;

export class IndexBuilder {
  private readonly sink: ByteSink;
  private readonly frame: IndexFrame;
  /** Cache bytes on their way to the sink, the header's place in front of the first. */
  private readonly buffer = new Uint8Array(BUFFER_BYTES);
  private buffered = HEADER_BYTES;
  /** Position in the file of the buffer's first byte. */
  private position = 0;
  private cacheBytes = 0;
  private records: Uint8Array;
  private recordsView: DataView;
  private readonly keywordRefs: number[] = [];
  private lastUid = 0;
  private count = 0;
  private bytesUsed = 0;
  private lastAppend = 0;
  private readonly flagged = [0, 0, 0, 0, 0];

  /** `expected` messages are made room for; more may come. */
  constructor(sink: ByteSink, frame: IndexFrame, expected = 64) {
    this.sink = sink;
    this.frame = frame;
    this.records = new Uint8Array(Math.max(1, expected) * RECORD_BYTES);
    this.recordsView = viewOf(this.records);
  }

  /**
   * Adds a message with its cache entry and the indexes of its keywords, ascending. Uids must ascend. `cacheCheck` is
   * given for an entry that is taken over as it is, damaged or not.
   */
  add(facts: MessageFacts, keywords: ArrayLike<number>, cache: Uint8Array, cacheCheck = check32(cache)): void {
    if (facts.uid <= this.lastUid) {
      throw new MailhaulError('IDX_ORDER', `Message ${facts.uid} was written to an index after ${this.lastUid}.`);
    }
    const at = this.count * RECORD_BYTES;
    if (at === this.records.length) this.growRecords();
    encodeRecord(this.records, this.recordsView, at, facts, {
      cacheOffset: this.cacheBytes,
      cacheBytes: cache.length,
      cacheCheck,
      keywordFirst: this.keywordRefs.length,
      keywordCount: keywords.length,
    });
    for (let i = 0; i < keywords.length; i++) this.keywordRefs.push(keywords[i] as number);
    this.put(cache);
    this.cacheBytes += cache.length;
    this.lastAppend = this.count === 0 ? facts.internalDate : Math.max(this.lastAppend, facts.internalDate);
    this.count++;
    this.lastUid = facts.uid;
    this.bytesUsed += facts.size;
    if (facts.flags !== 0) this.countFlags(facts.flags);
  }

  /** Writes everything that is left, the header last. The builder must not be used afterwards. */
  finish(): IndexSummary {
    const cache = { offset: HEADER_BYTES, bytes: this.cacheBytes, check: 0n };
    const records = this.section(this.records.subarray(0, this.count * RECORD_BYTES));
    const keywordRefs = this.section(encodeRefs(this.keywordRefs));
    const keywords = this.section(encodeKeywords(this.frame.keywords));
    const admin = this.section(this.frame.admin);
    this.flush();
    const summary = this.summary();
    const header = encodeHeader({
      fileBytes: admin.offset + admin.bytes,
      uidvalidity: this.frame.uidvalidity,
      uidnext: this.frame.uidnext,
      messages: summary.messages,
      seen: summary.seen,
      answered: summary.answered,
      flagged: summary.flagged,
      deleted: summary.deleted,
      draft: summary.draft,
      keywords: this.frame.keywords.length,
      bytesUsed: summary.bytes,
      lastAppend: summary.lastAppend,
      generation: this.frame.generation,
      sections: { cache, records, keywordRefs, keywords, admin },
    });
    this.sink.write(header, 0);
    return summary;
  }

  private countFlags(flags: number): void {
    for (let bit = 0; bit < 5; bit++) {
      if ((flags & (1 << bit)) !== 0) this.flagged[bit] = (this.flagged[bit] ?? 0) + 1;
    }
  }

  private summary(): IndexSummary {
    const of = (flag: number): number => this.flagged[Math.log2(flag)] ?? 0;
    return {
      messages: this.count,
      bytes: this.bytesUsed,
      lastAppend: this.lastAppend,
      seen: of(FLAG.seen),
      answered: of(FLAG.answered),
      flagged: of(FLAG.flagged),
      deleted: of(FLAG.deleted),
      draft: of(FLAG.draft),
    };
  }

  /** Writes a whole section at the next multiple of 8. */
  private section(data: Uint8Array): Section {
    const end = this.position + this.buffered;
    const offset = align8(end);
    this.put(new Uint8Array(offset - end));
    this.put(data);
    return { offset, bytes: data.length, check: check64(data) };
  }

  private put(data: Uint8Array): void {
    if (this.buffered + data.length > BUFFER_BYTES) this.flush();
    if (data.length > BUFFER_BYTES) {
      this.sink.write(data, this.position);
      this.position += data.length;
      return;
    }
    this.buffer.set(data, this.buffered);
    this.buffered += data.length;
  }

  private flush(): void {
    if (this.buffered === 0) return;
    this.sink.write(this.buffer.subarray(0, this.buffered), this.position);
    this.position += this.buffered;
    this.buffered = 0;
  }

  private growRecords(): void {
    const larger = new Uint8Array(this.records.length * 2);
    larger.set(this.records);
    this.records = larger;
    this.recordsView = viewOf(larger);
  }
}

function encodeRefs(refs: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(refs.length * 4);
  const view = viewOf(bytes);
  refs.forEach((ref, i) => {
    view.setUint32(i * 4, ref, true);
  });
  return bytes;
}

/** A u32 length, then the bytes, for each; the form of the keyword table and of keywords in the journal. */
export function encodeKeywords(keywords: readonly string[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const keyword of keywords) {
    const length = new Uint8Array(4);
    const bytes = Buffer.from(keyword);
    viewOf(length).setUint32(0, bytes.length, true);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}
