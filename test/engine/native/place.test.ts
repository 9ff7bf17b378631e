/** How a message gets its 4.x file: linked, copied, cloned, rewritten, shared. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { hasErrno } from '../../../src/errors.js';
import { tableOf, withFolder } from '../portable/folder.js';
import { needAddon, needRoot, outcomes, skip, withFileSystem } from './support.js';

const CRLF = 'Subject: one\r\n\r\nText\r\n';
const BARE_LF = 'Subject: one\n\nText\n';

/** Links `file` into the new directory until its link count is full. */
function fillLinks(file: string, directory: string): void {
  fs.mkdirSync(directory);
  for (let i = 0; ; i++) {
    try {
      fs.linkSync(file, `${directory}/${i}`);
    } catch (error) {
      if (hasErrno(error, 'EMLINK')) return;
      throw error;
    }
  }
}

describe('native engine: the 4.x file', () => {
  it('is the very inode of the 3.x file, mode 0600, in its hash directory', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const file = folder.write('first message', CRLF);
      fs.chmodSync(file, 0o640);
      const output = engine.migrate(folder.input([{ uid: 4711, name: 'first message' }]));
      expect(outcomes(output)).toEqual(['link']);
      const target = fs.statSync(`${folder.target}/47/4711.msg`);
      expect(target.ino).toBe(fs.statSync(file).ino);
      expect(target.mode & 0o7777).toBe(0o600);
      expect(fs.statSync(`${folder.target}/47`).mode & 0o7777).toBe(0o700);
      expect(folder.targetFiles()).toEqual(['47/4711.msg', 'store.idx']);
      expect(output.summary).toMatchObject({ messages: 1, bytes: CRLF.length });
    });
  });

  it('holds the CRLF form of a message with bare LF, and leaves the 3.x file as it was', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const file = folder.write('m', BARE_LF);
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm' }]));
      expect(outcomes(output)).toEqual(['rewrite']);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
      expect(fs.readFileSync(file, 'latin1')).toBe(BARE_LF);
      expect(output.bytes).toBe(CRLF.length);
      expect(fs.readdirSync(folder.single)).toEqual([]);
    });
  });

  it('is a copy on another file system', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    if (!fs.existsSync('/dev/shm') || fs.statSync('/dev/shm').dev === fs.statSync('/tmp').dev) {
      skip(ctx, '/dev/shm is not another file system than /tmp');
    }
    withFolder((folder) => {
      folder.write('a', CRLF);
      folder.write('b', '');
      const rows = [
        { uid: 1, name: 'a' },
        { uid: 2, name: 'b' },
      ];
      expect(outcomes(engine.migrate(folder.input(rows)))).toEqual(['copy', 'copy']);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
      expect(fs.readFileSync(`${folder.target}/00/2.msg`, 'latin1')).toBe('');
    }, '/dev/shm');
  });

  it('shares one copy of a 3.x inode with several links that has to be rewritten', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const file = folder.write('a', BARE_LF);
      fs.linkSync(file, `${folder.source}/b`);
      fs.linkSync(file, `${folder.source}/c`);
      const rows = ['a', 'b', 'c'].map((name, i) => ({ uid: i + 1, name }));
      expect(outcomes(engine.migrate(folder.input(rows)))).toEqual(['rewrite', 'shared', 'shared']);
      const inodes = [1, 2, 3].map((uid) => fs.statSync(`${folder.target}/00/${uid}.msg`).ino);
      expect(new Set(inodes).size).toBe(1);
      expect(inodes[0]).not.toBe(fs.statSync(file).ino);
      const { dev, ino, size } = fs.statSync(file);
      expect(fs.readdirSync(folder.single)[0]).toMatch(new RegExp(`^${dev}-${ino}-${size}-[0-9a-f]{32}$`));
    });
  });

  it('never links a registered copy whose content is another', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const file = folder.write('a', BARE_LF);
      fs.linkSync(file, `${folder.source}/b`);
      engine.migrate(folder.input([{ uid: 1, name: 'a' }]));
      const registered = `${folder.single}/${fs.readdirSync(folder.single)[0]}`;
      fs.rmSync(registered);
      fs.writeFileSync(registered, 'X'.repeat(CRLF.length), { mode: 0o600 });
      expect(outcomes(engine.migrate(folder.input([{ uid: 2, name: 'b' }])))).toEqual(['rewrite']);
      expect(fs.readFileSync(`${folder.target}/00/2.msg`, 'latin1')).toBe(CRLF);
      expect(fs.readFileSync(registered, 'latin1')).toBe(CRLF);
    });
  });

  it('shares blocks of a 3.x file that cannot be linked, where the file system can', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    needRoot(ctx);
    const done = withFileSystem('xfs', 320 << 20, (root) =>
      withFolder((folder) => {
        const source = `${root}/source`;
        fs.mkdirSync(source);
        fs.writeFileSync(`${source}/m`, CRLF, { mode: 0o600 });
        // link(2) refuses an immutable file (EPERM), on the same device.
        if (spawnSync('chattr', ['+i', `${source}/m`]).status !== 0) return 'no immutable files on xfs here';
        try {
          const messages = tableOf(source, [{ uid: 1, name: 'm' }], []);
          const output = engine.migrate(folder.input([], { sourceFd: folder.open(source), messages, uidnext: 2 }));
          expect(outcomes(output)).toEqual(['reflink']);
        } finally {
          spawnSync('chattr', ['-i', `${source}/m`]);
        }
        expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(CRLF);
        return 'done';
      }, root),
    );
    if (done !== 'done') skip(ctx, done ?? 'no xfs can be mounted here');
  });

  it('is a new shared copy when the link count of the 3.x file is full', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    needRoot(ctx);
    const done = withFileSystem('ext4', 64 << 20, (root) =>
      withFolder((folder) => {
        const source = `${root}/source`;
        fs.mkdirSync(source);
        fs.writeFileSync(`${source}/m`, CRLF, { mode: 0o600 });
        fillLinks(`${source}/m`, `${root}/links`);
        const input = folder.input([], { sourceFd: folder.open(source), uidnext: 9 });
        const migrate = (uid: number) =>
          outcomes(engine.migrate({ ...input, messages: tableOf(source, [{ uid, name: 'm' }], []) }));
        const target = (uid: number) => fs.statSync(`${folder.target}/00/${uid}.msg`);
        expect(migrate(1)).toEqual(['copy']);
        expect(migrate(2)).toEqual(['shared']);
        expect(target(2).ino).toBe(target(1).ino);
        // The registered copy fills up in its turn: it is replaced.
        fillLinks(`${folder.target}/00/1.msg`, `${root}/more`);
        expect(migrate(3)).toEqual(['copy']);
        expect(target(3).ino).not.toBe(target(1).ino);
        expect(target(3).nlink).toBe(2);
        return 'done';
      }, root),
    );
    if (done === undefined) skip(ctx, 'no ext4 can be mounted here');
  });
});
