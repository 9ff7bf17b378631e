/** A small run of the whole program on a plain directory: what it writes agrees with itself, and nothing stays. */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Report } from '../../bench/report.js';
import { loadAddon } from '../../src/fs/addon.js';
import { generateInstallation, removeInstallation } from '../support/generate.js';

const LAUNCHER = fileURLToPath(new URL('../../bench/msg-bench.mjs', import.meta.url));
const ENGINE = loadAddon() === undefined ? 'portable' : 'native';

let work = '';
/** On a file system of its own. */
let elsewhere = '';
beforeAll(() => {
  work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-run-'));
  fs.chmodSync(work, 0o755);
  elsewhere = fs.mkdtempSync('/dev/shm/mailhaul-run-');
  fs.chmodSync(elsewhere, 0o755);
});
afterAll(() => {
  removeInstallation(work);
  fs.rmSync(elsewhere, { recursive: true, force: true });
});

function directory(name: string): string {
  const made = path.join(work, name);
  fs.mkdirSync(made);
  return made;
}

function bench(rounds: number, ...args: string[]) {
  const json = path.join(work, 'report.json');
  const html = path.join(work, 'report.html');
  const engines = args.includes('--case') ? [] : ['--engines', ENGINE];
  const common = [...engines, '--rounds', String(rounds), '--json', json, '--html', html];
  const run = spawnSync(process.execPath, [LAUNCHER, ...common, ...args], { encoding: 'utf8' });
  expect(run.stderr + run.stdout).toContain(`round ${rounds} of ${rounds}`);
  expect(run.status, run.stderr).toBe(0);
  const report = JSON.parse(fs.readFileSync(json, 'utf8')) as Report;
  return { ...run, report, page: fs.readFileSync(html, 'utf8') };
}

/** What is told of each round, as it goes. */
function roundsTold(stderr: string): string[] {
  return stderr.split(/^(?=round )/m).filter((text) => text.startsWith('round '));
}

it('measures two store paths, also with partitions elsewhere and -r, and reports the same everywhere', () => {
  const dirs = [...['a', 'b'].map(directory), elsewhere];
  const where = ['--dir', dirs[0]!, '--dir', dirs[1]!, '--partition-dir', elsewhere];
  const store = ['--messages', '300', '--folders', '10', '--remove', '--competitors', 'cat,cp -al'];
  const { report, page, stdout, stderr } = bench(2, ...where, ...store);
  expect(report).toMatchObject({ format: 'msg-bench', version: 1, rounds: 2, disks: 'once', cases: [], like: null });
  const results = report.parts[0]!.results;
  const rows = results.map(({ name }) => name);
  const plain = `upgrade -m (${ENGINE}, -t 2)`;
  const wanted = ['cat', 'cp -al', 'upgrade -s', plain, plain.replace(')', ', across)'), plain.replace(')', ', -r)')];
  expect([...rows].sort()).toEqual([...wanted].sort());
  for (const { name, seconds, messagesPerSecond, kind } of results) {
    expect(stdout).toContain(`| ${name} | ${seconds.median.toFixed(2)} |`);
    if (kind !== 'folders') expect(messagesPerSecond).toBeCloseTo(300 / seconds.median, 6);
  }
  // Stores are made once, save the one that -r emptied; every migration of either round moves every message.
  const told = roundsTold(stderr);
  expect(told).toHaveLength(2);
  expect(told[0]).toContain('stores to make: 4\n');
  expect(told[1]).toContain('stores to reset: 2, to make: 1\n');
  expect(told[1]).not.toContain('stores to make:');
  for (const text of told) expect(text.match(/upgrade -m .*, 300 messages$/gm)).toHaveLength(3);
  expect(page).toContain(report.machine);
  expect(page.match(/<svg/g)!.length).toBeGreaterThan(2);
  for (const made of dirs) expect(fs.readdirSync(made)).toEqual([]);
});

