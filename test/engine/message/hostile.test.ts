/**
 * Hostile messages (docs/formats/message-structure.md, "Bounds"). No time is measured: the sizes are such that anything
 * quadratic would not end, and that a stack or the memory would run out where they are not bounded.
 */
import { describe, expect, it } from 'vitest';
import {
  crlfForm,
  decodeCacheEntry,
  MAX_LEVELS,
  MAX_PARTS,
  type PartRecord,
  parseImapValue,
  parseMessage,
} from '../../../src/engine/message/parse.js';
import { addressFloods, manyFields, manyParts, nearBoundaries, nests, parameterFloods } from '../../support/hostile.js';

const MB = 1024 * 1024;

function parse(message: Uint8Array) {
  const entry = decodeCacheEntry(parseMessage(message).cache);
  const envelope = parseImapValue(entry.envelope) as unknown[];
  return { root: entry.root, envelope, structure: parseImapValue(entry.bodystructure) as unknown[] };
}

function depth(part: PartRecord): number {
  return 1 + Math.max(0, ...part.children.map(depth));
}

function count(part: PartRecord): number {
  return part.children.reduce((sum, child) => sum + count(child), 1);
}

describe('hostile messages', () => {
  it.each(nests)('10,000 nested %s are cut at 100 levels', (_, message) => {
    const { root, structure } = parse(message);
    expect(depth(root)).toBe(MAX_LEVELS);
    expect(JSON.stringify(structure)).toContain('"application","octet-stream"');
  });

  it('100,000 parts are cut at 10,000; the last one holds the rest', () => {
    const { root } = parse(manyParts);
    expect(count(root)).toBe(MAX_PARTS);
    const last = root.children.at(-1)!;
    expect(last.headerOffset + last.headerBytes + last.bodyBytes).toBe(manyParts.length);
  });

  it('many open boundaries and many lines that are nearly one of them', () => {
    expect(depth(parse(nearBoundaries).root)).toBe(MAX_LEVELS);
  });

  it.each([1, 2, 4, 8].map((n) => n * 100_000))('%i addresses end at 32,768', (n) => {
    expect(parse(Buffer.from(`To: ${'a@b,'.repeat(n)}\r\n\r\n`)).envelope[5]).toHaveLength(32_768);
  });

  it.each(addressFloods)('a field of %j only', (_, message) => {
    expect(parse(message).envelope[6]).toEqual([[null, null, 'x', 'y']]);
  });

  it.each(parameterFloods)('parameters of %j only', (_, message) => {
    const parameters = parse(message).structure[2] as unknown[] | null;
    expect((parameters ?? []).length).toBeLessThanOrEqual(2 * 1000);
  });

  it('a header of many fields: the first 1,000 count', () => {
    const { envelope, root } = parse(manyFields);
    expect(envelope[0]).toBe('d');
    expect(envelope[5]).toHaveLength(499);
    expect(root.bodyBytes).toBe(4);
  });

  it('a header of 50 MB: values past 16 MiB are not looked at', () => {
    const fields = `Subject: ${'x'.repeat(99_990)}\r\n`.repeat(500);
    const { root, envelope } = parse(Buffer.from(`Date: d\r\n${fields}To: a@b\r\n\r\nbody`));
    expect(root.bodyBytes).toBe(4);
    expect([envelope[0], envelope[5]]).toEqual(['d', null]);
  });

  it('one line of 100 MB', () => {
    const { root } = parse(Buffer.concat([Buffer.from('A: b\r\n\r\n'), Buffer.alloc(100 * MB, 'x')]));
    expect([root.bodyBytes, root.bodyLines]).toEqual([100 * MB, 0]);
  });

  it('a body of bare LFs grows to its CRLF form in one pass', () => {
    expect(crlfForm(Buffer.alloc(2 * MB, '\n')).length).toBe(4 * MB);
  });
});
