/**
 * Looks at everything in a store.idx and names all damage, also what a reader would not stumble over: counts
 * that do not add up, entries that are not back to back, references out of order.
 */
import { FLAG } from '../../engine/types.js';
import { MailhaulError } from '../../errors.js';
import { align8, HEADER_BYTES, type IndexDamageCode, KNOWN_FLAGS, SECTION_NAMES } from './format.js';
import { type IndexReader, openIndex } from './reader.js';
import type { IndexRecord } from './record.js';

export interface IndexDamage {
  readonly code: IndexDamageCode;
  readonly message: string;
  /** Section or `uid <n>`; undefined for the file as a whole. */
  readonly where: string | undefined;
}

/**
 * All damage of the index in an open file or in memory, one by one, so that memory stays bounded however
 * much there is. Nothing for a sound index. Throws only Node's errors of reading the file.
 */
export function* checkIndex(source: number | Uint8Array): Generator<IndexDamage> {
  const opened = attempt(() => openIndex(source));
  if ('code' in opened) return yield opened;
  const reader = opened.value;
  let recordsAreSound = true;
  for (const name of SECTION_NAMES) {
    const verified = attempt(() => reader.verify(name));
    if (!('code' in verified)) continue;
    yield verified;
    if (name !== 'admin') recordsAreSound = false;
  }
  yield* checkLayout(reader);
  // Without sound sections every record would only repeat the same complaint.
  if (recordsAreSound) yield* checkRecords(reader);
}

/** Sections lie one after the other, as the writers put them, with zeros in between. */
function* checkLayout(reader: IndexReader): Generator<IndexDamage> {
  const { header } = reader;
  let end = HEADER_BYTES;
  for (const name of SECTION_NAMES) {
    const { offset, bytes } = header.sections[name];
    if (offset !== align8(end)) {
      yield { code: 'IDX_SECTION', message: 'The section does not follow the one before.', where: name };
      return;
    }
    if (reader.bytesAt(end, offset - end).some((byte) => byte !== 0)) {
      yield { code: 'IDX_SECTION', message: 'The bytes in front of the section are not zero.', where: name };
    }
    end = offset + bytes;
  }
  if (end !== header.fileBytes) {
    yield { code: 'IDX_HEADER', message: 'The file does not end with its last section.', where: undefined };
  }
}

/** What the header says about all messages, counted again. */
interface Totals {
  uid: number;
  cacheBytes: number;
  keywords: number;
  bytesUsed: number;
  lastAppend: number;
  readonly flagged: Record<keyof typeof FLAG, number>;
}

function* checkRecords(reader: IndexReader): Generator<IndexDamage> {
  const totals: Totals = {
    uid: 0,
    cacheBytes: 0,
    keywords: 0,
    bytesUsed: 0,
    lastAppend: 0,
    flagged: { seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 },
  };
  let complete = true;
  for (let i = 0; i < reader.count; i++) {
    const read = attempt(() => reader.record(i));
    if ('code' in read) {
      complete = false;
      yield read;
      continue;
    }
    const record = read.value;
    const where = `uid ${record.uid}`;
    for (const message of recordProblems(reader, record, totals)) yield { code: 'IDX_RECORD', message, where };
    // Forged records could all point at the same bytes; only what follows the one before is read, so time stays linear.
    if (record.cacheOffset === totals.cacheBytes) {
      const cached = attempt(() => reader.cache(record));
      if ('code' in cached) yield cached;
    }
    addTo(totals, record, i === 0);
  }
  if (complete) yield* checkTotals(reader, totals);
}

function* recordProblems(reader: IndexReader, record: IndexRecord, before: Totals): Generator<string> {
  const { uidnext } = reader.header;
  if (record.uid <= before.uid) yield `It follows message ${before.uid}: uids must ascend.`;
  // The highest uid of all has no next one.
  if (record.uid >= uidnext && uidnext !== 0xffff_ffff) yield `Its uid is not below uidnext, ${uidnext}.`;
  if ((record.flags & ~KNOWN_FLAGS) !== 0) yield 'It has flags that are not known.';
  if (record.cacheOffset !== before.cacheBytes) yield 'Its cache entry does not follow the one before.';
  if (record.keywordFirst !== before.keywords) {
    yield 'Its keywords do not follow those of the message before.';
    return;
  }
  const refs = reader.keywordRefs(record);
  const table = reader.keywords().length;
  if (refs.some((ref, i) => ref >= table || (i > 0 && ref <= (refs[i - 1] ?? 0)))) {
    yield 'Its keywords do not ascend within the table.';
  }
}

function addTo(totals: Totals, record: IndexRecord, isFirst: boolean): void {
  totals.uid = record.uid;
  totals.cacheBytes = record.cacheOffset + record.cacheBytes;
  totals.keywords = record.keywordFirst + record.keywordCount;
  totals.bytesUsed += record.size;
  totals.lastAppend = isFirst ? record.internalDate : Math.max(totals.lastAppend, record.internalDate);
  for (const name of Object.keys(FLAG) as (keyof typeof FLAG)[]) {
    if ((record.flags & FLAG[name]) !== 0) totals.flagged[name]++;
  }
}

function* checkTotals({ header }: IndexReader, totals: Totals): Generator<IndexDamage> {
  const wrong: string[] = [];
  const compare = (what: string, said: number, counted: number): void => {
    if (said !== counted) wrong.push(`${what}: ${said}, counted ${counted}`);
  };
  for (const name of Object.keys(FLAG) as (keyof typeof FLAG)[]) compare(name, header[name], totals.flagged[name]);
  compare('bytes used', header.bytesUsed, totals.bytesUsed);
  compare('last append', header.lastAppend, totals.lastAppend);
  compare('bytes of cache', header.sections.cache.bytes, totals.cacheBytes);
  compare('keyword references', header.sections.keywordRefs.bytes / 4, totals.keywords);
  for (const line of wrong) {
    yield { code: 'IDX_HEADER', message: `The header does not fit the messages; ${line}.`, where: undefined };
  }
}

/** The value that `read` returns, or the damage that it threw. */
function attempt<T>(read: () => T): { value: T } | IndexDamage {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof MailhaulError && error.code.startsWith('IDX_')) {
      return { code: error.code as IndexDamageCode, message: error.message, where: error.where };
    }
    throw error;
  }
}
