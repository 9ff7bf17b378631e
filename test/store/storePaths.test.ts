/** Store paths on disk: which may be used, and which are one. */
import * as fs from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asAccount } from '../../src/config/privileges.js';
import { checkDistinct, checkStorePath, identityOf } from '../../src/store/storePaths.js';
import { ACCOUNT, codeOf, needRoot } from '../upgrade/small-store.js';

const { uid } = userInfo();

describe('store paths on disk', () => {
  let root: string;
  beforeEach(() => {
    root = fs.mkdtempSync(join(fs.realpathSync(tmpdir()), 'mailhaul-paths-'));
  });
  afterEach(() => fs.rmSync(root, { recursive: true }));
  const make = (path: string): string => {
    fs.mkdirSync(join(root, path), { recursive: true });
    return join(root, path);
  };

  it('are used when owned by the account, below a sticky /tmp', () => {
    const path = make('a/b');
    const { id, parents } = checkStorePath(path, uid, false);
    const status = fs.statSync(path);
    expect(id).toBe(`${status.dev}:${status.ino}`);
    expect(parents).toContain(checkStorePath(make('a'), uid, false).id);
  });

  it('that no file system can hold are errors of their own', () => {
    expect(codeOf(() => checkStorePath(`/${'a'.repeat(300)}`, uid, false))).toBe('STORE_PATH_UNREADABLE');
    expect(codeOf(() => checkStorePath(`${root}/${'a/'.repeat(30_000)}`, uid, false))).toBe('STORE_PATH_MISSING');
  });

  it('are never in the file systems of the kernel, whose links lead anywhere', () => {
    for (const path of ['/proc/self/root/etc', '/proc/self/fd', '/sys/kernel']) {
      expect(
        codeOf(() => checkStorePath(path, uid, false)),
        path,
      ).toBe('STORE_PATH_UNTRUSTED');
    }
  });

  it('are refused when a parent is writable by others, unless vouched for', () => {
    const path = make('open/store');
    fs.chmodSync(join(root, 'open'), 0o777);
    expect(codeOf(() => checkStorePath(path, uid, false))).toBe('STORE_PATH_UNTRUSTED');
    expect(checkStorePath(path, uid, true).id).toBeTruthy();
    fs.chmodSync(join(root, 'open'), 0o1777);
    expect(checkStorePath(path, uid, false).id).toBeTruthy();
  });

  it('are refused when a parent, or a link on the way, belongs to somebody else', (ctx) => {
    needRoot(ctx);
    const path = make('theirs/store');
    fs.chownSync(join(root, 'theirs'), 12345, 12345);
    expect(codeOf(() => checkStorePath(path, uid, false))).toBe('STORE_PATH_UNTRUSTED');
    expect(checkStorePath(path, 12345, false).id).toBeTruthy();
    make('real');
    fs.symlinkSync(join(root, 'real'), join(root, 'link'));
    expect(checkStorePath(join(root, 'link'), uid, false).id).toBe(checkStorePath(join(root, 'real'), uid, false).id);
    // Root follows no link of the server account either, and nobody can vouch for it but root.
    fs.lchownSync(join(root, 'link'), 12345, 12345);
    for (const exempt of [false, true]) {
      expect(codeOf(() => checkStorePath(join(root, 'link'), 12345, exempt))).toBe('FS_FOREIGN_LINK');
    }
  });

  describe('for the server account', () => {
    const isRoot = uid === 0;
    const asServer = <T>(action: () => T): T => (isRoot ? asAccount(ACCOUNT, action) : action());
    /** May be passed through by the account, not listed. */
    const passable = isRoot ? 0o711 : 0o311;
    const code = (path: string, exempt = false): string | undefined =>
      asServer(() => codeOf(() => checkStorePath(path, ACCOUNT.uid, exempt)));
    let path: string;
    beforeEach(() => {
      path = make('disk/store');
      fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
      for (const parent of [root, join(root, 'disk')]) fs.chmodSync(parent, passable);
    });
    afterEach(() => {
      for (const parent of [root, join(root, 'disk'), path]) fs.chmodSync(parent, 0o700);
    });

    it('need no more of a parent than to be passed through', () => {
      expect(() => asServer(() => fs.readdirSync(root))).toThrow(/EACCES/);
      const here = fs.statSync(path);
      const { id, parents } = asServer(() => checkStorePath(path, ACCOUNT.uid, false));
      expect(id).toBe(`${here.dev}:${here.ino}`);
      expect(parents.at(-1)).toBe(`${here.dev}:${fs.statSync(join(root, 'disk')).ino}`);
      expect(asServer(() => identityOf(path))?.id).toBe(id);
    });

    it('must be readable themselves; what they are can be told nevertheless', () => {
      fs.chmodSync(path, 0o300);
      expect([code(path), code(path, true)]).toEqual(['STORE_PATH_UNREADABLE', 'STORE_PATH_UNREADABLE']);
      expect(() => asServer(() => checkStorePath(path, ACCOUNT.uid, true))).toThrow(
        expect.objectContaining({ where: path, hint: expect.stringContaining(`'${path}'`) }),
      );
      expect(asServer(() => identityOf(path))?.id).toBeTruthy();
    });

    it('below a directory that cannot be passed through are unreadable', () => {
      fs.chmodSync(join(root, 'disk'), isRoot ? 0o744 : 0o644);
      expect(code(path)).toBe('STORE_PATH_UNREADABLE');
      expect(asServer(() => identityOf(path))).toBeUndefined();
    });
  });

  it('are walked through relative links, links to links and dot-dot, and not round a loop', () => {
    const real = make('x/y');
    fs.symlinkSync('x', join(root, 'first'));
    fs.symlinkSync('first/../first/y', join(root, 'second'));
    expect(checkStorePath(join(root, 'second'), uid, false).id).toBe(checkStorePath(real, uid, false).id);
    fs.symlinkSync('loop', join(root, 'loop'));
    expect(codeOf(() => checkStorePath(join(root, 'loop'), uid, false))).toBe('STORE_PATH_NOT_DIRECTORY');
  });

  it('that are missing or no directory say so', () => {
    expect(codeOf(() => checkStorePath(join(root, 'none/at/all'), uid, false))).toBe('STORE_PATH_MISSING');
    fs.writeFileSync(join(root, 'file'), '');
    expect(codeOf(() => checkStorePath(join(root, 'file'), uid, false))).toBe('STORE_PATH_NOT_DIRECTORY');
  });

  it('that are one directory, or lie in one another, stop everything', () => {
    const check = (...paths: string[]) =>
      checkDistinct(new Map(paths.map((path) => [path, checkStorePath(path, uid, false)])));
    const [a, b, inner] = [make('a'), make('b'), make('a/deep/inner')];
    check(a, b);
    fs.symlinkSync(a, join(root, 'also-a'));
    expect(() => check(a, b, join(root, 'also-a'))).toThrow(/are the same directory/);
    expect(() => check(b, inner, a)).toThrow(`${inner} lies in ${a}`);
    expect(codeOf(() => check(inner, a))).toBe('STORE_PATHS_OVERLAP');
  });
});
