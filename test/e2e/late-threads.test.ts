/**
 * Threads beyond the processors come while the run goes on: where there is use for them, and where the server account can
 * read their code. The commands run on one processor (taskset), so that every machine has fewer of them than threads.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { project } from '../support/process.js';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot, type SmallStore, smallStore } from '../upgrade/small-store.js';

const FOLDERS = 20;
const MESSAGES = 10;
/** How long a task waits, and not for a processor, where disks are slow. */
const TASK_MS = 100;

let store: SmallStore;
let top: string;

/** A copy of the package, whose code everybody can read, wherever the project lies. */
beforeEach(() => {
  top = fs.mkdtempSync(join(tmpdir(), 'mailhaul-late-'));
  fs.chmodSync(top, 0o755);
  for (const file of ['package.json', 'dist/cli', 'dist/upgrade'])
    fs.cpSync(join(project, file), join(top, file), { recursive: true });
  fs.cpSync(join(project, 'node_modules/piscina'), join(top, 'node_modules/piscina'), { recursive: true });
  for (const name of fs.readdirSync(join(project, 'node_modules'))) {
    if (name !== 'piscina') fs.symlinkSync(join(project, 'node_modules', name), join(top, 'node_modules', name));
  }
  const addon = join(project, 'build/Release/mailhaul.node');
  if (fs.existsSync(addon)) fs.cpSync(addon, join(top, 'build/Release/mailhaul.node'));
  store = smallStore();
});

afterEach(() => {
  store.remove();
  fs.rmSync(top, { recursive: true });
});

/** From now on each task takes as if a slow disk had been asked. */
function slowDisks(): void {
  const directory = join(top, 'dist/upgrade');
  for (const end of ['cjs', 'code.cjs', 'code.cache'])
    fs.renameSync(join(directory, `worker.${end}`), join(directory, `worker-itself.${end}`));
  fs.writeFileSync(
    join(directory, 'worker.cjs'),
    `module.exports = require('./worker-itself.cjs').default.then((work) => (task) => {
       if (task.kind !== 'begin') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${TASK_MS});
       return work(task);
     });`,
  );
}

function fill(folders: number): void {
  store.user('alice');
  for (let i = 0; i < folders; i++) {
    const lines = Array.from({ length: MESSAGES }, (_, n) => `${n + 1} 9 S 5 m${n}\n`).join('');
    const name = i === 0 ? 'INBOX' : `INBOX/f${i}`;
    const folder = store.folder(store.mailbox, 'alice', name, `${INDEX(7, MESSAGES + 1)}${lines}`);
    for (let n = 0; n < MESSAGES; n++) fs.writeFileSync(`${folder}/m${n}`, `Subject: ${i}/${n}\n\na\n`);
  }
  store.finish();
  const made = upgrade({}, '-s', '--from', store.from, '--directory', store.ldif);
  expect(made.stderr).toBe('');
}

/** One of those that this process may use. */
function processor(): string {
  return /^Cpus_allowed_list:\s*(\d+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
}

interface How {
  readonly nodeOptions?: string;
  /** In front of the command. */
  readonly by?: readonly string[];
}

function upgrade({ nodeOptions, by = [] }: How, ...args: string[]): SpawnSyncReturns<string> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const command = ['-c', processor(), ...by, process.execPath, join(top, 'dist/cli/upgrade.js')];
  return spawnSync('taskset', [...command, '--instance', store.instance, ...args], {
    encoding: 'utf8',
    env: nodeOptions === undefined ? env : { ...env, NODE_OPTIONS: nodeOptions },
    timeout: 100_000,
    killSignal: 'SIGKILL',
  });
}

/** The report of a run that moved all, and found all of it there afterwards. */
function reportOf(run: SpawnSyncReturns<string>, folders: number): { readonly threads: number } {
  expect(run.stderr).toBe('');
  const report = JSON.parse(run.stdout) as { threads: number };
  expect(report).toMatchObject({
    halted: null,
    folders: { done: folders, failed: 0 },
    messages: { done: folders * MESSAGES, failed: 0 },
  });
  expect(run.status).toBe(0);
  expect(upgrade({}, '--verify').status).toBe(0);
  return report;
}

