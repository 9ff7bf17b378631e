import * as fs from 'node:fs';
import { constants } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { digest, loadDigest } from '../../../src/store/digest.js';
import { checkIndex } from '../../../src/store/index/check.js';
import { FAST_DIRECTORY, TestFolder, withFolder } from './folder.js';
import {
  BARE_LF,
  BARE_LF_REWRITTEN,
  engine,
  errorsOf,
  inode,
  MESSAGE,
  methodsOf,
  mode,
  readIndex,
  withFault,
} from './support.js';

const { EEXIST, EMLINK, EXDEV } = constants.errno;
/** Another file system than the temporary directory, on most machines. */
const OTHER = FAST_DIRECTORY;

describe('placing messages', () => {
  beforeAll(loadDigest);

  it('links a message in CRLF form and gives it mode 0600', () =>
    withFolder((folder) => {
      const file = folder.write('AAA1', MESSAGE);
      fs.chmodSync(file, 0o644);
      const output = engine.migrate(folder.input([{ uid: 4711, name: 'AAA1' }]));
      expect(methodsOf(output)).toEqual(['link']);
      expect(folder.targetFiles()).toEqual(['47/4711.msg', 'store.idx']);
      expect(inode(`${folder.target}/47/4711.msg`)).toBe(inode(file));
      expect([mode(file), mode(`${folder.target}/47`), mode(`${folder.target}/store.idx`)]).toEqual([
        0o600, 0o700, 0o600,
      ]);
    }));

  it('writes an index with everything the table says', () =>
    withFolder((folder) => {
      const rows = [
        { uid: 3, name: 'b', flags: 1, keywords: ['Junk', 'work'], internalDate: 1_000 },
        { uid: 7, name: 'a', flags: 30, internalDate: 900 },
        { uid: 1_000_000, name: 'c', keywords: ['work'], internalDate: 800 },
      ];
      folder.write('a', MESSAGE);
      folder.write('b', BARE_LF);
      folder.write('c', '');
      const output = engine.migrate(folder.input(rows, { uidnext: 2_000_000 }));
      const index = readIndex(folder.target);
      expect(index.header).toMatchObject({ uidvalidity: 1_234_567, uidnext: 2_000_000, generation: 0, messages: 3 });
      expect(
        [...index.records()].map(({ uid, flags, internalDate, size }) => [uid, flags, internalDate, size]),
      ).toEqual([
        [3, 1, 1_000, BARE_LF_REWRITTEN.length],
        [7, 30, 900, MESSAGE.length],
        [1_000_000, 0, 800, 0],
      ]);
      expect([...index.records()].map((record) => index.keywordsOf(record))).toEqual([['Junk', 'work'], [], ['work']]);
      expect(index.record(1).digest).toEqual(digest(Buffer.from(MESSAGE)));
      expect(index.record(1).headerBytes).toBe(MESSAGE.indexOf('Hello'));
      expect(Buffer.from(index.admin()).toString()).toBe('{"v":1}');
      expect([...checkIndex(fs.readFileSync(`${folder.target}/store.idx`))]).toEqual([]);
      expect(output.summary).toEqual({
        messages: 3,
        bytes: MESSAGE.length + BARE_LF_REWRITTEN.length,
        lastAppend: 1_000,
        seen: 1,
        answered: 1,
        flagged: 1,
        deleted: 1,
        draft: 1,
      });
      expect(output.bytes).toBe(output.summary?.bytes);
    }));

  it('writes the CRLF form of a message with bare LF into a new file', () =>
    withFolder((folder) => {
      const file = folder.write('m', BARE_LF);
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm' }]));
      expect(methodsOf(output)).toEqual(['rewrite']);
      expect(fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')).toBe(BARE_LF_REWRITTEN);
      expect(fs.readFileSync(file, 'latin1')).toBe(BARE_LF);
      expect(mode(`${folder.target}/00/1.msg`)).toBe(0o600);
    }));

  it('publishes an empty folder', () =>
    withFolder((folder) => {
      const output = engine.migrate(folder.input([]));
      expect(output.summary).toMatchObject({ messages: 0, bytes: 0, lastAppend: 0 });
      expect(readIndex(folder.target).count).toBe(0);
    }));

  it('takes file names of any bytes', () =>
    withFolder((folder) => {
      const name = Buffer.from([0x41, 0xff, 0xe4, 0x0a, 0x20]);
      fs.writeFileSync(Buffer.concat([Buffer.from(`${folder.source}/`), name]), MESSAGE, { mode: 0o600 });
      const output = engine.migrate(folder.input([{ uid: 1, name }]));
      expect(methodsOf(output)).toEqual(['link']);
      expect(engine.scan(folder.open(folder.source)).names).toEqual(Uint8Array.from(name));
    }));

  it('copies to another file system, a message of several links once', (ctx) => {
    if (!isOtherDevice(OTHER)) return skip(ctx, `${OTHER} is not another file system`);
    withFolder((folder) => {
      fs.linkSync(folder.write('a', MESSAGE), `${folder.source}/b`);
      folder.write('c', MESSAGE);
      const rows = ['a', 'b', 'c'].map((name, i) => ({ uid: i + 1, name }));
      const output = engine.migrate(folder.input(rows));
      expect(methodsOf(output)).toEqual(['copy', 'shared', 'copy']);
      const [a, b, c] = [1, 2, 3].map((uid) => `${folder.target}/00/${uid}.msg`) as [string, string, string];
      expect(inode(a)).toBe(inode(b));
      expect(inode(a)).not.toBe(inode(c));
      expect(fs.readFileSync(c, 'latin1')).toBe(MESSAGE);
      const { dev, ino } = fs.statSync(`${folder.source}/a`, { bigint: true });
      const sum = Buffer.from(digest(Buffer.from(MESSAGE))).toString('hex');
      expect(fs.readdirSync(folder.single)).toEqual([`${dev}-${ino}-${MESSAGE.length}-${sum}`]);
    }, OTHER);
  });

  it('rewrites a shared message once, for all folders of a partition', () =>
    withFolder((folder) => {
      fs.linkSync(folder.write('a', BARE_LF), `${folder.source}/b`);
      const rows = [{ uid: 1, name: 'a' }];
      const first = engine.migrate(folder.input(rows));
      fs.renameSync(folder.target, `${folder.root}/first`);
      fs.mkdirSync(folder.target);
      const second = engine.migrate(folder.input([{ uid: 9, name: 'b' }]));
      expect([...methodsOf(first), ...methodsOf(second)]).toEqual(['rewrite', 'shared']);
      expect(inode(`${folder.root}/first/00/1.msg`)).toBe(inode(`${folder.target}/00/9.msg`));
    }));

  it.each([
    ['without its data', (file: string) => fs.truncateSync(file, 3)],
    ['with other content', (file: string) => fs.writeFileSync(file, 'x'.repeat(BARE_LF_REWRITTEN.length))],
    [
      'replaced by a symbolic link',
      (file: string) => {
        fs.unlinkSync(file);
        fs.symlinkSync('/etc/passwd', file);
      },
    ],
  ])('replaces a registered copy found %s', (_how, damage) =>
    withFolder((folder) => {
      fs.linkSync(folder.write('a', BARE_LF), `${folder.source}/b`);
      engine.migrate(folder.input([{ uid: 1, name: 'a' }]));
      const [registered] = fs.readdirSync(folder.single) as [string];
      // As after a power loss: what the first message holds is judged by its own folder's next attempt.
      damage(`${folder.single}/${registered}`);
      engine.migrate(folder.input([{ uid: 2, name: 'b' }]));
      expect(fs.readFileSync(`${folder.target}/00/2.msg`, 'latin1')).toBe(BARE_LF_REWRITTEN);
      expect(inode(`${folder.single}/${registered}`)).toBe(inode(`${folder.target}/00/2.msg`));
      expect(fs.readFileSync('/etc/passwd').length).toBeGreaterThan(0);
    }),
  );

  it('starts a new shared copy when the link count is full', () =>
    withFolder((folder) => {
      fs.linkSync(folder.write('a', MESSAGE), `${folder.source}/b`);
      const rows = ['a', 'b'].map((name, i) => ({ uid: i + 1, name }));
      // mkdir and chmod of 00, index file and its mode are made around it; the third effect is the first link.
      const output = withFault(3, EMLINK, () => engine.migrate(folder.input(rows)));
      expect(methodsOf(output)).toEqual(['copy', 'link']);
      expect(inode(`${folder.target}/00/1.msg`)).not.toBe(inode(`${folder.source}/a`));
      expect(fs.readdirSync(folder.single).length).toBe(1);
    }));

  it('starts a new registered copy when that one is full', () =>
    withFolder((folder) => {
      fs.linkSync(folder.write('a', BARE_LF), `${folder.source}/b`);
      const first = folder.input([{ uid: 1, name: 'a' }]);
      engine.migrate(first);
      const [registered] = fs.readdirSync(folder.single) as [string];
      const second = folder.input([{ uid: 2, name: 'b' }], { progress: first.progress });
      const output = withFault(1, EMLINK, () => engine.migrate(second));
      expect(methodsOf(output)).toEqual(['rewrite']);
      expect(inode(`${folder.target}/00/2.msg`)).not.toBe(inode(`${folder.target}/00/1.msg`));
      expect(inode(`${folder.single}/${registered}`)).toBe(inode(`${folder.target}/00/2.msg`));
    }));

  it('copies everything after the first EXDEV', () =>
    withFolder((folder) => {
      const rows = ['a', 'b'].map((name, i) => ({ uid: i + 1, name }));
      for (const { name } of rows) folder.write(name, MESSAGE + name);
      const output = withFault(3, EXDEV, () => engine.migrate(folder.input(rows)));
      expect(methodsOf(output)).toEqual(['copy', 'copy']);
      expect(folder.targetFiles()).toEqual(['00/1.msg', '00/2.msg', 'store.idx']);
    }));

  it('gives everything to the server account when it is root', (ctx) => {
    if (process.getuid?.() !== 0) return skip(ctx, 'only root gives files away');
    withFolder((folder) => {
      for (const [name, content] of [
        ['a', MESSAGE],
        ['b', BARE_LF],
      ] as const) {
        fs.chownSync(folder.write(name, content), 12_345, 100);
      }
      const rows = ['a', 'b'].map((name, i) => ({ uid: i + 1, name }));
      engine.migrate(folder.input(rows, { ownerUid: 12_345, ownerGid: 12_346, setOwner: true }));
      for (const name of ['00', '00/1.msg', '00/2.msg', 'store.idx']) {
        const { uid, gid } = fs.statSync(`${folder.target}/${name}`);
        expect([name, uid, gid]).toEqual([name, 12_345, 12_346]);
      }
    });
  });

  it('replaces nothing in the target of a first attempt', () =>
    withFolder((folder) => {
      fs.mkdirSync(`${folder.target}/00`, { mode: 0o700 });
      const rows = ['a', 'b'].map((name, i) => ({ uid: i + 1, name }));
      folder.write('a', MESSAGE);
      folder.write('b', BARE_LF);
      for (const { uid } of rows) fs.writeFileSync(`${folder.target}/00/${uid}.msg`, 'somebody else');
      const output = engine.migrate(folder.input(rows));
      expect(errorsOf(output)).toEqual(['MSG_TARGET', 'MSG_TARGET']);
      expect([...output.errnos]).toEqual([EEXIST, EEXIST]);
      expect(fs.readFileSync(`${folder.target}/00/2.msg`, 'latin1')).toBe('somebody else');
      expect(folder.targetFiles()).toEqual(['00/1.msg', '00/2.msg']);
    }));

  it('moves a folder of several slices and more directories than are held open', () =>
    withFolder(
      (folder) => {
        const rows = Array.from({ length: 4300 }, (_, i) => ({ uid: i * 4 + 1, name: `m${i}` }));
        for (const { name } of rows) folder.write(name, MESSAGE);
        const progress = new Int32Array(new SharedArrayBuffer(64));
        const output = engine.migrate(folder.input(rows, { progress }));
        expect(output.summary?.messages).toBe(4300);
        expect([...progress.subarray(1, 3)]).toEqual([4300, Math.floor((4300 * MESSAGE.length) / 1024)]);
        expect([...readIndex(folder.target).records()].map(({ uid }) => uid)).toEqual(rows.map(({ uid }) => uid));
        expect([...checkIndex(fs.readFileSync(`${folder.target}/store.idx`))]).toEqual([]);
      },
      FAST_DIRECTORY,
      FAST_DIRECTORY,
    ));
});

function isOtherDevice(directory: string): boolean {
  const folder = new TestFolder();
  try {
    return fs.statSync(directory, { throwIfNoEntry: false })?.dev !== fs.statSync(folder.root).dev;
  } finally {
    folder.remove();
  }
}

function skip(ctx: { skip(reason: string): void }, reason: string): void {
  console.log(`skipped: ${reason}`);
  ctx.skip(reason);
}
