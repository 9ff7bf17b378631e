/** Who opens the database files when root runs the command in a directory of the server account. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, type TestContext } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { tryFlock } from '../../src/fs/flock.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../src/store/database.js';
import { openEnvironment } from '../../src/store/environment.js';
import { INSIDE } from '../support/process.js';

const project = fileURLToPath(new URL('../..', import.meta.url));
const OWNER = { uid: 8, gid: 12 };
let directory: string;

beforeEach(() => {
  directory = fs.mkdtempSync(`${tmpdir()}/mailhaul-environment-`);
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

function need(ctx: TestContext, condition: boolean, reason: string): void {
  if (condition) return;
  console.log(`skipped: ${ctx.task.name}: ${reason}`);
  ctx.skip(reason);
}

it('LMDB opens with the rights of the server account: a link put there meanwhile leads nowhere else', (ctx) => {
  need(ctx, process.geteuid?.() === 0, 'needs root');
  need(ctx, spawnSync('strace', ['-V']).status === 0, 'strace is not installed');
  fs.chownSync(directory, OWNER.uid, OWNER.gid);
  const script = `import { openMailboxDatabase } from ${INSIDE};
    const database = await openMailboxDatabase(${JSON.stringify(directory)}, { create: true, owner: ${JSON.stringify(OWNER)} });
    await database.close();
    if (process.geteuid() !== 0) process.exit(9);`;
  const trace = `${directory}/trace`;
  const node = [process.execPath, '--input-type=module', '-e', script];
  const calls = 'trace=openat,setresuid';
  const { status, stderr } = spawnSync('strace', ['-f', '-e', calls, '-o', trace, ...node], {
    cwd: project,
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  const openedBy: string[] = [];
  let effective = '0';
  for (const line of fs.readFileSync(trace, 'utf8').split('\n')) {
    effective = /setresuid\(-1, (\d+), -1\)/.exec(line)?.[1] ?? effective;
    // Only LMDB opens without O_NOFOLLOW.
    if (line.includes(`/${MAILBOX_DATABASE_FILE}`) && !line.includes('O_NOFOLLOW')) openedBy.push(effective);
  }
  expect(openedBy.length).toBeGreaterThanOrEqual(2);
  expect(new Set(openedBy)).toEqual(new Set([String(OWNER.uid)]));
});

it('a file that a killed run left to root is given to the server account', async (ctx) => {
  need(ctx, process.geteuid?.() === 0, 'needs root');
  fs.chownSync(directory, OWNER.uid, OWNER.gid);
  const file = `${directory}/${MAILBOX_DATABASE_FILE}`;
  fs.writeFileSync(file, '', { mode: 0o600 });
  await (await openMailboxDatabase(directory, { create: true, owner: OWNER })).close();
  expect(fs.statSync(file).uid).toBe(OWNER.uid);
});

it('a file of root with a second link is not given away', async (ctx) => {
  need(ctx, process.geteuid?.() === 0, 'needs root');
  fs.chownSync(directory, OWNER.uid, OWNER.gid);
  fs.writeFileSync(`${directory}/precious`, '', { mode: 0o600 });
  fs.linkSync(`${directory}/precious`, `${directory}/${MAILBOX_DATABASE_FILE}`);
  const opened = openMailboxDatabase(directory, { create: true, owner: OWNER });
  await expect(opened).rejects.toMatchObject({ code: 'FS_LINKED' });
  expect(fs.statSync(`${directory}/precious`).uid).toBe(0);
});

it('a scan gives what begins with the prefix, whatever byte it ends in, and nothing behind', async () => {
  const dir = openRoot(directory);
  const environment = await openEnvironment(dir, 'scan.mdb', { create: true, mapSize: 2 ** 20, tables: ['t'] });
  const table = environment.table('t');
  const keys = ['01', '01ff', '01ff00', '01ffff', '0200', '02ff', 'ff', 'ffff', 'ffff01'];
  await environment.update(() => {
    for (const key of keys) table.put(Buffer.from(key, 'hex'), Buffer.of(1));
  });
  for (const prefix of ['', '01', '01ff', '01ffff', '02', 'ff', 'ffff', '03']) {
    const found = Array.from(table.scan(Buffer.from(prefix, 'hex')), ({ key }) => key.toString('hex'));
    expect(found, prefix).toEqual(keys.filter((key) => key.startsWith(prefix)));
  }
  await environment.close();
  closeDir(dir);
});

it('a change of a closed database is refused, and lets go of no lock that has got its descriptor number', async () => {
  const database = await openMailboxDatabase(directory, { create: true });
  await database.close();
  const files = Array.from({ length: 12 }, (_, i) => `${directory}/${i}`);
  const fds = files.map((file) => fs.openSync(file, 'w'));
  const isLocked = (file: string): boolean => {
    const fd = fs.openSync(file, 'r');
    const free = tryFlock(fd, 'exclusive');
    fs.closeSync(fd);
    return !free;
  };
  try {
    for (const fd of fds) expect(tryFlock(fd, 'exclusive')).toBe(true);
    await expect(database.update(() => 1)).rejects.toMatchObject({ code: 'DB_CLOSED' });
    expect(files.filter(isLocked)).toEqual(files);
  } finally {
    for (const fd of fds) fs.closeSync(fd);
  }
});

it('a close lets the running change end, and refuses those that wait for their turn', async () => {
  const database = await openMailboxDatabase(directory, { create: true });
  let closed: Promise<void> | undefined;
  const running = database.update((writes) => {
    writes.setSubscriptions('anna', ['a']);
    closed = database.close();
  });
  const waiting = database.update((writes) => writes.setSubscriptions('bob', ['b']));
  const outcomes = await Promise.allSettled([running, waiting]);
  await closed;
  expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'DB_CLOSED' } }]);
  const again = await openMailboxDatabase(directory);
  expect([again.subscriptions('anna'), again.subscriptions('bob')]).toEqual([['a'], []]);
  await again.close();
});

it('a table tells whether a value is these bytes, of every length, within an update as well', async () => {
  const dir = openRoot(directory);
  const environment = await openEnvironment(dir, 'holds.mdb', { create: true, mapSize: 2 ** 26, tables: ['t'] });
  const table = environment.table('t');
  const values = [1, 10, 11, 5_000, 100_000, 3_000_000, 2].map((length) => Buffer.alloc(length, 0x61));
  const key = (i: number): Buffer => Buffer.of(1, i);
  await environment.update(() => {
    for (const [i, value] of values.entries()) table.put(key(i), value);
    expect(table.holds(key(1), values[1]!)).toBe(true);
  });
  for (const [i, value] of values.entries()) {
    const other = Buffer.from(value);
    other[value.length - 1]! += 1;
    const asked = [value, other, Buffer.alloc(value.length + 1, 0x61), value.subarray(1)];
    expect(asked.map((bytes) => table.holds(key(i), bytes))).toEqual([true, false, false, false]);
  }
  expect(table.holds(Buffer.of(2), Buffer.alloc(0))).toBe(false);
  await environment.close();
  closeDir(dir);
});
