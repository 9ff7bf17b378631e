import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSubscriptions } from '../../../src/source/nsms3/subscriptions.js';
import { mangle, random, type TestFolder, testFolder, unprivileged } from './folder.js';

let mailbox: TestFolder;
beforeEach(() => {
  mailbox = testFolder();
});
afterEach(() => mailbox.remove());

const text = (path: readonly Uint8Array[]) => path.map((name) => Buffer.from(name).toString('latin1')).join('/');
const read = (content: string) => {
  mailbox.write('.subscriptions', Buffer.from(content, 'latin1'));
  const { folders, warnings } = readSubscriptions(mailbox.dir);
  return [folders.map(text), warnings.map((w) => `${w.code} ${w.where}`)];
};

test('names are raw bytes, levels separated by a slash, in file order', () => {
  expect(read('INBOX\nwork/2000\nEntw\xfcrfe\n a \n')).toEqual([['INBOX', 'work/2000', 'Entw\xfcrfe', ' a '], []]);
  const { folders } = readSubscriptions(mailbox.dir);
  expect(folders[1]!.map((name) => Buffer.from(name).toString())).toEqual(['work', '2000']);
});

test('no file: nothing, no warning', () => {
  expect(readSubscriptions(mailbox.dir)).toEqual({ folders: [], warnings: [] });
});

test('a name twice counts once', () => {
  expect(read('a\nb\na\n')).toEqual([['a', 'b'], []]);
});

test('CR LF throughout is a line end; a single CR belongs to its name', () => {
  expect(read('a\r\nb\r\n')[0]).toEqual(['a', 'b']);
  expect(read('a\r\nb\n')[0]).toEqual(['a\r', 'b']);
});

test('names that no folder can have are reported', () => {
  expect(read(`/a\na//b\na/\n.hidden\na/..\nx\0y\n${'n'.repeat(256)}\nok`)).toEqual([
    ['ok'],
    [1, 2, 3, 4, 5, 6, 7].map((line) => `SUBSCRIPTION_LINE line ${line}`),
  ]);
});

test('a link is not followed', () => {
  fs.symlinkSync('/etc/passwd', `${mailbox.path}/.subscriptions`);
  const { folders, warnings } = readSubscriptions(mailbox.dir);
  expect([folders, warnings.map((w) => w.code)]).toEqual([[], ['SUBSCRIPTIONS_FILE']]);
});

test('one that is there and cannot be read is an error, not an empty list', () => {
  mailbox.write('.subscriptions', 'INBOX\n');
  fs.chmodSync(`${mailbox.path}/.subscriptions`, 0);
  const code = 'SUBSCRIPTIONS_UNREADABLE';
  expect(() => unprivileged(() => readSubscriptions(mailbox.dir))).toThrow(expect.objectContaining({ code }));
});

test('of a huge file only the first lines are used', () => {
  mailbox.write('.subscriptions', 'a\n'.repeat(200_000));
  const { folders, warnings } = readSubscriptions(mailbox.dir);
  expect(folders.map(text)).toEqual(['a']);
  expect(warnings.at(0)).toMatchObject({ code: 'SUBSCRIPTIONS_FILE', where: 'line 100001' });
});

test('500 mangled files: every name could be a folder, nothing is thrown', () => {
  const next = random(11);
  const seed = Buffer.from('INBOX\nwork/2000\nINBOX/sub/deep\nEntw\xfcrfe\n', 'latin1');
  for (let round = 0; round < 500; round++) {
    mailbox.write('.subscriptions', mangle(next, seed));
    for (const folder of readSubscriptions(mailbox.dir).folders) {
      expect(folder.length).toBeGreaterThan(0);
      for (const name of folder) expect(Buffer.from(name).toString('latin1')).toMatch(/^[^./\0\n][^/\0\n]*$/);
    }
  }
});

test('levels are counted over all lines: what a folder path may hold, a hundred thousand times, is not kept', () => {
  const path = `${'a/'.repeat(999)}`;
  const { folders, warnings } = (() => {
    mailbox.write('.subscriptions', Buffer.from(Array.from({ length: 600 }, (_, i) => `${path}${i}\n`).join('')));
    return readSubscriptions(mailbox.dir);
  })();
  expect(folders).toHaveLength(500);
  expect(warnings).toMatchObject([{ code: 'SUBSCRIPTIONS_FILE', where: 'line 501' }]);
});
