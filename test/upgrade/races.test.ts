/** One process, and what another one does between its steps: real databases, files and locks, without threads. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadDigest } from '../../src/store/digest.js';
import { openIndex } from '../../src/store/index/reader.js';
import { changeMailbox } from '../../src/store/mailbox/change.js';
import { migrateFolders } from '../../src/upgrade/messages.js';
import { migrateMailbox } from '../../src/upgrade/onAccess.js';
import { removePublishedOriginals, settleRemovals } from '../../src/upgrade/removal.js';
import { closeRoots } from '../../src/upgrade/roots.js';
import type { Run } from '../../src/upgrade/run.js';
import { openSession, type Session } from '../../src/upgrade/session.js';
import type { Task } from '../../src/upgrade/tasks.js';
import { worklistOf } from '../../src/upgrade/worklist.js';
import { INDEX, run, type SmallStore, smallStore } from './small-store.js';
import { runHere } from './thread-support.js';

const MAILBOX = 'user/anna/INBOX';

let store: SmallStore;
let session: Session;
let inbox: string;

beforeEach(async () => {
  await loadDigest();
  store = smallStore();
  store.user('anna');
  inbox = store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(100, 8)}7 1000 S 19 seven\n`);
  for (const name of ['seven', 'lineless'])
    fs.writeFileSync(join(inbox, name), 'Subject: x\r\n\r\ntext\r\n', { mode: 0o600 });
  store.finish();
  await run(store);
  session = await openSession({ instance: store.instance }, 'test');
});

afterEach(async () => {
  await session.close();
  store.remove();
});

function runWith(after: (task: Task) => Promise<void>, before?: (task: Task) => Promise<void>): Promise<Run> {
  return runHere(session, after, before);
}

/** Uids in the mailbox's index. */
function publishedUids(): number[] {
  const partition = session.instance.partitionPath('primary') ?? '';
  const file = fs
    .readdirSync(partition, { recursive: true, encoding: 'utf8' })
    .find((name) => name.endsWith('store.idx'));
  return [...openIndex(fs.readFileSync(join(partition, file ?? ''))).records()].map(({ uid }) => uid);
}

describe('a folder that another process has begun meanwhile', () => {
  it('is planned again from the record of that process', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    if (folder === undefined) throw new Error('no such folder');
    let begun = false;
    const ours = await runWith(async (task) => {
      if (task.kind !== 'prepare' || begun) return;
      begun = true;
      // What the other process made durable before it was killed: `lineless` has uid 41.
      const { ino, size, mtimeNs } = fs.statSync(join(inbox, 'lineless'), { bigint: true });
      await session.mapping.update((writes) => {
        writes.putFolder({ ...folder, attempts: 1 });
        writes.putRecord(folder.id, {
          uidvalidity: 100,
          uidnext: 42,
          count: 1,
          uids: Uint32Array.of(41),
          names: Buffer.from('lineless'),
          nameOffsets: Uint32Array.of(0, 8),
          inodes: BigUint64Array.of(ino),
          sizes: Float64Array.of(Number(size)),
          mtimes: BigInt64Array.of(mtimeNs),
        });
      });
    });
    await migrateFolders(ours, worklistOf([folder.id]));
    closeRoots(ours.roots);
    expect(ours.report).toMatchObject({ folders: { done: 1, failed: 0 }, errors: [] });
    expect(publishedUids()).toEqual([7, 41]);
  });

  it('is planned again, not refused for what that process has brought into 4.x', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    if (folder === undefined) throw new Error('no such folder');
    let begun = false;
    const ours = await runWith(
      async () => {},
      async (task) => {
        if (task.kind !== 'prepare' || begun) return;
        begun = true;
        fs.chmodSync(join(inbox, 'lineless'), 0o602);
        expect((await migrateMailbox(session, MAILBOX)).messages).toMatchObject({ done: 1, failed: 1 });
        fs.chmodSync(join(inbox, 'lineless'), 0o600);
      },
    );
    await migrateFolders(ours, worklistOf([folder.id]));
    closeRoots(ours.roots);
    expect(ours.report).toMatchObject({ folders: { done: 1, failed: 0 }, errors: [] });
  });

  it('lets go of every lock when the log cannot be written', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    const ours = await runWith(() => Promise.resolve());
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const write = (): never => {
      throw full;
    };
    await migrateFolders({ ...ours, log: { ...session.log, write } }, worklistOf([folder?.id ?? 0]));
    closeRoots(ours.roots);
    expect(ours.report.halted).toMatchObject({ code: 'RUN_HALTED' });
    const again = await runWith(() => Promise.resolve());
    await migrateFolders(again, worklistOf([folder?.id ?? 0]));
    closeRoots(again.roots);
    expect(again.report).toMatchObject({ folders: { done: 1, failed: 0 }, errors: [] });
  });
});

