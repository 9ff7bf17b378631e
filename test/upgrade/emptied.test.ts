/** Folders in TRANSITION that are not what their databases say: nothing is swept, nothing published empty. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { loadDigest } from '../../src/store/digest.js';
import { foldJournal } from '../../src/store/index/fold.js';
import { fileSink } from '../../src/store/index/io.js';
import { IndexBuilder } from '../../src/store/index/writer.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import { migrateMailbox, type OnAccessOptions } from '../../src/upgrade/onAccess.js';
import type { MessagesReport } from '../../src/upgrade/report.js';
import { closeRoots, emptyRoots } from '../../src/upgrade/roots.js';
import { openSession } from '../../src/upgrade/session.js';
import { surveyFolder } from '../../src/upgrade/survey-folder.js';
import { asService } from '../campaign/support/service.js';
import { MAIL, putMail } from '../e2e/hand-site.js';
import { taskOf } from './folder-support.js';
import { ACCOUNT, INDEX, needRoot, run, type SmallStore, smallStore } from './small-store.js';
import { threadTools } from './thread-support.js';

const WORK = 'user/anna/Work';
const INBOX = 'user/anna/INBOX';
const LINES = ['one', 'two', 'three'].map((name, i) => `${i + 1} 9 - ${MAIL(name).length} ${name}\n`);

let store: SmallStore;
let work: string;

/** After `-s`: anna has Work with three messages, and gets an empty INBOX. */
beforeEach(async () => {
  await loadDigest();
  store = smallStore();
  store.user('anna');
  work = store.folder(store.mailbox, 'anna', 'Work', INDEX(9, 4) + LINES.join(''));
  for (const name of ['one', 'two', 'three']) putMail(work, name);
  store.finish();
  await run(store);
});

afterEach(() => store.remove());

async function migrate(mailbox = WORK, options: OnAccessOptions = {}): Promise<MessagesReport> {
  const session = await openSession({ instance: store.instance }, 'test');
  try {
    return await migrateMailbox(session, mailbox, options);
  } finally {
    await session.close();
  }
}

const codesOf = ({ errors }: MessagesReport): string[] => errors.map(({ code }) => code);

/** The first attempt, of which `three` failed: the folder waits, with two messages in 4.x. */
async function begin(): Promise<void> {
  fs.chmodSync(join(work, 'three'), 0o602);
  expect((await migrate()).messages.failed).toBe(1);
  fs.chmodSync(join(work, 'three'), 0o600);
  expect(messages()).toEqual(['1.msg', '2.msg']);
}

/** Backs both databases up; what is returned brings them back. */
function backUp(): () => void {
  const files = [join(store.instance, 'store/mboxlist/mboxlist.mdb'), join(store.mailbox, '__upfolder.db')];
  const contents = files.map((file) => fs.readFileSync(file));
  return () => {
    for (const [i, file] of files.entries()) fs.writeFileSync(file, contents[i] ?? '');
  };
}

function directory(mailbox = WORK): string {
  return join(store.instance, 'store/partition/primary', ...mailboxPathComponents('anna', mailbox));
}

/** Message files of a mailbox directory. */
function messages(mailbox = WORK): string[] {
  return fs.existsSync(join(directory(mailbox), '00')) ? fs.readdirSync(join(directory(mailbox), '00')).sort() : [];
}

it('an index of root that nobody else may read is no trace of a service: it is replaced', async (ctx) => {
  needRoot(ctx);
  await begin();
  fs.writeFileSync(join(directory(), 'store.idx'), Buffer.alloc(200, 1), { mode: 0o600 });
  expect((await migrate()).folders.done).toBe(1);
  expect(messages()).toEqual(['1.msg', '2.msg', '3.msg']);
});

