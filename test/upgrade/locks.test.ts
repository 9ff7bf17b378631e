/** One migrator a folder, whatever becomes of its 3.x directory while it is locked (4x-store.md, promise 3). */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { closeRoots, emptyRoots } from '../../src/upgrade/roots.js';
import { release } from '../../src/upgrade/run.js';
import type { Session } from '../../src/upgrade/session.js';
import { prepareFolder } from '../../src/upgrade/steps.js';
import type { PrepareFolder, PrepareResult } from '../../src/upgrade/tasks.js';
import { commandFile } from '../support/process.js';
import { beginSession, taskOf } from './folder-support.js';
import { ACCOUNT, INDEX, type SmallStore, smallStore } from './small-store.js';
import { threadTools } from './thread-support.js';

const UPGRADE = commandFile('upgrade');
const MESSAGE = 'Subject: x\r\n\r\ntext\r\n';
const roots = emptyRoots();
let store: SmallStore;
let session: Session;

beforeEach(() => {
  store = smallStore();
});

afterEach(async () => {
  closeRoots(roots);
  await session.close();
  store.remove();
});

async function begin(): Promise<void> {
  session = await beginSession(store);
}

/** What a process that wants INBOX asks its threads for. */
function task(): PrepareFolder {
  return taskOf(session, roots, 'user/anna/INBOX').task;
}

/** What a process that wants INBOX is told. */
async function prepare(): Promise<PrepareResult> {
  return prepareFolder(await threadTools(), task());
}

async function holdFirst(): Promise<Extract<PrepareResult, { kind: 'ready' }>> {
  const first = await prepare();
  if (first.kind !== 'ready') throw new Error(first.kind);
  return first;
}

it('a folder that is renamed and made anew while it is locked has no second migrator', async () => {
  store.user('anna');
  const inbox = store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(100, 8)}7 1000 S 19 seven\n`);
  fs.writeFileSync(join(inbox, 'seven'), MESSAGE, { mode: 0o600 });
  await begin();
  const first = await holdFirst();
  fs.renameSync(inbox, `${inbox}.old`);
  fs.mkdirSync(inbox, { mode: 0o700 });
  fs.chownSync(inbox, ACCOUNT.uid, ACCOUNT.gid);
  expect(await prepare()).toMatchObject({ kind: 'busy', holders: [process.pid] });
  release({ planMemory: [] }, first);
  // Without an index it may be a mount point (emptied.test.ts).
  expect(await prepare()).toMatchObject({ kind: 'failed', failure: { code: 'FOLDER_GONE' } });
  fs.writeFileSync(join(inbox, '.mailbox'), INDEX(100, 8));
  fs.chownSync(join(inbox, '.mailbox'), ACCOUNT.uid, ACCOUNT.gid);
  const next = await holdFirst();
  release({ planMemory: [] }, next);
});

it('nor has one that was missing when the first migrator looked', async () => {
  store.user('anna');
  await begin();
  const first = await holdFirst();
  expect(first.sourceFd).toBe(-1);
  const inbox = store.folder(store.mailbox, 'anna', 'INBOX', INDEX(100, 8));
  for (const path of [inbox, join(inbox, '..')]) fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
  expect((await prepare()).kind).toBe('busy');
  release({ planMemory: [] }, first);
});

it('a folder that another process published a moment ago is planned with its record', async () => {
  store.user('anna');
  const inbox = store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(100, 8)}7 1000 S 19 seven\n`);
  fs.writeFileSync(join(inbox, 'seven'), MESSAGE, { mode: 0o600 });
  await begin();
  expect(session.mapping.folderByMailbox('user/anna/INBOX')?.attempts).toBe(0);
  // Within one turn of the event loop, so that the mapping's snapshot stays the one from before.
  const { status, stderr } = spawnSync(process.execPath, [UPGRADE, '-m', '--instance', store.instance]);
  expect([status, String(stderr)]).toEqual([0, '']);
  session.mailboxes.refresh();
  const { previous, failed } = task();
  expect(failed).toEqual(new Uint32Array(0));
  expect(previous?.uids).toEqual(Uint32Array.of(7));
});