it('predicts the window of a given store', () => {
  const given = generateInstallation({ root: path.join(work, 'given'), users: 6, messages: 400, damage: 0 });
  const where = ['--dir', directory('like'), '--like-messages', '200', '--warm', '--competitors', 'cat,floor'];
  const { report, page } = bench(1, ...where, ...given.storePaths.flatMap((one) => ['--like', one]));
  expect(report.parts.map(({ name }) => name)).toEqual(['large', 'middle', 'small', 'light', 'folders']);
  expect(report.like!.shape).toMatchObject({ users: 6, messages: given.files, inodes: given.files - given.links });
  const [window] = report.like!.windows;
  expect(window!.low).toBeLessThanOrEqual(window!.seconds);
  expect(window!.high).toBeGreaterThanOrEqual(window!.seconds);
  expect(window!.low).toBeGreaterThan(0);
  expect(page).toContain('Migration window');
});

it('runs a case scaled down, without a verdict', () => {
  const { report, stdout } = bench(2, '--dir', directory('case'), '--case', 'single-copy', '--scale', '0.01');
  expect(report.cases).toMatchObject([{ name: 'single-copy', reached: null }]);
  // Where messages can be linked, no copies are made: in the second round neither.
  expect(report.cases[0]!.checks[1]!.value.max).toBe(0);
  expect(stdout).toContain('no verdict');
});

it('removes what it made when it is stopped', async () => {
  const where = directory('stopped');
  const child = spawn(process.execPath, [LAUNCHER, '--dir', where, '--messages', '200000'], { stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const hasStore = () => fs.readdirSync(where, { recursive: true }).some((name) => String(name).endsWith('INBOX'));
  while (child.exitCode === null && !hasStore()) await new Promise((resolve) => setTimeout(resolve, 50));
  child.kill('SIGTERM');
  expect(await ended).toBe(1);
  expect(fs.readdirSync(where)).toEqual([]);
});

it('measures nothing where what prepares memory before a row did not end well', () => {
  const [bin, where] = [directory('bin'), directory('unprepared')];
  fs.writeFileSync(path.join(bin, 'tail'), '#!/bin/sh\nexit 7\n', { mode: 0o755 });
  const args = ['--dir', where, '--engines', ENGINE, '--rounds', '1', '--messages', '20', '--folders', '2'];
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const run = spawnSync(process.execPath, [LAUNCHER, ...args, '--competitors', 'cat'], { encoding: 'utf8', env });
  expect(run.status).toBe(1);
  expect(run.stderr).toMatch(/what prepares memory before a row ended with 7: .*tail -c/);
  expect(fs.readdirSync(where)).toEqual([]);
});

it('looks for what it needs before it measures, and leaves out what was only wanted', () => {
  const where = directory('lacking');
  const few = ['--dir', where, '--engines', ENGINE, '--rounds', '1', '--messages', '20', '--folders', '2'];
  const env = { ...process.env, CXX: '/nonexistent/c++' };
  const run = spawnSync(process.execPath, [LAUNCHER, ...few, '--competitors', 'cat,floor'], { encoding: 'utf8', env });
  expect(run.status, run.stderr).toBe(0);
  expect(run.stderr).toMatch(/^the floor is left out: no C\+\+ compiler .*\nround 1 of 1/);
  expect(run.stdout).not.toContain('| floor');
  const bar = spawnSync(process.execPath, [LAUNCHER, '--dir', where, '--case', 'floor-400k'], {
    encoding: 'utf8',
    env,
  });
  expect(bar.status).toBe(1);
  expect(bar.stderr).toMatch(/^msg-bench: the case needs the floor: no C\+\+ compiler/);
  expect(fs.readdirSync(where)).toEqual([]);
});

it('refuses what cannot be meant, with exit code 2', () => {
  const run = spawnSync(process.execPath, [LAUNCHER, '--dir', work, '--case', 'nothing'], { encoding: 'utf8' });
  expect(run.status).toBe(2);
  expect(run.stderr).toContain('folders-50');
});
