/** A run that is stopped (SIGSTOP) while it holds a folder, and another one that works meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { commandFile } from '../support/process.js';
import { makeTestSite, reportOf, type TestSite } from '../support/site.js';

const UPGRADE = commandFile('upgrade');

let site: TestSite;
let stopped: ChildProcess | undefined;

beforeEach(() => {
  site = makeTestSite({ users: 3, folders: 2, messages: 30, damage: 0 });
  expect(site.folders().status).toBe(0);
});

afterEach(() => {
  stopped?.kill('SIGKILL');
  stopped = undefined;
  site.remove();
});

/** `-m` on one thread that stops itself; resolves when it has. */
async function stopAt(point: string, ...what: string[]): Promise<ChildProcess> {
  const which = what.length > 0 ? what : ['-m'];
  const args = [UPGRADE, ...which, '-t', '1', '-q', '1', '--instance', site.instance];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, MAILHAUL_FAULT: `stop:${point}` },
    stdio: 'ignore',
  });
  stopped = child;
  const state = (): string => fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1] ?? '';
  while (!state().startsWith('T')) {
    expect(child.exitCode).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return child;
}

async function goOn(child: ChildProcess): Promise<void> {
  const over = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGCONT');
  expect(await over).toBe(0);
}

/** Of a user list that `-s` wrote: three of a header, then one a user. */
function firstLines(count: number): string[] {
  for (const storePath of site.made.storePaths) {
    for (const name of fs.readdirSync(storePath).filter((file) => /^__up\..*\.txt$/.test(file))) {
      const lines = fs.readFileSync(path.join(storePath, name), 'utf8').split('\n');
      if (lines.length > count) return lines.slice(0, count);
    }
  }
  throw new Error('upgrade -s wrote no user list with a user');
}

it('the others name it, do all other folders, and end; it goes on afterwards', async () => {
  // One INBOX alone: with others under way, the process would be stopped within a transaction most of the time.
  const list = path.join(site.root, 'one user');
  fs.writeFileSync(list, `${firstLines(4).join('\n')}\n`);
  // Wherever that is, a link or a write, it holds that folder then.
  const child = await stopAt('10', '-u', list, '-i');
  const report = reportOf(site.messages('--lock-wait', '1'));
  if (report.halted === null) {
    expect(report.errors.map(({ code }) => code)).toContain('FOLDER_BUSY');
    for (const { message } of report.errors)
      expect(message).toMatch(new RegExp(`process ${child.pid} \\(.*is stopped.*kill -CONT ${child.pid}`));
    const waiting = site.mailboxes().filter(({ state }) => state === 'TRANSITION').length;
    expect(waiting).toBe(report.errors.length);
  } else {
    expect(report.halted.message).toContain(`kill -CONT ${child.pid}`);
  }
  expect(site.run('upgrade', '--status').stdout).toContain(`stopped: process ${child.pid}`);
  await goOn(child);
  expect(site.messages().status).toBe(0);
  expect((await site.compare()).problems).toEqual([]);
});

it('with the database’s write lock, it lets readers read and makes writers give up with exit 4', async () => {
  const child = await stopAt('1:commit');
  const second = site.messages('--lock-wait', '1');
  expect(second.status).toBe(4);
  expect(`${second.stdout}${second.stderr}`).toMatch(new RegExp(`DB_BUSY.*process ${child.pid} \\(.*is stopped`));
  expect(site.mailboxes().every(({ state }) => state === 'TRANSITION')).toBe(true);
  await goOn(child);
  expect(site.messages().status).toBe(0);
  expect((await site.compare()).problems).toEqual([]);
});

it('--lock-wait belongs to -m and -u, and is a number of seconds', () => {
  expect(site.run('upgrade', '--status', '--lock-wait', '1').status).toBe(2);
  expect(site.run('upgrade', '-m', '--lock-wait', 'x').status).toBe(2);
});
