/**
 * The journal beside a store.idx: changes after the migration (docs/formats/store-idx.md, "The journal").
 *
 *     header (32) | record | record | …        record: type, length, payload padded to 8, check64
 *
 * A record that is cut or does not fit its check was never acknowledged: reading ends there. A record that
 * fits its check but makes no sense is damage (JNL_RECORD).
 *
 * A record is written only after the one before it was synced; changes that share a sync share a record. So a record
 * that fits its check behind one that does not is no trace of a power loss, whatever the order in which a disk wrote:
 * the one before it was acknowledged, and damaged since (JNL_DAMAGED).
 */
import { MailhaulError } from '../../errors.js';
import { check64 } from '../digest.js';
import { align8, isCacheEntry, KNOWN_FLAGS, RECORD_BYTES, viewOf } from './format.js';
import type { ByteSource } from './io.js';
import { decodeKeywords, type IndexReader } from './reader.js';
import { decodeRecord, type MessageFacts, placelessRecord } from './record.js';
import { encodeKeywords } from './writer.js';

const JOURNAL_MAGIC = Uint8Array.of(0x89, 0x4e, 0x53, 0x4a, 0x4e, 0x4c, 0x0d, 0x0a);
const JOURNAL_VERSION = 2;
/** Changes that shared a sync had a record each; has no batches. Read and continued, never made. */
const WITHOUT_BATCHES = 1;
const JOURNAL_HEADER_BYTES = 32;
const HEADER_CHECK_AT = 24;
/** Type and payload length in front of a payload. */
const RECORD_HEAD_BYTES = 8;
const CHECK_BYTES = 8;
/** Bytes that are looked through at most for records behind a damaged one; a journal is folded at 1 MiB. */
const SCAN_BYTES = 64 << 20;

const TYPE = { flags: 1, append: 2, expunge: 3, uidnext: 4, batch: 5 } as const;

/** One change of a folder. */
export type JournalChange =
  | { readonly type: 'flags'; readonly uid: number; readonly flags: number; readonly keywords: readonly string[] }
  | {
      readonly type: 'append';
      readonly facts: MessageFacts;
      readonly keywords: readonly string[];
      readonly cache: Uint8Array;
    }
  | { readonly type: 'expunge'; readonly uid: number }
  | { readonly type: 'uidnext'; readonly uidnext: number };

/** The index that a journal belongs to; an IndexReader tells it. */
export interface JournalIndex {
  readonly generation: number;
  /** check64 in the header of the index. */
  readonly headerCheck: bigint;
}

export function journalIndexOf(reader: IndexReader): JournalIndex {
  return { generation: reader.header.generation, headerCheck: reader.headerCheck };
}

export type JournalDamageCode = 'JNL_MAGIC' | 'JNL_VERSION' | 'JNL_TRUNCATED' | 'JNL_HEADER' | 'JNL_RECORD';

export function journalDamage(code: JournalDamageCode, message: string, where?: string): MailhaulError {
  const hint =
    code === 'JNL_VERSION'
      ? 'It was written by a newer release: use that one.'
      : 'Rebuild the index from the message files with `reconstruct`.';
  return new MailhaulError(code, message, where === undefined ? { hint } : { where, hint });
}

/** For whoever would write over the acknowledged changes behind a damaged record, or remove them. */
export function damagedInTheMiddle(where: string): MailhaulError {
  return new MailhaulError(
    'JNL_DAMAGED',
    'A record of the journal is damaged, and acknowledged changes lie behind it.',
    {
      where,
      hint: 'Restore store.jnl, with its store.idx, from a backup, or rebuild the index from the message files with `reconstruct`.',
    },
  );
}

/** For whoever would replace or remove a journal that was not folded into the index beside it. */
export function journalOfAnother(where: string): MailhaulError {
  return new MailhaulError('JNL_OTHER', 'The journal belongs to another store.idx than the one beside it.', {
    where,
    hint: 'One of the two was restored without the other: restore both from one backup, or rebuild the index from the message files with `reconstruct`.',
  });
}

