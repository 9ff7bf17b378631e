import * as fs from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { check64, loadDigest } from '../../../src/store/digest.js';
import { checkIndex } from '../../../src/store/index/check.js';
import { fileSink } from '../../../src/store/index/io.js';
import { openIndex } from '../../../src/store/index/reader.js';
import { IndexBuilder } from '../../../src/store/index/writer.js';
import { buildIndex, cacheEntry, KEYWORDS, sampleFrame, sampleMessages, withDirectory } from './support.js';

describe('IndexReader', () => {
  beforeAll(loadDigest);

  it.each(Array.from({ length: 30 }, (_, seed) => seed))('reads what was written, seed %i', (seed) => {
    const messages = sampleMessages(seed * 7, seed);
    const reader = openIndex(buildIndex(messages, { generation: seed }));
    expect(reader.count).toBe(messages.length);
    expect(reader.header.generation).toBe(seed);
    expect(reader.header.bytesUsed).toBe(messages.reduce((sum, { facts }) => sum + facts.size, 0));
    expect(reader.keywords()).toEqual(KEYWORDS);
    expect(Buffer.from(reader.admin()).toString()).toBe('{"v":1,"mailbox":"user/anna"}');
    messages.forEach(({ facts, refs, cache }, i) => {
      const record = reader.record(i);
      expect(record).toMatchObject(facts);
      expect(reader.keywordsOf(record)).toEqual(refs.map((ref) => KEYWORDS[ref]));
      expect(Buffer.compare(reader.cache(record), cache)).toBe(0);
    });
    expect([...checkIndex(buildIndex(messages))]).toEqual([]);
  });

  it('finds every message by its uid, and no other', () => {
    const messages = sampleMessages(200, 1);
    const reader = openIndex(buildIndex(messages));
    const uids = new Set(messages.map(({ facts }) => facts.uid));
    for (let uid = 0; uid <= reader.header.uidnext; uid++) {
      expect(reader.byUid(uid)?.uid).toBe(uids.has(uid) ? uid : undefined);
    }
  });

  it('takes last append from the highest date, also before 1970, and 0 for an empty folder', () => {
    const early = sampleMessages(2, 3).map((message, i) => ({
      ...message,
      facts: { ...message.facts, internalDate: -10 - i },
    }));
    expect(openIndex(buildIndex(early)).header.lastAppend).toBe(-10);
    expect(openIndex(buildIndex([])).header.lastAppend).toBe(0);
  });

  it('lays out an empty folder as the format says', () => {
    const bytes = buildIndex([], { keywords: [], admin: new Uint8Array(0) });
    const { sections, fileBytes } = openIndex(bytes).header;
    const nothing = { offset: 256, bytes: 0, check: check64(new Uint8Array(0)) };
    expect(sections.cache).toEqual({ offset: 256, bytes: 0, check: 0n });
    expect([sections.records, sections.keywordRefs, sections.keywords, sections.admin]).toEqual(
      Array.from({ length: 4 }, () => nothing),
    );
    expect([fileBytes, bytes.length]).toEqual([256, 256]);
  });

  it('reads through a descriptor, entries larger than every buffer included', () =>
    withDirectory((_dir, directory) => {
      const messages = sampleMessages(3000, 9);
      messages.splice(1500, 1, {
        ...(messages[1500] as (typeof messages)[number]),
        cache: cacheEntry([400_000, 10, 10, 300_000], 7),
      });
      const fd = fs.openSync(`${directory}/store.idx`, 'w+');
      const builder = new IndexBuilder(fileSink(fd), sampleFrame(messages));
      for (const { facts, refs, cache } of messages) builder.add(facts, refs, cache);
      builder.finish();
      expect(Buffer.compare(fs.readFileSync(`${directory}/store.idx`), buildIndex(messages))).toBe(0);
      const reader = openIndex(fd);
      for (const [i, record] of [...reader.records()].entries()) {
        expect(Buffer.compare(reader.cache(record), messages[i]?.cache as Uint8Array)).toBe(0);
      }
      expect([...checkIndex(fd)]).toEqual([]);
      fs.closeSync(fd);
    }));

  it('refuses to write uids that do not ascend', () => {
    const messages = sampleMessages(2, 1).reverse();
    expect(() => buildIndex(messages)).toThrow(expect.objectContaining({ code: 'IDX_ORDER' }));
  });
});
