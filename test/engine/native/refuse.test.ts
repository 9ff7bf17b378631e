/** What is not migrated: hostile and changed 3.x files, each an error of its own message. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { MESSAGE_ERRORS } from '../../../src/engine/types.js';
import { withFolder } from '../portable/folder.js';
import { needAddon, needRoot, outcomes } from './support.js';

const CRLF = 'Subject: one\r\n\r\nText\r\n';

describe('native engine: refused files', () => {
  it('opens neither links nor fifos nor directories, and the folder goes on', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('good', CRLF);
      fs.writeFileSync(`${folder.root}/secret`, CRLF);
      fs.symlinkSync('../secret', `${folder.source}/link`);
      fs.mkdirSync(`${folder.source}/directory`);
      expect(spawnSync('mkfifo', [`${folder.source}/fifo`]).status).toBe(0);
      const rows = ['good', 'link', 'directory', 'fifo', 'gone'].map((name, i) => ({ uid: i + 1, name }));
      const output = engine.migrate(folder.input(rows));
      const bad = 'MSG_NOT_REGULAR';
      expect(outcomes(output)).toEqual(['link', bad, bad, bad, 'MSG_VANISHED']);
      expect(output.summary).toBeNull();
      expect(folder.targetFiles()).toEqual(['00/1.msg']);
    });
  });

  it('refuses names that are no file of the folder', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      fs.writeFileSync(`${folder.root}/secret`, CRLF);
      const names = ['../secret', '.', '..', '.mailbox', 'a\0b', '', 'x'.repeat(300)];
      const input = folder.input([{ uid: 1, name: 'x' }]);
      for (const name of names) {
        const bytes = Buffer.from(name);
        const messages = { ...input.messages, names: bytes, nameOffsets: Uint32Array.of(0, bytes.length) };
        expect(outcomes(engine.migrate({ ...input, messages }))).toEqual(['MSG_NOT_REGULAR']);
      }
      expect(folder.targetFiles()).toEqual([]);
    });
  });

  it('refuses a message of more octets than IMAP can count, however little of it is on disk', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      fs.truncateSync(folder.write('m', CRLF), 2 ** 40);
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm' }]));
      expect([outcomes(output), [...output.errnos]]).toEqual([['MSG_UNREADABLE'], [constants.errno.EFBIG]]);
    });
  });

  it('leaves what the plan refused alone', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('m', CRLF);
      const refused = MESSAGE_ERRORS.indexOf('MSG_UNREADABLE');
      const output = engine.migrate(folder.input([{ uid: 1, name: 'm', refused }]));
      expect(outcomes(output)).toEqual(['MSG_UNREADABLE']);
      expect(folder.targetFiles()).toEqual([]);
    });
  });

  it('refuses a file that is not the one of the record', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const rows = ['time', 'size', 'inode'].map((name, i) => ({ uid: i + 1, name }));
      for (const { name } of rows) folder.write(name, CRLF);
      const input = folder.input(rows);
      fs.utimesSync(`${folder.source}/time`, 1, 1);
      const { atime, mtime } = fs.statSync(`${folder.source}/size`);
      fs.appendFileSync(`${folder.source}/size`, 'more');
      fs.utimesSync(`${folder.source}/size`, atime, mtime);
      fs.copyFileSync(`${folder.source}/inode`, `${folder.source}/new`);
      fs.renameSync(`${folder.source}/new`, `${folder.source}/inode`);
      expect(outcomes(engine.migrate(input))).toEqual(['MSG_CHANGED', 'MSG_CHANGED', 'MSG_CHANGED']);
    });
  });

  it('refuses files of another owner or writable by others, and copies them with takeForeign', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    needRoot(ctx);
    withFolder((folder) => {
      fs.chownSync(folder.write('foreign', CRLF), 4242, 4242);
      fs.chmodSync(folder.write('writable', CRLF), 0o666);
      const rows = ['foreign', 'writable'].map((name, i) => ({ uid: i + 1, name }));
      const input = folder.input(rows, { setOwner: true });
      expect(outcomes(engine.migrate(input))).toEqual(['MSG_FOREIGN_OWNER', 'MSG_WRITABLE_BY_OTHERS']);
      expect(outcomes(engine.migrate({ ...input, takeForeign: true }))).toEqual(['copy', 'copy']);
      for (const [i, { name }] of rows.entries()) {
        const target = fs.statSync(`${folder.target}/00/${i + 1}.msg`);
        expect(target.ino).not.toBe(fs.statSync(`${folder.source}/${name}`).ino);
        expect([target.uid, target.mode & 0o7777]).toEqual([0, 0o600]);
      }
      expect(fs.statSync(`${folder.source}/foreign`).uid).toBe(4242);
    });
  });

  it('gives files and directories to the server account', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    needRoot(ctx);
    withFolder((folder) => {
      for (const [name, content] of [
        ['linked', CRLF],
        ['rewritten', 'a: b\n\nc\n'],
      ] as const) {
        fs.chownSync(folder.write(name, content), 4242, 99);
      }
      const rows = ['linked', 'rewritten'].map((name, i) => ({ uid: i + 1, name }));
      const owner = { ownerUid: 4242, ownerGid: 4243, setOwner: true };
      expect(outcomes(engine.migrate(folder.input(rows, owner)))).toEqual(['link', 'rewrite']);
      for (const name of ['00', '00/1.msg', '00/2.msg', 'store.idx']) {
        const { uid, gid } = fs.statSync(`${folder.target}/${name}`);
        expect([name, uid, gid]).toEqual([name, 4242, 4243]);
      }
    });
  });

  it('publishes without the failed messages when told to', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      folder.write('a', CRLF);
      folder.write('c', CRLF);
      const rows = ['a', 'gone', 'c'].map((name, i) => ({ uid: i + 1, name }));
      const output = engine.migrate(folder.input(rows, { publishWithFailures: true }));
      expect(outcomes(output)).toEqual(['link', 'MSG_VANISHED', 'link']);
      expect(output.summary).toMatchObject({ messages: 2, bytes: 2 * CRLF.length });
      expect(folder.targetFiles()).toEqual(['00/1.msg', '00/3.msg', 'store.idx']);
    });
  });
});
