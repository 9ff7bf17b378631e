/**
 * Random messages built from the grammar, well-formed and broken side by side: dense in the places that the rules of
 * docs/formats/message-structure.md are about, where mutations of real mail come only now and then.
 */
import type { Random } from './messages.js';

const BLANKS = ['', '', ' ', '  ', '\t', '\r\n ', '\r\n\t', ' (c) '];
const WORDS = ['Joe', '"Q. Public"', '"a\\"b"', 'John', '=?utf-8?q?a?=', '(c (d))', '.', 'a', 'b', '"x y"', '\xe9'];
const BROKEN_WORDS = ['[x]', '\\', '"', '(', ')', 'x@y', '>', '\0', '\r'];
const LOCALS = ['joe', 'a.b', '"q q"', 'a . b', 'a..b', '.a', 'a.', 'a b', '"a"."b"', '', '\xe9', 'a(c)', 'a/b', 'a=b'];
const DOMAINS = [
  'x.com',
  'b',
  '[1.2.3.4]',
  'a . b',
  'x (c)',
  'x(c).y',
  'b.',
  '.b',
  'a_b',
  '\xe9.com',
  '[',
  'b:1',
  '',
  'b)',
  'b\\',
  'b"',
];
const VALUES = [
  'x',
  '"x"',
  '"a b"',
  '"a\\"b"',
  'a b',
  '',
  '"',
  'a/b',
  "utf-8''a%20b",
  '\xe9',
  '=?u?q?x?=',
  'x(c)',
  '(c)x',
  '"a\r\n b"',
  'a\r\n b',
  '"x"y',
  '\x01',
];
const NAMES = [
  'charset',
  'name',
  'x',
  'boundary',
  'filename',
  'a*0',
  'a*1',
  'a*0*',
  'a*1*',
  'b*',
  'a*2',
  'A*1',
  'c*01',
  'c*100',
  '',
  '\xe9',
];
const TYPES = [
  'text/plain',
  'text/html',
  'TEXT/x',
  'a/b',
  'text',
  '/plain',
  'text/',
  'text / plain',
  'image/png x',
  'message/rfc822',
  'message/global',
  '',
  'text/plain(c)',
];
const BOUNDARIES = ['b', 'bb', 'b-', 'b--', 'long boundary', '"q"', 'b b ', '=_x', ''];
const BODY_LINES = ['line', '--', '-- ', '', '--x', '- -', '\r', '--b', '--bb', '--b--', '--b--x'];

class OddMail {
  constructor(private readonly random: Random) {}

  message(): Buffer {
    const kind = this.random.next(3);
    const text =
      kind === 0 ? `${this.header(8)}\r\nbody\r\n` : kind === 1 ? `To: ${this.addresses(4)}\r\n\r\n` : this.part(0);
    return Buffer.from(text, 'latin1');
  }

  private pick(items: readonly string[]): string {
    return this.random.pick(items);
  }

  /** Up to `limit` - 1 texts, one after the other. */
  private some(limit: number, make: () => string): string {
    let text = '';
    for (let left = this.random.next(limit); left > 0; left--) text += make();
    return text;
  }

  private phrase(): string {
    const words = this.random.next(4) === 0 ? [...WORDS, ...BROKEN_WORDS] : WORDS;
    return this.pick(words) + this.pick(BLANKS) + this.some(3, () => this.pick(words) + this.pick(BLANKS));
  }

  private mailbox(): string {
    return this.pick(LOCALS) + this.pick(['@', '@', '@', ' @ ', '@@', '']) + this.pick(DOMAINS);
  }

  private address(): string {
    switch (this.random.next(8)) {
      case 0:
      case 1:
        return this.mailbox();
      case 2:
      case 3:
        return `${this.phrase()}<${this.mailbox()}${this.pick(['>', '> ', '>', ''])}${this.pick(['', '', '(x)', ' y'])}`;
      case 4:
        return `${this.phrase()}<@${this.pick(DOMAINS)}${this.pick(['', ',@c', ', @c'])}:${this.mailbox()}>`;
      case 5:
        return `${this.phrase()}:${this.some(2, () => this.addresses(2))}${this.pick([';', ';', ''])}`;
      case 6:
        return `${this.mailbox()}${this.pick(BLANKS)}(${this.pick(['Joe', 'Joe (x)', 'a\\)b', ''])})`;
      default:
        return this.pick(['<>', 'user', ':', '"a b"', '<user>', '', this.phrase()]);
    }
  }

