/** Hostile messages (docs/formats/message-structure.md, "Bounds"), a few megabytes each. */
import { nested } from './messages.js';

const MB = 1024 * 1024;

function filled(head: string, token: string, tail: string): Buffer {
  return Buffer.from(`${head}${token.repeat(Math.ceil((2 * MB) / token.length))}${tail}`, 'latin1');
}

/** 10,000 levels, each opened by this text. */
export const nests: readonly [string, Buffer][] = (
  [
    ['multiparts', (level: number) => `Content-Type: multipart/mixed; boundary=l${level}\r\n\r\n--l${level}\r\n`],
    ['multiparts of one boundary', () => 'Content-Type: multipart/mixed; boundary=l\r\n\r\n--l\r\n'],
    ['messages', () => 'Content-Type: message/rfc822\r\n\r\n'],
    ['digests', (level: number) => `Content-Type: multipart/digest; boundary=l${level}\r\n\r\n--l${level}\r\n\r\n`],
  ] as const
).map(([name, open]) => [name, nested(10_000, open)]);

/** A From of one token only, then a Cc of one address. */
export const addressFloods: readonly [string, Buffer][] = [
  ',',
  '(',
  '"',
  '<',
  '@',
  ':',
  ';',
  '\\',
  '[',
  '.',
  ' ',
  '\r\n ',
  '()',
  '<@',
  '"a',
  'a@b"',
  'a@b ',
  'a@b,',
  '<a@b>',
  'a@b(',
].map((token) => [token, filled('From: ', token, '\r\nCc: x@y\r\n\r\n')]);

/** A Content-Type with a tail of one token only. */
export const parameterFloods: readonly [string, Buffer][] = [
  ';',
  ';=',
  ';a',
  ';a ',
  ';a*0=x',
  ';a*1=x',
  ';a="',
  '(',
  ';a=b(',
  '"',
  ';a*0*=%',
  ';a="\\',
  ';a=b ',
].map((token) => [token, filled('Content-Type: a/b', token, '\r\n\r\n')]);

/** 100,000 parts. */
export const manyParts = Buffer.from(
  `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n\r\nx\r\n'.repeat(100_000)}--b--\r\n`,
);

/** 99 open boundaries, then lines that are nearly one of them. */
export const nearBoundaries = Buffer.concat([
  nested(99, (level) => {
    const boundary = `${'-'.repeat(60)}${level}`;
    return `Content-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n--${boundary}\r\n`;
  }),
  Buffer.from(`${'-'.repeat(61)}\r\n`.repeat(50_000)),
]);

export const manyFields = filled('Date: d\r\n', 'Subject: x\r\nTo: a@b\r\n', '\r\nbody');
