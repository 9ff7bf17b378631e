/** What broken mail becomes (docs/formats/message-structure.md): one behaviour a test, on small messages. */
import { describe, expect, it } from 'vitest';
import { decodeCacheEntry, type ImapValue, parseImapValue, parseMessage } from '../../../src/engine/message/parse.js';

function message(...lines: string[]): Buffer {
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

function envelope(...header: string[]): ImapValue[] {
  const { cache } = parseMessage(message(...header, '', 'body', ''));
  return parseImapValue(decodeCacheEntry(cache).envelope) as ImapValue[];
}

/** The To list of a message with these To fields. */
function to(...values: string[]): ImapValue {
  return envelope(...values.map((value) => `To: ${value}`))[5]!;
}

function structure(...lines: string[]): ImapValue[] {
  return parseImapValue(decodeCacheEntry(parseMessage(message(...lines)).cache).bodystructure) as ImapValue[];
}

/** Parameters of a Content-Type application/x with this tail. */
function parameters(tail: string): ImapValue {
  return structure(`Content-Type: application/x${tail}`, '', '')[2]!;
}

const TEXT = (size: number, lines: number): ImapValue => [
  'text',
  'plain',
  ['charset', 'us-ascii'],
  null,
  null,
  '7bit',
  size,
  lines,
  null,
  null,
  null,
  null,
];

describe('header', () => {
  it('ends at the blank line, which belongs to it', () => {
    expect(parseMessage(message('A: b', '', 'body')).headerBytes).toBe(8);
  });

  it('reaches to the end of a message without a blank line', () => {
    expect(parseMessage(message('A: b', 'C: d')).headerBytes).toBe(10);
  });

  it('does not end at a line without a colon, or at a lone CR', () => {
    expect(envelope('junk', '\r x', 'Subject: s')[1]).toBe('s');
  });

  it('allows blanks before the colon', () => {
    expect(envelope('Subject \t: s')[1]).toBe('s');
  });

  it('unfolds by dropping line ends only, and keeps white space at the end', () => {
    expect(envelope('Subject: a', '\t b ')[1]).toBe('a\t b ');
    expect(envelope('Message-ID:', ' <1@x>')[9]).toBe(' <1@x>');
  });

  it('lets the last of a repeated text field rule', () => {
    expect(envelope('Subject: a', 'subject: b', 'Date: 1', 'Date:').slice(0, 2)).toEqual(['', 'b']);
  });

  it('keeps NUL, 8-bit and lone CR bytes', () => {
    expect(envelope('Subject: a\0\xe9\rb')[1]).toBe('a\0\xe9\rb');
  });
});

describe('addresses', () => {
  it('take From for a missing or empty Sender and Reply-To', () => {
    const from = [['Joe', null, 'joe', 'x.org']];
    expect(envelope('From: Joe <joe@x.org>', 'Sender: ()').slice(2, 5)).toEqual([from, from, from]);
  });

  it.each<[string, ImapValue]>([
    ['joe@x.org', [[null, null, 'joe', 'x.org']]],
    ['Joe Q. Public <j@x>', [['Joe Q. Public', null, 'j', 'x']]],
    ['"Joe \\"Q\\"" <j@x>', [['Joe "Q"', null, 'j', 'x']]],
    ['j@x (Joe (Q) \\) P)', [['Joe (Q) ) P', null, 'j', 'x']]],
    ['j@x (a) (b)', [['b', null, 'j', 'x']]],
    ['<@a.b,@c:j@x>', [[null, '@a.b,@c', 'j', 'x']]],
    ['<"a b"@[1.2.3.4]>', [[null, null, 'a b', '[1.2.3.4]']]],
    ['a . b @ x . y', [[null, null, 'a.b', 'x.y']]],
    [
      'G: a@b, C <c@d>;',
      [
        [null, null, 'G', null],
        [null, null, 'a', 'b'],
        ['C', null, 'c', 'd'],
        [null, null, null, null],
      ],
    ],
    [
      'undisclosed-recipients:;',
      [
        [null, null, 'undisclosed-recipients', null],
        [null, null, null, null],
      ],
    ],
    [
      'G: a@b',
      [
        [null, null, 'G', null],
        [null, null, 'a', 'b'],
        [null, null, null, null],
      ],
    ],
    [
      'a@b,, ,c@d,',
      [
        [null, null, 'a', 'b'],
        [null, null, 'c', 'd'],
      ],
    ],
    [
      'a@b; c@d',
      [
        [null, null, 'a', 'b'],
        [null, null, 'c', 'd'],
      ],
    ],
    ['a@b <c@d>', [['a@b', null, 'c', 'd']]],
    [
      'J <a@b, c@d',
      [
        ['J', null, 'a', 'b'],
        [null, null, 'c', 'd'],
      ],
    ],
    ['joe', [[null, null, 'joe', '']]],
    ['Joe Public', [['Joe Public', null, '', '']]],
    ['J <>', [['J', null, '', '']]],
    ['a@', [[null, null, 'a', '']]],
    ['a@b, "c@d', [[null, null, 'a', 'b']]],
    ['a@b "C" <c@d>', [[null, null, 'a', 'b']]],
    [
      'a@b x y, <c@d> z',
      [
        [null, null, 'a', 'b'],
        [null, null, 'c', 'd'],
      ],
    ],
    [
      'a@b) , c@d',
      [
        [null, null, 'a', 'b'],
        [null, null, 'c', 'd'],
      ],
    ],
    ['a@b,\0c@d', [[null, null, 'a', 'b']]],
    ['a@b (c', [['c', null, 'a', 'b']]],
    ['(only a comment) ', null],
    ['', null],
  ])('%s', (value, expected) => {
    expect(to(value)).toEqual(expected);
  });

  it('of repeated fields are one list', () => {
    expect(to('a@b', 'c@d')).toEqual([
      [null, null, 'a', 'b'],
      [null, null, 'c', 'd'],
    ]);
  });

  it('lose the line ends of folded quoted strings', () => {
    expect(to('"a\r\n b" <c@d>')).toEqual([['a b', null, 'c', 'd']]);
  });
});

describe('content fields', () => {
  it.each<[string, ImapValue]>([
    ['; a=b; C="d e"', ['a', 'b', 'C', 'd e']],
    ['; a="b\\"c"', ['a', 'b"c']],
    ['; a=b c.txt ; d=e', ['a', 'b c.txt', 'd', 'e']],
    ['; a==?utf-8?q?x?=', ['a', '=?utf-8?q?x?=']],
    ['; a="b', null],
    ['; a=; c=d', ['c', 'd']],
    ['; a="b"c; d=e', ['d', 'e']],
    ['; a; b=c', ['b', 'c']],
    [';; b=c;', ['b', 'c']],
    ["; f*=utf-8''a%20b", ['f*', "utf-8''a%20b"]],
    ['; f*1=b; f*0=a', ['f', 'ab']],
    ["; f*0*=utf-8''%20; f*1=a%; g=h", ['f*', "utf-8''%20a%25", 'g', 'h']],
    ['; f*0=a; f*1*=%20', ['f*', "''a%20"]],
    ['; f*0=a; f*2=c', ['f', 'a', 'f*2', 'c']],
    ['; f*1=b', ['f*1', 'b']],
  ])('parameters%s', (tail, expected) => {
    expect(parameters(tail)).toEqual(expected);
  });

  it('give text/plain for a Content-Type that cannot be read', () => {
    for (const type of ['text', '/plain', 'text/plain charset=x', 'text/', '"text"/plain', '']) {
      expect(structure(`Content-Type: ${type}`, '', 'x')).toEqual(TEXT(1, 0));
    }
  });

  it('keep their own spelling', () => {
    expect(structure('Content-Type: TEXT / Html ; Charset=X', 'Content-Transfer-Encoding: BASE64 (c)', '', '')).toEqual(
      ['TEXT', 'Html', ['Charset', 'X'], null, null, 'BASE64', 0, 0, null, null, null, null],
    );
  });

  it('fill all extension data', () => {
    const all = structure(
      'Content-Type: image/png',
      'Content-ID: <i>',
      'Content-Description: d',
      'Content-MD5: m',
      'Content-Disposition: attachment; filename=f',
      'Content-Language: en, de-AT',
      'Content-Location: http://x/',
      '',
      'body',
    );
    expect(all).toEqual([
      'image',
      'png',
      null,
      '<i>',
      'd',
      '7bit',
      4,
      'm',
      ['attachment', ['filename', 'f']],
      ['en', 'de-AT'],
      'http://x/',
    ]);
  });

  it('has language tags up to the first with something else behind it', () => {
    for (const [value, expected] of [
      ['en, de-AT ,es-419', ['en', 'de-AT', 'es-419']],
      ['en,', ['en']],
      ['en, d_e, fr', ['en']],
      ['en de', null],
    ] as const) {
      expect(structure('Content-Type: a/b', `Content-Language: ${value}`, '', '').at(-2)).toEqual(expected);
    }
  });

  it('mean nothing in a message that is not MIME', () => {
    expect(structure('Content-ID: <i>', 'Content-Transfer-Encoding: base64', '', 'x')).toEqual(TEXT(1, 0));
    expect(structure('MIME-Version: 1.0', 'Content-Transfer-Encoding: base64', '', 'x')[5]).toBe('base64');
  });

  it('ignore an encoding or disposition with text behind it', () => {
    const all = structure('MIME-Version: 1.0', 'Content-Transfer-Encoding: a b', 'Content-Disposition: c d', '', 'x');
    expect(all).toEqual(TEXT(1, 0));
  });
});

describe('multipart', () => {
  /** The parts and the subtype of a multipart and those in it, without the parameters and what follows them. */
  const parts = (value: ImapValue): ImapValue[] => {
    const list = value as ImapValue[];
    return Array.isArray(list[0]) ? list.slice(0, -4).map((item) => (Array.isArray(item) ? parts(item) : item)) : list;
  };
  const mixed = (...body: string[]): ImapValue[] =>
    parts(structure('Content-Type: multipart/mixed; boundary=b', '', ...body));

  it('gives the line end before a boundary to the boundary', () => {
    expect(mixed('pre', '--b', '', 'one', '--b', '', 'two', '', '--b--', 'post')).toEqual([
      TEXT(3, 0),
      TEXT(5, 1),
      'mixed',
    ]);
  });

  it('knows a boundary by how a line begins', () => {
    expect(mixed('--b  ', '', 'x', '--bc', '', 'y', '--b--z')).toEqual([TEXT(1, 0), TEXT(1, 0), 'mixed']);
  });

  it('prefers the longest of several boundaries that fit', () => {
    const inner = 'Content-Type: multipart/mixed; boundary=bb';
    expect(mixed('--b', inner, '', '--bb', '', 'x', '--bb--', '--b--')).toEqual([[TEXT(1, 0), 'mixed'], 'mixed']);
  });

  it('is ended by the boundary of an outer one', () => {
    const inner = 'Content-Type: multipart/mixed; boundary=c';
    expect(mixed('--b', inner, '', '--c', '', 'x', '--b', '', 'y', '--b--')).toEqual([
      [TEXT(1, 0), 'mixed'],
      TEXT(1, 0),
      'mixed',
    ]);
  });

  it('shows an empty text when it has no part', () => {
    expect(mixed('no boundary here')).toEqual([TEXT(0, 0), 'mixed']);
    expect(parts(structure('Content-Type: multipart/x', '', '--b', '', 'x'))).toEqual([TEXT(0, 0), 'x']);
  });

  it('takes the rest of a truncated message for its last part', () => {
    expect(mixed('--b', '', 'x', '')).toEqual([TEXT(3, 1), 'mixed']);
  });

  it('has a part whose header the boundary ends', () => {
    const png = mixed('--b', 'Content-Type: image/png', '--b--', '');
    expect(png).toEqual([['image', 'png', null, null, null, '7bit', 0, null, null, null, null], 'mixed']);
  });

  it('of type digest holds messages', () => {
    const digest = structure(
      'Content-Type: multipart/digest; boundary=b',
      '',
      '--b',
      '',
      'Subject: s',
      '',
      'x',
      '--b--',
    );
    expect(digest[0]).toEqual([
      'message',
      'rfc822',
      null,
      null,
      null,
      '7bit',
      15,
      [null, 's', null, null, null, null, null, null, null, null],
      TEXT(1, 0),
      2,
      null,
      null,
      null,
      null,
    ]);
  });
});

describe('message/rfc822', () => {
  it('counts header and body of the message in it', () => {
    const outer = structure('Content-Type: message/rfc822', '', 'From: a@b', '', 'x', 'y', '');
    expect(outer.slice(6, 10)).toEqual([19, expect.anything(), TEXT(6, 2), 4]);
    expect((outer[7] as ImapValue[])[2]).toEqual([[null, null, 'a', 'b']]);
  });

  it('may be empty', () => {
    expect(structure('Content-Type: message/rfc822', '', '').slice(6, 10)).toEqual([
      0,
      Array(10).fill(null),
      TEXT(0, 0),
      0,
    ]);
  });
});
