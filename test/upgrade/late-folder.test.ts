/** An INBOX that was not there when `-s` looked, and is there when `-m` does: from then on it is a folder like others. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { foldersResult, type HandSite, handSite, MAIL, messagesResult, putMail } from '../e2e/hand-site.js';
import { originalsOf, reset } from './reset-support.js';
import { databases, INDEX } from './small-store.js';

const NAME = 'user/anna/INBOX';
const LINES = '3 11 S 9 one\n5 12 - 9 two\n';

let made: HandSite;
let inbox: string;

beforeEach(() => {
  made = handSite();
  made.store.user('anna');
  made.store.finish();
  expect(made.folders().status).toBe(0);
});

afterEach(() => made.remove());

/** anna's INBOX comes, with two messages. */
function appear(index = `${INDEX(70, 9)}${LINES}`): void {
  inbox = made.store.folder(made.store.mailbox, 'anna', 'INBOX', index);
  putMail(inbox, 'one');
  putMail(inbox, 'two');
  made.store.finish();
}

const codesOf = (result: ReturnType<HandSite['messages']>): string[] =>
  messagesResult(result).errors.map(({ code }) => code);

describe('migrated as it was found', () => {
  it('keeps uids and uidvalidity, and -s, --verify, -r and --reset know it', async () => {
    appear();
    const before = originalsOf(made.store);
    expect(made.messages().status).toBe(0);
    expect(made.mailbox(NAME)).toMatchObject({ messages: 2, uidvalidity: 70, uidnext: 9 });
    expect(made.dump(NAME).map(({ uid }) => uid)).toEqual([3, 5]);
    const again = made.folders();
    expect([again.status, foldersResult(again).warnings]).toEqual([0, []]);
    expect(made.run('upgrade', '--verify').status).toBe(0);
    expect(made.messages('-r').status).toBe(0);
    expect(originalsOf(made.store)).toEqual({});
    const report = await reset(made.store);
    expect(report.refusals).toEqual([]);
    expect(report).toMatchObject({ outcome: 'done', restore: { messages: 2 } });
    expect(originalsOf(made.store)).toEqual(before);
  });

  it('without a header keeps the uidvalidity of -s, as one that -s chose', async () => {
    const { uidvalidity } = made.mailbox(NAME);
    appear(LINES);
    expect(made.messages().status).toBe(0);
    expect(made.mailbox(NAME)).toMatchObject({ messages: 2, uidvalidity });
    await databases(made.store, (mapping) => {
      const folder = mapping.folderByMailbox(NAME);
      expect(folder).toMatchObject({ missing: false, uidvalidity, uidvalidityChosen: true });
      expect(folder?.inode).toBe(String(fs.statSync(inbox, { bigint: true }).ino));
    });
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });
});

it('that was there once without a header, is gone for the next -s, and is back with one: that counts', () => {
  const work = made.store.folder(made.store.mailbox, 'anna', 'Work', LINES);
  for (const name of ['one', 'two']) putMail(work, name);
  // Not the empty mount point that a directory without any folder would be.
  made.store.folder(made.store.mailbox, 'anna', 'INBOX');
  made.store.finish();
  const away = path.join(made.store.root, 'away');
  expect(made.folders().status).toBe(0);
  fs.renameSync(work, away);
  expect(foldersResult(made.folders()).warnings.map(({ code }) => code)).toContain('FOLDER_VANISHED');
  fs.renameSync(away, work);
  fs.writeFileSync(path.join(work, '.mailbox'), `${INDEX(70, 9)}${LINES}`);
  expect(made.messages().status).toBe(0);
  expect(made.mailbox('user/anna/Work')).toMatchObject({ messages: 2, uidvalidity: 70 });
});

it('waits for -s when it has access rights of its own, which come with it then', () => {
  appear();
  fs.writeFileSync(path.join(inbox, '.acl'), 'fred lr\n');
  made.store.finish();
  const refused = made.messages();
  expect([refused.status, codesOf(refused)]).toEqual([1, ['FOLDER_APPEARED']]);
  expect(made.messages('--dry-run').stdout).toContain('FOLDER_APPEARED');
  expect(made.folders().status).toBe(0);
  expect(made.messages().status).toBe(0);
  expect(made.mailbox(NAME)).toMatchObject({ messages: 2, uidvalidity: 70 });
  expect(made.run('upgrade', '--verify').status).toBe(0);
});

/** As versions before left a folder that came after -s; what they had recorded as `missing` stays so. */
const forget = (): Promise<void> =>
  databases(made.store, async (mapping) => {
    const folder = mapping.folderByMailbox(NAME)!;
    await mapping.update((writes) => writes.putFolder({ ...folder, missing: true, inode: '0' }));
  });

describe('gone while it is in TRANSITION', () => {
  it.each([
    ['as found', () => Promise.resolve()],
    ['as a version before has left it', forget],
  ])('%s: is no empty folder; when it is back, all is migrated', async (_, leave) => {
    appear();
    const two = path.join(inbox, 'two');
    fs.chmodSync(two, 0o602);
    expect(made.messages().status).toBe(1);
    expect(fs.statSync(path.join(inbox, 'one')).nlink).toBe(2);
    await leave();
    const away = path.join(made.store.root, 'away');
    fs.renameSync(inbox, away);
    const stopped = made.messages();
    expect([stopped.status, codesOf(stopped)]).toEqual([1, ['FOLDER_GONE']]);
    expect(made.messages('--dry-run').stdout).toContain('FOLDER_GONE');
    fs.renameSync(away, inbox);
    fs.chmodSync(two, 0o600);
    expect(made.messages().status).toBe(0);
    expect(made.dump(NAME).map(({ uid }) => uid)).toEqual([3, 5]);
  });
});

describe('migrated by a version that left it as missing', () => {
  it('-s takes it for migrated, -r removes its originals, --reset puts them back', async () => {
    appear();
    const before = originalsOf(made.store);
    expect(made.messages().status).toBe(0);
    await forget();
    expect(made.folders().status).toBe(0);
    expect(made.messages('-r').status).toBe(0);
    expect(originalsOf(made.store)).toEqual({});
    const report = await reset(made.store);
    expect(report.refusals).toEqual([]);
    expect(report).toMatchObject({ outcome: 'done', restore: { messages: 2 } });
    expect(originalsOf(made.store)).toEqual(before);
  });

  it('a file that is in 3.x too is no reason to refuse a reset of it', async () => {
    appear();
    expect(made.messages().status).toBe(0);
    await forget();
    expect(await reset(made.store)).toMatchObject({ outcome: 'done', refusals: [], restore: { messages: 0 } });
    expect(fs.readFileSync(path.join(inbox, 'one'), 'latin1')).toBe(MAIL('one'));
  });
});
