/** What the addon sees of a folder in one call is what Node's calls see one by one, and they say what is wrong with it. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import { loadAddon } from '../../../src/fs/addon.js';
import { readAcl } from '../../../src/source/nsms3/acl.js';
import { listFolders } from '../../../src/source/nsms3/folders.js';
import { lookAtIndex } from '../../../src/source/nsms3/mailbox.js';
import { readSubscriptions } from '../../../src/source/nsms3/subscriptions.js';
import type { FolderItem } from '../../../src/source/types.js';
import { mangle, random, type TestFolder, testFolder, unprivileged } from './folder.js';

const way = vi.hoisted(() => ({ oneByOne: false, answered: 0 }));

vi.mock('../../../src/fs/glance.js', async (importOriginal) => {
  const real = await importOriginal<typeof import('../../../src/fs/glance.js')>();
  const unlessOneByOne =
    <A extends unknown[], T>(call: (...args: A) => T) =>
    (...args: A): T | typeof real.ASK => {
      const answer = way.oneByOne ? real.ASK : call(...args);
      if (answer !== real.ASK) way.answered += 1;
      return answer;
    };
  return { ...real, glance: unlessOneByOne(real.glance), headOf: unlessOneByOne(real.headOf) };
});

let folder: TestFolder;
beforeEach(() => {
  folder = testFolder();
});
afterEach(() => {
  way.oneByOne = false;
  folder.remove();
});

/** What both ways say of the folder, which must be the same; `answered`: how often the addon had an answer. */
function both<T>(look: () => T): { said: T | unknown; answered: number } {
  const say = (oneByOne: boolean) => {
    way.oneByOne = oneByOne;
    way.answered = 0;
    try {
      return unprivileged(look);
    } catch (error) {
      if (!(error instanceof MailhaulError)) throw error;
      return [error.code, error.message];
    }
  };
  const usual = say(true);
  const said = say(false);
  expect(said).toEqual(usual);
  return { said, answered: way.answered };
}

/** As the account that looks sees it. */
const all = () => ({
  index: lookAtIndex(folder.dir),
  acl: readAcl(folder.dir),
  subscriptions: readSubscriptions(folder.dir),
});

const walked = () =>
  Array.from(listFolders(folder.dir), (item) => ({
    ...item,
    path: item.path.map((name) => Buffer.from(name).toString('latin1')),
    ...(item.kind === 'folder' ? { dir: item.dir.path, files: undefined } : {}),
    ...(item.kind === 'folder' ? { acl: readAcl(item.dir, item.files), index: indexOf(item) } : {}),
  }));

function indexOf({ dir, files }: Extract<FolderItem, { kind: 'folder' }>): unknown {
  try {
    return lookAtIndex(dir, files);
  } catch (error) {
    return String(error);
  }
}

describe.skipIf(loadAddon() === undefined)('small files', () => {
  test('are read, or are not there', () => {
    expect(both(all)).toMatchObject({ said: { index: { header: undefined, bytes: 0 } }, answered: 3 });
    folder.index('NSMB 3 877000000 31', '1 877000000 - 10 a');
    folder.write('.acl', 'fred lrs\r\nanyone lr\r\n');
    folder.write('.subscriptions', 'INBOX\nINBOX/Entw\u00fcrfe');
    const { said, answered } = both(all);
    expect(said).toMatchObject({
      index: { header: { uidvalidity: 877000000, uidnext: 31 }, bytes: 39 },
      acl: { entries: [{ identifier: 'fred' }, { identifier: 'anyone' }] },
    });
    expect(answered).toBe(3);
  });

  test.each([0, 1, 59, 60, 61, 63, 64, 65, 4095, 4096, 4097, 10_000])('of %i bytes', (size) => {
    for (const name of ['.mailbox', '.acl', '.subscriptions']) {
      folder.write(name, 'NSMB 3 1 2'.padEnd(size, ' x\n').slice(0, size));
    }
    expect(both(all).answered).toBe(3);
  });

  test('of any content', () => {
    const next = random(20);
    const seed = Buffer.from('NSMB 3 877000000 31\nfred lrs\r\nINBOX/a\n/b\n\xff\n', 'latin1');
    for (let i = 0; i < 300; i++) {
      for (const name of ['.mailbox', '.acl', '.subscriptions']) folder.write(name, mangle(next, seed));
      both(all);
    }
  });

  const ignored = { warnings: [{ code: 'ACL_FILE' }] };
  test.each<[string, (name: string) => void, unknown]>([
    ['a link', (name) => fs.symlinkSync('/etc/hostname', name), ignored],
    ['a link that leads nowhere', (name) => fs.symlinkSync('nowhere', name), ignored],
    ['a directory', (name) => fs.mkdirSync(name), ignored],
    ['a fifo', (name) => execFileSync('mkfifo', [name]), ignored],
    [
      'unreadable',
      (name) => fs.writeFileSync(name, 'fred lrs\n', { mode: 0 }),
      ['ACL_UNREADABLE', expect.stringContaining('EACCES')],
    ],
  ])('that are %s', (_, make, said) => {
    for (const name of ['.mailbox', '.acl', '.subscriptions']) make(`${folder.path}/${name}`);
    expect(both(() => lookAtIndex(folder.dir))).toMatchObject({ said: ['FOLDER_INDEX', expect.anything()] });
    expect(both(() => readAcl(folder.dir))).toMatchObject({ said, answered: 0 });
    both(() => readSubscriptions(folder.dir));
  });
});

