/** Which symbolic links lead root to a root or to a named file. Needs root: others follow what the kernel lets them. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asAccount } from '../../src/config/privileges.js';
import { hasErrno, MailhaulError } from '../../src/errors.js';
import { closeDir, openRoot, stat } from '../../src/fs/dir.js';
import { readRootLink } from '../../src/fs/links.js';
import { openNamedFile } from '../../src/fs/named.js';
import { needRoot } from '../upgrade/small-store.js';

const SOMEBODY = 12345;

describe('root, on the way to a root,', () => {
  let root: string;
  beforeEach((ctx) => {
    needRoot(ctx);
    root = fs.mkdtempSync(join(fs.realpathSync(tmpdir()), 'mailhaul-links-'));
    fs.mkdirSync(join(root, 'real/store'), { recursive: true });
    fs.writeFileSync(join(root, 'real/store/file'), 'content');
  });
  afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

  const link = (target: string, name: string, uid = 0): string => {
    fs.symlinkSync(target, join(root, name));
    fs.lchownSync(join(root, name), uid, uid);
    return join(root, name);
  };
  const isStore = (path: string): boolean => {
    const dir = openRoot(path);
    try {
      return stat(dir, 'file') !== undefined && dir.path === path;
    } finally {
      closeDir(dir);
    }
  };
  const failure = (action: () => unknown): unknown => {
    try {
      action();
    } catch (error) {
      return error;
    }
    return undefined;
  };

  it('follows its own links: absolute, relative, to links, with dot-dot', () => {
    link(join(root, 'real'), 'absolute');
    link('real', 'relative');
    expect(isStore(link('relative/../absolute/./store/', 'second'))).toBe(true);
    expect(isStore(join(root, 'absolute//store'))).toBe(true);
  });

  it('refuses a link of another account, as the root itself and above it, and says how to vouch for it', () => {
    const itself = link('real/store', 'itself', SOMEBODY);
    const above = link('real', 'above', SOMEBODY);
    for (const [path, where] of [
      [itself, itself],
      [join(above, 'store'), above],
      [link('above/store', 'mine'), above],
    ] as const) {
      const error = failure(() => openRoot(path));
      expect(error, path).toBeInstanceOf(MailhaulError);
      expect(error, path).toMatchObject({ code: 'FS_FOREIGN_LINK', exit: 3, where });
      expect((error as MailhaulError).hint).toContain(`chown -h root ${where}`);
    }
    fs.lchownSync(itself, 0, 0);
    expect(isStore(itself)).toBe(true);
  });

  it('refuses it as well while it has the rights of that account, as `--reset` has when it looks at the store', () => {
    fs.chownSync(root, SOMEBODY, SOMEBODY);
    const itself = link('real/store', 'itself', SOMEBODY);
    asAccount({ uid: SOMEBODY, gid: SOMEBODY }, () => {
      expect(failure(() => openRoot(itself))).toMatchObject({ code: 'FS_FOREIGN_LINK' });
      expect(isStore(join(root, 'real/store'))).toBe(true);
    });
  });

  it('gets the errors of the file system for the path that it asked for', () => {
    for (const [path, code] of [
      ['none/at/all', 'ENOENT'],
      ['real/store/file', 'ENOTDIR'],
      ['real/store/file/below', 'ENOTDIR'],
    ] as const) {
      const error = failure(() => openRoot(join(root, path)));
      expect(hasErrno(error, code), path).toBe(true);
      expect((error as Error).message, path).toContain(`'${join(root, path)}'`);
    }
    expect(failure(() => openRoot(''))).toMatchObject({ code: 'ENOENT' });
    expect(failure(() => openRoot(link('loop', 'loop')))).toMatchObject({ code: 'FS_LINK_LOOP' });
  });

  it('reads no target of a link that is not the one it saw', () => {
    const path = link('real', 'seen');
    const seen = fs.lstatSync(path, { bigint: true });
    expect(readRootLink(path, seen, path)).toBe('real');
    fs.renameSync(link('elsewhere', 'other', SOMEBODY), path);
    expect(failure(() => readRootLink(path, seen, path))).toMatchObject({ code: 'FS_FOREIGN_LINK' });
    fs.rmSync(path);
    expect(failure(() => readRootLink(path, seen, path))).toMatchObject({ code: 'FS_FOREIGN_LINK' });
  });

  it('holds a named file to the same, the directories above it too', () => {
    link('real', 'above', SOMEBODY);
    link('real', 'mine');
    fs.closeSync(openNamedFile(join(root, 'mine/store/file')));
    expect(failure(() => openNamedFile(join(root, 'above/store/file')))).toMatchObject({ code: 'FS_FOREIGN_LINK' });
    expect(failure(() => openNamedFile(join(root, 'mine/store')))).toMatchObject({ code: 'FS_NOT_REGULAR' });
  });
});
