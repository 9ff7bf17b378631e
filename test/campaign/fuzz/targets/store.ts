/** Readers of store.idx, store.jnl and cache entries. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { decodeCacheEntry, type PartRecord } from '../../../../src/engine/message/decode.js';
import { parseImapValue } from '../../../../src/engine/message/imapvalue.js';
import { MailhaulError } from '../../../../src/errors.js';
import { check32, check64, loadDigest } from '../../../../src/store/digest.js';
import { checkIndex } from '../../../../src/store/index/check.js';
import { foldJournal } from '../../../../src/store/index/fold.js';
import { bytesSource } from '../../../../src/store/index/io.js';
import {
  encodeBatch,
  encodeChange,
  encodeJournalHeader,
  type JournalChange,
  JournalReader,
  journalIndexOf,
} from '../../../../src/store/index/journal.js';
import { type IndexedMessage, MailboxIndex, openMailboxIndex } from '../../../../src/store/index/mailboxIndex.js';
import { type IndexReader, openIndex } from '../../../../src/store/index/reader.js';
import { IndexBuilder } from '../../../../src/store/index/writer.js';
import { MemorySink } from '../../../support/memory-sink.js';
import { type FuzzTarget, promise, sure } from '../types.js';
import { sameShape, scratch } from './scratch.js';

const HEADER = 256;
const RECORD = 80;

/** An entry with these four sections. */
function entry(envelope: string, structure: string, parts: readonly number[], fields: string): Uint8Array {
  const sections = [Buffer.from(envelope), Buffer.from(structure), Buffer.from(parts), Buffer.from(fields)];
  const head = Buffer.alloc(16);
  sections.forEach((section, i) => void head.writeUInt32LE(section.length, i * 4));
  return new Uint8Array(Buffer.concat([head, ...sections]));
}

const ENTRIES = [
  entry(
    '("d" "s" ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL {3}\r\nx\u0001y "m")',
    '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)',
    [1, 0, 0, 0, 20, 3, 1],
    'X-Priority: 1\r\n',
  ),
  entry(
    '(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)',
    '(("a" "b" NIL)("c" "d" NIL) "mixed")',
    [3, 1, 2, 0, 10, 90, 9, 0, 0, 12, 2, 8, 1, 0, 0, 30, 2, 8, 1],
    '',
  ),
];

function sampleIndex(messages: number): Uint8Array {
  const sink = new MemorySink();
  const builder = new IndexBuilder(sink, {
    uidvalidity: 3,
    uidnext: 10 * messages + 1,
    generation: 2,
    keywords: ['Junk', '$Forwarded', 'work'],
    admin: Buffer.from('{"v":1}'),
  });
  for (let i = 1; i <= messages; i++) {
    const facts = {
      uid: 10 * i,
      flags: i,
      internalDate: i - 2,
      size: 100,
      headerBytes: 20,
      digest: new Uint8Array(16).fill(i),
    };
    builder.add(facts, i === 1 ? [] : [0, 2].slice(0, i - 1), ENTRIES[i % 2]!);
  }
  builder.finish();
  return new Uint8Array(sink.bytes());
}

/** Makes all checks of an index fit what is there. */
function repairIndex(input: Uint8Array): Uint8Array {
  if (input.length < HEADER) return input;
  const bytes = new Uint8Array(input);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(16, BigInt(bytes.length), true);
  const section = (i: number): { offset: number; length: number } => ({
    offset: Number(view.getBigUint64(88 + 24 * i, true)),
    length: Number(view.getBigUint64(96 + 24 * i, true)),
  });
  const inside = ({ offset, length }: { offset: number; length: number }): boolean => offset + length <= bytes.length;
  const [cache, records] = [section(0), section(1)];
  if (inside(cache) && inside(records)) {
    for (let at = records.offset; at + RECORD <= records.offset + records.length; at += RECORD) {
      const from = cache.offset + Number(view.getBigUint64(at + 48, true));
      const length = view.getUint32(at + 56, true);
      if (from + length <= bytes.length) view.setUint32(at + 60, check32(bytes.subarray(from, from + length)), true);
    }
  }
  for (let i = 1; i < 5; i++) {
    const { offset, length } = section(i);
    if (inside({ offset, length })) {
      view.setBigUint64(104 + 24 * i, check64(bytes.subarray(offset, offset + length)), true);
    }
  }
  view.setBigUint64(248, check64(bytes.subarray(0, 248)), true);
  return bytes;
}

