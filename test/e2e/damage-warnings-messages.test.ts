/**
 * Rows of the Damage table that only warn, of lines that parse: those that do not fit the files beside them, uids that
 * do not fit each other, and odd names and contents of files.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect } from 'vitest';
import { FILE_TIME, header, LINE_TIME, line, type Row, sha256, shown, subject, UIDVALIDITY } from './damage-support.js';
import { describeWarnings } from './damage-warnings-support.js';
import { MAIL, putMail } from './hand-site.js';

const ODD_MESSAGES: readonly Row[] = [
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

describeWarnings('lines and files that only warn', ODD_MESSAGES);
