/** What a retry enters in the journals of used mailboxes takes its turn with the other tasks of the 4.x disk. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { FLAG } from '../../src/engine/types.js';
import { loadDigest } from '../../src/store/digest.js';
import { migrateFolders } from '../../src/upgrade/messages.js';
import { closeRoots } from '../../src/upgrade/roots.js';
import { openSession } from '../../src/upgrade/session.js';
import type { Task } from '../../src/upgrade/tasks.js';
import { addWork, noTroubles, type Workload } from '../../src/upgrade/trouble.js';
import { buildWorklist } from '../../src/upgrade/worklist.js';
import { asService } from '../campaign/support/service.js';
import { type HandSite, handSite, putMail } from '../e2e/hand-site.js';
import { INDEX } from './small-store.js';
import { runHere } from './thread-support.js';

/** So few that the limits of the disks stay what they are at first: one task (limit.ts). */
const USERS = ['anna', 'bert', 'carl', 'dora'];

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
});

/** Published INBOXes, each of which a service uses and has one message to come, which can be read by now. */
async function retryable(): Promise<HandSite> {
  const made = handSite();
  site = made;
  const { store } = made;
  for (const uid of USERS) {
    store.user(uid);
    const inbox = store.folder(store.mailbox, uid, 'INBOX', `${INDEX(70, 9)}1 11 S 9 one\n2 12 - 9 two\n`);
    putMail(inbox, 'one');
    fs.symlinkSync('/etc/passwd', join(inbox, 'two'));
  }
  store.finish();
  expect(made.folders().status).toBe(0);
  expect(made.messages('--accept-failures').status).toBe(1);
  await asService(store.instance, async (service) => {
    for (const uid of USERS) await service.flag(`user/${uid}/INBOX`, 1, FLAG.flagged);
  });
  for (const uid of USERS) {
    const inbox = join(store.mailbox, uid, 'INBOX');
    const { uid: owner, gid } = fs.statSync(join(inbox, 'one'));
    fs.rmSync(join(inbox, 'two'));
    fs.chownSync(putMail(inbox, 'two'), owner, gid);
  }
  return made;
}

it('one task at a time, with two threads for two disks', async () => {
  await loadDigest();
  const { store, dump } = await retryable();
  const session = await openSession({ instance: store.instance }, 'test');
  try {
    const work = new Map<string, Workload>();
    // A store path and a partition that are not held yet count as devices of their own (routes.ts).
    const list = buildWorklist(
      session.mapping.folders(),
      () => true,
      (folder) => addWork(work, store.mailbox, folder.root ?? '', folder),
    );
    const kinds: string[] = [];
    let [active, most] = [0, 0];
    const count = async ({ kind }: Task, change: number): Promise<void> => {
      if (change > 0) kinds.push(kind);
      active += change;
      most = Math.max(most, active);
      // So long that a group is committed while others are on their way.
      await sleep(100);
    };
    const made = await runHere(
      session,
      (task) => count(task, -1),
      (task) => count(task, 1),
    );
    const ours = { ...made, options: { ...made.options, threads: 2 }, troubles: noTroubles(work) };
    await migrateFolders(ours, list);
    closeRoots(ours.roots);
    expect(ours.report).toMatchObject({ errors: [], messages: { done: USERS.length } });
    expect(kinds.indexOf('append')).toBeGreaterThan(0);
    expect(kinds.indexOf('append')).toBeLessThan(kinds.lastIndexOf('move'));
    expect(most).toBe(1);
  } finally {
    await session.close();
  }
  expect(dump('user/anna/INBOX')).toHaveLength(2);
});
