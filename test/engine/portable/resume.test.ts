import * as fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { PROGRESS } from '../../../src/engine/types.js';
import { loadDigest } from '../../../src/store/digest.js';
import { expectOnlyRootsOwnAdopted, expectSharedWrittenByEachRun, expectWrittenAgain } from '../adoption.js';
import { needRoot } from '../native/support.js';
import { type TestFolder, withFolder } from './folder.js';
import {
  BARE_LF,
  BARE_LF_REWRITTEN,
  engine,
  engineWith,
  errorsOf,
  inode,
  MESSAGE,
  methodsOf,
  mode,
  withFault,
} from './support.js';

const { EIO, ENOSPC, EMFILE, EROFS, EPERM } = constants.errno;
const ROWS = [
  { uid: 1, name: 'a' },
  { uid: 250, name: 'b' },
];

/** One message that is linked and one that is rewritten. */
function fill(folder: TestFolder): void {
  folder.write('a', MESSAGE);
  folder.write('b', BARE_LF);
}

describe('resuming', () => {
  beforeAll(loadDigest);

  it('adopts what an earlier attempt made, and writes the same index', () =>
    withFolder((folder) => {
      fill(folder);
      engine.migrate(folder.input(ROWS));
      const index = fs.readFileSync(`${folder.target}/store.idx`);
      const inodes = ['00/1.msg', '02/250.msg'].map((file) => inode(`${folder.target}/${file}`));
      fs.chmodSync(`${folder.target}/00/1.msg`, 0o640);
      fs.chmodSync(`${folder.target}/02`, 0o755);
      fs.unlinkSync(`${folder.target}/store.idx`);
      const output = engine.migrate(folder.input(ROWS, { resumed: true }));
      expect(methodsOf(output)).toEqual(['adopted', 'adopted']);
      expect(['00/1.msg', '02/250.msg'].map((file) => inode(`${folder.target}/${file}`))).toEqual(inodes);
      expect(fs.readFileSync(`${folder.target}/store.idx`)).toEqual(index);
      expect([mode(`${folder.target}/00/1.msg`), mode(`${folder.target}/02`)]).toEqual([0o600, 0o700]);
    }));

  it('writes again what it adopts: the disk may have refused it, which only one sync is told', () =>
    expectWrittenAgain(engine));

  it('writes a shared copy of an earlier run of the process again, once', () => expectSharedWrittenByEachRun(engine));

  it('replaces files that have their name but not their content', () =>
    withFolder((folder) => {
      fill(folder);
      fs.mkdirSync(`${folder.target}/00`);
      fs.mkdirSync(`${folder.target}/02`);
      fs.writeFileSync(`${folder.target}/00/1.msg`, '');
      fs.writeFileSync(`${folder.target}/02/250.msg`, BARE_LF_REWRITTEN.replace('Hello', 'Hallo'));
      const output = engine.migrate(folder.input(ROWS, { resumed: true }));
      expect(methodsOf(output)).toEqual(['link', 'rewrite']);
      expect(inode(`${folder.target}/00/1.msg`)).toBe(inode(`${folder.source}/a`));
      expect(fs.readFileSync(`${folder.target}/02/250.msg`, 'latin1')).toBe(BARE_LF_REWRITTEN);
    }));

  it('adopts a file that a run left to root, and replaces one that is also a file of the system', (ctx) => {
    needRoot(ctx);
    withFolder((folder) => expectOnlyRootsOwnAdopted(engine, folder));
  });

  it('replaces a symbolic link without following it', () =>
    withFolder((folder) => {
      fill(folder);
      fs.writeFileSync(`${folder.root}/victim`, MESSAGE, { mode: 0o644 });
      fs.mkdirSync(`${folder.target}/00`);
      fs.symlinkSync(`${folder.root}/victim`, `${folder.target}/00/1.msg`);
      const output = engine.migrate(folder.input(ROWS, { resumed: true }));
      expect(methodsOf(output)).toEqual(['link', 'rewrite']);
      expect([fs.readFileSync(`${folder.root}/victim`, 'latin1'), mode(`${folder.root}/victim`)]).toEqual([
        MESSAGE,
        0o644,
      ]);
    }));

  it('sweeps what belongs to no message, and only that', () =>
    withFolder((folder) => {
      fill(folder);
      fs.mkdirSync(`${folder.target}/00`);
      fs.mkdirSync(`${folder.target}/77`);
      fs.mkdirSync(`${folder.target}/=sub`);
      const leftovers = ['00/5.msg', '77/7799.msg', '77/x.msg', '77/.new-5', '.new-9', 'store.idx.new'];
      const others = ['=sub/store.idx', '77/note', 'notes.txt'];
      for (const name of [...leftovers, ...others]) fs.writeFileSync(`${folder.target}/${name}`, 'x');
      engine.migrate(folder.input(ROWS, { resumed: true }));
      expect(folder.targetFiles()).toEqual(['00/1.msg', '02/250.msg', ...others, 'store.idx'].sort());
    }));

  it('takes a message whose 3.x name is gone from the link that was made', () =>
    withFolder((folder) => {
      fill(folder);
      const input = folder.input(ROWS, { resumed: true });
      engine.migrate(input);
      fs.unlinkSync(`${folder.source}/a`);
      fs.unlinkSync(`${folder.target}/store.idx`);
      const output = engine.migrate(input);
      expect(methodsOf(output)).toEqual(['adopted', 'adopted']);
      expect(output.summary?.messages).toBe(2);
    }));

  it('adopts nothing of a source that changes while it is read', () =>
    withFolder((folder) => {
      fill(folder);
      const input = folder.input(ROWS, { resumed: true });
      engine.migrate(input);
      const racing = engineWith(() => fs.appendFileSync(`${folder.source}/a`, 'more'));
      expect(errorsOf(racing.migrate(input))[0]).toBe('MSG_CHANGED');
    }));

  it('keeps the file of a message that failed when it is the only copy', () =>
    withFolder((folder) => {
      fill(folder);
      const input = folder.input(ROWS, { resumed: true });
      engine.migrate(input);
      fs.unlinkSync(`${folder.source}/b`); // it was rewritten: the 4.x file is another inode
      const output = engine.migrate(input);
      expect(errorsOf(output)).toEqual(['', 'MSG_VANISHED']);
      expect(fs.readFileSync(`${folder.target}/02/250.msg`, 'latin1')).toBe(BARE_LF_REWRITTEN);
    }));

  it('stops before the next message when it is cancelled, and publishes nothing', () =>
    withFolder((folder) => {
      fill(folder);
      const progress = new Int32Array(new SharedArrayBuffer(64));
      const cancelling = engineWith(() => Atomics.store(progress, PROGRESS.cancel, 1));
      const output = cancelling.migrate(folder.input(ROWS, { progress }));
      expect(output).toMatchObject({ stopped: true, summary: null, halt: null });
      expect(folder.targetFiles().length).toBe(1);
      expect(Atomics.load(progress, PROGRESS.messages)).toBe(1);
    }));

  it.each([ENOSPC, EMFILE, EROFS, EIO])('halts at errno %i of the target', (errno) =>
    withFolder((folder) => {
      fill(folder);
      const output = withFault(3, errno, () => engine.migrate(folder.input(ROWS)));
      expect(output.halt).toMatchObject({ errno });
      expect([output.summary, output.stopped]).toEqual([null, false]);
      expect(folder.targetFiles()).toEqual([]);
    }),
  );

  it.each([
    ['openSync', 'EMFILE'],
    ['openSync', 'ENFILE'],
    ['openSync', 'ENOMEM'],
    ['readSync', 'ENOMEM'],
  ] as const)('halts where %s of what an earlier attempt made fails with %s, and leaves it', (call, code) =>
    withFolder((folder) => {
      fill(folder);
      const copy = `${folder.target}/02/250.msg`;
      engine.migrate(folder.input(ROWS));
      const before = inode(copy);
      const input = folder.input(ROWS, { resumed: true });
      const output = withFailing(call, copy, code, () => engine.migrate(input));
      expect(output.halt).toMatchObject({ errno: constants.errno[code], side: 'target' });
      expect(inode(copy)).toBe(before);
      expect(methodsOf(engine.migrate(input))).toEqual(['adopted', 'adopted']);
    }),
  );

  it.each(['openSync', 'readSync'] as const)('replaces it where %s fails otherwise', (call) =>
    withFolder((folder) => {
      fill(folder);
      const copy = `${folder.target}/02/250.msg`;
      engine.migrate(folder.input(ROWS));
      const input = folder.input(ROWS, { resumed: true });
      const output = withFailing(call, copy, 'EIO', () => engine.migrate(input));
      expect(methodsOf(output)).toEqual(['adopted', 'rewrite']);
    }),
  );

  it('loses nothing at whatever call fails, and the next attempt gives the same result', () => {
    const expected = withFolder((folder) => {
      fillShared(folder);
      engine.migrate(folder.input(SHARED_ROWS));
      return { files: folder.targetFiles(), index: fs.readFileSync(`${folder.target}/store.idx`) };
    });
    for (const errno of [EIO, ENOSPC, EPERM]) {
      let at = 1;
      while (failsAt(at, errno, expected)) at++;
      // mkdir, mode, link, chmod, temporary file, …: fewer would mean that the seam is not passed.
      expect(at).toBeGreaterThan(20);
    }
  });
});