/** The value, or nothing for damage that was reported as such. */
function answer<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MailhaulError) return undefined;
    throw error;
  }
}

interface Read {
  readonly facts: unknown;
  readonly refs: number[];
  readonly cache: Uint8Array;
}

function readAll(reader: IndexReader): Read[] {
  const all: Read[] = [];
  for (const record of reader.records()) {
    const { uid, flags, internalDate, size, headerBytes, digest } = record;
    const cache = reader.cache(record);
    answer(() => readEntry(cache));
    reader.keywordsOf(record);
    all.push({
      facts: { uid, flags, internalDate, size, headerBytes, digest },
      refs: reader.keywordRefs(record),
      cache,
    });
  }
  return all;
}

/** A sound index written once more holds the same. */
function rewrite(reader: IndexReader, messages: readonly Read[]): void {
  for (const { uid } of reader.records()) {
    promise(reader.byUid(uid)?.uid === uid, 'a message that is listed is found by its uid');
  }
  const sink = new MemorySink();
  const { uidvalidity, uidnext, generation } = reader.header;
  const frame = { uidvalidity, uidnext, generation, keywords: reader.keywords(), admin: reader.admin() };
  const builder = new IndexBuilder(sink, frame, messages.length);
  for (const { facts, refs, cache } of messages) builder.add(facts as never, refs, cache);
  builder.finish();
  const again = openIndex(new Uint8Array(sink.bytes()));
  promise(sameShape(readAll(again), messages), 'a sound index can be written again');
  promise(sameShape(again.keywords(), reader.keywords()), 'keywords can be written again');
  promise([...checkIndex(new Uint8Array(sink.bytes()))].length === 0, 'what is written is sound');
}

function index(): FuzzTarget {
  return {
    name: 'index',
    binary: true,
    maxBytes: 16_384,
    async seeds() {
      await loadDigest();
      return [sampleIndex(0), sampleIndex(1), sampleIndex(4)];
    },
    repair: repairIndex,
    run(bytes) {
      const damage = [...checkIndex(bytes)];
      for (const { code } of damage) promise(/^IDX_[A-Z]+$/.test(code), 'damage has a code');
      const reader = answer(() => openIndex(bytes));
      answer(() => reader?.admin());
      const messages = reader === undefined ? undefined : answer(() => readAll(reader));
      promise(messages !== undefined || damage.length > 0, 'what a reader refuses is damage by name');
      if (reader === undefined || messages === undefined || damage.length > 0) return;
      sure('a sound index can be written again', () => rewrite(reader, messages));
    },
  };
}

const CHANGES: readonly JournalChange[] = [
  { type: 'flags', uid: 10, flags: 3, keywords: ['a', 'work'] },
  { type: 'expunge', uid: 20 },
  { type: 'uidnext', uidnext: 60 },
  {
    type: 'append',
    facts: { uid: 60, flags: 1, internalDate: 5, size: 9, headerBytes: 2, digest: new Uint8Array(16) },
    keywords: ['b'],
    cache: ENTRIES[0]!,
  },
];

