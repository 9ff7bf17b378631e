/** Rows of the Damage table that only warn, with each engine: all in one store, whose exit code must stay 0. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import {
  FILE_TIME,
  header,
  inbox,
  LINE_TIME,
  line,
  look,
  mailboxOf,
  makeRows,
  ofUser,
  type Row,
  type Seen,
  seconds,
  sha256,
  shown,
  subject,
  UIDVALIDITY,
  userOf,
} from './damage-support.js';
import { type HandSite, MAIL, messagesResult, putMail, type Result } from './hand-site.js';

const WARNINGS: readonly Row[] = [
  {
    row: '.mailbox missing: every file follows, a uidvalidity is chosen',
    make(directory) {
      putMail(directory, 'b', undefined, FILE_TIME + 1);
      putMail(directory, 'a', undefined, FILE_TIME + 2);
      return null;
    },
    check(became) {
      expect(shown(became, ['a', 'b'])).toEqual([
        [1, 'b', '', FILE_TIME + 1],
        [2, 'a', '', FILE_TIME + 2],
      ]);
      expect(became.mailbox.uidnext).toBe(3);
      expect(became.mailbox.uidvalidity).toBeGreaterThanOrEqual(became.started);
      expect(became.mailbox.uidvalidity).toBeLessThanOrEqual(became.ended);
      expect(became.log).toMatch(/Warning: .*(HEADER_LOST|INDEX_MISSING)/);
    },
  },
  {
    row: '.mailbox empty: every file follows',
    make(directory) {
      putMail(directory, 'a');
      return '';
    },
    check(became) {
      expect(shown(became, ['a'])).toEqual([[1, 'a', '', FILE_TIME]]);
      expect(became.mailbox.uidvalidity).toBeGreaterThanOrEqual(became.started);
      expect(became.log).toMatch(/Warning: .*INDEX_EMPTY/);
    },
  },
  {
    row: '.mailbox truncated inside a line: the lines before count, the other files follow from uidnext',
    make(directory) {
      for (const name of ['one', 'two', 'three']) putMail(directory, name);
      return `${header(10)}${line(1, 'one', { flags: 'S' })}${line(2, 'two')}3 ${LINE_TIME} F`;
    },
    check(became) {
      expect(shown(became, ['one', 'two', 'three'])).toEqual([
        [1, 'one', '\\Seen', LINE_TIME],
        [2, 'two', '', LINE_TIME],
        [10, 'three', '', FILE_TIME],
      ]);
      expect(became.mailbox).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 11 });
      expect(became.log).toMatch(/Warning: /);
    },
  },
  {
    row: '.mailbox truncated inside the last name: that file follows too',
    make(directory) {
      for (const name of ['one', 'two-long']) putMail(directory, name);
      return `${header(3)}${line(1, 'one')}${line(2, 'two-long').slice(0, -6)}`;
    },
    check(became) {
      expect(shown(became, ['one', 'two-long'])).toEqual([
        [1, 'one', '', LINE_TIME],
        [3, 'two-long', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(4);
    },
  },
  {
    row: '.mailbox unparsable in parts: a line is usable if uid and name parse',
    make(directory) {
      for (const name of ['good', 'bad uid', 'zero', 'large', 'negative', 'last']) putMail(directory, name);
      return [
        header(20),
        'complete rubbish\n',
        '\n',
        '\x00\xff\xfe\n',
        line('x5', 'bad uid'),
        line(0, 'zero'),
        line('4294967296', 'large'),
        line(-1, 'negative'),
        line(6, '../../etc/passwd'),
        line(7, '.hidden'),
        `8 ${LINE_TIME} - 5 \n`,
        `9 ${LINE_TIME} - 5\n`,
        line(10, 'nul\0name'),
        line(11, 'good'),
        line(12, 'last', { flags: 'AF' }),
      ].join('');
    },
    check(became) {
      const names = ['good', 'bad uid', 'zero', 'large', 'negative', 'last'];
      expect(shown(became, names)).toEqual([
        [11, 'good', '', LINE_TIME],
        [12, 'last', '\\Answered \\Flagged', LINE_TIME],
        [20, 'bad uid', '', FILE_TIME],
        [21, 'large', '', FILE_TIME],
        [22, 'negative', '', FILE_TIME],
        [23, 'zero', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(24);
      expect(became.log).toMatch(/Warning: .*INDEX_LINE/);
    },
  },
  {
    row: 'a bad date becomes the modification time; bad flag letters are dropped; keywords are one whatever their case',
    make(directory) {
      const names = ['word', 'minus', 'letters', 'empty flags', 'twice', 'keywords', 'only keyword', 'recent', 'epoch'];
      for (const name of names) putMail(directory, name);
      return [
        header(10),
        line(1, 'word', { date: 'yesterday', flags: 'S' }),
        line(2, 'minus', { date: '-5' }),
        line(3, 'letters', { flags: 'xSyDz' }),
        line(4, 'empty flags', { flags: '' }),
        line(5, 'twice', { flags: 'SSA' }),
        line(6, 'keywords', { flags: 'SA,$Forwarded,Junk,junk' }),
        line(7, 'only keyword', { flags: ',JUNK,a(b' }),
        line(8, 'recent', { flags: 'RT' }),
        line(9, 'epoch', { date: '0' }),
      ].join('');
    },
    check(became) {
      const names = ['word', 'minus', 'letters', 'empty flags', 'twice', 'keywords', 'only keyword', 'recent', 'epoch'];
      expect(shown(became, names)).toEqual([
        [1, 'word', '\\Seen', FILE_TIME],
        [2, 'minus', '', FILE_TIME],
        [3, 'letters', '\\Deleted \\Seen', LINE_TIME],
        [4, 'empty flags', '', LINE_TIME],
        [5, 'twice', '\\Answered \\Seen', LINE_TIME],
        [6, 'keywords', '$Forwarded Junk \\Answered \\Seen', LINE_TIME],
        [7, 'only keyword', 'Junk', LINE_TIME],
        [8, 'recent', '\\Draft', LINE_TIME],
        [9, 'epoch', '', 0],
      ]);
      expect(became.log).toMatch(/Warning: .*INDEX_DATE/);
      expect(became.log).toMatch(/Warning: .*INDEX_FLAGS/);
    },
  },
  {
    row: 'header lost, lines whole: uids and flags stay, -s chooses the uidvalidity',
    make(directory) {
      for (const name of ['one', 'two', 'new']) putMail(directory, name);
      return `NSMB 3 garbage\n${line(3, 'one', { flags: 'D' })}${line(8, 'two')}`;
    },
    check(became) {
      expect(shown(became, ['one', 'two', 'new'])).toEqual([
        [3, 'one', '\\Deleted', LINE_TIME],
        [8, 'two', '', LINE_TIME],
        [9, 'new', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(10);
      expect(became.mailbox.uidvalidity).toBeGreaterThanOrEqual(became.started);
      expect(became.mailbox.uidvalidity).toBeLessThanOrEqual(became.ended);
      expect(became.log).toMatch(/Warning: .*FOLDER_HEADER_LOST/);
    },
  },
  {
    row: 'header line missing, first line is a message: it counts',
    make(directory) {
      putMail(directory, 'one');
      return line(5, 'one', { flags: 'S' });
    },
    check(became) {
      expect(shown(became, ['one'])).toEqual([[5, 'one', '\\Seen', LINE_TIME]]);
      expect(became.mailbox.uidnext).toBe(6);
    },
  },
  {
    row: 'line without a file: nothing is migrated for it, its uid is not used again',
    make(directory) {
      putMail(directory, 'here');
      putMail(directory, 'new');
      return `${header(4)}${line(1, 'here')}${line(9, 'gone')}`;
    },
    check(became) {
      expect(shown(became, ['here', 'new', 'gone'])).toEqual([
        [1, 'here', '', LINE_TIME],
        [10, 'new', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(11);
      expect(became.log).toMatch(/Warning: .*LINE_WITHOUT_FILE.*gone/);
    },
  },
  {
    row: 'file without a line: taken without flags, in order of modification time to the nanosecond, then name bytes',
    make(directory) {
      // Node's utimes loses nanoseconds; touch does not.
      const times = { z: '000000001', y: '000000002', 'B first': '000000003', 'a second': '000000003' };
      for (const [name, nanoseconds] of Object.entries(times)) {
        const file = putMail(directory, name);
        const touch = spawnSync('touch', ['-d', `@${FILE_TIME}.${nanoseconds}`, file]);
        if (touch.status !== 0) throw new Error('touch failed');
      }
      putMail(directory, 'earlier', undefined, FILE_TIME - 1);
      return header(5);
    },
    check(became) {
      expect(shown(became, ['z', 'y', 'B first', 'a second', 'earlier'])).toEqual([
        [5, 'earlier', '', FILE_TIME - 1],
        [6, 'z', '', FILE_TIME],
        [7, 'y', '', FILE_TIME],
        [8, 'B first', '', FILE_TIME],
        [9, 'a second', '', FILE_TIME],
      ]);
      expect(became.mailbox).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 10 });
      expect(became.log).toMatch(/Warning: .*FILE_WITHOUT_LINE/);
    },
  },
  {
    row: 'new uids start at uidnext when it is above the highest uid; uidnext never falls',
    make(directory) {
      putMail(directory, 'listed');
      putMail(directory, 'new');
      return `${header(500)}${line(3, 'listed')}`;
    },
    check(became) {
      expect(became.messages.map(({ uid }) => uid)).toEqual([3, 500]);
      expect(became.mailbox.uidnext).toBe(501);
    },
  },
  {
    row: 'uidnext stays when nothing new comes, and rises above the highest uid',
    make(directory) {
      putMail(directory, 'listed');
      return `${header(500)}${line(3, 'listed')}`;
    },
    check(became) {
      expect(became.messages.map(({ uid }) => uid)).toEqual([3]);
      expect(became.mailbox.uidnext).toBe(500);
    },
  },
  {
    row: 'uidnext below the highest uid rises above it',
    make(directory) {
      putMail(directory, 'listed');
      return `${header(2)}${line(30, 'listed')}`;
    },
    check(became) {
      expect(became.messages.map(({ uid }) => uid)).toEqual([30]);
      expect(became.mailbox.uidnext).toBe(31);
    },
  },
  {
    row: 'uids past 4294967295: the folder gets a new uidvalidity, reported',
    make(directory) {
      putMail(directory, 'listed');
      putMail(directory, 'new');
      return `${header(4294967295)}${line(4294967294, 'listed', { flags: 'S' })}`;
    },
    check(became) {
      expect(shown(became, ['listed', 'new']).map(([, name, flags]) => [name, flags])).toEqual([
        ['listed', '\\Seen'],
        ['new', ''],
      ]);
      const uids = became.messages.map(({ uid }) => uid);
      expect(new Set(uids).size).toBe(2);
      expect(became.mailbox.uidvalidity).toBeGreaterThan(UIDVALIDITY);
      expect(became.mailbox.uidnext).toBeGreaterThan(Math.max(...uids));
      expect(became.mailbox.uidnext).toBeLessThanOrEqual(4294967295);
      expect(became.log).toMatch(/Warning: .*UID_OVERFLOW/);
    },
  },
  {
    row: 'size differs from the line: the file rules',
    make(directory) {
      putMail(directory, 'grown');
      return `${header(2)}${line(1, 'grown', { size: 7, flags: 'S' })}`;
    },
    check(became) {
      expect(became.messages).toMatchObject([
        { uid: 1, size: Buffer.byteLength(MAIL('grown')), sha256: subject('grown'), flags: ['\\Seen'] },
      ]);
      expect(became.log).toMatch(/Warning: .*SIZE_DIFFERS.*grown/);
    },
  },
  {
    row: 'uids not ascending: sorted, kept',
    make(directory) {
      for (const name of ['nine', 'four', 'six']) putMail(directory, name);
      return `${header(10)}${line(9, 'nine')}${line(4, 'four', { flags: 'F' })}${line(6, 'six')}`;
    },
    check(became) {
      expect(shown(became, ['nine', 'four', 'six'])).toEqual([
        [4, 'four', '\\Flagged', LINE_TIME],
        [6, 'six', '', LINE_TIME],
        [9, 'nine', '', LINE_TIME],
      ]);
      expect(became.mailbox).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 10 });
      expect(became.log).toMatch(/Warning: .*UID_ORDER/);
    },
  },
  {
    row: 'repeated uid: the later lines get new uids and keep flags and date',
    make(directory) {
      for (const name of ['first', 'second', 'third', 'other', 'new']) putMail(directory, name);
      const flags = { flags: 'SF,Work' };
      return `${header(6)}${line(3, 'first')}${line(3, 'second', flags)}${line(4, 'other')}${line(3, 'third')}`;
    },
    check(became) {
      expect(shown(became, ['first', 'second', 'third', 'other', 'new'])).toEqual([
        [3, 'first', '', LINE_TIME],
        [4, 'other', '', LINE_TIME],
        [6, 'second', 'Work \\Flagged \\Seen', LINE_TIME],
        [7, 'third', '', LINE_TIME],
        [8, 'new', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(9);
      expect(became.log).toMatch(/Warning: .*UID_REPEATED/);
    },
  },
  {
    row: 'a second line for the same file is ignored',
    make(directory) {
      putMail(directory, 'one');
      putMail(directory, 'two');
      return `${header(9)}${line(2, 'one', { flags: 'S' })}${line(5, 'one', { flags: 'D' })}${line(7, 'two')}`;
    },
    check(became) {
      expect(shown(became, ['one', 'two'])).toEqual([
        [2, 'one', '\\Seen', LINE_TIME],
        [7, 'two', '', LINE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(9);
      expect(became.log).toMatch(/Warning: .*FILE_TWICE/);
    },
  },
  {
    row: 'empty file: migrated as an empty message',
    make(directory) {
      putMail(directory, 'nothing', '');
      return `${header(2)}${line(1, 'nothing', { size: 0, flags: 'S' })}`;
    },
    check(became) {
      expect(became.messages).toMatchObject([
        { uid: 1, size: 0, sha256: sha256(''), flags: ['\\Seen'], internaldate: LINE_TIME },
      ]);
      expect(became.log).toMatch(/Warning: .*FILE_EMPTY/);
    },
  },
  {
    row: 'names: spaces, 8-bit and control characters are the name; one with a leading dot is no message',
    make(directory) {
      for (const name of ['  two  spaces ', 'caf\u00e9', '-rf', 'tab\there']) putMail(directory, name);
      putMail(directory, '.dotted');
      fs.writeFileSync(path.join(directory, '.lock'), '');
      return [header(9), line(1, '  two  spaces '), line(2, 'caf\u00e9'), line(3, '-rf'), line(4, 'tab\there')].join(
        '',
      );
    },
    check(became) {
      expect(shown(became, ['  two  spaces ', 'caf\u00e9', '-rf', 'tab\there', '.dotted'])).toEqual([
        [1, '  two  spaces ', '', LINE_TIME],
        [2, 'caf\u00e9', '', LINE_TIME],
        [3, '-rf', '', LINE_TIME],
        [4, 'tab\there', '', LINE_TIME],
      ]);
      expect(fs.existsSync(path.join(became.directory, '.dotted'))).toBe(true);
    },
  },
  {
    row: 'bare LF, a lone CR, a NUL and a last line without an end: the CRLF form, and sizes of it',
    make(directory) {
      putMail(directory, 'bare', 'Subject: x\n\na\rb\0c\nend');
      putMail(directory, 'mixed', 'Subject: x\r\n\r\na\nb\r\n');
      return `${header(3)}${line(1, 'bare', { size: 22 })}${line(2, 'mixed', { size: 19 })}`;
    },
    check(became) {
      const bare = 'Subject: x\r\n\r\na\rb\0c\r\nend';
      const mixed = 'Subject: x\r\n\r\na\r\nb\r\n';
      expect(became.messages).toMatchObject([
        { uid: 1, size: bare.length, sha256: sha256(bare) },
        { uid: 2, size: mixed.length, sha256: sha256(mixed) },
      ]);
    },
  },
];

describe.each(engineOptions())('damage that only warns, %s', (engine) => {
  let site: HandSite;
  let folders: Result;
  let messages: Result;
  let seen: Seen;
  const times: [number, number] = [0, 0];
  beforeAll(() => {
    site = makeRows(WARNINGS);
    times[0] = seconds();
    folders = site.folders();
    times[1] = seconds();
    messages = site.messages(engine);
    seen = look(site);
  });
  afterAll(() => site?.remove());

  it('leaves the exit code 0', () => {
    expect(folders.status, folders.stderr + folders.stdout).toBe(0);
    expect(messages.status, messages.stderr + messages.stdout).toBe(0);
    expect(messagesResult(messages)).toMatchObject({
      folders: { done: WARNINGS.length, failed: 0 },
      messages: { failed: 0 },
      errors: [],
    });
  });

  it.each(WARNINGS.map((row, index) => [row.row, row, index] as const))('%s', (_, row, index) => {
    const mailbox = mailboxOf(seen, index);
    const found = seen.messages.filter((message) => message.mailbox === mailbox.name);
    expect(mailbox).toMatchObject({ state: 'NON-TRANSITION', messages: found.length });
    row.check({
      mailbox,
      messages: found,
      log: ofUser(seen.log, userOf(index)),
      directory: inbox(site, index),
      started: times[0],
      ended: times[1],
    });
  });

  it('is proved equal by --verify', () => {
    const verified = site.run('upgrade', '--verify');
    expect(verified.status, verified.stderr + verified.stdout).toBe(0);
  });
});