describe.skipIf(loadAddon() === undefined)('the walk', () => {
  test('over folders with any names, among messages and links', () => {
    for (const path of ['INBOX/a/b', 'INBOX/B', 'Entw\u00fcrfe', '\u0001%*', '.hidden/x', 'z'.repeat(255)]) {
      fs.mkdirSync(`${folder.path}/${path}`, { recursive: true });
    }
    fs.mkdirSync(Buffer.from(`${folder.path}/INBOX/\xfc`, 'latin1'));
    for (const path of ['INBOX/1', 'INBOX/.mailbox', 'INBOX/a/2']) folder.write(path, 'x');
    fs.symlinkSync('..', `${folder.path}/INBOX/link`);
    const { said, answered } = both(walked);
    expect(said).toHaveLength(8);
    expect(answered).toBe(9 + 2 * 8);
  });

  test('over folders whose small files are missing, there, or something else', () => {
    for (const path of ['a', 'b', 'c', 'd/.mailbox', 'e']) fs.mkdirSync(`${folder.path}/${path}`, { recursive: true });
    for (const path of ['a/.mailbox', 'b/.mailbox']) folder.write(path, 'NSMB 3 877000000 31\n');
    folder.write('a/.acl', 'fred lrs\n');
    fs.symlinkSync('../a/.mailbox', `${folder.path}/c/.mailbox`);
    fs.symlinkSync('../a/.acl', `${folder.path}/c/.acl`);
    execFileSync('mkfifo', [`${folder.path}/d/.acl`]);
    expect(both(walked)).toMatchObject({
      said: [
        { acl: { entries: [{ identifier: 'fred' }] }, index: { header: { uidnext: 31 } } },
        { acl: { entries: [] }, index: { header: { uidnext: 31 } } },
        { acl: { warnings: [{ code: 'ACL_FILE' }] }, index: expect.stringContaining('regular file') },
        { acl: { warnings: [{ code: 'ACL_FILE' }] }, index: expect.stringContaining('regular file') },
        { acl: { entries: [] }, index: { header: undefined, bytes: 0 } },
      ],
      answered: 6 + 2 * 3,
    });
  });

  test('beside links and strays, over folders that cannot be opened or listed', () => {
    for (const path of ['a', 'b/below', 'c']) fs.mkdirSync(`${folder.path}/${path}`, { recursive: true });
    folder.write('stray', 'x');
    fs.symlinkSync('a', `${folder.path}/link`);
    fs.chmodSync(`${folder.path}/b`, 0);
    fs.chmodSync(`${folder.path}/c`, 0o111);
    expect(both(walked).said).toMatchObject([
      { code: 'FOLDER_LINK' },
      { code: 'FOLDER_STRAY' },
      { kind: 'folder', path: ['a'] },
      { code: 'FOLDER_UNREADABLE', path: ['b'] },
      { code: 'FOLDER_UNREADABLE', path: ['c'] },
    ]);
  });
});
