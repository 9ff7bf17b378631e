/** The plan of one folder: every row of 3x-profile.md "Damage". Repeated attempts: plan-again.test.ts. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FLAG } from '../../src/engine/types.js';
import { planFolder, recordOf } from '../../src/upgrade/plan.js';
import type { FolderPlan } from '../../src/upgrade/types.js';
import { scanFolder, type TestFolder, testFolder } from '../source/nsms3/folder.js';
import { codes, datesOf, messages, OWNER, type PlanOptions, planOf } from './plan-support.js';

let folder: TestFolder;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

const plan = (options?: PlanOptions) => planOf(folder, options);

const MAX = 4294967295;

function keywordsOf({ keywords, messages: table }: FolderPlan): string[][] {
  return Array.from({ length: table.count }, (_, i) =>
    [...table.keywordRefs.subarray(table.keywordOffsets[i], table.keywordOffsets[i + 1])].map((ref) => keywords[ref]!),
  );
}

describe('a sound folder', () => {
  test('keeps uids, dates, flags, uidvalidity and uidnext', () => {
    folder.index('NSMB 3 700 31', '3 900000001 SA,Junk 10 b', '7 900000002 - 10 a');
    folder.message('a');
    folder.message('b');
    const made = plan();
    expect([made.uidvalidity, made.uidnext, made.warnings]).toEqual([700, 31, []]);
    expect(messages(made)).toEqual(['b=3', 'a=7']);
    expect(datesOf(made)).toEqual([900000001, 900000002]);
    expect([...made.messages.flags]).toEqual([FLAG.seen | FLAG.answered, 0]);
    expect(keywordsOf(made)).toEqual([['Junk'], []]);
  });

  test('carries what the files are', () => {
    folder.index('NSMB 3 700 31', '3 900000001 - 10 b');
    folder.message('b', { mtime: 900000077 });
    const { messages: table } = plan();
    const { ino, mtimeNs } = fs.statSync(`${folder.path}/b`, { bigint: true });
    expect([table.inodes[0], table.sizes[0], table.mtimes[0]]).toEqual([ino, 10, mtimeNs]);
  });

  test('sub-folders are no messages', () => {
    folder.index('NSMB 3 700 31');
    fs.mkdirSync(`${folder.path}/sub`);
    expect(plan().messages.count).toBe(0);
  });

  test('does not depend on the order of the directory', () => {
    folder.index('NSMB 3 700 31', '3 1 - 10 b', '3 1 - 10 c', '2 1 ,x 10 a');
    for (const name of ['a', 'b', 'c', 'z', 'y', 'x']) folder.message(name);
    const forwards = plan({ scan: scanFolder(folder.path, (names) => names.sort(Buffer.compare)) });
    const backwards = plan({ scan: scanFolder(folder.path, (names) => names.sort((a, b) => Buffer.compare(b, a))) });
    expect(backwards).toEqual(forwards);
  });

  test('without a directory there is an empty plan', () => {
    const made = planFolder({
      index: undefined,
      scan: scanFolder(folder.path),
      previous: undefined,
      chosenUidvalidity: 9,
      ownerUid: OWNER,
      takeForeign: false,
      now: 1,
    });
    expect([made.uidvalidity, made.uidnext, made.messages.count, made.warnings]).toEqual([9, 1, 0, []]);
  });
});

describe('a uidvalidity that -s chose because the header was lost', () => {
  test('stays when a higher header comes back, and the lines still count', () => {
    folder.index('NSMB 3 4000000000 9', '3 1 S 10 a');
    folder.message('a');
    const first = plan({ chosen: 1_700_000_000, final: true });
    expect([first.uidvalidity, first.uidnext, messages(first)]).toEqual([1_700_000_000, 9, ['a=3']]);
    folder.index('NSMB 3 4000000001 20', '3 1 S 10 a', '12 1 - 10 b');
    folder.message('b');
    const second = plan({ chosen: 1_700_000_000, final: true, previous: recordOf(first) });
    expect([second.uidvalidity, second.uidnext, messages(second)]).toEqual([1_700_000_000, 20, ['a=3', 'b=12']]);
  });
});

describe('keywords', () => {
  test('that differ in case are one, spelled as the lowest uid has it, in order of first appearance', () => {
    folder.index('NSMB 3 700 31', '9 1 ,JUNK,late 10 c', '1 1 ,Work,Junk 10 a', '2 1 ,junk,$New,junk 10 b');
    for (const name of ['a', 'b', 'c']) folder.message(name);
    const made = plan();
    expect(made.keywords).toEqual(['Work', 'Junk', '$New', 'late']);
    expect([...made.messages.keywordRefs]).toEqual([0, 1, 1, 2, 1, 3]);
    expect([...made.messages.keywordOffsets]).toEqual([0, 2, 4, 6]);
  });

  test('of lines without a file are not in the table', () => {
    folder.index('NSMB 3 700 31', '1 1 ,gone 10 x', '2 1 ,here 10 a');
    folder.message('a');
    expect(plan().keywords).toEqual(['here']);
  });

  test('references of a message ascend', () => {
    folder.index('NSMB 3 700 31', '1 1 ,a,b,c 10 x', '2 1 ,c,A,b 10 y');
    folder.message('x');
    folder.message('y');
    expect([...plan().messages.keywordRefs]).toEqual([0, 1, 2, 0, 1, 2]);
  });
});

describe('damage: the index', () => {
  test('missing: all files are taken as files without a line', () => {
    folder.message('b', { mtime: 100 });
    folder.message('a', { mtime: 200 });
    const made = plan();
    expect(messages(made)).toEqual(['b=1', 'a=2']);
    expect([made.uidvalidity, made.uidnext]).toEqual([500, 3]);
    expect(codes(made)).toEqual(['INDEX_MISSING', 'FILE_WITHOUT_LINE']);
  });

  test('truncated: usable lines count, the other files follow', () => {
    folder.write('.mailbox', 'NSMB 3 700 40\n3 900000001 S 10 c\n4 9000');
    for (const name of ['a', 'b', 'c']) folder.message(name);
    const made = plan();
    expect(messages(made)).toEqual(['c=3', 'a=40', 'b=41']);
    expect(made.uidnext).toBe(42);
    expect(codes(made)).toEqual(['INDEX_LINE', 'INDEX_CUT', 'FILE_WITHOUT_LINE']);
  });

  test('header lost: the chosen uidvalidity, uids of the lines, new ones above the highest', () => {
    folder.index('rubbish', '3 900000001 S 10 c', '9 1 - 10 gone');
    for (const name of ['a', 'c']) folder.message(name);
    const made = plan({ chosen: 912345678 });
    expect([made.uidvalidity, made.uidnext]).toEqual([912345678, 11]);
    expect(messages(made)).toEqual(['c=3', 'a=10']);
  });

  test('a header that came back does not change a uidvalidity that was chosen later than it', () => {
    folder.index('NSMB 3 700 40');
    expect(plan({ chosen: 912345678 }).uidvalidity).toBe(912345678);
    expect(plan({ chosen: 600 }).uidvalidity).toBe(700);
  });

  test('a bad date is the modification time of the file, rounded down', () => {
    folder.index('NSMB 3 700 40', '1 never S 10 a', '2 - - 10 b');
    folder.message('a', { mtime: 900000123.9 });
    folder.message('b', { mtime: -5.5 });
    expect(datesOf(plan())).toEqual([900000123, -6]);
  });
});

describe('damage: lines and files', () => {
  test('a line without a file migrates nothing, and its uid is not used again', () => {
    folder.index('NSMB 3 700 5', '3 1 - 10 a', '17 1 - 10 gone');
    folder.message('a');
    folder.message('new');
    const made = plan();
    expect(messages(made)).toEqual(['a=3', 'new=18']);
    expect(made.warnings.map((w) => [w.code, w.where])).toContainEqual(['LINE_WITHOUT_FILE', 'line 3']);
  });

  test('files without a line: no flags, date and order of the modification time, then of the name bytes', () => {
    folder.index('NSMB 3 700 5');
    folder.message('new', { mtime: 300 });
    folder.message('b', { mtime: 200 });
    folder.message('a', { mtime: 200 });
    folder.message(Buffer.from([0xff]), { mtime: 200 });
    folder.message('aa', { mtime: 200 });
    folder.message('old', { mtime: -100 });
    const made = plan();
    expect(messages(made)).toEqual(['old=5', 'a=6', 'aa=7', 'b=8', '\xff=9', 'new=10']);
    expect(datesOf(made)).toEqual([-100, 200, 200, 200, 200, 300]);
    expect([...made.messages.flags]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('nanoseconds order them', () => {
    folder.index('NSMB 3 700 5');
    for (const name of ['a', 'b', 'c']) folder.message(name);
    const scan = scanFolder(folder.path, (names) => names.sort(Buffer.compare));
    scan.mtimes.set([1_700_000_000_000_000_002n, 1_700_000_000_000_000_001n, 1_699_999_999_999_999_999n]);
    expect(messages(plan({ scan }))).toEqual(['c=5', 'b=6', 'a=7']);
  });

  test('size differs: the file rules', () => {
    folder.index('NSMB 3 700 5', '1 1 - 99 a', '2 1 - x b');
    folder.message('a', { size: 12 });
    folder.message('b', { size: 13 });
    const made = plan();
    expect([...made.messages.sizes]).toEqual([12, 13]);
    expect(made.warnings.map((w) => [w.code, w.where])).toEqual([
      ['SIZE_DIFFERS', 'a'],
      ['SIZE_DIFFERS', 'b'],
    ]);
  });

  test('uids that do not ascend are sorted and kept', () => {
    folder.index('NSMB 3 700 50', '30 1 - 10 c', '10 2 - 10 a', '20 3 - 10 b');
    for (const name of ['a', 'b', 'c']) folder.message(name);
    const made = plan();
    expect(messages(made)).toEqual(['a=10', 'b=20', 'c=30']);
    expect(datesOf(made)).toEqual([2, 3, 1]);
    expect([codes(made), made.uidnext]).toEqual([['UID_ORDER'], 50]);
  });

  test('a repeated uid: its later lines get new uids, before files without a line, and keep flags and date', () => {
    folder.index('NSMB 3 700 50', '1 1 - 10 a', '7 2 S 10 x', '7 3 A 10 c', '7 4 F 10 b', '8 5 - 10 d');
    for (const name of ['a', 'b', 'c', 'd', 'x']) folder.message(name, { mtime: 10 });
    folder.message('unlisted', { mtime: 5 });
    const made = plan();
    expect(messages(made)).toEqual(['a=1', 'x=7', 'd=8', 'c=50', 'b=51', 'unlisted=52']);
    expect([...made.messages.flags]).toEqual([0, FLAG.seen, 0, FLAG.answered, FLAG.flagged, 0]);
    expect(datesOf(made)).toEqual([1, 2, 5, 3, 4, 5]);
    expect(made.warnings.map((w) => [w.code, w.where])).toEqual([
      ['UID_ORDER', 'line 4'],
      ['UID_REPEATED', 'line 4'],
      ['UID_REPEATED', 'line 5'],
      ['FILE_WITHOUT_LINE', 'unlisted'],
    ]);
  });

  test('a second line for the same file is ignored', () => {
    folder.index('NSMB 3 700 50', '1 1 S 10 a', '2 2 A 10 a', '2 3 F 10 b');
    folder.message('a');
    folder.message('b');
    const made = plan();
    expect(messages(made)).toEqual(['a=1', 'b=2']);
    expect([...made.messages.flags]).toEqual([FLAG.seen, FLAG.flagged]);
    expect(made.warnings.map((w) => [w.code, w.where])).toEqual([['FILE_TWICE', 'line 3']]);
  });

  test('an empty file is an empty message, with a warning', () => {
    folder.index('NSMB 3 700 50', '1 1 - 0 a');
    folder.message('a', { size: 0 });
    folder.message('b', { size: 0 });
    const made = plan();
    expect([...made.messages.refused]).toEqual([0, 0]);
    expect(made.warnings.map((w) => [w.code, w.where])).toEqual([
      ['FILE_EMPTY', 'a'],
      ['FILE_EMPTY', 'b'],
      ['FILE_WITHOUT_LINE', 'b'],
    ]);
  });

  test('CR LF: a name that is not there as written is tried without its CR, never against an exact name', () => {
    folder.index('NSMB 3 700 50\r', '1 1 - 10 a\r', '2 1 - 10 b\r', '3 1 - 10 b');
    folder.message('a');
    folder.message('b');
    expect(messages(plan())).toEqual(['a=1', 'b=3']);
    folder.message('b\r');
    expect(messages(plan())).toEqual(['a=1', 'b\r=2', 'b=3']);
  });
});

describe('damage: no uids left', () => {
  test('past 4294967295 the folder gets a new uidvalidity and is numbered anew, in the same order', () => {
    folder.index(`NSMB 3 700 ${MAX}`, `1 1 - 10 c`, `${MAX - 1} 1 - 10 a`);
    for (const name of ['a', 'c', 'x', 'y']) folder.message(name);
    const made = plan({ now: 999 });
    expect([made.uidvalidity, made.uidnext]).toEqual([999, 5]);
    expect(messages(made)).toEqual(['c=1', 'a=2', 'x=3', 'y=4']);
    expect(codes(made)).toContain('UID_OVERFLOW');
  });

  test('the new uidvalidity is higher than the old one, also when the clock is behind', () => {
    folder.index(`NSMB 3 700 5`, `${MAX} 1 - 10 a`);
    folder.message('a');
    expect(plan({ now: 3 }).uidvalidity).toBe(701);
    folder.index(`NSMB 3 ${MAX} 5`, `${MAX} 1 - 10 a`);
    expect(plan({ now: 3 }).uidvalidity).toBe(MAX - 1);
  });

  test('the last uid that leaves room for uidnext is still given', () => {
    folder.index(`NSMB 3 700 ${MAX - 1}`);
    folder.message('a');
    const made = plan();
    expect([messages(made), made.uidvalidity, made.uidnext]).toEqual([[`a=${MAX - 1}`], 700, MAX]);
  });

  test('a repeated attempt keeps the new numbers, and new files go on from there', () => {
    folder.index(`NSMB 3 700 ${MAX}`, `1 1 - 10 c`, `2 1 - 10 d`);
    for (const name of ['c', 'd', 'x']) folder.message(name);
    const first = plan({ now: 999 });
    const second = plan({ now: 1234, previous: recordOf(first), chosen: 999 });
    expect([messages(second), second.uidvalidity, second.uidnext]).toEqual([messages(first), 999, 4]);
    folder.message('late');
    const third = plan({ now: 5678, previous: recordOf(second), chosen: 999 });
    expect([messages(third), third.uidvalidity, third.uidnext]).toEqual([['c=1', 'd=2', 'x=3', 'late=4'], 999, 5]);
  });
});

describe('damage: what is refused, with a uid all the same', () => {
  beforeEach(() => {
    folder.index('NSMB 3 700 50', '1 1 - 10 a', '2 1 S,kept 10 bad', '3 1 - 10 c');
    folder.message('a');
    folder.message('c');
  });

  const special: [string, () => void | Promise<void>][] = [
    ['symbolic link', () => fs.symlinkSync('a', `${folder.path}/bad`)],
    ['fifo', () => void execFileSync('mkfifo', [`${folder.path}/bad`])],
    ['directory', () => fs.mkdirSync(`${folder.path}/bad`)],
    [
      'socket',
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(`${folder.path}/bad`, () => {
            // The name stays when the server is not closed; the process lets go of it at its end.
            server.unref();
            resolve();
          });
        }),
    ],
  ];

  test.each(special)('a %s on a line', async (_kind, make) => {
    await make();
    const made = plan();
    expect(messages(made)).toEqual(['a=1', 'bad=2 MSG_NOT_REGULAR', 'c=3']);
    expect([...made.messages.flags]).toEqual([0, FLAG.seen, 0]);
    expect(keywordsOf(made)[1]).toEqual(['kept']);
    expect(made.uidnext).toBe(50);
  });

  test('a device on a line', (ctx) => {
    if (process.getuid?.() !== 0) return ctx.skip('only root makes devices');
    execFileSync('mknod', [`${folder.path}/bad`, 'c', '1', '3']);
    expect(messages(plan())[1]).toBe('bad=2 MSG_NOT_REGULAR');
  });

  test('a link without a line', () => {
    fs.symlinkSync('a', `${folder.path}/link`);
    expect(messages(plan())).toEqual(['a=1', 'c=3', 'link=50 MSG_NOT_REGULAR']);
  });

  test('a file of another owner, unless foreign files are taken', () => {
    folder.message('bad');
    expect(messages(plan({ owner: OWNER + 1 }))[1]).toBe('bad=2 MSG_FOREIGN_OWNER');
    expect(messages(plan({ owner: OWNER + 1, takeForeign: true }))).toEqual(['a=1', 'bad=2', 'c=3']);
  });

  test('a file that others may write to, unless foreign files are taken', () => {
    folder.message('bad', { mode: 0o602 });
    expect(messages(plan())[1]).toBe('bad=2 MSG_WRITABLE_BY_OTHERS');
    expect(messages(plan({ takeForeign: true }))[1]).toBe('bad=2');
  });

  test('an entry that cannot be looked at; one that went away is a line without a file', () => {
    folder.message('bad');
    const scan = scanFolder(folder.path, (names) => names.sort(Buffer.compare));
    const unreadable = plan({ scan: { ...scan, errors: [{ index: 1, errno: 5 }] } });
    expect(messages(unreadable)[1]).toBe('bad=2 MSG_UNREADABLE');
    // For the report: the engine will not look at the file again.
    expect([...unreadable.errnos]).toEqual([[2, 5]]);
    const gone = plan({ scan: { ...scan, errors: [{ index: 1, errno: 2 }] } });
    expect([messages(gone), codes(gone)]).toEqual([['a=1', 'c=3'], ['LINE_WITHOUT_FILE']]);
  });
});