  private addresses(limit: number): string {
    const separator = this.pick([',', ',', ',', ';', '']);
    return this.address() + this.some(limit, () => separator + this.pick(BLANKS) + this.address() + this.pick(BLANKS));
  }

  private parameters(): string {
    const parameter = () =>
      `;${this.pick(BLANKS)}${this.pick(NAMES)}${this.pick(['=', '=', '=', '=', '', ' = ', '=='])}${this.pick(VALUES)}${this.pick(BLANKS)}`;
    return this.some(5, parameter) + this.pick(['', '', '', ';', ' ;;', ' garbage']);
  }

  private field(): string {
    const blank = this.pick(BLANKS);
    switch (this.random.next(12)) {
      case 0:
        return `${this.pick(['To', 'From', 'Cc', 'Sender', 'Reply-To', 'Bcc'])}${this.pick([':', ': ', ' : '])}${this.addresses(3)}`;
      case 1:
        return `To: ${this.addresses(3)}`;
      case 2:
        return `${this.pick(['Subject', 'Date', 'Message-ID', 'in-reply-to', 'References', 'List-X'])}${this.pick([':', ': ', ':\t', ':\r\n '])}${this.pick(['x', 'a  b', 'a\r\n\tb ', '', '\xe9'])}${blank}`;
      case 3:
      case 4:
      case 5:
        return `Content-Type:${blank}${this.pick(TYPES)}${this.parameters()}`;
      case 6:
        return `Content-Disposition:${blank}${this.pick(['inline', 'attachment', '', '"x"', 'a b'])}${this.parameters()}`;
      case 7:
        return `Content-Language:${blank}${this.pick(['en', 'en, de', 'en,,de', 'en-US,', 'e1', 'en;q=1', ',en', 'en de'])}${this.pick(BLANKS)}`;
      case 8:
        return `Content-Transfer-Encoding:${blank}${this.pick(['base64', '7bit (c)', 'x y', '', '"7bit"', 'a;b'])}`;
      case 9:
        return `${this.pick(['Content-ID', 'Content-Description', 'Content-MD5', 'Content-Location'])}:${blank}${this.pick(['<x>', 'a\r\n b', '', '\xe9'])}`;
      case 10:
        return this.pick(['MIME-Version: 1.0', 'no colon', ' leading', '-dash', '--b', ':x', 'X: y\r\n z']);
      default:
        return 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=x';
    }
  }

  private header(limit: number): string {
    return this.some(limit, () => `${this.field()}\r\n`);
  }

  private part(level: number): string {
    const blankLine = this.pick(['\r\n', '\r\n', '\r\n', '']);
    const kind = this.random.next(10);
    if (level > 5 || kind < 4) {
      return (
        this.header(4) + blankLine + this.some(4, () => `${this.pick(BODY_LINES)}\r\n`) + this.pick(['', '', 'end'])
      );
    }
    if (kind < 6) return `${this.header(2)}Content-Type: message/rfc822\r\n${blankLine}${this.part(level + 1)}`;
    const boundary = this.pick(BOUNDARIES);
    const quoted = this.pick([boundary, `"${boundary.replaceAll('"', '\\"')}"`]);
    const child = () =>
      `${this.pick(['', '\r\n', '\r\n'])}--${boundary}${this.pick(['', '', '', ' ', 'x', '--'])}\r\n${this.part(level + 1)}`;
    return [
      this.header(2),
      `Content-Type: multipart/${this.pick(['mixed', 'digest', 'Digest'])}; boundary=${quoted}\r\n`,
      blankLine,
      this.pick(['', 'preamble\r\n', '\r\n']),
      this.some(4, child),
      this.pick(['', '\r\n', '\r\n']),
      this.pick([`--${boundary}--`, `--${boundary}--`, `--${boundary}--x`, '']),
      this.pick(['', '\r\n', '\r\n\r\n', '\r\nepilogue\r\n']),
    ].join('');
  }
}

/** One random message, nearly always in CRLF form. */
export function oddMail(random: Random): Buffer {
  return new OddMail(random).message();
}