describe('databases from before the folder was published', () => {
  it('mail and flags that came through a service since stay', async () => {
    await begin();
    const restore = backUp();
    expect((await migrate()).folders.done).toBe(1);
    await asService(store.instance, async (service) => {
      await service.append(WORK, MAIL('new in 4.x'));
      await service.flag(WORK, 1, 4);
    });
    restore();
    expect(codesOf(await migrate())).toEqual(['MAILBOX_AHEAD']);
    expect(messages()).toEqual(['1.msg', '2.msg', '3.msg', '4.msg']);
    expect(fs.existsSync(join(directory(), 'store.jnl'))).toBe(true);
  });

  it('so do they when they are in the index', async () => {
    await begin();
    const restore = backUp();
    expect((await migrate()).folders.done).toBe(1);
    await asService(store.instance, (service) => service.append(WORK, MAIL('new in 4.x')));
    const dir = openRoot(directory());
    foldJournal(dir, { uid: ACCOUNT.uid, gid: ACCOUNT.gid });
    closeDir(dir);
    expect(fs.existsSync(join(directory(), 'store.jnl'))).toBe(false);
    restore();
    expect(codesOf(await migrate())).toEqual(['MAILBOX_AHEAD']);
    expect(messages()).toContain('4.msg');
  });

  it('so does the mail of an INBOX that 3.x never had', async () => {
    const restore = backUp();
    expect((await migrate(INBOX)).folders.done).toBe(1);
    await asService(store.instance, (service) => service.append(INBOX, MAIL('new in 4.x')));
    restore();
    expect(codesOf(await migrate(INBOX))).toEqual(['MAILBOX_AHEAD']);
    expect(messages(INBOX)).toEqual(['1.msg']);
  });

  it('and before its first attempt: what -r left in 4.x alone stays', async () => {
    const restore = backUp();
    expect((await migrate(WORK, { remove: true })).removed.messages).toBe(3);
    restore();
    expect(codesOf(await migrate())).toEqual(['MAILBOX_AHEAD']);
    expect(messages()).toEqual(['1.msg', '2.msg', '3.msg']);
  });
});

it('the empty index of a createMailbox that was killed is in nobody’s way', async () => {
  fs.mkdirSync(directory(), { recursive: true, mode: 0o700 });
  const index = join(directory(), 'store.idx');
  const fd = fs.openSync(index, 'w', 0o600);
  const admin = Buffer.from('{}');
  new IndexBuilder(fileSink(fd), { uidvalidity: 5, uidnext: 1, generation: 1, keywords: [], admin }, 0).finish();
  fs.closeSync(fd);
  for (let path = directory(); !path.endsWith('primary'); path = join(path, '..')) {
    fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
  }
  expect(await migrate()).toMatchObject({ folders: { done: 1 }, errors: [] });
});

