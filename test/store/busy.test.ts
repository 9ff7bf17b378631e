/** Processes that stand in the way of a database: stopped, killed, or strangers to the gates (environment.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../src/store/database.js';
import type { MailboxDatabase, MailboxWrites } from '../../src/store/types.js';

const project = fileURLToPath(new URL('../..', import.meta.url));
const SECOND = 1_000;

let directory: string;
let opened: MailboxDatabase[];
let children: ChildProcess[];

beforeEach(async () => {
  directory = fs.mkdtempSync(`${tmpdir()}/mailhaul-busy-`);
  opened = [];
  children = [];
  const database = await openMailboxDatabase(directory, { create: true });
  await database.update(note('before'));
  await database.close();
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const database of opened) await database.close();
  fs.rmSync(directory, { recursive: true });
});

const quota = { limit: null, usedBytes: 1, usedMessages: 1 };
const note = (uid: string) => (writes: MailboxWrites) => writes.setQuota(uid, quota);

async function openIt(options: { readOnly?: boolean; lockWaitMs?: number } = {}): Promise<MailboxDatabase> {
  const database = await openMailboxDatabase(directory, { lockWaitMs: 100, ...options });
  opened.push(database);
  return database;
}

/** A process that writes once and is stopped or killed by the seam, within its transaction. */
async function writer(fault: string): Promise<ChildProcess> {
  const args = ['test/support/database-writer.mjs', directory, 'joe', '1'];
  return start(args, fault, fault.startsWith('stop') ? 'T' : 'ended');
}

/** A program that knows LMDB and nothing of the gates; it stops itself within a transaction. */
function stranger(): Promise<ChildProcess> {
  const program = `
    import { open } from 'lmdb';
    const path = ${JSON.stringify(`${directory}/${MAILBOX_DATABASE_FILE}`)};
    const database = open({ path, noSubdir: true, overlappingSync: false, maxDbs: 12 });
    database.transactionSync(() => process.kill(process.pid, 'SIGSTOP'));
    await database.close();`;
  return start(['--input-type=module', '-e', program], '', 'T');
}

async function start(args: string[], fault: string, state: 'T' | 'ended'): Promise<ChildProcess> {
  const env = { ...process.env, MAILHAUL_FAULT: fault };
  const child = spawn(process.execPath, args, { cwd: project, env, stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  while (state === 'T' ? stateOf(child) !== 'T' : child.signalCode === null) {
    expect(child.exitCode).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return child;
}

function stateOf(child: ChildProcess): string | undefined {
  const text = fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2)[0];
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

const busy = (child: ChildProcess) =>
  expect.objectContaining({
    code: 'DB_BUSY',
    exit: 4,
    message: expect.stringMatching(new RegExp(`process ${child.pid} \\(.*stopped.*kill -CONT ${child.pid}`)),
  });

describe('a writer that is stopped within its transaction', () => {
  it('is named to a writer that gives up; when it goes on, both have written', async () => {
    const database = await openIt();
    const child = await writer('stop:1');
    await expect(database.update(note('late'))).rejects.toEqual(busy(child));
    // Given up once, a try is enough until one succeeds.
    await expect(database.update(note('late'))).rejects.toEqual(busy(child));
    const over = ended(child);
    child.kill('SIGCONT');
    expect(await over).toBe(0);
    await database.update(note('late'));
    database.refresh();
    expect(database.get('user/joe/0')).toBeDefined();
    expect(database.quota('late')).toEqual(quota);
  });

  it('is waited for by a writer with patience', async () => {
    const database = await openIt({ lockWaitMs: 300 * SECOND });
    const child = await writer('stop:1');
    const update = database.update(note('late'));
    child.kill('SIGCONT');
    await update;
    database.refresh();
    expect(database.get('user/joe/0')).toBeDefined();
  });

  it('is named to who opens for writing', async () => {
    const child = await writer('stop:1');
    await expect(openIt()).rejects.toEqual(busy(child));
  });

  it('holds up no reader, open or opening', async () => {
    const open = await openIt({ readOnly: true });
    await writer('stop:1');
    open.refresh();
    expect(open.quota('before')).toEqual(quota);
    const late = await openIt({ readOnly: true });
    expect(late.quota('before')).toEqual(quota);
    expect(late.get('user/joe/0')).toBeUndefined();
  });
});

it('a writer that is killed within its transaction leaves nothing of it and no lock', async () => {
  await writer('kill:1');
  const database = await openIt();
  await writer('kill:1');
  await database.update(note('late'));
  database.refresh();
  expect([database.get('user/joe/0'), database.quota('late')]).toEqual([undefined, quota]);
});

it('a program without gates that is stopped within a transaction is named as well', async () => {
  const database = await openIt();
  const child = await stranger();
  await expect(database.update(note('late'))).rejects.toEqual(busy(child));
  await expect(openIt()).rejects.toEqual(busy(child));
  child.kill('SIGCONT');
  await ended(child);
  await database.update(note('late'));
});

it('a process that is stopped while it opens is named to readers, and holds up nobody who has opened', async () => {
  const database = await openIt();
  const args = ['-x', `${directory}/${MAILBOX_DATABASE_FILE}-lock`, 'sleep', '1000'];
  const child = spawn('flock', args, { detached: true });
  children.push(child);
  try {
    while (!fs.readFileSync('/proc/locks', 'latin1').includes(`WRITE ${child.pid} `))
      await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill('SIGSTOP');
    await expect(openIt({ readOnly: true })).rejects.toEqual(busy(child));
    await database.update(note('late'));
    database.refresh();
    expect(database.quota('late')).toEqual(quota);
  } finally {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
  }
});

it('a process has one place among the readers, whatever it reads', async () => {
  const database = await openIt();
  for (let i = 0; i < 50; i++) {
    await database.update(note(`u${i}`));
    database.refresh();
    for (const _ of database.list()) break;
    database.quota(`u${i}`);
    database.highestPublished();
    if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // u32 at 16: places that were ever taken at once (liblmdb, MDB_txninfo).
  const lock = fs.readFileSync(`${directory}/${MAILBOX_DATABASE_FILE}-lock`);
  expect(lock.readUInt32LE(16)).toBe(1);
});
