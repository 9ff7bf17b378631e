import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FLAG } from '../../../src/engine/types.js';
import { MailhaulError } from '../../../src/errors.js';
import { lookAtIndex, readIndex } from '../../../src/source/nsms3/mailbox.js';
import { mangle, namesOf, random, type TestFolder, testFolder } from './folder.js';

let folder: TestFolder;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

const HEADER = 'NSMB 3 877000000 31';
const codes = (index: { warnings: readonly { code: string }[] }) => [...new Set(index.warnings.map((w) => w.code))];
const flagsOf = (field: string): number => {
  folder.index(HEADER, `1 5 ${field} 9 a`);
  return readIndex(folder.dir).flags[0]!;
};
const keywordsOf = (field: string): string[] => {
  folder.index(HEADER, `1 5 ${field} 9 a`);
  const index = readIndex(folder.dir);
  return [...index.keywordRefs].map((ref) => index.keywords[ref]!);
};

describe('a whole index', () => {
  test('gives header and columns in file order', () => {
    folder.index(HEADER, '3 900000001 SA,$Forwarded,Junk 120 0001.msg', '7 900000002 - 33 my file, 2', '9 1  0 b');
    const index = readIndex(folder.dir);
    expect(index.header).toEqual({ uidvalidity: 877000000, uidnext: 31 });
    expect([...index.uids]).toEqual([3, 7, 9]);
    expect([...index.internalDates]).toEqual([900000001, 900000002, 1]);
    expect([...index.flags]).toEqual([FLAG.seen | FLAG.answered, 0, 0]);
    expect([...index.sizes]).toEqual([120, 33, 0]);
    expect([...index.lines]).toEqual([2, 3, 4]);
    expect(namesOf(index)).toEqual(['0001.msg', 'my file, 2', 'b']);
    expect(index.keywords).toEqual(['$Forwarded', 'Junk']);
    expect([...index.keywordOffsets]).toEqual([0, 2, 2, 2]);
    expect(index.highestUid).toBe(9);
    expect(index.warnings).toEqual([]);
    expect(lookAtIndex(folder.dir).header).toEqual(index.header);
    expect(lookAtIndex(folder.dir).bytes).toBe(fs.statSync(`${folder.path}/.mailbox`).size);
  });

  test('every flag letter has its bit, and recent has none', () => {
    expect(flagsOf('S')).toBe(FLAG.seen);
    expect(flagsOf('A')).toBe(FLAG.answered);
    expect(flagsOf('F')).toBe(FLAG.flagged);
    expect(flagsOf('D')).toBe(FLAG.deleted);
    expect(flagsOf('T')).toBe(FLAG.draft);
    expect(flagsOf('R')).toBe(0);
    expect(flagsOf('TDFASR')).toBe(31);
    expect(flagsOf('')).toBe(0);
    expect(flagsOf('-')).toBe(0);
    expect(readIndex(folder.dir).warnings).toEqual([]);
  });

  test('keywords without letters, and spellings that differ in case, are kept apart for the plan', () => {
    expect(keywordsOf(',Junk')).toEqual(['Junk']);
    expect(keywordsOf('S,Junk,junk,Junk')).toEqual(['Junk', 'junk']);
  });

  test('a name may hold any bytes, spaces at its ends too', () => {
    folder.index(HEADER, '1 5 - 9  x \xff\x01 ');
    expect(namesOf(readIndex(folder.dir))).toEqual([' x \xff\x01 ']);
  });

  test('the limits of the numbers are read exactly', () => {
    folder.index(
      'NSMB 3 4294967295 4294967295',
      '4294967295 253402300799 - 9007199254740991 a',
      '0 1 - 1 b',
      '4294967296 1 - 1 c',
    );
    const index = readIndex(folder.dir);
    expect(index.header).toEqual({ uidvalidity: 4294967295, uidnext: 4294967295 });
    expect([...index.uids]).toEqual([4294967295]);
    expect([...index.internalDates]).toEqual([253402300799]);
    expect([...index.sizes]).toEqual([9007199254740991]);
  });
});

