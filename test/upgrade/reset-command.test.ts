/** `upgrade --reset` as an administrator calls it: the question, --yes, --json, the options. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  fillFolder,
  migrate,
  project,
  runCli,
  type SmallStore,
  simpleMessage,
  smallStore,
} from '../support/migrated-store.js';
import { commandFile } from '../support/process.js';
import { originalsOf, processOf, until } from './reset-support.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
  store.user('joe');
  fillFolder(store, 'joe', 'INBOX', 7, [
    { uid: 1, content: simpleMessage('first') },
    { uid: 2, content: 'Subject: bare\n\nLF\n' },
  ]);
  migrate(store, { remove: true });
});

afterEach(() => store.remove());

const reset = (...args: string[]) => runCli('upgrade', '--reset', '--instance', store.instance, ...args);

it('without a terminal and without --yes: says so, exit 3, nothing changed', () => {
  const { status, stdout, stderr } = reset();
  expect(status).toBe(3);
  expect(stderr).toContain('RESET_NOT_CONFIRMED');
  expect(stdout).toContain('2 messages in 4.x only: back under their 3.x names first, 1 of them in CRLF form');
  expect(stdout).toContain(`remove ${store.mailbox}/__upfolder.db`);
  expect(Object.keys(originalsOf(store))).toEqual([]);
});

it('--dry-run: the list, exit 0, nothing changed; --yes: does it', () => {
  const dry = reset('--dry-run');
  expect(dry).toMatchObject({ status: 0 });
  expect(dry.stdout).toContain('Dry run: nothing was changed.');
  expect(Object.keys(originalsOf(store))).toEqual([]);
  const done = reset('--yes');
  expect(done).toMatchObject({ status: 0, stderr: '' });
  expect(done.stdout).toContain('Reset. 2 messages went back to 3.x (1 in CRLF form).');
  expect(Object.keys(originalsOf(store))).toHaveLength(2);
  expect(fs.readdirSync(store.mailbox)).toEqual(['joe']);
  expect(reset('--yes').stdout).toContain('There is nothing to reset.');
});

it('--json: one object on standard output', () => {
  const plan = reset('--json');
  expect(plan.status).toBe(3);
  expect(JSON.parse(plan.stdout)).toMatchObject({ outcome: 'unconfirmed', exitCode: 3, restore: { messages: 2 } });
  expect(plan.stderr).toContain('2 messages in 4.x only');
  const done = reset('--json', '--yes');
  expect(done).toMatchObject({ status: 0, stderr: '' });
  expect(JSON.parse(done.stdout)).toMatchObject({
    outcome: 'done',
    exitCode: 0,
    folders: 1,
    partitions: [{ name: 'primary', folders: 1, messages: 2 }],
    restore: { messages: 2, rewritten: 1, copied: 0 },
    refusals: [],
  });
});

describe('halted', () => {
  /** A reset whose `n`-th effective call fails for want of space. */
  const failing = (n: number, ...args: string[]) =>
    spawnSync(process.execPath, [commandFile('upgrade'), '--reset', '--yes', '--instance', store.instance, ...args], {
      cwd: project,
      encoding: 'utf8',
      env: { ...process.env, MAILHAUL_FAULT: `fail:${n}:ENOSPC` },
    });

  it('--json: the object says what was done, why it halted and what to run, exit 4', () => {
    const halted = failing(HALFWAY, '--json');
    expect(halted.status, halted.stdout + halted.stderr).toBe(4);
    const report = JSON.parse(halted.stdout);
    expect(report).toMatchObject({
      outcome: 'halted',
      exitCode: 4,
      restore: { messages: 2 },
      halted: { code: 'DISK_FULL', resume: expect.stringContaining('--reset') },
    });
    expect(halted.stderr).toContain('DISK_FULL');
    expect(Object.keys(originalsOf(store))).toHaveLength(report.done.restored);
    const again = JSON.parse(reset('--json', '--yes').stdout);
    expect(again).toMatchObject({ outcome: 'done', exitCode: 0, resumed: true, halted: null });
    const both = [report.done, again.done];
    expect(both.map(({ restored }) => restored).reduce((a, b) => a + b)).toBe(2);
    expect(both.map(({ removed }) => removed).reduce((a, b) => a + b)).toBe(2);
  });

  it('on a terminal: what was done, and what to run', () => {
    const { status, stdout, stderr } = failing(HALFWAY);
    expect(status).toBe(4);
    expect(stdout).toMatch(/\d messages? put back into 3\.x, \d message files? of 4\.x removed by this run\./);
    expect(stdout).toContain('Run again, it goes on where it stopped: upgrade --reset');
    expect(stderr).toContain('DISK_FULL');
  });

  it('by a signal: the object as well', async () => {
    const child = spawn(
      process.execPath,
      [commandFile('upgrade'), '--reset', '--yes', '--json', '--instance', store.instance],
      { cwd: project, env: { ...process.env, MAILHAUL_FAULT: `stop:${HALFWAY}` } },
    );
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    await until(() => processOf(child).stopped);
    child.kill('SIGTERM');
    child.kill('SIGCONT');
    expect(await ended).toBe(4);
    expect(JSON.parse(output)).toMatchObject({ outcome: 'halted', exitCode: 4, halted: { code: 'HALTED' } });
  }, 120_000);
});

