import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readAcl } from '../../../src/source/nsms3/acl.js';
import { mangle, random, type TestFolder, testFolder, unprivileged } from './folder.js';

let folder: TestFolder;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => folder.remove());

const read = (content: string) => {
  folder.write('.acl', Buffer.from(content, 'latin1'));
  const { entries, warnings } = readAcl(folder.dir);
  return [entries.map((e) => `${e.identifier}=${e.rights}`), warnings.map((w) => `${w.code} ${w.where}`)];
};

test('entries are kept in file order', () => {
  expect(read('anna lrswipcda\nanyone lr\n-mallory lrs\ngroup=staff lrs0\n')).toEqual([
    ['anna=lrswipcda', 'anyone=lr', '-mallory=lrs', 'group=staff=lrs0'],
    [],
  ]);
});

test('no file: no entries, no warning', () => {
  expect(readAcl(folder.dir)).toEqual({ entries: [], warnings: [] });
});

test('blank lines and CR LF do no harm', () => {
  expect(read('anna lrs\r\n\r\nbob lr\r\n')).toEqual([['anna=lrs', 'bob=lr'], []]);
});

test('an identifier may hold a blank; the rights are the last word', () => {
  expect(read('Anna Smith lrs\n')).toEqual([['Anna Smith=lrs'], []]);
});

test('identifiers are UTF-8, or ISO-8859-1 where they do not decode', () => {
  expect(read('J\xc3\xb6rg lr\n')[0]).toEqual(['Jörg=lr']);
  expect(read('J\xf6rg lr\n')[0]).toEqual(['Jörg=lr']);
});

test('a no-break space belongs to the identifier, as every byte that is no ASCII blank', () => {
  expect(read('J\xf6rg\xa0 \tlr\n')[0]).toEqual(['Jörg\u00a0=lr']);
});

test('letters that are no rights, and repeated ones, are dropped with a warning', () => {
  expect(read('anna lrxsZl\n')).toEqual([['anna=lrs'], ['ACL_RIGHTS line 1']]);
});

test('lines that cannot be used are reported', () => {
  expect(read('anna\n lrs\n\0 lrs\nbob xyz\n')).toEqual([
    [],
    ['ACL_LINE line 1', 'ACL_LINE line 2', 'ACL_LINE line 3', 'ACL_LINE line 4', 'ACL_RIGHTS line 4'],
  ]);
});

test('the first line of an identifier counts', () => {
  expect(read('anna lr\nanna lrswipcda\n')).toEqual([['anna=lr'], ['ACL_TWICE line 2']]);
});

test('a link is not followed', () => {
  fs.symlinkSync('/etc/passwd', `${folder.path}/.acl`);
  const { entries, warnings } = readAcl(folder.dir);
  expect([entries, warnings.map((w) => w.code)]).toEqual([[], ['ACL_FILE']]);
});

test('one that is there and cannot be read is an error, not an empty list', () => {
  folder.write('.acl', 'anna lr\n');
  fs.chmodSync(`${folder.path}/.acl`, 0);
  expect(() => unprivileged(() => readAcl(folder.dir))).toThrow(expect.objectContaining({ code: 'ACL_UNREADABLE' }));
});

test('a file of gigabytes is read only at its beginning', () => {
  folder.write('.acl', 'anna lr\n');
  fs.truncateSync(`${folder.path}/.acl`, 2 ** 33);
  const { entries, warnings } = readAcl(folder.dir);
  expect(entries).toEqual([{ identifier: 'anna', rights: 'lr' }]);
  expect(warnings.some((w) => w.code === 'ACL_FILE')).toBe(true);
});

test('500 mangled files: entries are clean, nothing is thrown', () => {
  const next = random(7);
  const seed = Buffer.from('anna lrswipcda\nanyone lr\n-mallory lrs\r\ngroup=staff lrs0\nJ\xf6rg lr\n', 'latin1');
  for (let round = 0; round < 500; round++) {
    folder.write('.acl', mangle(next, seed));
    for (const { identifier, rights } of readAcl(folder.dir).entries) {
      expect(identifier).toMatch(/^[^\x00-\x1f\x7f]+$/);
      expect(rights).toMatch(/^[lrswipcda0-9]+$/);
    }
  }
});
