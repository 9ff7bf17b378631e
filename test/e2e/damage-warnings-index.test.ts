/** Rows of the Damage table that only warn, of `.mailbox` itself: missing, cut off, or with lines that do not parse. */
import { expect } from 'vitest';
import { FILE_TIME, header, LINE_TIME, line, type Row, shown, UIDVALIDITY } from './damage-support.js';
import { describeWarnings } from './damage-warnings-support.js';
import { putMail } from './hand-site.js';

const DAMAGED_INDEXES: readonly Row[] = [
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
];

describeWarnings('a damaged .mailbox that only warns', DAMAGED_INDEXES);