function journal(): FuzzTarget {
  const place = scratch();
  let indexBytes = new Uint8Array();
  let reader: IndexReader | undefined;
  let runs = 0;
  const opened = (): IndexReader => {
    promise(reader !== undefined, 'the sample index is open');
    return reader;
  };

  function repair(input: Uint8Array): Uint8Array {
    if (input.length < 32) return input;
    const bytes = new Uint8Array(input);
    const view = new DataView(bytes.buffer);
    bytes.set(encodeJournalHeader(journalIndexOf(opened())));
    for (let at = 32; at + 16 <= bytes.length; ) {
      let length = view.getUint32(at + 4, true);
      if (at + Math.ceil((8 + length) / 8) * 8 + 8 > bytes.length) {
        length = bytes.length - at - 16 - ((bytes.length - at) % 8);
        view.setUint32(at + 4, length, true);
      }
      const checkAt = at + Math.ceil((8 + length) / 8) * 8;
      view.setBigUint64(checkAt, check64(bytes.subarray(at, at + 8 + length)), true);
      at = checkAt + 8;
    }
    return bytes;
  }

  const picture = (messages: Iterable<IndexedMessage>): unknown =>
    [...messages].map(({ uid, flags, keywords, size, internalDate, digest, headerBytes, cache }) => ({
      uid,
      flags,
      // As folding has it: each once, without case, in any order.
      keywords: [...new Set(keywords.map((keyword) => keyword.toLowerCase()))].sort(),
      size,
      internalDate,
      digest,
      headerBytes,
      cache: answer(cache),
    }));

  function fold(bytes: Uint8Array): void {
    place.write('store.idx', indexBytes);
    place.write('store.jnl', bytes);
    const before = openMailboxIndex(place.dir);
    const expected = picture(before.messages());
    const { uidnext, count } = before;
    before.close();
    foldJournal(place.dir);
    const after = openMailboxIndex(place.dir);
    promise(sameShape(picture(after.messages()), expected), 'folding changes no message');
    promise(after.uidnext === uidnext && after.count === count, 'folding changes no number');
    after.close();
    promise([...checkIndex(fs.readFileSync(join(place.path, 'store.idx')))].length === 0, 'a folded index is sound');
  }

  return {
    name: 'journal',
    binary: true,
    maxBytes: 8192,
    async seeds() {
      await loadDigest();
      indexBytes = new Uint8Array(sampleIndex(3));
      reader = openIndex(indexBytes);
      const head = encodeJournalHeader(journalIndexOf(reader));
      const records = CHANGES.map(encodeChange);
      const batch = Buffer.concat([head, encodeBatch(CHANGES)]);
      return [
        head,
        Buffer.concat([head, ...records]),
        batch,
        ...records.map((record) => Buffer.concat([head, record])),
      ].map((seed) => new Uint8Array(seed));
    },
    repair,
    run(bytes) {
      const belongs = new JournalReader(bytesSource(bytes), journalIndexOf(opened()));
      const mailbox = new MailboxIndex(openIndex(indexBytes), bytesSource(bytes));
      let [count, uid] = [0, 0];
      for (const message of mailbox.messages()) {
        promise(message.uid > uid, 'uids ascend');
        promise(mailbox.byUid(message.uid)?.uid === message.uid, 'a message that is listed is found by its uid');
        uid = message.uid;
        count++;
        answer(message.cache);
      }
      promise(count === mailbox.count, 'as many messages are listed as there are');
      promise(uid < mailbox.uidnext || uid === 0xffff_ffff, 'uidnext is above all uids');
      const changes = [...belongs.changes()];
      promise(belongs.end <= bytes.length && changes.length === mailbox.changes, 'the journal ends within its file');
      const rewritten = Buffer.concat([encodeJournalHeader(journalIndexOf(opened())), ...changes.map(encodeChange)]);
      const again = new JournalReader(bytesSource(rewritten), journalIndexOf(opened()));
      promise(
        sameShape(
          sure('changes can be written again', () => [...again.changes()]),
          changes,
        ),
        'changes can be written again',
      );
      const whole = !mailbox.lostChanges && !mailbox.hasOtherJournal;
      if (runs++ % 16 === 0 && whole) sure('a journal can be folded', () => fold(bytes));
    },
    close: () => place.remove(),
  };
}

/** Decodes an entry and both IMAP values in it. */
function readEntry(bytes: Uint8Array): void {
  const { envelope, bodystructure, root } = decodeCacheEntry(bytes);
  const sum = (part: PartRecord): number => part.children.reduce((total, child) => total + sum(child), 1);
  promise(sum(root) <= bytes.length, 'a list of parts has no more parts than bytes');
  const check = (part: PartRecord): void => {
    for (const value of [part.headerOffset, part.headerBytes, part.bodyBytes, part.bodyLines]) {
      promise(Number.isSafeInteger(value) && value >= 0, 'an offset is a whole number');
    }
    part.children.forEach(check);
  };
  check(root);
  parseImapValue(envelope);
  parseImapValue(bodystructure);
}

function cache(): FuzzTarget {
  return {
    name: 'cache',
    binary: true,
    maxBytes: 8192,
    tokens: [
      '(',
      ')',
      '"',
      '\\"',
      '{1}\r\n',
      '{0}\r\n',
      '{9999999999}\r\n',
      ' ',
      '((((',
      '))))',
      'NIL',
      '1234567890123456',
    ],
    seeds: () => ENTRIES,
    repair(input) {
      // The last section takes what is left.
      if (input.length < 16) return input;
      const bytes = new Uint8Array(input);
      const view = new DataView(bytes.buffer);
      let left = bytes.length - 16;
      for (let i = 0; i < 4; i++) {
        const length = i === 3 ? left : Math.min(view.getUint32(i * 4, true), left);
        view.setUint32(i * 4, length, true);
        left -= length;
      }
      return bytes;
    },
    run: readEntry,
  };
}

export const targets = [index, journal, cache];
