/**
 * Messages for tests of the parsers: seeds that touch every rule of docs/formats/message-structure.md, and seeded
 * mutations of any messages. The same seed gives the same messages on every machine.
 */

/** A small, fast generator of numbers (xorshift32); `next(n)` is 0 … n-1. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0 || 1;
  }

  next(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.next(items.length)]!;
  }
}

const lines = (...all: string[]): Buffer => Buffer.from(all.join('\r\n'), 'latin1');

/** Built-in seeds, in CRLF form, so that the comparison has something to work on without the corpus. */
export const seedMessages: readonly Buffer[] = [
  Buffer.alloc(0),
  lines('', ''),
  lines('From: Joe Q. Public <john.q.public@example.com>', 'To: Mary Smith <@one.test,@two.test:mary@x.test>', '', 'x'),
  lines(
    'To: A Group(Some people)',
    "     :Chris Jones <c@(Chris's host.)public.example>,",
    '  joe@example.org;',
    '',
    '',
  ),
  lines(
    'Cc: undisclosed-recipients:;, "a\\"b" <"x y"@[1.2.3.4]> (c), <>, c@d (e(f)), g . h @ i . j',
    'Cc: ;:@<,>"',
    '',
  ),
  lines(
    'Date: a',
    'Date: b',
    'Subject : =?utf-8?q?x?=',
    '\tfolded ',
    'Message-ID:  <1@x> ',
    'List-Id: <l>',
    ' more',
    '',
    'b',
  ),
  lines(
    'Content-Type: text/html; charset=; name="a\\\\b',
    ' c"; x*1*=%20b; x*0=a%; y*0="1"; y*1="2";;z = q r (c) ; =e',
    '',
    '',
  ),
  lines(
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="b"',
    '',
    'preamble',
    '--b',
    '',
    'one',
    '--b',
    'Content-Type: multipart/digest; boundary=b2',
    '',
    '--b2',
    '',
    'Subject: inner',
    '',
    'two',
    '--b2',
    'Content-Type: text/plain; charset="utf-8"',
    "Content-Disposition: attachment; filename*=utf-8''x",
    '--b2--',
    'epilogue',
    '--b',
    'Content-Type: message/rfc822',
    'Content-Language: en, de-AT',
    '',
    'From: x@y',
    'Content-Type: multipart/x; boundary=b3',
    '',
    '--b3--',
    '--b--',
    'end',
  ),
  lines(
    'Content-Type: multipart/mixed; boundary=a',
    '',
    '--a',
    'Content-Type: message/rfc822',
    '--a',
    '--a-',
    '',
    '--a--x',
  ),
  lines('Content-Type: multipart/mixed', '', '--a', '', 'x', '--a--', ''),
  lines(
    'Content-Type: text',
    'Content-Transfer-Encoding: base64 x',
    'Content-Disposition: ;a=b',
    'Content-ID: <i>',
    '',
    '',
  ),
  Buffer.from('bare\rCR\0: NUL\r\nSubject: \0\x80\xff\r\r\n\r\nbody\0', 'latin1'),
  nested(120, (level) => `Content-Type: multipart/mixed; boundary=l${level}\r\n\r\n--l${level}\r\n`),
  nested(120, () => 'Content-Type: message/rfc822\r\n\r\n'),
];

/** A message that opens `levels` parts within one another. */
export function nested(levels: number, open: (level: number) => string): Buffer {
  return Buffer.from(`${Array.from({ length: levels }, (_, level) => open(level)).join('')}\r\nend\r\n`, 'latin1');
}

/** What mutations insert: the tokens that the rules are about. */
const TOKENS: readonly string[] = [
  '\r\n',
  '\r\n\r\n',
  '\r\n ',
  '\r\n\t',
  '\r',
  '\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '<',
  '>',
  '@',
  '(',
  ')',
  '"',
  '\\',
  '.',
  '[',
  ']',
  '=',
  '*',
  '%',
  '--',
  '\r\n--',
  '/',
  '\r\nTo: ',
  '\r\nFrom: ',
  '\r\nSubject: ',
  '\r\nDate: ',
  '\r\nSender:',
  '\r\nReply-To: ',
  '\r\nReferences: ',
  '\r\nList-X:',
  '\r\nContent-Type: ',
  '\r\nContent-Type: message/rfc822\r\n\r\n',
  '\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n',
  '\r\nContent-Disposition: ',
  '\r\nContent-Language: en,',
  '\r\nContent-Transfer-Encoding: ',
  '\r\nContent-ID: ',
  'multipart/digest; boundary="b"',
  'text/plain; ',
  '; a*0*=x',
  '; a*1=y',
  '; a*=z',
  'charset=',
  '=?q?',
  'é',
  '\xff',
  '(x(y)z)',
  'a@b',
  'g:',
  '"q\\"r"',
];

/** A message made from seeds by up to eight random changes; about three quarters are in CRLF form. */
export function mutate(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  let data = Buffer.from(random.pick(seeds));
  // Long messages spend the time in their bodies; what matters is near the header and the boundaries.
  if (data.length > 20_000) data = data.subarray(0, 20_000);
  for (let change = random.next(8) + 1; change > 0; change--) {
    const at = random.next(random.next(2) === 0 ? data.length + 1 : Math.min(data.length, 1500) + 1);
    const length = random.next(Math.min(random.pick([2, 20, 400]), data.length - at + 1) + 1);
    const head = data.subarray(0, at);
    const tail = data.subarray(at);
    switch (random.next(6)) {
      case 0:
        data = Buffer.concat([head, Buffer.from(random.pick(TOKENS), 'latin1'), tail]);
        break;
      case 1:
        data = Buffer.concat([head, tail.subarray(length)]);
        break;
      case 2:
        data = Buffer.concat([head, tail.subarray(0, length), tail]);
        break;
      case 3:
        data = Buffer.concat([head, Buffer.from([random.next(256)]), tail.subarray(1)]);
        break;
      case 4: {
        const other = random.pick(seeds);
        const from = random.next(other.length + 1);
        data = Buffer.concat([head, other.subarray(from, from + 400), tail]);
        break;
      }
      default:
        data = Buffer.concat([head, Buffer.from(random.pick(TOKENS), 'latin1'), tail.subarray(length)]);
    }
  }
  return data;
}
