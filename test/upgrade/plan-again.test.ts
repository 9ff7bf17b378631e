/** The plan of a folder that has a migration record: what keeps its uid, and what is new. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FLAG } from '../../src/engine/types.js';
import { recordOf } from '../../src/upgrade/plan.js';
import type { MigrationRecord } from '../../src/upgrade/types.js';
import { type TestFolder, testFolder } from '../source/nsms3/folder.js';
import { datesOf, messages, type PlanOptions, planOf } from './plan-support.js';

let folder: TestFolder;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

const plan = (options?: PlanOptions) => planOf(folder, options);

describe('a repeated attempt', () => {
  test('a file that is the same keeps its recorded uid, also when the index now says otherwise', () => {
    folder.index('NSMB 3 700 20', '3 1 - 10 c');
    for (const name of ['a', 'b', 'c']) folder.message(name);
    const first = plan();
    expect(messages(first)).toEqual(['c=3', 'a=20', 'b=21']);
    // The lost lines are back.
    folder.index('NSMB 3 700 20', '1 5 S,k 10 a', '2 1 - 10 b', '3 1 - 10 c');
    const second = plan({ previous: recordOf(first) });
    expect(messages(second)).toEqual(['c=3', 'a=20', 'b=21']);
    expect(second.uidnext).toBe(22);
    // Flags and dates are read afresh.
    expect([...second.messages.flags]).toEqual([0, FLAG.seen, 0]);
    expect([datesOf(second)[1], second.keywords]).toEqual([5, ['k']]);
  });

  test('new files: the uid of their line where it is free, else a new one above the recorded uidnext', () => {
    folder.index('NSMB 3 700 20', '3 1 - 10 c');
    folder.message('a');
    folder.message('c');
    const first = plan();
    expect(messages(first)).toEqual(['c=3', 'a=20']);
    folder.index('NSMB 3 700 31', '3 1 - 10 c', '20 1 - 10 taken', '30 1 - 10 free');
    folder.message('taken');
    folder.message('free');
    folder.message('unlisted');
    const second = plan({ previous: recordOf(first) });
    expect(messages(second)).toEqual(['c=3', 'a=20', 'free=30', 'taken=31', 'unlisted=32']);
    expect(second.uidnext).toBe(33);
  });

  test('a recorded file that vanished leaves its uid unused; uidnext never falls', () => {
    folder.index('NSMB 3 700 20');
    folder.message('a', { mtime: 1 });
    folder.message('b', { mtime: 2 });
    const first = plan();
    fs.rmSync(`${folder.path}/b`);
    folder.index('NSMB 3 700 5');
    folder.message('c');
    const second = plan({ previous: recordOf(first) });
    expect([messages(second), second.uidnext]).toEqual([['a=20', 'c=22'], 23]);
    const third = plan({ previous: recordOf(second) });
    expect([messages(third), third.uidnext]).toEqual([['a=20', 'c=22'], 23]);
  });

  test('a message that was repaired by another file of its name keeps its uid', () => {
    folder.index('NSMB 3 700 20', '3 1 S 10 listed');
    fs.symlinkSync('x', `${folder.path}/listed`);
    fs.symlinkSync('x', `${folder.path}/unlisted`);
    const first = plan();
    expect(messages(first)).toEqual(['listed=3 MSG_NOT_REGULAR', 'unlisted=20 MSG_NOT_REGULAR']);
    for (const name of ['listed', 'unlisted']) {
      fs.rmSync(`${folder.path}/${name}`);
      folder.message(name);
    }
    expect(messages(plan({ previous: recordOf(first) }))).toEqual(['listed=3', 'unlisted=20']);
  });

  test('another file under a recorded name, with another uid on its line, is another message', () => {
    folder.index('NSMB 3 700 20', '3 1 S 10 a');
    folder.message('a');
    const first = plan();
    fs.renameSync(`${folder.path}/a`, `${folder.path}/.old`);
    folder.message('a', { size: 11 });
    folder.index('NSMB 3 700 21', '20 1 S 11 a');
    expect(messages(plan({ previous: recordOf(first) }))).toEqual(['a=20']);
  });

  test('a file that was renamed keeps the uid of its line, which nobody has seen in 4.x', () => {
    folder.index('NSMB 3 700 20', '3 1 S 10 a', '10 1 - 10 b');
    for (const name of ['a', 'b']) folder.message(name);
    const first = plan();
    fs.renameSync(`${folder.path}/b`, `${folder.path}/moved`);
    folder.index('NSMB 3 700 20', '3 1 S 10 a', '10 1 - 10 moved');
    const second = plan({ previous: recordOf(first) });
    expect([messages(second), second.uidnext]).toEqual([['a=3', 'moved=10'], 20]);
    expect(messages(plan({ previous: recordOf(second) }))).toEqual(['a=3', 'moved=10']);
    // Once published, the uid is that of the message that 4.x has.
    expect(messages(plan({ previous: recordOf(first), published: true }))).toEqual(['a=3', 'moved=20']);
  });

  test('two files that exchanged their lines keep the uids that are on record', () => {
    folder.index('NSMB 3 700 20', '3 1 S 10 a', '10 1 - 10 b');
    for (const name of ['a', 'b']) folder.message(name);
    const first = plan();
    folder.index('NSMB 3 700 20', '10 1 S 10 a', '3 1 - 10 b');
    expect(messages(plan({ previous: recordOf(first) }))).toEqual(['a=3', 'b=10']);
    // Another file, and its line says another number: it is another message. The number is taken by one that is there.
    for (const name of ['a', 'b']) folder.message(`${name}.new`);
    fs.renameSync(`${folder.path}/a.new`, `${folder.path}/a`);
    fs.rmSync(`${folder.path}/b.new`);
    expect(messages(plan({ previous: recordOf(first) }))).toEqual(['b=10', 'a=20']);
  });

  test.each(['inodes', 'sizes', 'mtimes'] as const)('a file is another one when only its %s differ', (column) => {
    folder.index('NSMB 3 700 20', '3 1 S 10 a');
    folder.message('a');
    const record = recordOf(plan());
    folder.index('NSMB 3 700 31', '30 1 S 10 a');
    expect(messages(plan({ previous: record }))).toEqual(['a=3']);
    const changed = record[column].slice();
    changed[0] = typeof changed[0] === 'bigint' ? changed[0] + 1n : 11;
    expect(messages(plan({ previous: { ...record, [column]: changed } }))).toEqual(['a=30']);
  });

  test('uidvalidity stays, whatever header and mapping say now', () => {
    folder.index('NSMB 3 700 20', '3 1 S 10 a');
    folder.message('a');
    const first = plan();
    folder.index('NSMB 3 800 90', '3 1 S 10 a', '50 1 - 10 b');
    folder.message('b');
    const second = plan({ previous: recordOf(first), chosen: 900 });
    // The lines number another folder now: new files are numbered above the record.
    expect([second.uidvalidity, messages(second), second.uidnext]).toEqual([700, ['a=3', 'b=20'], 21]);
  });

  test('without a header the lines still number new files', () => {
    folder.index('lost', '3 1 S 10 a', '5 1 - 10 gone');
    folder.message('a');
    const first = plan();
    expect(first.uidnext).toBe(6);
    folder.index('lost', '3 1 S 10 a', '9 1 - 10 b');
    folder.message('b');
    const second = plan({ previous: recordOf(first) });
    expect([messages(second), second.uidnext]).toEqual([['a=3', 'b=9'], 10]);
  });
});

describe('a retry after one that gave a uid at the end', () => {
  const LINES = ['1 1 - 10 a', '3 1 - 10 c', '5 1 - 10 e'];
  /** a=1, c=`c`, e=`e` on record; only a stays the file that it was. */
  function recorded(c: number, e: number): MigrationRecord {
    folder.index('NSMB 3 700 9', ...LINES);
    for (const name of ['a', 'c', 'e']) folder.message(name, { mtime: 70 });
    const record = recordOf(plan());
    const inodes = record.inodes.map((inode, i) => (i === 0 ? inode : inode + 1n));
    return { ...record, uids: Uint32Array.of(1, c, e), inodes, uidnext: Math.max(9, c + 1, e + 1) };
  }

  test('a file that was restored is the recorded message, though its line has the uid of 3.x', () => {
    const previous = recorded(9, 10);
    expect(messages(plan({ previous, published: true }))).toEqual(['a=1', 'c=9', 'e=10']);
    // As a backup with whole seconds has it.
    const mtimes = previous.mtimes.map((time) => time + 5n);
    expect(messages(plan({ previous: { ...previous, mtimes }, published: true }))).toEqual(['a=1', 'c=9', 'e=10']);
    // 3.x went on meanwhile.
    folder.index('NSMB 3 700 30', ...LINES, '29 1 - 10 new');
    folder.message('new');
    expect(messages(plan({ previous, published: true }))).toEqual(['a=1', 'c=9', 'e=10', 'new=29']);
  });

  test('a line older than one that the record shares needs no file that looks the same', () => {
    const made = recorded(5, 9);
    const { names, nameOffsets } = made;
    const previous = { ...made, names: names.map((byte, i) => [byte, 0x65, 0x63][i] ?? 0), nameOffsets };
    folder.message('c', { size: 77, mtime: 80 });
    expect(messages(plan({ previous, published: true }))).toEqual(['a=1', 'e=5', 'c=9']);
  });

  test.each([{ size: 11, mtime: 70 }, { mtime: 71 }])('another message under the name is a new one, %o', (file) => {
    const previous = recorded(3, 9);
    folder.index('NSMB 3 700 13', '1 1 - 10 a', '12 1 - 10 c', '8 1 - 10 e');
    folder.message('c', file);
    folder.message('e', file);
    expect(messages(plan({ previous, published: true }))).toEqual(['a=1', 'e=8', 'c=12']);
  });

  test('after an overflow no line has a say: restored files are the recorded ones', () => {
    const previous = { ...recorded(2, 3), uidvalidity: 900 };
    expect(messages(plan({ previous }))).toEqual(['a=1', 'c=2', 'e=3']);
    expect(messages(plan({ previous, published: true }))).toEqual(['a=1', 'c=2', 'e=3']);
    folder.message('c', { size: 11, mtime: 71 });
    expect(messages(plan({ previous, published: true }))).toEqual(['a=1', 'e=3', 'c=9']);
  });
});