describe('damage', () => {
  test('a missing index is an empty one with a warning', () => {
    const index = readIndex(folder.dir);
    expect([index.header, index.count, codes(index)]).toEqual([undefined, 0, ['INDEX_MISSING']]);
    expect(lookAtIndex(folder.dir).header).toBeUndefined();
    expect(lookAtIndex(folder.dir).bytes).toBe(0);
  });

  test('an empty index is reported', () => {
    folder.write('.mailbox', '');
    expect(codes(readIndex(folder.dir))).toEqual(['INDEX_EMPTY']);
  });

  test('a truncated index keeps its whole lines and says where it was cut', () => {
    folder.write('.mailbox', `${HEADER}\n1 5 S 9 a\n2 5 S`);
    const index = readIndex(folder.dir);
    expect(namesOf(index)).toEqual(['a']);
    expect(index.warnings.map((w) => [w.code, w.where])).toEqual([
      ['INDEX_LINE', 'line 3'],
      ['INDEX_CUT', 'line 3'],
    ]);
  });

  test('a last line without an end is used when it parses', () => {
    folder.write('.mailbox', `${HEADER}\n1 5 S 9 a`);
    const index = readIndex(folder.dir);
    expect([namesOf(index), codes(index)]).toEqual([['a'], ['INDEX_CUT']]);
  });

  test.each([
    'NSMB 2 1 2',
    'NSMB 3 0 2',
    'NSMB 3 5',
    'NSMB 3 5 4294967296',
    'NSMB 3 -5 7',
    'nsmb 3 5 7',
    ' NSMB 3 5 7',
    '',
    '\xff\xfe',
  ])('a first line %j is a lost header', (first) => {
    folder.index(first, '1 5 S 9 a');
    const index = readIndex(folder.dir);
    expect(index.header).toBeUndefined();
    expect(namesOf(index)).toEqual(['a']);
    expect(codes(index)).toContain('INDEX_HEADER');
    expect(lookAtIndex(folder.dir).header).toBeUndefined();
  });

  test('without its header line the first line is a message', () => {
    folder.index('4 5 S 9 a', '5 5 S 9 b');
    expect([...readIndex(folder.dir).uids]).toEqual([4, 5]);
  });

  test.each([
    'garbage',
    '0 5 - 9 a',
    '4294967296 5 - 9 a',
    '-1 5 - 9 a',
    '1x 5 - 9 a',
    '1 5 - 9',
    '1 5 - 9 ',
    '1 5 - 9 .hidden',
    '1 5 - 9 a/b',
    '1 5 - 9 a\0b',
    '1\t5\t-\t9\ta',
    'NSMB 3 5 7',
  ])('the line %j is not usable, and the next one is', (line) => {
    folder.index(HEADER, line, '2 5 - 9 next');
    const index = readIndex(folder.dir);
    expect(namesOf(index)).toEqual(['next']);
    expect(index.warnings.map((w) => [w.code, w.where])).toEqual([['INDEX_LINE', 'line 2']]);
  });

  test.each(['yesterday', '', '-5', '1.5', '253402300800', '99999999999999999999999'])('the date %j is bad', (date) => {
    folder.index(HEADER, `1 ${date} S 9 a`);
    const index = readIndex(folder.dir);
    expect(index.internalDates[0]).toBeNaN();
    expect([index.flags[0], codes(index)]).toEqual([FLAG.seen, ['INDEX_DATE']]);
  });

  test('bad and repeated flag letters are dropped with a warning', () => {
    expect(flagsOf('SxA9!s')).toBe(FLAG.seen | FLAG.answered);
    expect(codes(readIndex(folder.dir))).toEqual(['INDEX_FLAGS']);
    expect(flagsOf('SS')).toBe(FLAG.seen);
    expect(codes(readIndex(folder.dir))).toEqual(['INDEX_FLAGS']);
  });

  test.each(['', 'a(b', 'a{', 'a%', 'a*', 'a"', 'a\\', 'a]', '\x7f', '\xe9'])(
    'the keyword %j is no atom',
    (keyword) => {
      expect(keywordsOf(`S,Good,${keyword},[ok`)).toEqual(['Good', '[ok']);
      expect(codes(readIndex(folder.dir))).toEqual(['INDEX_KEYWORD']);
    },
  );

  test('an unreadable size is NaN', () => {
    folder.index(HEADER, '1 5 - 9k a');
    expect(readIndex(folder.dir).sizes[0]).toBeNaN();
  });

  test('CR LF line ends: the header is read, names keep the CR for the plan to judge', () => {
    folder.index(`${HEADER}\r`, '1 5 - 9 a\r');
    const index = readIndex(folder.dir);
    expect(index.header).toEqual({ uidvalidity: 877000000, uidnext: 31 });
    expect(namesOf(index)).toEqual(['a\r']);
  });

  test('a line of two megabytes is passed over, lines around it are used', () => {
    folder.index(HEADER, '1 5 - 9 a', `2 5 - 9 ${'b'.repeat(2 << 20)}`, '3 5 - 9 c');
    const index = readIndex(folder.dir);
    expect(namesOf(index)).toEqual(['a', 'c']);
    expect([...index.lines]).toEqual([2, 4]);
    expect(codes(index)).toEqual(['INDEX_LINE']);
  });

  test('a line that is longer than the read buffer but within the limit is used', () => {
    const flags = Array.from({ length: 60_000 }, (_, i) => `,k${i}`).join('');
    folder.index(HEADER, `1 5 S${flags} 9 a`, '2 5 - 9 b');
    const index = readIndex(folder.dir);
    expect(namesOf(index)).toEqual(['a', 'b']);
    expect(index.keywords.length).toBe(60_000);
  });

  test('only the first hundred warnings of a kind are listed, the rest is counted', () => {
    folder.index(HEADER, ...Array.from({ length: 250 }, () => 'garbage'));
    const { warnings } = readIndex(folder.dir);
    expect(warnings.length).toBe(101);
    expect(warnings[100]!.message).toContain('150 more');
  });
});

