/** `-r` keeps to the limits of each 3.x disk: a slow one has no thread that another one wants. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrateFolders } from '../../src/upgrade/messages.js';
import { migrateMailbox } from '../../src/upgrade/onAccess.js';
import { removePublishedOriginals } from '../../src/upgrade/removal.js';
import { closeRoots } from '../../src/upgrade/roots.js';
import type { Run } from '../../src/upgrade/run.js';
import { storePathOf } from '../../src/upgrade/selection.js';
import type { Session } from '../../src/upgrade/session.js';
import type { Task } from '../../src/upgrade/tasks.js';
import { addWork, noTroubles, type Workload } from '../../src/upgrade/trouble.js';
import { buildWorklist } from '../../src/upgrade/worklist.js';
import { runHere } from './thread-support.js';
import { slowDisk, type TwoDisks, twoDisks, USERS } from './two-disks.js';

let disks: TwoDisks;
let session: Session;
let slow: string;
let fast: string;

beforeEach(async () => {
  disks = await twoDisks('7 1000 S 19 seven\n', (inbox) =>
    fs.writeFileSync(join(inbox, 'seven'), 'Subject: x\r\n\r\ntext\r\n', { mode: 0o600 }),
  );
  ({ session, slow, fast } = disks);
});

afterEach(() => disks.close());

const originals = (storePath: string): string[] =>
  fs.readdirSync(storePath, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('/seven'));

/** Those of the slow disk first, as they would be taken off the list. */
function folderIds(): number[] {
  const mailboxes = ['1', '2'].flatMap((disk) => USERS.map((name) => `user/${name}${disk}/INBOX`));
  return mailboxes.map((mailbox) => session.mapping.folderByMailbox(mailbox)?.id ?? 0);
}

function withTwoThreads(made: Run): Run {
  return { ...made, options: { ...made.options, threads: 2, remove: true } };
}

describe('late -r of a slow disk and a fast one', () => {
  it('is done with the fast one while the slow one has not answered once', async () => {
    for (const id of folderIds()) {
      const mailbox = session.mapping.folder(id)?.mailbox ?? '';
      expect((await migrateMailbox(session, mailbox)).folders.done).toBe(1);
    }
    let leftOnFast: number | undefined;
    const disk = slowDisk(slow, 'remove');
    const made = await runHere(
      session,
      async () => {
        if (originals(fast).length === 0) disk.answer();
      },
      (task) =>
        disk.wait(task, () => {
          leftOnFast ??= originals(fast).length;
        }),
    );
    const ours = withTwoThreads(made);
    await removePublishedOriginals(ours, folderIds());
    closeRoots(ours.roots);
    expect({ mostWaiting: disk.mostWaiting, leftOnFast }).toEqual({ mostWaiting: 1, leftOnFast: 0 });
    expect(originals(slow)).toEqual([]);
    expect(ours.report.removed).toEqual({ messages: 8, kept: 0 });
  });
});

describe('-r of a slow disk and a fast one', () => {
  it('takes its turn with the other tasks of the disk: one at a time, with two threads for two disks', async () => {
    const work = new Map<string, Workload>();
    const folders = folderIds().flatMap((id) => session.mapping.folder(id) ?? []);
    const list = buildWorklist(
      folders,
      () => true,
      (folder) =>
        addWork(
          work,
          storePathOf(session.mapping, folder),
          session.instance.partitionPath(folder.partition) ?? '',
          folder,
        ),
    );
    const storePaths = new Map(folders.map((folder) => [folder.id, storePathOf(session.mapping, folder)]));
    const active = new Map([slow, fast].map((path) => [path, 0]));
    const most = new Map(active);
    const finished: string[][] = [];
    const count = async (task: Task, change: number): Promise<void> => {
      if (!('folders' in task)) return;
      const paths = new Set(task.folders.map(({ id }) => storePaths.get(id) ?? ''));
      if (task.kind === 'finish' && change > 0) finished.push([...paths]);
      for (const path of paths) {
        const now = (active.get(path) ?? 0) + change;
        active.set(path, now);
        most.set(path, Math.max(most.get(path) ?? 0, now));
      }
      // So long that a group is committed while others are on their way.
      await sleep(100);
    };
    const made = await runHere(
      session,
      (task) => count(task, -1),
      (task) => count(task, 1),
    );
    const ours = { ...withTwoThreads(made), troubles: noTroubles(work) };
    await migrateFolders(ours, list);
    closeRoots(ours.roots);
    expect(ours.report).toMatchObject({ errors: [], removed: { messages: 8, kept: 0 } });
    expect([...originals(slow), ...originals(fast)]).toEqual([]);
    expect(finished.every((paths) => paths.length === 1)).toBe(true);
    expect([...most.values()]).toEqual([1, 1]);
  });
});