describe('two messages on record that had one name, of which the later one failed', () => {
  /** x=1, which is in 4.x, and x=9, which replaced it in 3.x and failed; the file is the later one, repaired. */
  function recorded(): MigrationRecord {
    folder.index('NSMB 3 700 9', '1 1 - 10 x', '5 1 - 10 y');
    for (const name of ['x', 'y']) folder.message(name, { mtime: 70 });
    const first = recordOf(plan());
    fs.rmSync(`${folder.path}/x`);
    folder.message('x', { size: 12, mtime: 80 });
    return {
      ...first,
      count: 3,
      uidnext: 10,
      uids: Uint32Array.of(1, 5, 9),
      names: Buffer.from('xyx'),
      nameOffsets: Uint32Array.of(0, 1, 2, 3),
      inodes: BigUint64Array.of((first.inodes[0] ?? 0n) + 1_000_000n, first.inodes[1] ?? 0n, 1n),
      sizes: Float64Array.of(10, 10, 12),
      mtimes: BigInt64Array.of(first.mtimes[0] ?? 0n, first.mtimes[1] ?? 0n, 7n),
    };
  }

  const retry = (previous: MigrationRecord) => messages(plan({ previous, published: true }));

  test('without a line the file is the later one, where the index was cut and where it is gone', () => {
    const previous = recorded();
    folder.index('NSMB 3 700 10', '5 1 - 10 y');
    expect(retry(previous)).toEqual(['y=5', 'x=9']);
    fs.rmSync(`${folder.path}/.mailbox`);
    expect(retry(previous)).toEqual(['y=5', 'x=9']);
  });

  test('the file is the first one where its line has that uid, or it looks like it', () => {
    const previous = recorded();
    folder.index('NSMB 3 700 10', '1 1 - 12 x', '5 1 - 10 y');
    expect(retry(previous)).toEqual(['x=1', 'y=5']);
    folder.message('x', { mtime: 70 });
    folder.index('NSMB 3 700 10', '5 1 - 10 y');
    expect(retry(previous)).toEqual(['x=1', 'y=5']);
  });

  test('the file is the one that it is the same as, whatever its line says', () => {
    const previous = recorded();
    const { inodes, sizes, mtimes } = recordOf(plan());
    for (const row of [0, 2]) {
      const record = {
        ...previous,
        inodes: previous.inodes.slice(),
        sizes: Float64Array.of(1, 10, 1),
        mtimes: previous.mtimes.slice(),
      };
      [record.inodes[row], record.sizes[row], record.mtimes[row]] = [inodes[0] ?? 0n, sizes[0] ?? 0, mtimes[0] ?? 0n];
      for (const uid of [1, 9]) {
        folder.index('NSMB 3 700 10', `${uid} 1 - 12 x`, '5 1 - 10 y');
        expect(retry(record)).toEqual(row === 0 ? ['x=1', 'y=5'] : ['y=5', 'x=9']);
      }
    }
  });
});
