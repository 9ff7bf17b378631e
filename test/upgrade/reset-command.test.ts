/** `upgrade --reset` as an administrator calls it: the question, --yes, --json, the options. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  fillFolder,
  migrate,
  project,
  runCli,
  type SmallStore,
  simpleMessage,
  smallStore,
} from '../support/migrated-store.js';
import { originalsOf } from './reset-support.js';

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

it('what is refused is listed by name, exit 3', () => {
  fs.writeFileSync(`${store.instance}/store/user/prefs`, '');
  const { status, stdout } = reset('--yes');
  expect(status).toBe(3);
  expect(stdout).toContain(`refused RESET_UNKNOWN_FILE`);
  expect(stdout).toContain(`(${store.instance}/store/user/prefs)`);
  expect(stdout).toContain('Nothing was changed.');
});

it.each([
  ['n\n', 3, 0],
  ['\n', 3, 0],
  ['y\n', 0, 2],
])('asks on a terminal; the answer %j ends with %i', (answer, status, messages) => {
  const command = [process.execPath, '--import', 'tsx', 'src/cli/upgrade.ts', '--reset', '--instance', store.instance];
  const asked = spawnSync('script', ['-qefc', command.join(' '), '/dev/null'], {
    cwd: project,
    encoding: 'utf8',
    input: answer,
  });
  if (asked.error !== undefined) throw asked.error;
  expect(asked.stdout).toContain('Go on? [y/N]');
  expect(asked.status).toBe(status);
  expect(Object.keys(originalsOf(store))).toHaveLength(messages);
});

it('options of other modes are wrong usage', () => {
  expect(reset('-r')).toMatchObject({ status: 2 });
  expect(runCli('upgrade', '-m', '--yes', '--instance', store.instance)).toMatchObject({ status: 2 });
  expect(runCli('upgrade', '-m', '--reset', '--instance', store.instance)).toMatchObject({ status: 2 });
});
