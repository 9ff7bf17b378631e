/** What `update` promises about the disk, watched from outside the process. */
import { execFile, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it, type TestContext } from 'vitest';
import { armFaults } from '../../src/fs/seam.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../src/store/database.js';

const run = promisify(execFile);
const project = fileURLToPath(new URL('../..', import.meta.url));
let directory: string;

beforeEach(async () => {
  directory = fs.mkdtempSync(`${os.tmpdir()}/mailhaul-durability-`);
  await (await openMailboxDatabase(directory, { create: true })).close();
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

function need(ctx: TestContext, condition: boolean, reason: string): void {
  if (condition) return;
  console.log(`skipped: ${reason}`);
  ctx.skip(reason);
}

const writer = (user: string, count: number) => ['test/support/database-writer.mjs', directory, user, String(count)];

it('an update is on disk before it resolves: data, then the meta page', async (ctx) => {
  need(ctx, spawnSync('strace', ['-V']).status === 0, 'strace is not installed');
  const trace = `${directory}/trace`;
  const calls = 'trace=fdatasync,fsync,msync,pwrite64,pwritev,writev,write,openat';
  await run('strace', ['-f', '-y', '-e', calls, '-o', trace, process.execPath, ...writer('p', 3)], { cwd: project });
  const lines = fs.readFileSync(trace, 'utf8').split('\n');
  expect(lines.some((line) => line.includes(MAILBOX_DATABASE_FILE) && line.includes('O_DSYNC'))).toBe(true);
  // From each "resolved" back to the one before: the last call on the database is the meta page through the
  // O_DSYNC descriptor, and before it the data was synced.
  let steps: string[] = [];
  let resolved = 0;
  for (const line of lines) {
    if (line.includes('"resolved')) {
      const [sync, meta] = steps.slice(-2);
      expect(sync).toMatch(/fdatasync\(\d+<.*mboxlist\.mdb>\)\s*= 0/);
      expect(meta).toMatch(/pwrite64\(\d+<.*mboxlist\.mdb>.*, 128, (40|4136)\)\s*= 128/);
      steps = [];
      resolved++;
    } else if (line.includes(`${MAILBOX_DATABASE_FILE}>`)) steps.push(line);
  }
  expect(resolved).toBe(3);
});

it('a process killed just before a commit leaves the state before, and no lock', async () => {
  for (const at of [1, 2, 3]) {
    const user = `u${at}`;
    const env = { ...process.env, MAILHAUL_FAULT: `kill:${at}` };
    const killed = spawnSync(process.execPath, writer(user, 5), { cwd: project, env });
    expect(killed.signal).toBe('SIGKILL');
    const database = await openMailboxDatabase(directory);
    expect(Array.from(database.list(`user/${user}/`)).length).toBe(at - 1);
    await database.update((writes) => writes.setSubscriptions('joe', []));
    await database.close();
  }
});

it('a commit that the disk refuses fails with DB_WRITE and changes nothing', async (ctx) => {
  need(ctx, process.geteuid?.() === 0, 'needs root to mount a small file system');
  const small = `${directory}/small`;
  fs.mkdirSync(small);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1500k', 'tmpfs', small]);
  need(ctx, mounted.status === 0, 'mount is not allowed here');
  try {
    const script = ['test/support/database-writer.mjs', small, 'p', '100000', 'create'];
    const { status, stderr } = spawnSync(process.execPath, script, { cwd: project, encoding: 'utf8' });
    expect(status).toBe(4);
    const acknowledged = Number(/wrote (\d+)/.exec(stderr)?.[1]);
    expect(stderr).toContain('DB_WRITE');
    const database = await openMailboxDatabase(small);
    expect(Array.from(database.list()).length).toBe(acknowledged);
    await database.close();
  } finally {
    spawnSync('umount', [small]);
  }
});

it('a commit that fails names the database, whatever the cause', async () => {
  const database = await openMailboxDatabase(directory, { create: true });
  armFaults({ mode: 'fail', at: 1, errno: os.constants.errno.ENOMEM, report: '' });
  try {
    await expect(database.update((writes) => writes.setSubscriptions('joe', ['INBOX']))).rejects.toMatchObject({
      code: 'DB_WRITE',
      exit: 4,
      where: expect.stringContaining(directory),
      message: expect.stringContaining('ENOMEM'),
    });
  } finally {
    armFaults(undefined);
  }
  expect(database.subscriptions('joe')).toEqual([]);
  await database.update((writes) => writes.setSubscriptions('joe', ['INBOX']));
  expect(database.subscriptions('joe')).toEqual(['INBOX']);
  await database.close();
});
