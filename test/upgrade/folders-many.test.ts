/**
 * `upgrade -s` of as many users as it starts threads for, as a command: killed at any moment and run again it ends as a
 * run without threads that nobody stopped (4x-store.md, promise 2).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { project, runCli } from '../support/process.js';
import { databases, INDEX, needRoot, run, type SmallStore, smallStore } from './small-store.js';

const USERS = 1_200;
let store: SmallStore;
let top: string | undefined;

beforeEach(() => {
  store = smallStore();
  const disk = store.storePath('mail/sales');
  for (let i = 0; i < USERS; i += 1) {
    const at = i % 2 === 0 ? store.mailbox : disk;
    store.user(`user${i}`, at === disk ? { mailMessageStore: disk } : {});
    store.folder(at, `user${i}`, 'INBOX', INDEX(i + 1, 7));
    if (i % 3 === 0) store.folder(at, `user${i}`, 'INBOX/Below', INDEX(i + 2));
  }
  store.finish();
});

afterEach(() => {
  store.remove();
  if (top !== undefined) fs.rmSync(top, { recursive: true });
  top = undefined;
});

const args = (): string[] => ['-s', '--from', store.from, '--directory', store.ldif, '--instance', store.instance];

/** What the databases have, without ids: those of a run that was stopped go on where it was. */
const contents = (): Promise<object> =>
  databases(store, (mapping, mailboxes) => ({
    users: [...mapping.users()],
    folders: [...mapping.folders()].map(({ id, ...folder }) => folder).sort(byMailbox),
    mailboxes: [...mailboxes.list()].map(({ mappingId, ...mailbox }) => mailbox),
  }));

const byMailbox = (a: { mailbox: string }, b: { mailbox: string }): number => (a.mailbox < b.mailbox ? -1 : 1);

/** Removes what `-s` has made. */
function startAgain(): void {
  fs.rmSync(store.instance, { recursive: true });
  fs.rmSync(join(store.root, 'mail/sales/.0004x.sales'), { recursive: true, force: true });
  for (const name of fs.readdirSync(store.mailbox)) {
    if (name.startsWith('__up') || name === 'upgrade4x.conf') fs.unlinkSync(join(store.mailbox, name));
  }
}

it('killed while threads read, and run again', async () => {
  await run(store, { readers: 0 });
  const undisturbed = await contents();
  let killed = 0;
  for (const ms of [250, 400, 550, 700, 850]) {
    startAgain();
    const child = spawn(process.execPath, [`${project}/dist/cli/upgrade.js`, ...args()], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    await wait(ms);
    child.kill('SIGKILL');
    if ((await ended)[1] === 'SIGKILL') killed += 1;
    const again = runCli('upgrade', ...args());
    expect({ ms, status: again.status, stderr: again.stderr }).toEqual({ ms, status: 0, stderr: '' });
    expect(await contents()).toEqual(undisturbed);
  }
  expect(killed).toBeGreaterThan(0);
}, 120_000);

/** Runs it from a copy of the package, changed by `change`. */
async function runFromCopy(
  change: (top: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ warnings: { code: string; message: string }[] }> {
  await run(store, { readers: 0 });
  const undisturbed = await contents();
  startAgain();
  top = fs.mkdtempSync(`${tmpdir()}/mailhaul-package-`);
  for (const name of ['package.json', 'dist', 'build/Release'].filter((name) => fs.existsSync(`${project}/${name}`))) {
    fs.cpSync(`${project}/${name}`, `${top}/${name}`, { recursive: true });
  }
  fs.symlinkSync(`${project}/node_modules`, `${top}/node_modules`);
  change(top);
  const child = spawn(process.execPath, [`${top}/dist/cli/upgrade.js`, ...args(), '--json'], { env, cwd: top });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  await once(child, 'close');
  expect(stderr).toBe('');
  const report = JSON.parse(stdout) as { warnings: { code: string; message: string }[] };
  expect(report).toMatchObject({ exitCode: 0, users: { found: USERS, added: USERS } });
  expect(await contents()).toEqual(undisturbed);
  return report;
}

it('from a package that the server account cannot read: threads have loaded before', async (ctx) => {
  needRoot(ctx);
  const { warnings } = await runFromCopy((top) => fs.chmodSync(top, 0o700));
  expect(warnings).toEqual([]);
}, 60_000);

it('with a thread that ends as it starts, while others load, it goes on without', async () => {
  const { warnings } = await runFromCopy(
    (top) => {
      fs.chmodSync(top, 0o755);
      const preload = `import { threadId } from 'node:worker_threads';\nif (threadId === 2) throw new Error('planted');\n`;
      fs.writeFileSync(`${top}/preload.mjs`, preload);
    },
    // Where the copy will be is not known yet.
    { ...process.env, NODE_OPTIONS: '--import ./preload.mjs' },
  );
  expect(warnings).toEqual([expect.objectContaining({ code: 'READERS_LOST' })]);
}, 60_000);

/** Threads that end at such a user. */
const dying =
  (condition: string) =>
  (code: string): string =>
    code.replace('.load(stop, 0) !== 0', `$& || (${condition} && process.exit(7))`);

function changeReader(top: string, change: (code: string) => string): void {
  fs.chmodSync(top, 0o755);
  const file = `${top}/dist/upgrade/folders-reader.code.cjs`;
  const code = fs.readFileSync(file, 'utf8');
  expect(change(code)).not.toBe(code);
  fs.writeFileSync(file, change(code));
}

it('with a user at whom a thread dies it reads the piece itself', async () => {
  const { warnings } = await runFromCopy((top) => changeReader(top, dying('uid === "user500"')));
  expect(warnings).toEqual([]);
}, 60_000);

it.each([
  ['cannot be started', (code: string) => `throw new Error('planted');\n${code}`],
  ['die', dying('uid > "user50"')],
])(
  'with threads that %s it goes on without, says so, and ends the same',
  async (_, change) => {
    const { warnings } = await runFromCopy((top) => {
      fs.chmodSync(top, 0o755);
      const file = `${top}/dist/upgrade/folders-reader.code.cjs`;
      const code = fs.readFileSync(file, 'utf8');
      expect(change(code)).not.toBe(code);
      fs.writeFileSync(file, change(code));
    });
    expect(warnings).toEqual([expect.objectContaining({ code: 'READERS_LOST' })]);
  },
  60_000,
);
