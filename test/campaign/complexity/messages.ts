/** One message that is as bad as can be, migrated by an engine: read, digested, parsed, linked, indexed. */
import * as fs from 'node:fs';
import { selectEngine } from '../../../src/engine/engines.js';
import { MESSAGE_ERRORS } from '../../../src/engine/types.js';
import { TestFolder } from '../../engine/portable/folder.js';
import { type Case, type EngineName, MB, sizes } from './case.js';
import { writeTokens } from './inputs.js';

/** Writes `head`, `n` times the token, `tail`, without holding it. */
function write(file: string, head: string, token: Text, n: number, tail: string): void {
  const fd = fs.openSync(file, 'w', 0o600);
  fs.writeSync(fd, head, null, 'latin1');
  if (typeof token === 'string') {
    const many = Math.max(1, Math.floor(MB / token.length));
    const piece = Buffer.from(token.repeat(many), 'latin1');
    for (let left = n; left > 0; left -= many) fs.writeSync(fd, piece, 0, Math.min(left, many) * token.length);
  } else writeTokens(fd, token, n);
  fs.writeSync(fd, tail, null, 'latin1');
  fs.closeSync(fd);
}

type Text = string | ((i: number) => string);

function message(
  name: string,
  unit: string,
  range: Pick<Case, 'quick' | 'long'>,
  head: string,
  token: Text,
  tail = '\r\n\r\nbody\r\n',
  limit?: string,
): Case {
  return {
    name,
    unit,
    ...range,
    engines: true,
    ...(limit === undefined ? {} : { limit }),
    make(directory, n) {
      const folder = new TestFolder(directory, directory);
      // Bytes are written in lines, everything else token by token.
      const { length } = typeof token === 'string' ? token : token(0);
      write(`${folder.source}/m`, head, token, unit === 'bytes' ? Math.ceil(n / length) : n, tail);
      return folder.input([{ uid: 1, name: 'm' }]);
    },
    run: (_directory, made, engine) => migrate(made as ReturnType<TestFolder['input']>, engine),
  };
}

/** Throws when the message was not migrated. */
export async function migrate(input: ReturnType<TestFolder['input']>, name: EngineName): Promise<void> {
  const engine = await selectEngine(name);
  const { errors, halt, summary } = engine.migrate(input);
  const failed = errors.findIndex((error) => error !== 0);
  if (halt !== null) throw new Error(`halted: ${halt.call}, errno ${halt.errno}`);
  if (failed >= 0) throw new Error(`message ${failed} failed: ${MESSAGE_ERRORS[errors[failed] ?? 0]}`);
  if (summary === null) throw new Error('no index');
}

const LINE = `${'x'.repeat(76)}\r\n`;
const count = sizes(250_000 / 4, 1_000_000);
const parts = sizes(40_000, 100_000);
const levels = sizes(10_000, 10_000);
const bytes = (most: number, all: number) => sizes(most * MB, all * MB);
/** Ninety-nine multiparts, one in another, whose boundaries begin alike and are long. */
const NEAR = 'y'.repeat(60);
const nest = (boundary: (level: number) => string): string =>
  Array.from(
    { length: 99 },
    (_, level) => `Content-Type: multipart/mixed; boundary="${boundary(level)}"\r\n\r\n--${boundary(level)}\r\n`,
  ).join('');

const VALUES = '16 MiB of values are looked at';
const PARTS = '10,000 parts';
const LEVELS = '100 levels';

/** Sixty-four names that differ in their last bytes only, all first sections, and as many second ones. */
function longNames(): Case {
  const name = 'RFC 2231 sections with long names';
  const plain = message(name, 'bytes', bytes(4, 15), '', '', '', VALUES);
  return {
    ...plain,
    make(directory, n) {
      const folder = new TestFolder(directory, directory);
      const long = 'n'.repeat(Math.floor(n / 128));
      const section = (i: number) => `; ${long}${100 + i}*${i < 64 ? 0 : 1}=x`;
      write(`${folder.source}/m`, 'Content-Type: text/plain', section, 128, '\r\n\r\nbody\r\n');
      return folder.input([{ uid: 1, name: 'm' }]);
    },
  };
}

