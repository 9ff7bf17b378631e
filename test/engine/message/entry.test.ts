/** The cache entry: its four parts, and that damage is named (docs/formats/store-idx.md). */
import { describe, expect, it } from 'vitest';
import {
  crlfForm,
  decodeCacheEntry,
  type PartRecord,
  parseImapValue,
  parseMessage,
} from '../../../src/engine/message/parse.js';
import { Random, seedMessages } from '../../support/messages.js';

const message = Buffer.from(
  [
    'Content-Type: multipart/mixed; boundary=b',
    'References: <1@x>',
    ' <2@x>',
    'X-Other: no',
    'LIST-Id : <l.x>',
    'X-Spam-Status: No',
    '',
    'preamble',
    '--b',
    'A: b',
    '',
    'one',
    '--b',
    'Content-Type: message/rfc822',
    '',
    'Subject: in',
    'References: <inner@x>',
    '',
    'two',
    'three',
    '--b--',
    '',
  ].join('\r\n'),
);

function slice(part: PartRecord): { header: string; body: string } {
  const body = part.headerOffset + part.headerBytes;
  return {
    header: message.toString('latin1', part.headerOffset, body),
    body: message.toString('latin1', body, body + part.bodyBytes),
  };
}

describe('cache entry', () => {
  it('answers BODY[n] and BODY[n.MIME] from its parts', () => {
    const { root } = decodeCacheEntry(parseMessage(message).cache);
    const [one, two] = root.children;
    expect(root.headerOffset + root.headerBytes + root.bodyBytes).toBe(message.length);
    expect(slice(one!)).toEqual({ header: 'A: b\r\n\r\n', body: 'one' });
    expect(slice(two!).header).toBe('Content-Type: message/rfc822\r\n\r\n');
    expect(slice(two!.children[0]!)).toEqual({
      header: 'Subject: in\r\nReferences: <inner@x>\r\n\r\n',
      body: 'two\r\nthree',
    });
    expect([root.kind, one!.kind, two!.kind, two!.children[0]!.bodyLines, root.bodyLines]).toEqual([1, 0, 2, 1, 14]);
  });

  it('keeps the raw fields that clients list by, of the message only', () => {
    const entry = decodeCacheEntry(parseMessage(message).cache);
    expect(Buffer.from(entry.fields).toString()).toBe(
      'References: <1@x>\r\n <2@x>\r\nLIST-Id : <l.x>\r\nX-Spam-Status: No\r\n',
    );
    expect(entry.fieldsComplete).toBe(true);
  });

  it('says when fields did not fit', () => {
    const long = Buffer.from(`References: a\r\nList-X: ${'x'.repeat(65_536)}\r\nPriority: 1\r\n\r\n`);
    const entry = decodeCacheEntry(parseMessage(long).cache);
    expect(entry.fieldsComplete).toBe(false);
    expect(Buffer.from(entry.fields).toString()).toBe('References: a\r\n');
  });

  it('is refused when it is damaged, and never read past its end', () => {
    const random = new Random(5);
    const { cache } = parseMessage(message);
    for (let i = 0; i < 3000; i++) {
      const broken = Buffer.from(cache.subarray(0, random.next(4) === 0 ? random.next(cache.length) : cache.length));
      if (broken.length > 0) broken[random.next(broken.length)] = random.next(256);
      try {
        const entry = decodeCacheEntry(broken);
        parseImapValue(entry.envelope);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(CACHE_ENTRY|IMAP_VALUE)$/) });
      }
    }
  });

  it('can be read back for every seed', () => {
    for (const seed of seedMessages) {
      const entry = decodeCacheEntry(parseMessage(seed).cache);
      expect(parseImapValue(entry.envelope)).toHaveLength(10);
      expect(Array.isArray(parseImapValue(entry.bodystructure))).toBe(true);
      expect(entry.root.headerBytes + entry.root.bodyBytes).toBe(seed.length);
    }
  });
});

describe('parseImapValue', () => {
  const parse = (text: string) => parseImapValue(Buffer.from(text, 'latin1'));

  it('reads strings, literals, numbers and NIL', () => {
    expect(parse('("a\\"\\\\" {3}\r\n\0\xe9) 12 NIL ("" ()))')).toEqual(['a"\\', '\0\xe9)', 12, null, ['', []]]);
  });

  it.each(['', '(', ')', '("a', '{3}\r\nab', '{x}', '(nil)', 'a', '1 2', `${'('.repeat(5000)}`])(
    'refuses %j',
    (text) => {
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'IMAP_VALUE' }));
    },
  );
});

describe('crlfForm', () => {
  it('gives every LF a CR and leaves the rest alone', () => {
    expect(Buffer.from(crlfForm(Buffer.from('\na\r\nb\nc\r\0\n\n'))).toString()).toBe('\r\na\r\nb\r\nc\r\0\r\n\r\n');
  });

  it('returns the same array when nothing changes', () => {
    const data = Buffer.from('a\r\nb\rc\0');
    expect(crlfForm(data)).toBe(data);
  });
});
