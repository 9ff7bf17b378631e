import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { closeDir, type Dir, ensureDir } from '../../../src/fs/dir.js';
import { listFolders } from '../../../src/source/nsms3/folders.js';
import type { FolderItem } from '../../../src/source/types.js';
import { type TestFolder, testFolder, unprivileged } from './folder.js';

let mailbox: TestFolder;
beforeEach(() => {
  mailbox = testFolder();
});
afterEach(() => mailbox.remove());

const make = (path: string | Buffer) =>
  fs.mkdirSync(Buffer.concat([Buffer.from(`${mailbox.path}/`), Buffer.from(path)]), { recursive: true });
const pathText = (item: FolderItem) => item.path.map((name) => Buffer.from(name).toString('latin1')).join('/');
const folders = (items: Iterable<FolderItem>) => [...items].filter((item) => item.kind === 'folder').map(pathText);
const openDescriptors = () => fs.readdirSync('/proc/self/fd').length;

/** A chain of directories below the mailbox, each with the same name, made through held directories. */
function chain(name: string, depth: number, beside?: string): void {
  let dir: Dir = mailbox.dir;
  for (let level = 0; level < depth; level++) {
    const next = ensureDir(dir, name);
    if (beside !== undefined) closeDir(ensureDir(next, beside));
    if (dir !== mailbox.dir) closeDir(dir);
    dir = next;
  }
  closeDir(dir);
}

describe('folders', () => {
  test('every directory is one; parents first, names by bytes', () => {
    for (const path of ['INBOX/sub/deep', 'INBOX/a', 'b', 'B', 'inbox', 'Inbox', 'a b']) make(path);
    expect(folders(listFolders(mailbox.dir))).toEqual([
      'B',
      'INBOX',
      'INBOX/a',
      'INBOX/sub',
      'INBOX/sub/deep',
      'Inbox',
      'a b',
      'b',
      'inbox',
    ]);
  });

  test('names are raw bytes', () => {
    const name = Buffer.from('Entw\xfcrfe\x01%*?', 'latin1');
    make(name);
    const [item] = [...listFolders(mailbox.dir)];
    expect(Buffer.from(item!.path[0]!).equals(name)).toBe(true);
  });

  test('names that begin with a dot are no folders, nor are message files', () => {
    make('.hidden/INBOX');
    make('.0004x.mail');
    make('INBOX/.x');
    mailbox.write('INBOX/1', 'a message');
    mailbox.write('.subscriptions', 'INBOX\n');
    expect([...listFolders(mailbox.dir)].map(pathText)).toEqual(['INBOX']);
  });

  test('each comes with its directory, open while it is looked at', () => {
    make('INBOX');
    mailbox.write('INBOX/.mailbox', 'x');
    for (const item of listFolders(mailbox.dir)) {
      if (item.kind !== 'folder') throw new Error('a folder was expected');
      expect(fs.fstatSync(item.dir.fd, { bigint: true }).ino).toBe(item.inode);
      expect(fs.statSync(`${mailbox.path}/INBOX`, { bigint: true }).ino).toBe(item.inode);
    }
  });

  test('a mailbox directory without folders gives nothing', () => {
    expect([...listFolders(mailbox.dir)]).toEqual([]);
  });

  test('three thousand messages in a folder pass by', () => {
    make('INBOX');
    for (let i = 0; i < 3_000; i++) fs.closeSync(fs.openSync(`${mailbox.path}/INBOX/${i}`, 'w'));
    expect(folders(listFolders(mailbox.dir))).toEqual(['INBOX']);
  });
});

describe('depth', () => {
  test('300 levels with a path beyond PATH_MAX, and folders beside each', () => {
    chain('d'.repeat(40), 300, 'z');
    const before = openDescriptors();
    let most = 0;
    const found: number[] = [];
    const beside: number[] = [];
    for (const item of listFolders(mailbox.dir)) {
      expect(item.kind).toBe('folder');
      (Buffer.from(item.path.at(-1)!).toString() === 'z' ? beside : found).push(item.path.length);
      most = Math.max(most, openDescriptors() - before);
    }
    expect(found).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(beside).toEqual(Array.from({ length: 300 }, (_, i) => 301 - i));
    expect(most).toBeLessThan(80);
    expect(openDescriptors()).toBe(before);
  });

  test('a caller that stops early leaves no descriptor open', () => {
    chain('d', 100);
    const before = openDescriptors();
    for (const item of listFolders(mailbox.dir)) if (item.path.length === 90) break;
    expect(openDescriptors()).toBe(before);
  });
});

describe('what is no folder, or cannot be read', () => {
  test('links are never followed; beside the folders they are an error, a stray file is a warning', () => {
    make('real/sub');
    fs.symlinkSync('real', `${mailbox.path}/link`);
    fs.symlinkSync('..', `${mailbox.path}/real/loop`);
    mailbox.write('stray', 'x');
    const items = [...listFolders(mailbox.dir)];
    expect(folders(items)).toEqual(['real', 'real/sub']);
    expect(items.flatMap((i) => (i.kind === 'problem' ? [[i.severity, i.code, pathText(i)]] : []))).toEqual([
      ['error', 'FOLDER_LINK', 'link'],
      ['warning', 'FOLDER_STRAY', 'stray'],
    ]);
  });

  test('a folder that cannot be opened is reported and the rest goes on', () => {
    for (const path of ['a', 'b/below', 'c']) make(path);
    fs.chmodSync(`${mailbox.path}/b`, 0);
    const items = unprivileged(() => [...listFolders(mailbox.dir)]);
    fs.chmodSync(`${mailbox.path}/b`, 0o755);
    expect(folders(items)).toEqual(['a', 'c']);
    expect(items.flatMap((i) => (i.kind === 'problem' ? [[i.severity, i.code, pathText(i)]] : []))).toEqual([
      ['error', 'FOLDER_UNREADABLE', 'b'],
    ]);
  });

  test('a folder that went away meanwhile is a warning', () => {
    make('a');
    make('b');
    const items: FolderItem[] = [];
    for (const item of listFolders(mailbox.dir)) {
      if (items.length === 0) fs.rmdirSync(`${mailbox.path}/b`);
      items.push(item);
    }
    expect(items.map((i) => (i.kind === 'problem' ? [i.severity, i.code] : pathText(i)))).toEqual([
      'a',
      ['warning', 'FOLDER_VANISHED'],
    ]);
  });

  test('a folder that was swapped for a link meanwhile is not followed', () => {
    make('a');
    make('b/secret');
    const items: FolderItem[] = [];
    for (const item of listFolders(mailbox.dir)) {
      if (items.length === 0) {
        fs.renameSync(`${mailbox.path}/b`, `${mailbox.path}/.moved`);
        fs.symlinkSync('.moved', `${mailbox.path}/b`);
      }
      items.push(item);
    }
    expect(items.map((i) => (i.kind === 'problem' ? i.code : pathText(i)))).toEqual(['a', 'FOLDER_LINK']);
  });
});