export const MESSAGES: readonly Case[] = [
  message('plain message', 'bytes', bytes(32, 2048 - 1), 'Subject: x\r\n\r\n', LINE),
  message('message with bare LFs', 'bytes', bytes(16, 1024), 'Subject: x\n\n', LINE.replace('\r', '')),
  message('LFs only', 'bytes', bytes(8, 64), 'Subject: x\n\n', '\n'),
  message('one line', 'bytes', bytes(32, 100), 'Subject: x\r\n\r\n', 'x'.repeat(1024), ''),
  message(
    'MIME parts',
    'parts',
    parts,
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n',
    '--b\r\n\r\nx\r\n',
    '--b--\r\n',
    PARTS,
  ),
  message(
    'multiparts in a row, each its boundary',
    'parts',
    parts,
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n',
    (i) => `--b\r\nContent-Type: multipart/mixed; boundary=p${i}\r\n\r\n--p${i}\r\n\r\nx\r\n--p${i}--\r\n`,
    '--b--\r\n',
    PARTS,
  ),
  message(
    'nested multiparts',
    'levels',
    levels,
    '',
    (i) => `Content-Type: multipart/mixed; boundary=l${i}\r\n\r\n--l${i}\r\n`,
    '\r\nx\r\n',
    LEVELS,
  ),
  message(
    'nested messages',
    'levels',
    levels,
    '',
    'Content-Type: message/rfc822\r\n\r\n',
    'Subject: x\r\n\r\nx\r\n',
    LEVELS,
  ),
  message(
    'lines that are nearly one of 99 boundaries',
    'lines',
    count,
    nest((level) => `${NEAR}${level}`),
    `--${NEAR}z\r\n`,
  ),
  message(
    'boundary that every line begins with',
    'lines',
    count,
    nest(() => 'b'),
    '--bcd\r\n',
    '',
    PARTS,
  ),
  message(
    'lines of two dashes',
    'lines',
    count,
    nest((level) => `l${level}`),
    '--\r\n',
  ),
  message('header of unknown fields', 'bytes', bytes(16, 50), '', `X-Junk: ${'x'.repeat(60)}\r\n`),
  message(
    'header of Subject fields',
    'bytes',
    bytes(16, 50),
    '',
    `Subject: ${'x'.repeat(60)}\r\n`,
    undefined,
    '1,000 fields a part',
  ),
  message(
    'header of References fields',
    'bytes',
    bytes(16, 50),
    '',
    `References: <${'x'.repeat(60)}@y>\r\n`,
    undefined,
    '64 KiB are cached',
  ),
  message('one field of many lines', 'lines', count, 'Subject: x', '\r\n xxxxxxxx', undefined, VALUES),
  message('blanks in front of a colon', 'bytes', bytes(16, 50), 'Subject', ' ', ': x\r\n\r\n'),
  message('addresses in one To', 'addresses', count, 'To: a@b', ', "A B" <a@b.example>', undefined, '32,768 addresses'),
  message('groups in one To', 'groups', count, 'To: x@y', ', a: b@c;', undefined, '32,768 addresses'),
  message('routes that do not end', 'bytes', bytes(8, 16), 'To: ', '<@a,', undefined, VALUES),
  message('comments, nested', 'levels', sizes(1_000_000, 8_000_000), 'To: a@b ', '(', undefined, VALUES),
  message('comments behind every address', 'addresses', count, 'To: x@y', ', a@b (c', undefined, VALUES),
  message('quotes that do not end', 'bytes', bytes(8, 16), 'To: ', '"a', undefined, VALUES),
  message(
    'one encoded word after another',
    'words',
    count,
    'Subject: x',
    '\r\n =?iso-8859-1?Q?a=E4?=',
    undefined,
    VALUES,
  ),
  message('parameters', 'parameters', count, 'Content-Type: text/plain', '; a=b', undefined, '1,000 parameters'),
  message(
    'RFC 2231 sections',
    'parameters',
    count,
    'Content-Type: text/plain',
    (i) => `; a*${i % 100}*=%41`,
    undefined,
    '128 sections',
  ),
  longNames(),
  message(
    'dispositions',
    'parameters',
    count,
    'MIME-Version: 1.0\r\nContent-Disposition: attachment',
    '; a="\\b"',
    undefined,
    '1,000 parameters',
  ),
  message('languages', 'tags', count, 'MIME-Version: 1.0\r\nContent-Language: de', ', en', undefined, VALUES),
  message('NULs', 'bytes', bytes(16, 100), 'To: a@b\r\n\r\n', '\0'.repeat(1024), ''),
];

/** A folder of many messages, with names as long as they may be. */
function folderOf(name: string, file: (i: number) => string, range: Pick<Case, 'quick' | 'long'>): Case {
  return {
    name,
    unit: 'messages',
    ...range,
    engines: true,
    make(directory, n) {
      const folder = new TestFolder(directory, directory);
      for (let i = 0; i < n; i++)
        fs.writeFileSync(`${folder.source}/${file(i)}`, 'Subject: x\r\n\r\nx\r\n', { mode: 0o600 });
      const rows = Array.from({ length: n }, (_, i) => ({ uid: i + 1, name: file(i) }));
      return folder.input(rows);
    },
    run: (_directory, made, engine) => migrate(made as ReturnType<TestFolder['input']>, engine),
  };
}

export const FOLDERS: readonly Case[] = [
  folderOf('messages in one folder', (i) => `m${i}`, sizes(4_000, 1_000_000)),
  folderOf('names of 255 bytes', (i) => String(i).padStart(255, 'n'), sizes(2_000, 50_000)),
];
