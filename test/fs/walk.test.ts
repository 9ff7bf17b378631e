/** Directories several levels below a held one: by the addon in one call, and one name at a time. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../src/fs/addon.js';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { ensureDirs, walk, walkIfThere } from '../../src/fs/walk.js';

const addon = vi.hoisted(() => ({ isThere: true }));
vi.mock('../../src/fs/addon.js', async (load) => {
  const real = await load<typeof import('../../src/fs/addon.js')>();
  return { ...real, loadAddon: () => (addon.isThere ? real.loadAddon() : undefined) };
});

let root: Dir;
const held: Dir[] = [];

beforeEach(() => {
  root = openRoot(fs.mkdtempSync(`${os.tmpdir()}/walk-`));
  fs.mkdirSync(`${root.path}/a/b/c`, { recursive: true });
  fs.mkdirSync(`${root.path}/elsewhere/b`, { recursive: true });
});

afterEach(() => {
  for (const dir of held.splice(0)) closeDir(dir);
  closeDir(root);
  fs.rmSync(root.path, { recursive: true });
});

function hold(dir: Dir): string {
  held.push(dir);
  return fs.readlinkSync(`/proc/self/fd/${dir.fd}`);
}

describe.each([
  ['with the addon', true],
  ['without the addon', false],
])('directories below a held one, %s', (_, isThere) => {
  beforeEach((ctx) => {
    addon.isThere = true;
    if (isThere && loadAddon() === undefined) ctx.skip('the addon was not built');
    addon.isThere = isThere;
  });

  it('are opened through several levels, also by names of raw bytes', () => {
    fs.mkdirSync(Buffer.from(`${root.path}/a/\xe4`, 'latin1'));
    const dir = walk(root, ['a', 'b', 'c']);
    expect([dir.path, hold(dir)]).toEqual([`${root.path}/a/b/c`, `${root.path}/a/b/c`]);
    expect(fs.fstatSync(walkHeld(['a', Buffer.of(0xe4)])).isDirectory()).toBe(true);
  });

  it('are not reached through a link, at any level', () => {
    fs.symlinkSync('elsewhere', `${root.path}/link`);
    fs.symlinkSync('../elsewhere/b', `${root.path}/a/link`);
    for (const names of [
      ['link', 'b'],
      ['a', 'link'],
    ]) {
      expect(() => walk(root, names)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/ELOOP|ENOTDIR/) }),
      );
      expect(() => ensureDirs(root, [...names, 'new'])).toThrow(/ELOOP|ENOTDIR/);
    }
    expect(fs.readdirSync(`${root.path}/elsewhere/b`)).toEqual([]);
  });

  it('are not above it, whatever a name says', () => {
    for (const name of ['..', '.', '', 'a/b', 'a\0']) {
      expect(() => walk(root, ['a', name])).toThrow(expect.objectContaining({ code: 'FS_NAME' }));
      expect(() => ensureDirs(root, ['a', name])).toThrow(expect.objectContaining({ code: 'FS_NAME' }));
    }
  });

  it('that are not there are named with the path that people know', () => {
    expect(() => walk(root, ['a', 'none', 'c'])).toThrow(`'${root.path}/a/none'`);
    expect(walkIfThere(root, ['a', 'none', 'c'])).toBeUndefined();
  });

  it('are made where they are missing, and only there', () => {
    const made: number[] = [];
    const ensure = (names: string[]): string => hold(ensureDirs(root, names, undefined, () => made.push(names.length)));
    expect(ensure(['a', 'b', 'c'])).toBe(`${root.path}/a/b/c`);
    expect(made).toEqual([]);
    expect(ensure(['a', 'b', 'x', 'y'])).toBe(`${root.path}/a/b/x/y`);
    expect(made).toEqual([4, 4]);
    expect(ensure(['n'])).toBe(`${root.path}/n`);
    expect(fs.statSync(`${root.path}/a/b/x`).mode & 0o7777).toBe(0o700);
  });

  function walkHeld(names: readonly (string | Uint8Array)[]): number {
    const dir = walk(root, names);
    held.push(dir);
    return dir.fd;
  }
});