describe('an index that cannot be read is an error of the folder', () => {
  const failure = () => {
    try {
      readIndex(folder.dir);
    } catch (error) {
      return error instanceof MailhaulError ? error.code : error;
    }
    return undefined;
  };

  test('a symbolic link is not followed', () => {
    folder.write('real', `${HEADER}\n`);
    fs.symlinkSync('real', `${folder.path}/.mailbox`);
    expect(failure()).toBe('FOLDER_INDEX');
    expect(() => lookAtIndex(folder.dir)).toThrow(MailhaulError);
  });

  test('a fifo is not opened', () => {
    execFileSync('mkfifo', [`${folder.path}/.mailbox`]);
    expect(failure()).toBe('FOLDER_INDEX');
  });

  test('a directory', () => {
    fs.mkdirSync(`${folder.path}/.mailbox`);
    expect(failure()).toBe('FOLDER_INDEX');
  });

  test('an index beyond the limit of bytes is refused before it is held in memory', () => {
    fs.writeFileSync(`${folder.path}/.mailbox`, '');
    fs.truncateSync(`${folder.path}/.mailbox`, 2 ** 30 + 1);
    expect(failure()).toBe('FOLDER_INDEX_SIZE');
  });
});

describe('hostile bytes', () => {
  test('1,000 mangled indexes: nothing but MailhaulError, every column whole', () => {
    const next = random(4711);
    const seed = Buffer.from(
      `${HEADER}\n1 900000000 S 9 a\n2 900000001 SA,$Forwarded,Junk 100 b.msg\n3 x -,j 12 c d\n4294967295 1 R 0 \xff\n`,
      'latin1',
    );
    for (let round = 0; round < 1000; round++) {
      folder.write('.mailbox', mangle(next, seed));
      let index: ReturnType<typeof readIndex>;
      try {
        index = readIndex(folder.dir);
      } catch (error) {
        expect(error).toBeInstanceOf(MailhaulError);
        continue;
      }
      expect(index.nameOffsets.length).toBe(index.count + 1);
      expect(index.nameOffsets[index.count]).toBe(index.names.length);
      expect(index.keywordOffsets[index.count]).toBe(index.keywordRefs.length);
      for (const uid of index.uids) expect(uid).toBeGreaterThan(0);
      for (const name of namesOf(index)) expect(name).toMatch(/^[^./\0\n][^/\0\n]*$/);
      for (const ref of index.keywordRefs) expect(index.keywords[ref]).toMatch(/^[!-~]+$/);
    }
  });

  test('a million lines take linear time', () => {
    const lines = (count: number) => {
      const text = Array.from({ length: count }, (_, i) => `${i + 1} ${900000000 + i} S,k${i % 50} 8192 ${i}.msg\n`);
      folder.write('.mailbox', `${HEADER}\n${text.join('')}`);
    };
    const cpu = () => {
      const before = process.cpuUsage();
      const { count } = readIndex(folder.dir);
      const { user, system } = process.cpuUsage(before);
      return { count, seconds: (user + system) / 1e6 };
    };
    lines(100_000);
    cpu();
    const small = cpu();
    lines(1_000_000);
    const large = cpu();
    expect(large.count).toBe(1_000_000);
    expect(large.seconds).toBeLessThan(Math.max(small.seconds, 0.05) * 10 * 5);
  });
});