/** Runs `calls` while Node cannot open or read `file`. */
function withFailing<T>(
  call: 'openSync' | 'readSync',
  file: string,
  code: keyof typeof constants.errno,
  calls: () => T,
): T {
  const node = createRequire(import.meta.url)('node:fs') as typeof import('node:fs');
  const { openSync, readSync } = node;
  const { ino } = fs.statSync(file);
  const fail = (syscall: string): never => {
    throw Object.assign(new Error(`${code}: ${syscall}`), { code, errno: -constants.errno[code], syscall });
  };
  if (call === 'openSync') {
    node.openSync = (path, ...rest) => {
      const isFile = node.lstatSync(path, { throwIfNoEntry: false })?.ino === ino;
      return isFile ? fail('open') : openSync(path, ...rest);
    };
  } else {
    const failing = (fd: number, ...rest: readonly unknown[]): number =>
      node.fstatSync(fd).ino === ino ? fail('read') : Reflect.apply(readSync, node, [fd, ...rest]);
    node.readSync = failing;
  }
  syncBuiltinESMExports();
  try {
    return calls();
  } finally {
    Object.assign(node, { openSync, readSync });
    syncBuiltinESMExports();
  }
}

const SHARED_ROWS = [
  { uid: 1, name: 'a' },
  { uid: 2, name: 'b' },
  { uid: 250, name: 'c' },
  { uid: 251, name: 'd' },
];