describe('a 3.x disk that has lost the name of one message of a folder that was begun', () => {
  it('its 4.x file stays, whatever other names it has', async () => {
    await begin();
    fs.linkSync(join(work, 'one'), join(store.root, 'of another user'));
    fs.unlinkSync(join(work, 'one'));
    const report = await migrate();
    expect(codesOf(report)).toEqual(['FOLDER_EMPTIED']);
    expect(report.errors[0]?.message).toContain(join(directory(), '00/1.msg'));
    expect(messages()).toEqual(['1.msg', '2.msg']);
    putMail(work, 'one');
    fs.chownSync(join(work, 'one'), ACCOUNT.uid, ACCOUNT.gid);
    expect(await migrate()).toMatchObject({ folders: { done: 1 }, messages: { done: 3 } });
  });

  it('it stays as well where the index is lost', async () => {
    await begin();
    for (const name of ['one', '.mailbox']) fs.unlinkSync(join(work, name));
    expect(codesOf(await migrate())).toEqual(['FOLDER_EMPTIED']);
    expect(messages()).toContain('1.msg');
  });

  it('it is swept where 3.x has deleted the message, with its line', async () => {
    await begin();
    fs.unlinkSync(join(work, 'one'));
    fs.writeFileSync(join(work, '.mailbox'), INDEX(9, 4) + LINES.slice(1).join(''));
    expect(await migrate()).toMatchObject({ folders: { done: 1 }, messages: { done: 2 } });
    expect(messages()).toEqual(['2.msg', '3.msg']);
  });

  it.each([
    ['is older than the record', INDEX(9, 2) + LINES[0]],
    ['is older, and 3.x went on from it', `${INDEX(9, 5) + LINES[0]}2 9 - 9 newer\n${LINES[2]}`],
    ['has a line that cannot be read', `${INDEX(9, 4) + LINES[0]}\0\0\0\n${LINES[2]}`],
    ['was cut', INDEX(9, 4) + LINES[0]?.trimEnd()],
    ['has no header', LINES[0] ?? ''],
    ['is another folder’s', INDEX(8, 4) + LINES[0]],
  ])('it stays where the index, without a line of it, %s', async (_how, index) => {
    await begin();
    fs.unlinkSync(join(work, 'two'));
    fs.writeFileSync(join(work, '.mailbox'), index);
    expect(codesOf(await migrate())).toEqual(['FOLDER_EMPTIED']);
    expect(messages()).toContain('2.msg');
  });

  it('it stays where the message never had a line', async () => {
    fs.writeFileSync(join(work, '.mailbox'), INDEX(9));
    for (const [i, name] of ['one', 'two', 'three'].entries()) fs.utimesSync(join(work, name), i + 1, i + 1);
    await begin();
    fs.unlinkSync(join(work, 'one'));
    expect(codesOf(await migrate())).toEqual(['FOLDER_EMPTIED']);
    expect(messages()).toContain('1.msg');
  });

  it('it is not the only one where 3.x has it under another name', async () => {
    await begin();
    fs.renameSync(join(work, 'one'), join(work, 'renamed'));
    expect(await migrate()).toMatchObject({ folders: { done: 1 }, messages: { done: 3 } });
    expect(messages()).toEqual(['2.msg', '3.msg', '4.msg']);
  });

  it('it is where a newer file has the number of its inode', async () => {
    await begin();
    // As where messages are copied: the 4.x file has an inode of its own.
    const copy = join(directory(), '00/1.msg');
    const content = fs.readFileSync(copy);
    fs.unlinkSync(copy);
    fs.writeFileSync(copy, content, { mode: 0o600 });
    fs.chownSync(copy, ACCOUNT.uid, ACCOUNT.gid);
    fs.renameSync(join(work, 'one'), join(work, 'newer'));
    fs.writeFileSync(join(work, 'newer'), MAIL('another message'));
    expect(codesOf(await migrate())).toEqual(['FOLDER_EMPTIED']);
    expect(fs.readFileSync(copy)).toEqual(content);
  });
});

describe('a folder with a disk of its own', () => {
  /** In place of its mount point and the file system on it: two directories. */
  function unmount(): void {
    fs.renameSync(work, join(store.root, 'disk'));
    fs.mkdirSync(work);
    fs.chownSync(work, ACCOUNT.uid, ACCOUNT.gid);
  }

  it('that is not mounted is not published empty', async () => {
    unmount();
    expect(codesOf(await migrate())).toEqual(['FOLDER_GONE']);
    expect(await surveyed()).toBe('FOLDER_GONE');
    fs.rmSync(work, { recursive: true });
    fs.renameSync(join(store.root, 'disk'), work);
    expect(await migrate()).toMatchObject({ folders: { done: 1 }, messages: { done: 3 } });
  });

  it('nor when an attempt was made, of which nothing is in 4.x', async () => {
    for (const name of ['one', 'two', 'three']) fs.chmodSync(join(work, name), 0o602);
    expect((await migrate()).messages.failed).toBe(3);
    unmount();
    expect(codesOf(await migrate())).toEqual(['FOLDER_GONE']);
  });

  it('is empty where its directory is the one that `-s` saw', async () => {
    for (const name of ['one', 'two', 'three', '.mailbox']) fs.unlinkSync(join(work, name));
    expect(await migrate()).toMatchObject({ folders: { done: 1 }, errors: [] });
  });
});

it('--dry-run refuses what -m would', async () => {
  await begin();
  fs.unlinkSync(join(work, 'one'));
  expect(await surveyed()).toBe('FOLDER_EMPTIED');
});

/** What --dry-run has against the folder. */
async function surveyed(): Promise<string | undefined> {
  const session = await openSession({ instance: store.instance }, 'test');
  const roots = emptyRoots();
  try {
    const tools = await threadTools({ setOwner: false });
    const result = surveyFolder(tools, taskOf(session, roots, WORK).task);
    return result.kind === 'failed' ? result.failure.code : undefined;
  } finally {
    closeRoots(roots);
    await session.close();
  }
}