/** The header of a new journal. */
export function encodeJournalHeader(index: JournalIndex): Uint8Array {
  const bytes = new Uint8Array(JOURNAL_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(JOURNAL_MAGIC);
  view.setUint32(8, JOURNAL_VERSION, true);
  view.setUint32(12, index.generation, true);
  view.setBigUint64(16, index.headerCheck, true);
  view.setBigUint64(HEADER_CHECK_AT, check64(bytes.subarray(0, HEADER_CHECK_AT)), true);
  return bytes;
}

interface JournalHeader extends JournalIndex {
  readonly version: number;
}

/** Which index a journal belongs to. Throws JNL_ damage. */
function decodeJournalHeader(bytes: Uint8Array): JournalHeader {
  if (!JOURNAL_MAGIC.every((byte, i) => i >= bytes.length || bytes[i] === byte)) {
    throw journalDamage('JNL_MAGIC', 'The file does not begin like a store.jnl.');
  }
  if (bytes.length < JOURNAL_HEADER_BYTES) {
    throw journalDamage('JNL_TRUNCATED', `The file has ${bytes.length} bytes, less than a header.`);
  }
  const view = viewOf(bytes);
  const version = view.getUint32(8, true);
  if (version !== JOURNAL_VERSION && version !== WITHOUT_BATCHES) {
    throw journalDamage('JNL_VERSION', `Version ${version} of store.jnl is not known.`);
  }
  if (view.getBigUint64(HEADER_CHECK_AT, true) !== check64(bytes.subarray(0, HEADER_CHECK_AT))) {
    throw journalDamage('JNL_HEADER', 'The header does not fit its check.');
  }
  return { version, generation: view.getUint32(12, true), headerCheck: view.getBigUint64(16, true) };
}

/** Reads a journal from its beginning; each `changes()` starts again. */
export class JournalReader {
  /** The journal belongs to `index`. Another one's is ignored: the index it was folded into is newer. */
  readonly belongs: boolean;
  /**
   * It was not folded into `index` either, which a stopped fold leaves: its changes are nowhere else, or those of the
   * index that it belongs to are not here.
   */
  readonly isOfAnother: boolean;
  /** Changes that share a sync share a record. */
  readonly hasBatches: boolean;
  private readonly source: ByteSource;
  private goodBytes = JOURNAL_HEADER_BYTES;

  /** Throws JNL_ damage of the header. */
  constructor(source: ByteSource, index: JournalIndex) {
    this.source = source;
    const written = decodeJournalHeader(source.read(0, JOURNAL_HEADER_BYTES));
    this.hasBatches = written.version !== WITHOUT_BATCHES;
    this.belongs = written.generation === index.generation && written.headerCheck === index.headerCheck;
    this.isOfAnother = !this.belongs && (written.generation + 1) >>> 0 !== index.generation;
  }

  /** Bytes up to the end of the last good record that `changes()` came to. */
  get end(): number {
    return this.goodBytes;
  }

  /** All acknowledged changes in order; none of a journal that does not belong. Throws JNL_RECORD. */
  *changes(): Generator<JournalChange> {
    this.goodBytes = JOURNAL_HEADER_BYTES;
    if (!this.belongs) return;
    for (;;) {
      const found = this.recordAt(this.goodBytes);
      if (found === undefined) return;
      if (found.type === TYPE.batch && this.hasBatches) yield* decodeBatch(found.payload, this.goodBytes);
      else yield decodeChange(found.type, found.payload, this.goodBytes);
      this.goodBytes = found.end;
    }
  }

  /**
   * Whether a record that fits its check lies behind the one at which `changes()` ended: that one was damaged later,
   * and acknowledged changes are lost with it. Without batches an append behind it says nothing: a retry wrote many
   * with one sync, and after a power loss a later one may be whole.
   */
  hasRecordsBehindEnd(): boolean {
    if (!this.belongs) return false;
    // Mail can hold what looks like the beginning of many long records.
    let budget = SCAN_BYTES;
    for (let at = this.goodBytes + 8; budget > 0; at += 8) {
      const head = this.source.read(at, RECORD_HEAD_BYTES);
      if (head.length < RECORD_HEAD_BYTES) return false;
      const view = viewOf(head);
      const [type, length] = [view.getUint32(0, true), view.getUint32(4, true)];
      if (type === 0 || type > TYPE.batch || length < 4 || at + length > this.source.size) continue;
      if (type === TYPE.append && !this.hasBatches) continue;
      budget -= length;
      if (this.recordAt(at) !== undefined) return true;
    }
    return false;
  }

  /** The record at `at`, undefined when it is cut or does not fit its check. */
  private recordAt(at: number): { type: number; payload: Uint8Array; end: number } | undefined {
    const head = this.source.read(at, RECORD_HEAD_BYTES);
    if (head.length < RECORD_HEAD_BYTES) return undefined;
    const length = viewOf(head).getUint32(4, true);
    const checkAt = align8(RECORD_HEAD_BYTES + length);
    if (at + checkAt + CHECK_BYTES > this.source.size) return undefined;
    const record = this.source.read(at, checkAt + CHECK_BYTES);
    if (record.length < checkAt + CHECK_BYTES) return undefined;
    const view = viewOf(record);
    const covered = record.subarray(0, RECORD_HEAD_BYTES + length);
    if (view.getBigUint64(checkAt, true) !== check64(covered)) return undefined;
    const payload = covered.subarray(RECORD_HEAD_BYTES);
    return { type: view.getUint32(0, true), payload, end: at + checkAt + CHECK_BYTES };
  }
}

function decodeChange(type: number, payload: Uint8Array, at: number): JournalChange {
  const change = parseChange(type, payload);
  if (change === undefined) {
    throw journalDamage('JNL_RECORD', `A record of type ${type} has no sense.`, `byte ${at}`);
  }
  return change;
}

/** The changes of a batch: records without a check of their own. */
function* decodeBatch(payload: Uint8Array, at: number): Generator<JournalChange> {
  const view = viewOf(payload);
  let from = 0;
  while (from + RECORD_HEAD_BYTES <= payload.length) {
    const length = view.getUint32(from + 4, true);
    const next = from + align8(RECORD_HEAD_BYTES + length);
    if (next > payload.length) break;
    const change = payload.subarray(from + RECORD_HEAD_BYTES, from + RECORD_HEAD_BYTES + length);
    yield decodeChange(view.getUint32(from, true), change, at);
    from = next;
  }
  if (from !== payload.length) throw journalDamage('JNL_RECORD', 'A batch ends within a change.', `byte ${at}`);
}

/** The change in a payload; undefined when it has none. */
function parseChange(type: number, payload: Uint8Array): JournalChange | undefined {
  const change = decodePayload(type, payload);
  return change === undefined || problemOf(change) !== undefined ? undefined : change;
}

function decodePayload(type: number, payload: Uint8Array): JournalChange | undefined {
  const view = viewOf(payload);
  if (type === TYPE.flags && payload.length >= 12) {
    const keywords = decodeKeywords(payload, 12, view.getUint32(8, true));
    if (keywords?.end !== payload.length) return undefined;
    const [uid, flags] = [view.getUint32(0, true), view.getUint32(4, true)];
    return { type: 'flags', uid, flags, keywords: keywords.values };
  }
  if (type === TYPE.append && payload.length >= RECORD_BYTES + 4) {
    const facts = factsOf(decodeRecord(payload, view, 0));
    const keywords = decodeKeywords(payload, RECORD_BYTES + 4, view.getUint32(RECORD_BYTES, true));
    if (keywords === undefined) return undefined;
    return { type: 'append', facts, keywords: keywords.values, cache: payload.slice(keywords.end) };
  }
  if (payload.length !== 4) return undefined;
  const value = view.getUint32(0, true);
  if (type === TYPE.expunge) return { type: 'expunge', uid: value };
  return type === TYPE.uidnext ? { type: 'uidnext', uidnext: value } : undefined;
}

/** What a reader would refuse in a change, or read otherwise than it was meant; undefined for nothing. */
function problemOf(change: JournalChange): string | undefined {
  switch (change.type) {
    case 'flags':
      return flagsProblem(change.flags, change.keywords);
    case 'append':
      return factsProblem(change.facts, change.cache) ?? flagsProblem(change.facts.flags, change.keywords);
    case 'expunge':
    case 'uidnext':
      return undefined;
  }
}

function flagsProblem(flags: number, keywords: readonly string[]): string | undefined {
  // Folding writes the flags into an index, where others would be damage.
  if (!Number.isInteger(flags) || flags < 0 || flags > KNOWN_FLAGS) return `There are no flags ${flags}.`;
  const odd = keywords.find((keyword) => Buffer.from(keyword).toString() !== keyword);
  return odd === undefined ? undefined : 'A keyword has no form in UTF-8.';
}

function factsProblem({ uid, internalDate, size, headerBytes }: MessageFacts, cache: Uint8Array): string | undefined {
  if (uid === 0) return 'A message has uid 0.';
  if (!Number.isSafeInteger(internalDate)) return `The date ${internalDate} is not a whole number of seconds.`;
  if (!Number.isSafeInteger(size) || headerBytes > size) return `The message cannot have ${size} bytes.`;
  return isCacheEntry(cache) ? undefined : 'The cache entry is none.';
}

/**
 * For whoever is about to put a change on record: written, it would make the mailbox unreadable.
 *
 * @throws MailhaulError CHANGE_INVALID
 */
export function refuseUnreadable(change: JournalChange, where: string): void {
  const problem = problemOf(change);
  if (problem === undefined) return;
  throw new MailhaulError('CHANGE_INVALID', `The change cannot be put on record. ${problem}`, { where });
}

function factsOf({ uid, flags, internalDate, size, headerBytes, digest }: MessageFacts): MessageFacts {
  return { uid, flags, internalDate, size, headerBytes, digest };
}

/** The record of a change, its check included. */
export function encodeChange(change: JournalChange): Uint8Array {
  return checked(TYPE[change.type], encodePayload(change));
}

/** One record of all these changes: after a crash they are all there, or none. */
export function encodeBatch(changes: readonly JournalChange[]): Uint8Array {
  return checked(
    TYPE.batch,
    Buffer.concat(changes.map((change) => unchecked(TYPE[change.type], encodePayload(change)))),
  );
}

function checked(type: number, payload: Uint8Array): Uint8Array {
  const check = new Uint8Array(CHECK_BYTES);
  const record = unchecked(type, payload);
  viewOf(check).setBigUint64(0, check64(record.subarray(0, RECORD_HEAD_BYTES + payload.length)), true);
  return Buffer.concat([record, check]);
}

/** Head and payload, padded. */
function unchecked(type: number, payload: Uint8Array): Uint8Array {
  const record = new Uint8Array(align8(RECORD_HEAD_BYTES + payload.length));
  const view = viewOf(record);
  view.setUint32(0, type, true);
  view.setUint32(4, payload.length, true);
  record.set(payload, RECORD_HEAD_BYTES);
  return record;
}

function encodePayload(change: JournalChange): Uint8Array {
  switch (change.type) {
    case 'flags': {
      const { uid, flags, keywords } = change;
      return Buffer.concat([u32(uid), u32(flags), u32(keywords.length), encodeKeywords(keywords)]);
    }
    case 'append': {
      const record = placelessRecord(change.facts);
      return Buffer.concat([record, u32(change.keywords.length), encodeKeywords(change.keywords), change.cache]);
    }
    case 'expunge':
      return u32(change.uid);
    case 'uidnext':
      return u32(change.uidnext);
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
