/** What lies beside the messages, and is somebody else's: root gets it no more than the folder's owner would. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAcl } from '../../src/source/nsms3/acl.js';
import { tryLockFolder } from '../../src/source/nsms3/lock.js';
import { lookAtIndex, readIndex } from '../../src/source/nsms3/mailbox.js';
import { readSubscriptions } from '../../src/source/nsms3/subscriptions.js';
import { type TestFolder, testFolder } from '../source/nsms3/folder.js';
import { codeOf, needRoot } from '../upgrade/small-store.js';

const [OWNER, ACCOUNT] = [12345, 12346];
const SECRET = 'root:$6$secret:1:0:99999:7:::\n';

let folder: TestFolder;
let secret: string;
beforeEach(() => {
  folder = testFolder();
  secret = `${folder.dir.path}-secret`;
  fs.writeFileSync(secret, SECRET, { mode: 0o600 });
});
afterEach(() => {
  fs.rmSync(secret);
  folder.remove();
});

/** A hard link of the secret under `name`, in a folder of somebody who could not read it. */
function linked(name: string): void {
  fs.chownSync(folder.dir.path, OWNER, OWNER);
  fs.linkSync(secret, path.join(folder.dir.path, name));
}

describe('a file of root that an owner linked into the folder', () => {
  it('is no index', (ctx) => {
    needRoot(ctx);
    linked('.mailbox');
    expect(codeOf(() => readIndex(folder.dir, ACCOUNT))).toBe('FOLDER_INDEX');
    expect(codeOf(() => lookAtIndex(folder.dir))).toBe('FOLDER_INDEX');
  });

  it('gives neither rights nor subscriptions, and nothing of it is told', (ctx) => {
    needRoot(ctx);
    linked('.acl');
    linked('.subscriptions');
    for (const [read, code] of [
      [() => readAcl(folder.dir), 'ACL_UNREADABLE'],
      [() => readSubscriptions(folder.dir), 'SUBSCRIPTIONS_UNREADABLE'],
    ] as const) {
      expect(read).toThrow(expect.objectContaining({ code, message: expect.not.stringContaining('secret:1') }));
    }
  });

  it('is not locked', (ctx) => {
    needRoot(ctx);
    linked('.lock');
    expect(codeOf(() => tryLockFolder(folder.dir, { uid: ACCOUNT, gid: ACCOUNT }))).toBe('FOLDER_LOCK');
  });

  it('is read where everybody may', (ctx) => {
    needRoot(ctx);
    linked('.mailbox');
    fs.writeFileSync(secret, 'NSMB 3 877000000 31\n');
    fs.chmodSync(secret, 0o644);
    expect(readIndex(folder.dir).header).toEqual({ uidvalidity: 877000000, uidnext: 31 });
  });
});

it('a file of the server account is read and locked in the folder of another', (ctx) => {
  needRoot(ctx);
  for (const name of ['.mailbox', '.lock']) linked(name);
  fs.writeFileSync(secret, 'NSMB 3 877000000 31\n');
  fs.chownSync(secret, ACCOUNT, ACCOUNT);
  expect(readIndex(folder.dir, ACCOUNT).header).toEqual({ uidvalidity: 877000000, uidnext: 31 });
  const lock = tryLockFolder(folder.dir, { uid: ACCOUNT, gid: ACCOUNT });
  expect(lock).toMatchObject({ target: 'file' });
  if (lock !== 'busy') lock.release();
});
