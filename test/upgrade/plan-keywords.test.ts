/** The keyword table of a plan (docs/formats/store-idx.md). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readIndex } from '../../src/source/nsms3/mailbox.js';
import type { FolderIndex } from '../../src/source/types.js';
import { collectKeywords } from '../../src/upgrade/plan-keywords.js';
import { type TestFolder, testFolder } from '../source/nsms3/folder.js';

let folder: TestFolder;
let index: FolderIndex;
beforeAll(() => {
  folder = testFolder();
  folder.index('NSMB 3 700 31', '9 1 -,Work,late 1 a', '3 1 -,LATE,Junk 1 b', '5 1 -,junk 1 c');
  index = readIndex(folder.dir);
});
afterAll(() => folder.remove());

/** Files a, b and c of the scan, and their lines. */
const LINE_OF = Int32Array.from([0, 1, 2]);

/** The keywords of each of `files`. */
function keywordsOf(files: readonly number[], order: 'uids' | 'lines'): string[][] {
  const { table, offsets, refs } = collectKeywords(index, Uint32Array.from(files), LINE_OF, order);
  return files.map((_, i) => [...refs.subarray(offsets[i], offsets[i + 1])].map((ref) => table[ref] ?? ''));
}

it('are in the order of the uids that name them first, spelled as there', () => {
  expect(keywordsOf([1, 2, 0], 'uids')).toEqual([['LATE', 'Junk'], ['Junk'], ['LATE', 'Work']]);
});

it('of a published folder do not depend on uids, which an earlier attempt may have given anew', () => {
  const spelled = { a: ['Work', 'late'], b: ['late', 'Junk'], c: ['Junk'] };
  expect(keywordsOf([1, 2, 0], 'lines')).toEqual([spelled.b, spelled.c, spelled.a]);
  expect(keywordsOf([0, 1, 2], 'lines')).toEqual([spelled.a, spelled.b, spelled.c]);
});

it('that no message has are not in the table', () => {
  expect(collectKeywords(index, Uint32Array.of(2), LINE_OF, 'lines').table).toEqual(['junk']);
});
