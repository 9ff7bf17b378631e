/** What the file system says while a small file is opened or read: what is there is not taken for empty. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openError } from '../../../src/fs/links.js';
import { readAcl } from '../../../src/source/nsms3/acl.js';
import { type TestFolder, testFolder } from './folder.js';

const file = vi.hoisted(() => ({ open: (): number => -1 }));
vi.mock('../../../src/fs/ownedFile.js', () => ({ openOwnedFile: () => file.open() }));

let folder: TestFolder;
beforeEach(() => {
  folder = testFolder();
  // More than is read in one call of the addon.
  folder.write('.acl', 'anna lr\n'.repeat(1000));
});
afterEach(() => folder.remove());

test('a disk that fails in the middle is an error', () => {
  // Its first bytes are no memory of the process: EIO.
  file.open = () => fs.openSync('/proc/self/mem', 'r');
  expect(() => readAcl(folder.dir)).toThrow(
    expect.objectContaining({ code: 'ACL_UNREADABLE', message: expect.stringContaining('EIO') }),
  );
});

test('a link that has got the name since it was looked at is ignored with a warning', () => {
  file.open = () => {
    throw openError('ELOOP', 'too many symbolic links encountered', '.acl');
  };
  expect(readAcl(folder.dir)).toMatchObject({ entries: [], warnings: [{ code: 'ACL_FILE' }] });
});

test('a file that is gone since it was looked at is none', () => {
  file.open = () => fs.openSync(`${folder.path}/none`, 'r');
  expect(readAcl(folder.dir)).toEqual({ entries: [], warnings: [] });
});
