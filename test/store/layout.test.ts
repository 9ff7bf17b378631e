import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import {
  hashDirectory,
  isHashDirectory,
  messageFile,
  openMailboxDirectory,
  parseMessageFile,
} from '../../src/store/layout.js';
import { mailboxPathComponents } from '../../src/store/names.js';

let root: string;
let partition: Dir;

beforeEach(() => {
  root = fs.mkdtempSync(`${tmpdir()}/mailhaul-layout-`);
  partition = openRoot(root);
});

afterEach(() => {
  closeDir(partition);
  fs.rmSync(root, { recursive: true });
});

it('a message file lies in the hash directory of its uid', () => {
  expect([1, 99, 100, 4711, 1_000_000, 4_294_967_295].map(hashDirectory)).toEqual([
    '00',
    '00',
    '01',
    '47',
    '10000',
    '42949672',
  ]);
  for (const uid of [1, 99, 100, 4711, 4_294_967_295]) {
    expect(isHashDirectory(hashDirectory(uid))).toBe(true);
    expect(parseMessageFile(hashDirectory(uid), messageFile(uid))).toBe(uid);
  }
});

it.each([
  ['00', '100.msg'],
  ['00', '0.msg'],
  ['00', '01.msg'],
  ['00', '1.msg~'],
  ['42949672', '4294967296.msg'],
])('%s/%s is not a message file', (directory, file) => {
  expect(parseMessageFile(directory, file)).toBeUndefined();
});

it.each(['0', '000', '1', 'a0', '=a', '42949673', '0x10'])('%s is not a hash directory', (name) => {
  expect(isHashDirectory(name)).toBe(false);
});

it('opens the directory of a mailbox, where there is one', () => {
  expect(openMailboxDirectory(partition, 'joe', 'user/joe/a/b')).toBeUndefined();
  fs.mkdirSync([root, ...mailboxPathComponents('joe', 'user/joe/a/b')].join('/'), { recursive: true });
  const opened = openMailboxDirectory(partition, 'joe', 'user/joe/a/b');
  expect(opened).toBeDefined();
  closeDir(opened!);
});

it('follows no symbolic link on the way to a mailbox', () => {
  const [first, ...rest] = mailboxPathComponents('joe', 'user/joe/INBOX');
  const elsewhere = fs.mkdtempSync(`${tmpdir()}/mailhaul-elsewhere-`);
  fs.mkdirSync(`${elsewhere}/${rest.join('/')}`, { recursive: true });
  fs.symlinkSync(elsewhere, `${root}/${first}`);
  expect(() => openMailboxDirectory(partition, 'joe', 'user/joe/INBOX')).toThrow(/ELOOP|ENOTDIR/);
  fs.rmSync(elsewhere, { recursive: true });
});
