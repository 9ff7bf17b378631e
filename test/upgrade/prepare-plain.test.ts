/** A folder that is made ready by one call is what the long way would have made of it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadAddon } from '../../src/fs/addon.js';
import { preparePlain } from '../../src/upgrade/prepare-plain.js';
import { closeRoots, emptyRoots } from '../../src/upgrade/roots.js';
import { type ReadyFolder, release } from '../../src/upgrade/run.js';
import type { Session } from '../../src/upgrade/session.js';
import { openPlan, SharedRoom } from '../../src/upgrade/shared.js';
import { prepareFolder, type StepTools } from '../../src/upgrade/steps.js';
import type { PrepareFolder, PrepareResult } from '../../src/upgrade/tasks.js';
import { beginSession, taskOf } from './folder-support.js';
import { ACCOUNT, INDEX, type SmallStore, smallStore } from './small-store.js';
import { threadTools } from './thread-support.js';

const MESSAGE = 'Subject: x\r\n\r\ntext\r\n';
const LINES = '3 900 ,Blue,Red 20 three\n7 1000 S 20 seven\n';
const roots = emptyRoots();
let store: SmallStore;
let session: Session;
let tools: StepTools;
let inbox: string;

beforeEach(() => {
  store = smallStore();
  store.user('anna');
  inbox = store.folder(store.mailbox, 'anna', 'INBOX', INDEX(100, 8) + LINES);
  for (const name of ['three', 'seven']) fs.writeFileSync(join(inbox, name), MESSAGE, { mode: 0o600 });
  fs.writeFileSync(join(inbox, '.lock'), '', { mode: 0o600 });
});

afterEach(async () => {
  closeRoots(roots);
  await session.close();
  store.remove();
});

async function begin(): Promise<void> {
  session = await beginSession(store);
  tools = await threadTools({ engine: 'native', setOwner: false });
}

/** Where the mailbox comes to lie. */
let target: string;

function task(): PrepareFolder {
  const { places, task: wanted } = taskOf(session, roots, 'user/anna/INBOX');
  target = join(places.rootPath, ...places.target.components.map(String));
  return wanted;
}

