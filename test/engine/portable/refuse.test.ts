import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { MESSAGE_ERRORS } from '../../../src/engine/types.js';
import { loadDigest } from '../../../src/store/digest.js';
import { withFolder } from './folder.js';
import { BARE_LF, engine, engineWith, errorsOf, inode, MESSAGE, methodsOf, readIndex } from './support.js';

describe('messages that are refused', () => {
  beforeAll(loadDigest);

  it('never opens what is no regular file', () =>
    withFolder((folder) => {
      fs.symlinkSync('/etc/passwd', `${folder.source}/link`);
      fs.mkdirSync(`${folder.source}/directory`);
      // Opening a fifo for reading would wait for a writer.
      expect(spawnSync('mkfifo', [`${folder.source}/fifo`]).status).toBe(0);
      const rows = ['link', 'directory', 'fifo'].map((name, i) => ({ uid: i + 1, name }));
      const output = engine.migrate(folder.input(rows));
      expect(errorsOf(output)).toEqual(['MSG_NOT_REGULAR', 'MSG_NOT_REGULAR', 'MSG_NOT_REGULAR']);
      expect(output.summary).toBeNull();
      expect(folder.targetFiles()).toEqual([]);
    }));

  it.each(['', '../INBOX/m', '.mailbox', 'a/b', 'a\0b', 'x'.repeat(256)])('refuses the name %j', (name) =>
    withFolder((folder) => {
      folder.write('m', MESSAGE);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      const names = Buffer.from(name);
      const messages = { ...input.messages, names, nameOffsets: Uint32Array.of(0, names.length) };
      const output = engine.migrate({ ...input, messages });
      expect(errorsOf(output)).toEqual(['MSG_NOT_REGULAR']);
    }),
  );

  it('refuses a foreign file, and one that others may write', () =>
    withFolder((folder) => {
      folder.write('foreign', MESSAGE);
      fs.chmodSync(folder.write('writable', MESSAGE), 0o646);
      const ownerUid = (process.getuid?.() ?? 0) + 1;
      const foreign = engine.migrate(folder.input([{ uid: 1, name: 'foreign' }], { ownerUid }));
      const writable = engine.migrate(folder.input([{ uid: 2, name: 'writable' }]));
      expect([...errorsOf(foreign), ...errorsOf(writable)]).toEqual(['MSG_FOREIGN_OWNER', 'MSG_WRITABLE_BY_OTHERS']);
      expect(folder.targetFiles()).toEqual([]);
    }));

  it('copies both with takeForeign, never linking the inode', () =>
    withFolder((folder) => {
      const file = folder.write('m', MESSAGE);
      fs.chmodSync(file, 0o666);
      fs.linkSync(file, `${folder.root}/second`);
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm' }], { takeForeign: true }));
      expect(methodsOf(output)).toEqual(['copy']);
      expect(inode(`${folder.target}/00/1.msg`)).not.toBe(inode(file));
      expect(fs.statSync(file).mode & 0o777).toBe(0o666);
      // The copy is a file of its own, so it may be shared like any other.
      const [registered] = fs.readdirSync(folder.single) as [string];
      expect(inode(`${folder.single}/${registered}`)).toBe(inode(`${folder.target}/00/1.msg`));
    }));

  it.each([
    ['size', (file: string) => fs.appendFileSync(file, 'x')],
    ['time', (file: string) => fs.utimesSync(file, 1, 1)],
    [
      'inode',
      (file: string) => {
        const { atime, mtime } = fs.statSync(file);
        fs.renameSync(file, `${file}.old`);
        fs.writeFileSync(file, MESSAGE, { mode: 0o600 });
        fs.utimesSync(file, atime, mtime);
      },
    ],
  ])('refuses a file of another %s than on record', (_what, change) =>
    withFolder((folder) => {
      const file = folder.write('m', MESSAGE);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      change(file);
      expect(errorsOf(engine.migrate(input))).toEqual(['MSG_CHANGED']);
      expect(folder.targetFiles()).toEqual([]);
    }),
  );

  it.each([
    [
      'MSG_CHANGED',
      'replaced',
      MESSAGE,
      (file: string) => {
        fs.writeFileSync(`${file}.new`, 'forged', { mode: 0o600 });
        fs.renameSync(`${file}.new`, file);
      },
    ],
    [
      'MSG_CHANGED',
      'replaced by a symbolic link',
      MESSAGE,
      (file: string) => {
        fs.unlinkSync(file);
        fs.symlinkSync('/etc/passwd', file);
      },
    ],
    ['MSG_CHANGED', 'written to', MESSAGE, (file: string) => fs.appendFileSync(file, 'more')],
    ['MSG_CHANGED', 'written to, before it is rewritten', BARE_LF, (file: string) => fs.appendFileSync(file, 'more')],
    ['MSG_VANISHED', 'removed', MESSAGE, (file: string) => fs.unlinkSync(file)],
  ])('says %s of a file that is %s between reading and linking', (code, _how, content, change) =>
    withFolder((folder) => {
      const file = folder.write('m', content);
      const racing = engineWith(() => change(file));
      const output = racing.migrate(folder.input([{ uid: 1, name: 'm' }]));
      expect(errorsOf(output)).toEqual([code]);
      expect(folder.targetFiles()).toEqual([]);
    }),
  );

  it('refuses a message of more octets than IMAP can count, however little of it is on disk', () =>
    withFolder((folder) => {
      fs.truncateSync(folder.write('m', MESSAGE), 5 * 2 ** 30);
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm' }]));
      expect([errorsOf(output), [...output.errnos]]).toEqual([['MSG_UNREADABLE'], [constants.errno.EFBIG]]);
    }));

  it('says that a file is gone', () =>
    withFolder((folder) => {
      const output = engine.migrate(folder.input([{ uid: 1, name: 'nothing' }]));
      expect(errorsOf(output)).toEqual(['MSG_VANISHED']);
      expect([...output.errnos]).toEqual([constants.errno.ENOENT]);
    }));

  it('leaves alone what the plan refused, and moves the rest without an index', () =>
    withFolder((folder) => {
      folder.write('a', MESSAGE);
      folder.write('b', MESSAGE);
      const refused = MESSAGE_ERRORS.indexOf('MSG_UNREADABLE');
      const output = engine.migrate(
        folder.input([
          { uid: 1, name: 'a', refused },
          { uid: 2, name: 'b' },
        ]),
      );
      expect([methodsOf(output), errorsOf(output)]).toEqual([
        ['failed', 'link'],
        ['MSG_UNREADABLE', ''],
      ]);
      expect(output.summary).toBeNull();
      expect(folder.targetFiles()).toEqual(['00/2.msg']);
    }));

  it('publishes the rest when asked to', () =>
    withFolder((folder) => {
      folder.write('a', MESSAGE);
      const rows = [
        { uid: 1, name: 'nothing', keywords: ['Junk'] },
        { uid: 2, name: 'a' },
      ];
      const output = engine.migrate(folder.input(rows, { publishWithFailures: true }));
      expect(output.summary?.messages).toBe(1);
      expect([...readIndex(folder.target).records()].map(({ uid }) => uid)).toEqual([2]);
      expect(folder.targetFiles()).toEqual(['00/2.msg', 'store.idx']);
    }));
});
