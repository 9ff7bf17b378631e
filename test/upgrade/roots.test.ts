/** Store paths that cannot be opened: which of them stop their own folders only. */
import * as fs from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { closeRoots, emptyRoots, openStorePaths } from '../../src/upgrade/roots.js';
import { codeOf, needRoot } from './small-store.js';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(join(fs.realpathSync(tmpdir()), 'mailhaul-roots-'));
  fs.mkdirSync(join(root, 'there'));
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

it('one that is a loop of links is told as one that is gone is, by root too; the others are held', () => {
  fs.symlinkSync('loop', join(root, 'loop'));
  const roots = emptyRoots();
  const paths = ['loop', 'gone', 'there'].map((name) => join(root, name));
  const troubles = openStorePaths(roots, paths);
  expect([...troubles]).toEqual([
    [join(root, 'loop'), { side: 'source', errno: constants.errno.ELOOP, call: 'open' }],
    [join(root, 'gone'), { side: 'source', errno: constants.errno.ENOENT, call: 'open' }],
  ]);
  expect([...roots.stores.keys()]).toEqual([join(root, 'there')]);
  closeRoots(roots);
});

it('one behind a link of another account is refused by root, with all of the run', (ctx) => {
  needRoot(ctx);
  fs.symlinkSync('there', join(root, 'foreign'));
  fs.lchownSync(join(root, 'foreign'), 12345, 12345);
  expect(codeOf(() => openStorePaths(emptyRoots(), [join(root, 'foreign')]))).toBe('FS_FOREIGN_LINK');
});