/** A call of the reset between its first mark and the removal of the last 4.x message. */
const HALFWAY = 8;

it('what is refused is listed by name, exit 3', () => {
  fs.writeFileSync(`${store.instance}/store/user/prefs`, '');
  const { status, stdout } = reset('--yes');
  expect(status).toBe(3);
  expect(stdout).toContain(`refused RESET_UNKNOWN_FILE`);
  expect(stdout).toContain(`(${store.instance}/store/user/prefs)`);
  expect(stdout).toContain('Nothing was changed.');
});

describe('on a terminal', () => {
  /** Asked there; `act` is done once the question is. */
  async function asked(act: (terminal: ChildProcess) => void, redirect = '') {
    const command = `exec ${process.execPath} ${commandFile('upgrade')} --reset --instance ${store.instance} ${redirect}`;
    const terminal = spawn('script', ['-qefc', command, '/dev/null'], { cwd: project });
    let output = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = new Promise((resolve) => terminal.once('close', resolve));
    const questions = `${store.root}/questions`;
    const shown = (): string => output + (redirect === '' ? '' : fs.readFileSync(questions, 'utf8'));
    await until(() => shown().includes('Go on? [y/N]') || terminal.exitCode !== null);
    act(terminal);
    return { status: await ended, output: shown() };
  }

  const write = (text: string) => (terminal: ChildProcess) => terminal.stdin?.write(text);

  it.each([
    ['n\n', 3, 0],
    ['\n', 3, 0],
    ['y\n', 0, 2],
    // Ctrl-C and Ctrl-D.
    ['\x03', 3, 0],
    ['\x04', 3, 0],
  ])('it asks; the answer %j ends with %i', async (answer, status, messages) => {
    const { status: ended, output } = await asked(write(answer));
    expect(ended, output).toBe(status);
    expect(output).not.toContain('INTERNAL');
    if (status === 3) expect(output).toContain('Nothing was changed.');
    expect(Object.keys(originalsOf(store))).toHaveLength(messages);
  });

  // Where the question is not shown on the terminal, that handles Ctrl-C and Ctrl-D itself.
  it.each([
    ['\x03', 4],
    ['\x04', 3],
  ])('it asks on a redirected standard error; %j ends with %i', async (answer, status) => {
    fs.writeFileSync(`${store.root}/questions`, '');
    const { status: ended, output } = await asked(write(answer), `2>${store.root}/questions`);
    expect(ended, output).toBe(status);
    expect(output).not.toContain('INTERNAL');
    expect(Object.keys(originalsOf(store))).toEqual([]);
  });

  it('SIGTERM ends the question, and nothing is marked', async () => {
    const { status, output } = await asked(({ pid }) => {
      const [child] = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      process.kill(Number(child), 'SIGTERM');
    });
    expect(status, output).toBe(4);
    expect(output).toContain('HALTED');
    expect(JSON.parse(reset('--json', '--yes').stdout)).toMatchObject({ outcome: 'done', resumed: false });
  });
});

it('options of other modes are wrong usage', () => {
  expect(reset('-r')).toMatchObject({ status: 2 });
  expect(runCli('upgrade', '-m', '--yes', '--instance', store.instance)).toMatchObject({ status: 2 });
  expect(runCli('upgrade', '-m', '--reset', '--instance', store.instance)).toMatchObject({ status: 2 });
});