const log = (): string => fs.readFileSync(join(store.instance, 'log/default/default'), 'utf8');

/** What each thread of a command does when it is loaded. */
function preload(text: string): string {
  const file = join(store.root, 'preload.mjs');
  fs.writeFileSync(
    file,
    `import fs from 'node:fs';
     import { isMainThread, threadId } from 'node:worker_threads';
     if (!isMainThread) { ${text} }`,
  );
  return `--import ${file}`;
}

describe.each(engineOptions())('threads beyond the processors (%s)', (engine) => {
  const command = ['-m', engine, '--json'];

  it('come when those that are there wait, and are of use', () => {
    fill(FOLDERS);
    slowDisks();
    const report = reportOf(upgrade({}, ...command, '-t', '3'), FOLDERS);
    expect(report.threads).toBeGreaterThan(1);
    expect(report.threads).toBeLessThanOrEqual(3);
    expect(log()).toMatch(new RegExp(`${FOLDERS} folders, 1 to 3 threads`));
  });

  it('are not started where those that are there wait for the limit of the run', () => {
    fill(FOLDERS);
    const report = reportOf(upgrade({}, ...command, '-t', '3', '--iops', '400'), FOLDERS);
    expect(report.threads).toBe(1);
    expect(log()).toMatch(new RegExp(`${FOLDERS} folders, 1 to 3 threads`));
  });

  it('are not started where a few folders have no use for them', () => {
    fill(6);
    const loaded = join(store.root, 'loaded');
    const nodeOptions = preload(`fs.appendFileSync(${JSON.stringify(loaded)}, threadId + '\\n');`);
    // It stays root, so that it does not matter who can read the module that this option names.
    const report = reportOf(upgrade({ nodeOptions }, ...command, '-t', '5', '--take-foreign'), 6);
    expect(report.threads).toBe(1);
    expect(fs.readFileSync(loaded, 'utf8')).toBe('1\n');
  });

  it.for(['', 'worker.cjs', 'worker.code.cjs', 'worker.code.cache'])(
    'are all there at first where the server account cannot read their code (%s)',
    (name, ctx) => {
      needRoot(ctx);
      fill(FOLDERS);
      fs.chmodSync(join(top, 'dist/upgrade', name), name === '' ? 0o700 : 0o600);
      const report = reportOf(upgrade({}, ...command, '-t', '3'), FOLDERS);
      expect(report.threads).toBe(3);
      expect(log()).toMatch(new RegExp(`${FOLDERS} folders, 3 threads`));
      expect(ACCOUNT.uid).not.toBe(0);
    },
  );

  it('are given up when one cannot be started: the others do all, and the log says so once', () => {
    fill(FOLDERS);
    const nodeOptions = preload(`if (threadId > 1) throw new Error('planted');`);
    slowDisks();
    const run = upgrade({ nodeOptions }, ...command, '-t', '4', '--take-foreign');
    expect(run.stderr).toMatch(/No further thread can be started: .*planted/);
    const report = reportOf({ ...run, stderr: '' }, FOLDERS);
    expect(report.threads).toBe(1);
    expect(log().match(/No further thread can be started/g)).toHaveLength(1);
  });

  it('are given up where the server account may have no more of them', (ctx) => {
    needRoot(ctx);
    fill(FOLDERS);
    slowDisks();
    const run = upgrade({ by: ['prlimit', '--nproc=1'] }, ...command, '-t', '4');
    expect(run.stderr).toMatch(/No further thread can be started: /);
    expect(reportOf({ ...run, stderr: '' }, FOLDERS).threads).toBe(1);
    expect(log().match(/No further thread can be started/g)).toHaveLength(1);
  });
});