describe('a folder that a service has published meanwhile, and uses', () => {
  it('has its retry entered in the journal before the threads are closed', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    if (folder === undefined) throw new Error('no such folder');
    let [published, closed] = [false, false];
    const ours = await runWith(
      async () => {},
      async (task) => {
        if (closed) throw new Error('a task came after the threads were closed');
        if (task.kind !== 'prepare' || published) return;
        published = true;
        fs.chmodSync(join(inbox, 'lineless'), 0o602);
        expect((await migrateMailbox(session, MAILBOX, { acceptFailures: true })).messages.failed).toBe(1);
        const { mailboxes, instance } = session;
        await changeMailbox({ mailboxes, owner: instance.owner }, MAILBOX, (changes) => changes.setFlags(7, 0, []));
        fs.chmodSync(join(inbox, 'lineless'), 0o600);
      },
    );
    const onMoved = (): void => {
      closed = true;
    };
    await migrateFolders({ ...ours, onMoved }, worklistOf([folder.id]));
    closeRoots(ours.roots);
    expect(ours.report).toMatchObject({ halted: null, folders: { done: 1, failed: 0 }, errors: [] });
    expect(closed).toBe(false);
  });

  it('keeps no threads where nothing is added', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    let closed = false;
    const ours = await runWith(() => Promise.resolve());
    const onMoved = (): void => {
      closed = true;
    };
    await migrateFolders({ ...ours, onMoved }, worklistOf([folder?.id ?? 0]));
    closeRoots(ours.roots);
    expect([closed, ours.report.folders.done]).toEqual([true, 1]);
  });
});

describe('-r', () => {
  it('notes that the originals are gone only when that is durable, and looks at them once', async () => {
    const id = session.mapping.folderByMailbox(MAILBOX)?.id ?? 0;
    const tasks: string[] = [];
    const made = await runWith(async ({ kind }) => void tasks.push(kind));
    const ours = { ...made, options: { ...made.options, remove: true } };
    await migrateFolders(ours, worklistOf([id]));
    expect(fs.existsSync(join(inbox, 'seven'))).toBe(false);
    expect(session.mapping.folder(id)?.sourcesRemoved).toBe(false);
    await removePublishedOriginals(ours, [id]);
    await settleRemovals(ours);
    closeRoots(ours.roots);
    expect(session.mapping.folder(id)?.sourcesRemoved).toBe(true);
    expect(tasks).toEqual(['prepare', 'move', 'finish']);
  });
});

describe('late -r', () => {
  it('is not done with a folder of which a retry was stopped: what that finds to fail must stay due', async () => {
    expect((await migrateMailbox(session, MAILBOX)).folders.done).toBe(1);
    const id = session.mapping.folderByMailbox(MAILBOX)?.id ?? 0;
    const note = (retrying: boolean) =>
      session.mapping.update((writes) => {
        const folder = session.mapping.folder(id);
        if (folder !== undefined) writes.putFolder({ ...folder, retrying });
      });
    for (const retrying of [true, false]) {
      await note(retrying);
      const ours = await runWith(() => Promise.resolve());
      await removePublishedOriginals(ours, [id]);
      await settleRemovals(ours);
      closeRoots(ours.roots);
      expect(fs.existsSync(join(inbox, 'seven'))).toBe(false);
      expect(session.mapping.folder(id)?.sourcesRemoved).toBe(!retrying);
    }
  });

  it('says of a folder without a migration record that the databases disagree', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    if (folder === undefined) throw new Error('no such folder');
    await session.mailboxes.update((writes) => {
      const summary = { messages: 0, bytes: 0, lastAppend: 0, seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 };
      writes.publish(MAILBOX, { summary, uidvalidity: 100, uidnext: 8, root: '/p' });
    });
    const ours = await runWith(() => Promise.resolve());
    await removePublishedOriginals(ours, [folder.id]);
    closeRoots(ours.roots);
    expect(ours.report.errors).toMatchObject([{ code: 'DATABASES_DISAGREE' }]);
  });
});

describe('migrateMailbox', () => {
  it('leaves a folder alone that was published although a message failed', async () => {
    fs.renameSync(join(inbox, 'lineless'), join(inbox, '.aside'));
    fs.symlinkSync('elsewhere', join(inbox, 'lineless'));
    const first = await migrateMailbox(session, MAILBOX, { acceptFailures: true });
    expect(first.errors).toMatchObject([{ code: 'MSG_NOT_REGULAR' }]);
    fs.renameSync(join(inbox, '.aside'), join(inbox, 'lineless'));
    const again = await migrateMailbox(session, MAILBOX, { acceptFailures: true });
    expect(again).toMatchObject({ folders: { done: 0, skipped: 1, failed: 0 }, errors: [] });
    expect(publishedUids()).toEqual([7]);
  });
});

describe('a folder that another process published with -r before it is locked', () => {
  it('is done, not one that lost its messages', async () => {
    const folder = session.mapping.folderByMailbox(MAILBOX);
    if (folder === undefined) throw new Error('no such folder');
    // An attempt before: `seven` is in 4.x, `lineless` failed.
    fs.chmodSync(join(inbox, 'lineless'), 0o602);
    expect((await migrateMailbox(session, MAILBOX)).messages.failed).toBe(1);
    fs.chmodSync(join(inbox, 'lineless'), 0o600);
    let published = false;
    const ours = await runWith(
      async () => {},
      async (task) => {
        if (task.kind !== 'prepare' || published) return;
        published = true;
        expect((await migrateMailbox(session, MAILBOX, { remove: true })).removed.messages).toBe(2);
      },
    );
    await migrateFolders(ours, worklistOf([folder.id]));
    closeRoots(ours.roots);
    expect(ours.report).toMatchObject({ folders: { done: 0, skipped: 1, failed: 0 }, errors: [] });
  });
});