/** Linked, linked with a mode to set, rewritten, and rewritten as a shared copy. */
function fillShared(folder: TestFolder): void {
  folder.write('a', MESSAGE);
  fs.chmodSync(folder.write('b', MESSAGE), 0o644);
  folder.write('c', BARE_LF);
  fs.linkSync(folder.write('d', `${BARE_LF}shared\n`), `${folder.root}/elsewhere`);
}

/** One attempt whose `at`-th call fails, and the next; false when the attempt makes fewer calls. */
function failsAt(at: number, errno: number, expected: { files: string[]; index: Buffer }): boolean {
  return withFolder((folder) => {
    fillShared(folder);
    const input = folder.input(SHARED_ROWS);
    const first = withFault(at, errno, () => engine.migrate(input));
    const failed = first.summary === null;
    if (failed) {
      expect(first.halt !== null || errorsOf(first).includes('MSG_TARGET')).toBe(true);
      expect(fs.existsSync(`${folder.target}/store.idx`)).toBe(false);
    }
    // The record stays what it was; times and inodes of the sources must be untouched.
    const second = engine.migrate({ ...input, resumed: true });
    expect(second.halt).toBeNull();
    expect(errorsOf(second)).toEqual(['', '', '', '']);
    expect(folder.targetFiles()).toEqual(expected.files);
    // Nothing in the index tells of attempts: dates are the rows', digests the contents'.
    expect(Buffer.compare(fs.readFileSync(`${folder.target}/store.idx`), expected.index)).toBe(0);
    expect(fs.readdirSync(folder.single).length).toBeLessThanOrEqual(1);
    return failed || first.methods.some((method) => method === 4);
  });
}
