/** Signals that come while `upgrade --reset` works with calls that never wait. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resetProgressText } from '../../src/cli/upgrade-reset.js';
import type { ResetProgress, ResetReport } from '../../src/upgrade/reset.js';
import { fillFolder, migrate, project, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { commandFile } from '../support/process.js';
import { haltedBy, originalsOf, processOf, reset, until } from './reset-support.js';

let store: SmallStore;
let child: ChildProcess | undefined;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  store.remove();
});

/** Folders of joe, of so many messages each, which are in 4.x only. */
function removed(folders: number, messages: number, content = simpleMessage('one')): void {
  store.user('joe');
  for (let i = 0; i < folders; i++) {
    const list = Array.from({ length: messages }, (_, k) => ({ uid: k + 1, content }));
    fillFolder(store, 'joe', i === 0 ? 'INBOX' : `Box${i}`, i + 1, list);
  }
  migrate(store, { remove: true });
}

/** A reset that is stopped at its `n`-th effective call, gets the signals, and goes on. */
async function signalled(n: number, signals: readonly NodeJS.Signals[]) {
  const command = [commandFile('upgrade'), '--reset', '--yes', '--instance', store.instance];
  const started = spawn(process.execPath, command, {
    cwd: project,
    env: { ...process.env, MAILHAUL_FAULT: `stop:${n}` },
  });
  child = started;
  let output = '';
  const collect = (text: string): void => {
    output += text;
  };
  started.stdout.setEncoding('utf8').on('data', collect);
  started.stderr.setEncoding('utf8').on('data', collect);
  const ended = new Promise((resolve) => started.once('close', resolve));
  await until(() => processOf(started).stopped);
  const before = Object.keys(originalsOf(store)).length;
  // Longer than a loop over messages keeps the event loop.
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const signal of signals) started.kill(signal);
  started.kill('SIGCONT');
  return { status: await ended, output, before, after: Object.keys(originalsOf(store)).length };
}

/** Between the first links and the last ones of what `removed` makes. */
const AMONG_LINKS = 12;

it('while messages go back by links: the folder under way is finished, exit 4, and how to go on is said', async () => {
  removed(40, 1);
  const { status, output, before, after } = await signalled(AMONG_LINKS, ['SIGTERM']);
  expect(status, output).toBe(4);
  expect(before).toBeGreaterThan(0);
  expect(after).toBe(before + 1);
  expect(output).toContain('SIGTERM: the folder under way is finished; once more stops at once.');
  expect(output).toContain(`${after} messages put back into 3.x, 0 message files of 4.x removed by this run.`);
  expect(output).toContain(`Run again, it goes on where it stopped: upgrade --reset --yes --instance`);
  expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
  expect(Object.keys(originalsOf(store))).toHaveLength(40);
}, 60_000);

it('SIGUSR1 prints counts', async () => {
  removed(40, 1);
  const { status, output, before } = await signalled(AMONG_LINKS, ['SIGUSR1']);
  expect(status, output).toBe(0);
  const done = before + 1;
  expect(output).toContain(`upgrade: putting messages back into 3.x: ${done}/40 folders  ${done}/40 messages\n`);
}, 60_000);

it.each([
  ['survey', 0, 'looking at everything: 1,200/3,400 folders'],
  ['shared', 0, 'finding messages that share a file in 3.x: 1,200 folders'],
  ['restore', 5, 'putting messages back into 3.x: 1,200/3,400 folders  5/8,000 messages'],
  ['remove', 8000, 'removing from 4.x: 1,200/3,400 folders  7 message files'],
] as const)('the counts of the step %s', (step, restored, text) => {
  const foldersInAll = step === 'shared' ? 0 : 3400;
  const progress = {
    step,
    folders: 1200,
    foldersInAll,
    restored,
    restoreInAll: 8000,
    removed: step === 'remove' ? 7 : 0,
  };
  expect(resetProgressText(progress)).toBe(text);
});

it('the second one stops it within a folder, and the next reset goes on', async () => {
  removed(1, 300);
  const { status, output, before, after } = await signalled(AMONG_LINKS, ['SIGINT', 'SIGTERM']);
  expect(status, output).toBe(4);
  expect(output).toContain('stopped at once; nothing is lost. Run again: upgrade --reset');
  expect(before).toBeGreaterThan(0);
  expect(after).toBe(before + 1);
  expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
  expect(Object.keys(originalsOf(store))).toHaveLength(300);
}, 60_000);

describe('within one user', () => {
  /** A reset that is told to stop as soon as `when` holds; a loop without turns is at its end before anybody asks. */
  async function stoppedWhen(when: (progress: ResetProgress) => boolean) {
    const controller = new AbortController();
    let progress = (): ResetProgress => expect.fail('not started');
    const look = (): void => {
      if (when(progress())) controller.abort();
      else watch = setImmediate(look);
    };
    let watch: NodeJS.Immediate | undefined;
    let report: ResetReport;
    try {
      report = await reset(store, {
        signal: controller.signal,
        onStart(told) {
          progress = told;
          look();
        },
      });
    } finally {
      clearImmediate(watch);
    }
    expect(report).toMatchObject(haltedBy('HALTED'));
    return { report, progress: progress() };
  }

  it.each(['survey', 'restore', 'remove'] as const)('in the step %s it stops between two folders', async (step) => {
    removed(20, 1);
    const { report, progress } = await stoppedWhen((now) => now.step === step && now.folders >= 3);
    expect(progress).toMatchObject({ step, foldersInAll: 20 });
    expect(progress.folders).toBeLessThan(10);
    expect(report.done.restored).toBe({ survey: 0, restore: progress.folders, remove: 20 }[step]);
    expect(report.done.removed).toBe(step === 'remove' ? progress.folders : 0);
    // A survey leaves no mark.
    expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: step !== 'survey' });
    expect(Object.keys(originalsOf(store))).toHaveLength(20);
  });

  it('in the step shared as well', async () => {
    const bare = 'Subject: bare\n\nLF\n';
    store.user('joe');
    for (let i = 0; i < 20; i++) {
      const box = fillFolder(store, 'joe', i === 0 ? 'INBOX' : `Box${i}`, i + 1, [{ uid: 1, content: bare }]);
      if (i === 0) continue;
      fs.rmSync(`${box}/msg1`);
      fs.linkSync(`${store.mailbox}/joe/INBOX/msg1`, `${box}/msg1`);
    }
    migrate(store, { remove: true });
    const { report, progress } = await stoppedWhen((now) => now.step === 'shared' && now.folders >= 3);
    expect(progress.folders).toBeLessThan(10);
    expect(report.done).toEqual({ restored: 0, removed: 0 });
    expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
    expect(Object.keys(originalsOf(store))).toHaveLength(20);
  });
});
