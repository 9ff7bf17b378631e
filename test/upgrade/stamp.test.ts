/** What a 3.x folder looks like is the same to the addon and to Node, and tells of every change. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { loadAddon } from '../../src/fs/addon.js';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { isSame, stampOf } from '../../src/upgrade/stamp.js';

let directory: string;
let dir: Dir;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'mailhaul-stamp-'));
  dir = openRoot(directory);
});

afterEach(() => {
  vi.restoreAllMocks();
  closeDir(dir);
  fs.rmSync(directory, { recursive: true });
});

const index = (): string => join(directory, '.mailbox');

function byNode() {
  const told = vi.spyOn(loadAddon()!, 'stamp').mockReturnValue(false);
  const stamp = stampOf(dir);
  expect(told).toHaveBeenCalledOnce();
  told.mockRestore();
  return stamp;
}

it.each<[string, () => void]>([
  ['no index', () => {}],
  ['an index', () => fs.writeFileSync(index(), 'x')],
  [
    'an index of before 1970',
    () => {
      fs.writeFileSync(index(), 'x');
      fs.utimesSync(index(), -5.5, -5.5);
    },
  ],
  ['a link', () => fs.symlinkSync('nowhere', index())],
])('of a folder with %s', (_, make) => {
  make();
  expect(stampOf(dir)).toEqual(byNode());
});

it('is another one after each change', () => {
  fs.writeFileSync(index(), 'x');
  const seen = [stampOf(dir)];
  const change = (make: () => void): void => {
    make();
    const now = stampOf(dir);
    expect(isSame(now, now)).toBe(true);
    expect(seen.some((before) => isSame(before, now))).toBe(false);
    seen.push(now);
  };
  change(() => fs.utimesSync(index(), 5, 5));
  change(() => fs.utimesSync(directory, 5, 5));
  change(() => {
    fs.writeFileSync(`${index()}.new`, 'x');
    fs.utimesSync(`${index()}.new`, 5, 5);
    fs.renameSync(`${index()}.new`, index());
    fs.utimesSync(directory, 5, 5);
  });
  change(() => {
    fs.unlinkSync(index());
    fs.utimesSync(directory, 5, 5);
  });
});

it('what cannot be asked is Node’s to say', () => {
  const gone = { fd: 9999, path: '/folder' };
  expect(() => stampOf(gone)).toThrow('/folder');
});
