/** What a repeated attempt of root makes of files that have a message's name, and its content, and are another's. */
import * as fs from 'node:fs';
import { expect } from 'vitest';
import type { FolderEngine } from '../../src/engine/types.js';
import { outcomes } from './native/support.js';
import { type TestFolder, withFolder } from './portable/folder.js';

const BARE_LF = 'Subject: one\n\nText\n';
const CRLF = 'Subject: one\r\n\r\nText\r\n';

/** Server account, and an account that is neither it nor root. */
const ACCOUNT = { ownerUid: 4242, ownerGid: 4243 };
const OTHER = 4711;

/**
 * A run as root that was killed before it gave a file away left it to root: that is adopted, and given away now. With
 * a second link it may be any file of the system that somebody linked there: giving it away would be a gift of that
 * file. So may one of another account.
 */
export function expectOnlyRootsOwnAdopted(engine: FolderEngine, folder: TestFolder): void {
  const files = ['left by root', 'of the system', 'of another account'];
  const rows = files.map((name, i) => {
    fs.chownSync(folder.write(name, BARE_LF), ACCOUNT.ownerUid, ACCOUNT.ownerGid);
    return { uid: i + 1, name };
  });
  fs.mkdirSync(`${folder.target}/00`);
  const names = rows.map(({ uid }) => `${folder.target}/00/${uid}.msg`);
  for (const name of names) fs.writeFileSync(name, CRLF, { mode: 0o644 });
  const [left = '', linked = '', others = ''] = names;
  const elsewhere = `${folder.root}/elsewhere`;
  fs.linkSync(linked, elsewhere);
  fs.chownSync(others, OTHER, OTHER);
  const before = names.map((name) => fs.statSync(name).ino);

  const output = engine.migrate(folder.input(rows, { ...ACCOUNT, setOwner: true, resumed: true }));

  expect(outcomes(output)).toEqual(['adopted', 'rewrite', 'rewrite']);
  expect(output.summary).toMatchObject({ messages: 3 });
  expect(fs.statSync(left).ino).toBe(before[0]);
  expect(fs.statSync(linked).ino).not.toBe(before[1]);
  for (const name of names) {
    const { uid, gid, mode, nlink } = fs.statSync(name);
    expect([uid, gid, mode & 0o7777, nlink]).toEqual([ACCOUNT.ownerUid, ACCOUNT.ownerGid, 0o600, 1]);
    expect(fs.readFileSync(name, 'latin1')).toBe(CRLF);
  }
  const { ino, uid, gid, mode, nlink } = fs.statSync(elsewhere);
  expect([ino, uid, gid, mode & 0o7777, nlink]).toEqual([before[1], 0, 0, 0o644, 1]);
  expect(fs.readFileSync(elsewhere, 'latin1')).toBe(CRLF);
}

/** A shared copy is written once more by the next run, whose sync tells of its pages; not by the run that wrote it. */
export function expectSharedWrittenByEachRun(engine: FolderEngine): void {
  withFolder((folder) => {
    fs.linkSync(folder.write('one', BARE_LF), `${folder.source}/two`);
    const rows = ['one', 'two'].map((name, i) => ({ uid: i + 1, name }));
    const first = folder.input(rows);
    const past = new Date(1_000_000_000_000);
    const copy = `${folder.target}/00/1.msg`;
    const writtenBy = (progress: Int32Array): boolean => {
      fs.utimesSync(copy, past, past);
      fs.rmSync(`${folder.target}/00/2.msg`);
      const output = engine.migrate(folder.input([{ uid: 2, name: 'two' }], { progress }));
      expect(outcomes(output)).toEqual(['shared']);
      expect(fs.readFileSync(copy, 'latin1')).toBe(CRLF);
      return fs.statSync(copy).mtimeMs !== past.getTime();
    };
    expect(outcomes(engine.migrate(first))).toEqual(['rewrite', 'shared']);
    expect(writtenBy(first.progress)).toBe(false);
    const next = new Int32Array(new SharedArrayBuffer(64));
    expect(writtenBy(next)).toBe(true);
    expect(writtenBy(next)).toBe(false);
  });
}

/** What is equal is written once more, in place, and the source's own inode is not written to. */
export function expectWrittenAgain(engine: FolderEngine): void {
  withFolder((folder) => {
    const linked = folder.write('linked', CRLF);
    folder.write('rewritten', BARE_LF);
    const rows = ['linked', 'rewritten'].map((name, i) => ({ uid: i + 1, name }));
    const long = new Date(1_000_000_000_000);
    fs.utimesSync(linked, long, long);
    engine.migrate(folder.input(rows));
    const copy = `${folder.target}/00/2.msg`;
    fs.utimesSync(copy, long, long);
    const { ino } = fs.statSync(copy);

    const output = engine.migrate(folder.input(rows, { resumed: true }));

    expect(outcomes(output)).toEqual(['adopted', 'adopted']);
    expect(fs.readFileSync(copy, 'latin1')).toBe(CRLF);
    const written = fs.statSync(copy);
    expect([written.ino, written.mtimeMs > long.getTime()]).toEqual([ino, true]);
    expect(fs.statSync(linked).mtimeMs).toBe(long.getTime());
  });
}
