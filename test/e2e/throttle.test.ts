/** `--bwlimit`, `--iops`, `--nice`, and changing them while a run goes on. */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { engineOptions, makeTestSite, type Result, type TestSite } from '../support/site.js';

interface Report {
  readonly messages: { readonly done: number; readonly failed: number };
  readonly bytes: number;
  readonly throttle: {
    readonly bwlimit: number;
    readonly iops: number;
    readonly nice: boolean;
    readonly changes: number;
    readonly bytes: number;
    readonly operations: number;
    readonly waitedSeconds: number;
  };
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let site: TestSite;
let child: ChildProcess | undefined;

beforeEach(() => {
  site = makeTestSite({ users: 2, folders: 2, messages: 80, damage: 0, singleCopy: 0, bareLf: 0 });
  expect(site.folders().status).toBe(0);
});
afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  site.remove();
});

const log = (): string => fs.readFileSync(join(site.instance, 'log/default/default'), 'utf8');
const throttle = (...args: string[]): Result => site.run('upgrade', '--throttle', ...args);

/** A run that goes on alone. */
function start(...args: string[]): { readonly ended: Promise<Ended>; isOver(): boolean } {
  const started = site.start('upgrade', '-m', '-t', '2', '--json', ...args);
  child = started;
  let stdout = '';
  let stderr = '';
  let over = false;
  started.stdout?.on('data', (text) => (stdout += text));
  started.stderr?.on('data', (text) => (stderr += text));
  const ended = new Promise<Ended>((resolve) =>
    started.on('close', (status) => {
      over = true;
      resolve({ status, stdout, stderr });
    }),
  );
  return { ended, isOver: () => over };
}

async function until(happened: () => boolean): Promise<void> {
  for (let i = 0; i < 1500 && !happened(); i++) await sleep(20);
  expect(happened()).toBe(true);
}

describe.each(engineOptions())('upgrade -m %s', (engine) => {
  it('keeps to --bwlimit until --throttle lifts it', async () => {
    // A byte a second: nobody lives to see the end.
    const run = start(engine, '--bwlimit', '1');
    await until(() => /upgrade -m: .*, limit 1 bytes\/s/.test(log()));
    const lifted = throttle('--bwlimit', '0', '--json');
    expect(run.isOver()).toBe(false);
    expect(JSON.parse(lifted.stdout)).toMatchObject({
      limits: { bwlimit: 0, iops: null, nice: null },
      running: [{ pid: child?.pid }],
    });
    const { status, stdout } = await run.ended;
    expect(status).toBe(0);
    const report = JSON.parse(stdout) as Report;
    expect(report.messages).toEqual({ done: 80, failed: 0 });
    expect(report.throttle).toMatchObject({ bwlimit: 0, iops: 0, nice: false, changes: 1 });
    expect(report.throttle.bytes).toBeGreaterThan(0);
    expect(report.throttle.waitedSeconds).toBeGreaterThan(0);
    expect(log()).toContain('upgrade.control: no limit from now on');
    expect((await site.compare()).problems).toEqual([]);
  });

  it('keeps to --iops, and ends in the middle of a wait when it is stopped', async () => {
    const run = start(engine, '--iops', '1');
    await until(() => log().includes('limit 1 operations/s'));
    child?.kill('SIGINT');
    await sleep(50);
    child?.kill('SIGINT');
    expect((await run.ended).status).toBe(4);
    const again = site.messages(engine);
    expect(again.status).toBe(0);
    expect((await site.compare()).problems).toEqual([]);
  });

  it('counts the bytes of a linked message once, and three operations for it', async () => {
    // So high that nothing waits for long.
    const result = site.messages(engine, '--bwlimit', '1G', '--iops', '1000000');
    const { messages, bytes, throttle: counted } = JSON.parse(result.stdout) as Report;
    // Beside the messages there are the indexes of both sides, about 1 KB a message, and the directories.
    expect(counted.bytes).toBeGreaterThan(bytes);
    expect(counted.bytes).toBeLessThan(bytes + 80 * 1500);
    expect(counted.operations).toBeGreaterThan(messages.done * 3);
    expect(counted.operations).toBeLessThan(messages.done * 3 + 200);
  });

  it('--nice puts every thread behind all others, --no-nice gives the I/O class back', async () => {
    const run = start(engine, '--nice', '--bwlimit', '1');
    await until(() => log().includes('limit 1 bytes/s, nice'));
    expect(prioritiesOf(child?.pid)).toEqual({ nice: ['19'], ioClass: ['idle'] });
    expect(throttle('--no-nice').status).toBe(0);
    await until(() => /upgrade\.control: limit 1 bytes\/s from now on/.test(log()));
    expect(prioritiesOf(child?.pid).ioClass).not.toContain('idle');
    expect(throttle('--bwlimit', '0').status).toBe(0);
    const { stdout } = await run.ended;
    expect((JSON.parse(stdout) as Report).throttle).toMatchObject({ nice: false, changes: 2 });
  });
});

it('a control file of an earlier run means nothing; a broken one is told and changes nothing', async () => {
  const file = join(site.instance, 'lock/upgrade.control');
  fs.writeFileSync(file, 'bwlimit 0\n', { mode: 0o644 });
  const run = start('--bwlimit', '1');
  await until(() => log().includes('limit 1 bytes/s'));
  fs.writeFileSync(file, 'bwlimit 0\niops many\n');
  await until(() => log().includes('CONTROL_FILE: Line 2 cannot be read: iops many'));
  expect(run.isOver()).toBe(false);
  fs.writeFileSync(file, '# by hand\nbwlimit=0\n');
  expect((await run.ended).status).toBe(0);
});

describe('upgrade --throttle', () => {
  it('without a run is refused', () => {
    const result = throttle('--bwlimit', '5M');
    expect(result.status).toBe(3);
    expect(result.stderr).toContain('THROTTLE_NO_RUN');
    expect(fs.existsSync(join(site.instance, 'lock/upgrade.control'))).toBe(false);
  });

  it.each([[[]], [['--bwlimit', 'fast']], [['--iops', '-1']], [['--nice', '--no-nice']]])(
    '%j is wrong usage',
    (args) => {
      expect(throttle(...args).status).toBe(2);
    },
  );
});

/** Of all threads of a process, each value once. */
function prioritiesOf(pid: number | undefined): { nice: string[]; ioClass: string[] } {
  const threads = fs.readdirSync(`/proc/${pid}/task`);
  const nice = threads.map(
    (thread) =>
      fs
        .readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1')
        .replace(/^.*\) /, '')
        .split(' ')[16] ?? '',
  );
  const ioClass = threads.map((thread) =>
    spawnSync('ionice', ['-p', thread], { encoding: 'utf8' }).stdout.trim().replace(/:.*$/, ''),
  );
  return { nice: [...new Set(nice)], ioClass: [...new Set(ioClass)] };
}