/** Runs `body` as the server account, as the threads of a run do. */
function asAccount<T>(body: () => T): T {
  if (process.geteuid?.() !== 0) return body();
  process.setegid?.(ACCOUNT.gid);
  process.seteuid?.(ACCOUNT.uid);
  try {
    return body();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

function atOnce(wanted: PrepareFolder, room = new SharedRoom()): PrepareResult | undefined {
  return asAccount(() => preparePlain(tools, wanted, room));
}

function ready(result: PrepareResult | undefined): ReadyFolder {
  if (result?.kind !== 'ready') throw new Error(result?.kind);
  return result;
}

/** What another thread is told of it, without what differs each time. */
function told(result: ReadyFolder) {
  const { sourceFd, lockFd, targetFd, times, plan, ...rest } = result;
  expect(Math.min(sourceFd, lockFd, targetFd)).toBeGreaterThan(2);
  expect(times).toEqual({ scan: expect.any(Number), plan: expect.any(Number) });
  return { ...rest, plan: openPlan(structuredClone(plan)) };
}

function withUmask<T>(umask: number, body: () => T): T {
  const before = process.umask(umask);
  try {
    return body();
  } finally {
    process.umask(before);
  }
}

const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;

it.each([8, 4000])('the folder is the one of the long way, with uidnext %i in its index', async (uidnext) => {
  fs.writeFileSync(join(inbox, '.mailbox'), INDEX(100, uidnext) + LINES);
  await begin();
  const wanted = task();
  const room = new SharedRoom();
  room.free(10, null);
  room.take(0, 10);
  const first = ready(withUmask(0o300, () => atOnce(wanted, room)));
  expect(fs.statSync(target).mode & 0o7777).toBe(0o700);
  expect(first.plan.messages.at).toBe(16);
  // Everything is locked: nobody else gets it.
  expect(atOnce(wanted)).toBeUndefined();
  expect(asAccount(() => prepareFolder(tools, wanted)).kind).toBe('busy');
  const atOnceTold = told(first);
  release({ planMemory: [] }, first);
  const second = ready(asAccount(() => prepareFolder(tools, wanted)));
  expect(atOnceTold).toEqual(told(second));
  expect(atOnceTold.plan.keywords).toEqual(['Blue', 'Red']);
  release({ planMemory: [] }, second);
});

it('a lock file that is not there is made, as the long way would make it', async () => {
  fs.rmSync(join(inbox, '.lock'));
  await begin();
  const wanted = task();
  fs.chownSync(inbox, ACCOUNT.uid, ACCOUNT.gid);
  const first = ready(withUmask(0o300, () => atOnce(wanted)));
  const { mode, uid, ino } = fs.statSync(join(inbox, '.lock'));
  expect([mode & 0o7777, uid]).toEqual([0o600, ACCOUNT.uid]);
  expect(fs.fstatSync(first.lockFd).ino).toBe(ino);
  expect(asAccount(() => prepareFolder(tools, wanted)).kind).toBe('busy');
  const atOnceTold = told(first);
  release({ planMemory: [] }, first);
  const second = ready(asAccount(() => prepareFolder(tools, wanted)));
  expect(atOnceTold).toEqual(told(second));
  release({ planMemory: [] }, second);
});

it.each<[string, () => void]>([
  ['a lock file that is a link', () => replace('.lock', (path) => fs.symlinkSync('/etc/passwd', path))],
  ['a lock file that is a directory', () => replace('.lock', (path) => fs.mkdirSync(path))],
  ['an index that is a link', () => replace('.mailbox', (path) => fs.symlinkSync('/etc/passwd', path))],
  ['no index', () => replace('.mailbox', () => {})],
  ['a damaged index', () => fs.appendFileSync(join(inbox, '.mailbox'), 'x\n')],
  ['no uid that is left', () => fs.writeFileSync(join(inbox, '.mailbox'), `${INDEX(100, 8)}4294967295 1 S 20 seven\n`)],
  ['a message without a line', () => fs.writeFileSync(join(inbox, 'eight'), MESSAGE)],
  [
    'a folder that is a link',
    () => {
      fs.renameSync(inbox, `${inbox}.old`);
      fs.symlinkSync(`${inbox}.old`, inbox);
    },
  ],
  [
    'a mailbox directory that is there',
    () => {
      fs.mkdirSync(target, { recursive: true, mode: 0o700 });
      for (const path of [target, join(target, '..')]) fs.chownSync(path, ACCOUNT.uid, ACCOUNT.gid);
    },
  ],
])('%s goes the long way, and nothing is held', async (_, change) => {
  await begin();
  const wanted = task();
  change();
  for (const name of fs.readdirSync(inbox)) fs.lchownSync(join(inbox, name), ACCOUNT.uid, ACCOUNT.gid);
  const before = openDescriptors();
  expect(atOnce(wanted)).toBeUndefined();
  expect(openDescriptors()).toBe(before);
  // Neither of the folder's own locks is left.
  const result = asAccount(() => prepareFolder(tools, wanted));
  expect(result.kind).not.toBe('busy');
  if (result.kind === 'ready') release({ planMemory: [] }, result);
});

function replace(name: string, make: (path: string) => void): void {
  fs.rmSync(join(inbox, name));
  make(join(inbox, name));
}

it('a folder that another one has locked is busy on the long way', async () => {
  await begin();
  const wanted = task();
  const other = fs.openSync(join(inbox, '.lock'), 'r');
  expect(loadAddon()?.flock(other, true)).toBe(true);
  expect(atOnce(wanted)).toBeUndefined();
  expect(asAccount(() => prepareFolder(tools, wanted)).kind).toBe('busy');
  fs.closeSync(other);
  release({ planMemory: [] }, ready(atOnce(wanted)));
});

it('only a folder of at most 1 MiB of index, without a past, of an account that is not root', async () => {
  await begin();
  const wanted = task();
  const { previous } = { previous: { count: 0 } } as unknown as PrepareFolder;
  const others: Partial<PrepareFolder>[] = [
    { missing: true },
    { previous },
    { failed: new Uint32Array(0) },
    { job: 1 },
    { indexBytes: (1 << 20) + 1 },
  ];
  for (const other of others) expect(atOnce({ ...wanted, ...other })).toBeUndefined();
  // Its columns have no room.
  expect(atOnce({ ...wanted, indexBytes: 0 }, { free: () => new Uint8Array(20) } as unknown as SharedRoom)).toBe(
    undefined,
  );
  if (process.geteuid?.() === 0) expect(preparePlain(tools, wanted, new SharedRoom())).toBeUndefined();
  expect(fs.existsSync(target)).toBe(false);
  release({ planMemory: [] }, ready(atOnce(wanted)));
});

it.each(['..', '.', '', 'a/../b', 'a//b', 'a\0b'])('the path %j is none', async (name) => {
  await begin();
  const wanted = task();
  const away = { ...wanted.target, components: ['anna', name] };
  expect(atOnce({ ...wanted, target: away })).toBeUndefined();
  expect(atOnce({ ...wanted, source: { ...wanted.source, components: ['anna', name, 'INBOX'] } })).toBeUndefined();
});
