/** The index and the journal of a 4.x mailbox, also forged ones: every check right, every record claiming everything. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { check64, loadDigest } from '../../../src/store/digest.js';
import { bytesSource, fileSource } from '../../../src/store/index/io.js';
import { encodeChange, encodeJournalHeader, journalIndexOf } from '../../../src/store/index/journal.js';
import { MailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { IndexReader, openIndex } from '../../../src/store/index/reader.js';
import { IndexBuilder } from '../../../src/store/index/writer.js';
import { cacheEntry } from '../../store/index/support.js';
import { MemorySink } from '../../support/memory-sink.js';
import { type Case, sizes } from './case.js';
import { answered, type Shape } from './inputs.js';

const FACTS = { flags: 0, internalDate: 1, size: 100, headerBytes: 10, digest: new Uint8Array(16) };

function storeIndex(n: number): Uint8Array {
  const sink = new MemorySink();
  const frame = { uidvalidity: 1, uidnext: n + 1, generation: 0, keywords: [], admin: Buffer.from('{}') };
  const builder = new IndexBuilder(sink, frame);
  const cache = cacheEntry([10, 10, 10, 10], 1);
  for (let uid = 1; uid <= n; uid++) builder.add({ uid, ...FACTS }, [], cache);
  builder.finish();
  return sink.bytes();
}

/** Work on what `make` returns, in memory or below `directory`. */
function work<T>(
  shape: Shape,
  make: (n: number, directory: string) => T,
  run: (made: T, directory: string) => unknown,
): Case {
  return {
    ...shape,
    engines: false,
    async make(directory, n) {
      await loadDigest();
      return make(n, directory);
    },
    run: (directory, made) => run(made as T, directory),
  };
}

export const STORE: readonly Case[] = [
  work(
    { name: 'store.idx: messages, each read', unit: 'messages', ...sizes(60_000, 1_000_000) },
    (n, directory) => fs.writeFileSync(path.join(directory, 'store.idx'), storeIndex(n)),
    (_made, directory) => {
      const fd = fs.openSync(path.join(directory, 'store.idx'), 'r');
      const reader = new IndexReader(fileSource(fd));
      for (const record of reader.records()) reader.cache(record);
      fs.closeSync(fd);
    },
  ),
  work(
    {
      name: 'store.idx: every record claims all keywords',
      unit: 'messages',
      ...sizes(16_000, 64_000),
      limit: 'records lie back to back',
    },
    overlapping,
    (bytes) => {
      answered(() => {
        const reader = openIndex(bytes);
        for (const record of reader.records()) reader.keywordRefs(record);
      });
    },
  ),
  work(
    { name: 'store.jnl: records', unit: 'records', ...sizes(60_000, 4_000_000) },
    journalOf,
    ({ bytes, journal }) => {
      const mailbox = new MailboxIndex(openIndex(bytes), bytesSource(journal));
      if (mailbox.changes === 0) throw new Error('no change was read');
    },
  ),
];

function journalOf(n: number): { bytes: Uint8Array; journal: Uint8Array } {
  const bytes = storeIndex(1000);
  const records: Uint8Array[] = [encodeJournalHeader(journalIndexOf(openIndex(bytes)))];
  for (let i = 0; i < n; i++) {
    records.push(encodeChange({ type: 'flags', uid: 1 + (i % 1000), flags: i % 32, keywords: ['a', 'b'] }));
  }
  return { bytes, journal: Buffer.concat(records) };
}

/** An index of `n` messages with `n` references, of which every record claims all. */
function overlapping(n: number): Uint8Array {
  const sink = new MemorySink();
  const frame = { uidvalidity: 1, uidnext: n + 1, generation: 0, keywords: ['k'], admin: Buffer.from('{}') };
  const builder = new IndexBuilder(sink, frame);
  const cache = cacheEntry([0, 0, 0, 0], 0);
  for (let uid = 1; uid <= n; uid++) builder.add({ uid, ...FACTS }, [0], cache);
  builder.finish();
  return forged(sink.bytes(), n);
}

/** Rewrites the keyword columns of every record and the checks over them (docs/formats/store-idx.md). */
function forged(bytes: Uint8Array, n: number): Uint8Array {
  const { header } = openIndex(bytes);
  const at = header.sections.records.offset;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < n; i++) {
    view.setUint32(at + 80 * i + 64, 0, true);
    view.setUint32(at + 80 * i + 68, n, true);
  }
  resign(bytes);
  return bytes;
}

function resign(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records = 88 + 24;
  const offset = Number(view.getBigUint64(records, true));
  const length = Number(view.getBigUint64(records + 8, true));
  view.setBigUint64(records + 16, check64(bytes.subarray(offset, offset + length)), true);
  view.setBigUint64(248, check64(bytes.subarray(0, 248)), true);
}
