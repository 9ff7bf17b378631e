/** Which failed messages stay in the plan of a retry although their files are gone. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readIndex } from '../../src/source/nsms3/mailbox.js';
import { recordOf } from '../../src/upgrade/plan.js';
import { withMigrated } from '../../src/upgrade/plan-removed.js';
import { withVanished } from '../../src/upgrade/plan-vanished.js';
import type { FolderPlan, MigrationRecord } from '../../src/upgrade/types.js';
import { scanFolder, type TestFolder, testFolder } from '../source/nsms3/folder.js';
import { codes, messages, OWNER, planOf } from './plan-support.js';

let folder: TestFolder;
let previous: MigrationRecord;
/** a=1, b=2, c=3 on record. */
beforeEach(() => {
  folder = testFolder();
  folder.index('NSMB 3 700 20', '1 1 - 10 a', '2 1 - 10 b', '3 1 - 10 c');
  for (const name of ['a', 'b', 'c']) folder.message(name);
  previous = recordOf(planOf(folder));
});
afterEach(() => folder.remove());

/** As a retry plans it (steps.ts, planOf). */
function retry(failed: readonly number[], endWithFile: readonly number[] = []): FolderPlan {
  const uids = Uint32Array.from(failed);
  const scan = withMigrated(scanFolder(folder.path), previous, uids, OWNER);
  const plan = planOf(folder, { previous, published: true, scan });
  const messagesThatFailed = { failed: uids, endWithFile: Uint32Array.from(endWithFile) };
  return withVanished(plan, readIndex(folder.dir), previous, messagesThatFailed);
}

const remove = (name: string): void => fs.rmSync(`${folder.path}/${name}`);

describe('a failed message without a file', () => {
  test('stays, refused, with what the record knows of it', () => {
    remove('b');
    const plan = retry([2]);
    expect(messages(plan)).toEqual(['a=1', 'b=2 MSG_VANISHED', 'c=3']);
    expect(plan.messages.inodes[1]).toBe(previous.inodes[1]);
    expect(plan.messages.sizes[1]).toBe(10);
  });

  test('stays where its line ends in CR, and where the folder lost its index', () => {
    remove('b');
    folder.index('NSMB 3 700 20', '1 1 - 10 a', '2 1 - 10 b\r');
    expect(messages(retry([2]))).toEqual(['a=1', 'b=2 MSG_VANISHED', 'c=3']);
    remove('.mailbox');
    expect(messages(retry([2]))).toEqual(['a=1', 'b=2 MSG_VANISHED', 'c=3']);
  });

  test('is given up with its line, and at once where it was no message', () => {
    remove('b');
    expect(messages(retry([2], [2]))).toEqual(['a=1', 'c=3']);
    folder.index('NSMB 3 700 20', '1 1 - 10 a', '3 1 - 10 c');
    const plan = retry([2]);
    expect(messages(plan)).toEqual(['a=1', 'c=3']);
    expect(codes(plan)).toEqual(['FAILED_GIVEN_UP']);
  });

  test('one that came in 4.x and whose original is gone does not appear as failed', () => {
    remove('a');
    remove('b');
    expect(messages(retry([2]))).toEqual(['a=1', 'b=2 MSG_VANISHED', 'c=3']);
  });

  test('of two messages with one name: the line is that of the later one, which failed', () => {
    // 3.x had replaced a, which is in 4.x, by another message; that one is away.
    const { names, nameOffsets } = previous;
    const record = { ...previous, names: names.map((byte, i) => [byte, 0x61][i] ?? byte), nameOffsets };
    previous = record;
    for (const name of ['a', 'b']) remove(name);
    folder.index('NSMB 3 700 20', '2 1 - 10 a', '3 1 - 10 c');
    expect(messages(retry([2]))).toEqual(['a=1', 'a=2 MSG_VANISHED', 'c=3']);
    // Only the line of the one that is in 4.x.
    folder.index('NSMB 3 700 20', '1 1 - 10 a', '3 1 - 10 c');
    expect(messages(retry([2]))).toEqual(['a=1', 'c=3']);
  });
});
