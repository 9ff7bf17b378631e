/**
 * Hostile messages (docs/formats/message-structure.md, "Bounds"): sizes double, and what the parser does must not grow
 * faster. Work is counted in bytes that are looked at, through a Proxy-free measure: the time of a message twice as
 * large may be noisy, so only results and bounds are asserted, at sizes where anything quadratic would not end.
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
import { nested } from '../../support/messages.js';

const MB = 1024 * 1024;

function parse(message: Uint8Array) {
  const entry = decodeCacheEntry(parseMessage(message).cache);
  return { ...entry, values: [parseImapValue(entry.envelope), parseImapValue(entry.bodystructure)] as const };
}

function depth(part: PartRecord): number {
  return 1 + Math.max(0, ...part.children.map(depth));
}

function count(part: PartRecord): number {
  return part.children.reduce((sum, child) => sum + count(child), 1);
}

describe('hostile messages', () => {
  it.each<[string, (level: number) => string]>([
    ['multiparts', (level) => `Content-Type: multipart/mixed; boundary=l${level}\r\n\r\n--l${level}\r\n`],
    ['multiparts of one boundary', () => 'Content-Type: multipart/mixed; boundary=l\r\n\r\n--l\r\n'],
    ['messages', () => 'Content-Type: message/rfc822\r\n\r\n'],
    ['digests', (level) => `Content-Type: multipart/digest; boundary=l${level}\r\n\r\n--l${level}\r\n\r\n`],
  ])('10,000 nested %s are cut at 100 levels', (_, open) => {
    const { root, values } = parse(nested(10_000, open));
    expect(depth(root)).toBe(MAX_LEVELS);
    expect(JSON.stringify(values[1])).toContain('"application","octet-stream"');
  });

  it('100,000 parts are cut at 10,000; the last one holds the rest', () => {
    const part = '--b\r\n\r\nx\r\n';
    const message = Buffer.from(`Content-Type: multipart/mixed; boundary=b\r\n\r\n${part.repeat(100_000)}--b--\r\n`);
    const { root } = parse(message);
    expect(count(root)).toBe(MAX_PARTS);
    const last = root.children.at(-1)!;
    expect(last.headerOffset + last.headerBytes + last.bodyBytes).toBe(message.length);
  });

  it('100 open boundaries and a million lines that are nearly one', () => {
    const open = nested(99, (level) => {
      const boundary = `${'-'.repeat(60)}${level}`;
      return `Content-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n--${boundary}\r\n`;
    });
    const { root } = parse(Buffer.concat([open, Buffer.from(`${'-'.repeat(61)}\r\n`.repeat(200_000))]));
    expect(depth(root)).toBe(MAX_LEVELS);
  });

  it.each([1, 2, 4, 8].map((n) => n * 100_000))('%i addresses end at 32,768', (n) => {
    const list = parse(Buffer.from(`To: ${'a@b,'.repeat(n)}\r\n\r\n`)).values[0] as unknown[][];
    expect(list[5]).toHaveLength(32_768);
  });

  it.each([',', '(', '"', '<', '@', ':', ';', '\\', '[', '.', ' ', '\r\n ', '()', '<@', '"a', 'a@b"'])(
    'addresses of %j alone do not take quadratic time',
    (token) => {
      const field = token.repeat(Math.ceil((4 * MB) / token.length));
      const list = parse(Buffer.from(`From: ${field}\r\nCc: x@y\r\n\r\n`)).values[0] as unknown[];
      expect(list[6]).toEqual([[null, null, 'x', 'y']]);
    },
  );

  it.each([';', ';=', ';a', ';a*0=x', ';a*1=x', ';a="', '(', ';a=b(', '"', ';a*0*=%'])(
    'parameters of %j alone do not take quadratic time',
    (token) => {
      const field = token.repeat(Math.ceil((4 * MB) / token.length));
      const structure = parse(Buffer.from(`Content-Type: a/b${field}\r\n\r\n`)).values[1] as unknown[];
      expect(structure.length).toBeGreaterThan(5);
      expect(((structure[2] as unknown[] | null) ?? []).length).toBeLessThanOrEqual(2000);
    },
  );

  it('a header of 50 MB: values past 16 MiB are not looked at', () => {
    const fields = `Subject: ${'x'.repeat(990)}\r\n`.repeat(50_000);
    const { root, values } = parse(Buffer.from(`Date: d\r\n${fields}To: a@b\r\n\r\nbody`));
    expect(root.bodyBytes).toBe(4);
    expect((values[0] as unknown[])[0]).toBe('d');
    expect((values[0] as unknown[])[5]).toBeNull();
  });

  it('a header of 50 MB in one folded field', () => {
    const { root } = parse(Buffer.from(`Subject: ${'x\r\n '.repeat(12 * MB)}\r\n\r\nbody`));
    expect(root.bodyBytes).toBe(4);
  });

  it('one line of 100 MB', () => {
    const { root } = parse(Buffer.concat([Buffer.from('A: b\r\n\r\n'), Buffer.alloc(100 * MB, 'x')]));
    expect([root.bodyBytes, root.bodyLines]).toEqual([100 * MB, 0]);
  });

  it('a body of bare LFs grows to its CRLF form in one pass', () => {
    expect(crlfForm(Buffer.alloc(4 * MB, '\n')).length).toBe(8 * MB);
  });
});
