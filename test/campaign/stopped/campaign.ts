/**
 * Stopped: a process is stopped (SIGSTOP) at its n-th effective call, with whatever locks it holds then: a folder, a
 * mailbox, the write lock of either database, the store-wide lock, that of `-s`. Another one runs meanwhile: it must
 * do all the rest, name the stopped process, and give up in time; readers must not notice. Then the first one goes on
 * (SIGCONT), and the result must be that of a run that nobody disturbed.
 *
 *     npm run campaign -- stopped [--long] [--seed s] [-- --every n --only 'native']   every n-th call of what matches
 *     npm run campaign -- stopped -- --only '^-m --native$' --at 8 --at 2:commit      these alone
 */
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { mailboxPathComponents, parseMailboxName } from '../../../src/store/names.js';
import { randomOf } from '../../support/generate/random.js';
import { commandFile } from '../../support/process.js';
import { engines } from '../support/engines.js';
import { fingerprint, keep, makeSite, originals, restore, type Site, survivingContents } from '../support/kept-site.js';
import { memoryGround } from '../support/memory.js';
import { isStopped } from '../support/stopping.js';
import type { Campaign, CampaignOptions } from '../types.js';

/** Commits of a run: the record of folders, their publication, their outcome, and with `-r` what is gone. */
const COMMITS = 4;

/** A command that hangs on a stopped process takes for ever; on a loaded machine one that does not takes seconds. */
const TIMEOUT_MS = 120_000;

interface Scenario {
  readonly name: string;
  /** State of the site that it begins in. */
  readonly from: 'fresh' | 'folders';
  readonly args: readonly string[];
  /** Codes that the second process, which runs the same, may report. */
  readonly codes: readonly string[];
}

interface Tally {
  readonly problems: string[];
  cases: number;
  readonly seen: Map<string, number>;
}

export const campaign: Campaign = {
  about: 'a process stopped (SIGSTOP) with its locks at any effective call: others name it and go on, nothing is lost',
  async run(options) {
    const { values } = parseArgs({
      args: [...options.args],
      options: {
        every: { type: 'string', default: '1' },
        only: { type: 'string', default: '' },
        at: { type: 'string', multiple: true },
      },
    });
    const { root, remove } = memoryGround('stopped', '1g');
    const tally: Tally = { problems: [], cases: 0, seen: new Map() };
    try {
      const site = makeSite(root);
      keep(site, 'fresh');
      for (const scenario of scenarios(site)) {
        restore(site, scenario.from);
        // The first one is run in any case: it leaves the folders that the others begin with.
        const golden = undisturbed(site, scenario);
        if (!new RegExp(values.only).test(scenario.name)) continue;
        const points = values.at ?? pointsOf(scenario, golden.calls, Number(values.every), options);
        await walk(site, scenario, golden, points, tally, options);
      }
    } finally {
      remove();
    }
    const seen = [...tally.seen].map(([what, count]) => `${what} ${count}`).join(', ');
    return { cases: tally.cases, problems: tally.problems, notes: [`what the second process met: ${seen}`] };
  },
};

function scenarios(site: Site): Scenario[] {
  const folders = ['-s', '--from', site.from, '--instance', site.instance, '--directory', site.ldif, '--json'];
  const messages = ['-m', '-t', '1', '--instance', site.instance, '--json'];
  const busy = ['FOLDER_BUSY', 'DB_BUSY'];
  return [
    { name: '-s', from: 'fresh', args: folders, codes: ['STORE_LOCKED', 'UPGRADE_RUNNING'] },
    ...engines().flatMap((engine): Scenario[] => {
      const flag = engine === 'native' ? '--native' : '--no-native';
      return [[], ['-r']].map((extra) => ({
        name: ['-m', flag, ...extra].join(' '),
        from: 'folders',
        args: [...messages, flag, ...extra],
        codes: busy,
      }));
    }),
  ];
}

function upgrade(args: readonly string[], env: Readonly<Record<string, string>> = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [commandFile('upgrade'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
  });
}

/** Whole runs from `fresh`: what the site must look like in the end. */
interface Golden {
  readonly result: readonly string[];
  readonly originals: readonly string[];
  readonly calls: number;
}

/** Where to stop: `<n>`, before the n-th effective call, or `<n>:commit`. */
function pointsOf(scenario: Scenario, calls: number, every: number, options: CampaignOptions): string[] {
  const commits = Array.from({ length: COMMITS }, (_, i) => `${i + 1}:commit`);
  if (options.long)
    return [...commits, ...Array.from({ length: Math.ceil(calls / every) }, (_, i) => String(1 + i * every))];
  const random = randomOf(options.seed, scenario.name);
  return [String(random.int(1, calls)), random.pick(commits)];
}

async function walk(
  site: Site,
  scenario: Scenario,
  golden: Golden,
  points: readonly string[],
  tally: Tally,
  options: CampaignOptions,
): Promise<void> {
  for (const point of points) {
    restore(site, scenario.from);
    const problems = await stopAt(site, scenario, golden, point, tally);
    tally.cases += 1;
    for (const problem of problems) {
      const text = `${scenario.name}, stopped at call ${point}: ${problem}`;
      tally.problems.push(text);
      options.log(text);
    }
    if (tally.cases % 20 === 0)
      options.log(`${scenario.name}: ${point}/${golden.calls}, ${tally.problems.length} problems`);
  }
}

function undisturbed(site: Site, scenario: Scenario): Golden {
  const counted = path.join(site.root, 'calls');
  const run = upgrade(scenario.args, { MAILHAUL_FAULT: `count:${counted}` });
  if (run.status !== 0) throw new Error(`${scenario.name}: ${run.status}: ${run.stdout}${run.stderr}`);
  if (scenario.from === 'fresh') keep(site, 'folders');
  finish(site, scenario, []);
  return {
    result: fingerprint(site),
    originals: originals(site),
    calls: Number(fs.readFileSync(counted, 'utf8')),
  };
}

/** After `-s` the messages follow, so that there is something to compare. */
function finish(site: Site, scenario: Scenario, problems: string[]): void {
  const args = scenario.from === 'fresh' ? ['-m', '--instance', site.instance, '--json'] : scenario.args;
  const last = upgrade(args);
  if (last.status !== 0) problems.push(`the last run ended with ${last.status}: ${last.stdout}${last.stderr}`);
}

async function stopAt(site: Site, scenario: Scenario, golden: Golden, point: string, tally: Tally): Promise<string[]> {
  const problems: string[] = [];
  const output = path.join(site.root, 'first.out');
  const first = await startStopped(scenario, point, output);
  try {
    if (first.exitCode === null) meanwhile(site, scenario, first, problems, tally);
  } finally {
    if (first.exitCode === null) first.kill('SIGCONT');
  }
  const code = await ended(first);
  if (code !== 0) problems.push(`it ended with ${code} after SIGCONT: ${fs.readFileSync(output, 'utf8')}`);
  finish(site, scenario, problems);
  const result = fingerprint(site);
  const difference =
    golden.result.find((line) => !result.includes(line)) ?? result.find((line) => !golden.result.includes(line));
  if (difference !== undefined) problems.push(`the result differs: ${difference}`);
  if (originals(site).join('\n') !== golden.originals.join('\n')) problems.push('other 3.x files are left');
  return problems;
}

/** What others find while the first one stands still. */
function meanwhile(site: Site, scenario: Scenario, first: ChildProcess, problems: string[], tally: Tally): void {
  const wait = scenario.from === 'folders' ? ['--lock-wait', '1'] : [];
  const begun = scenario.from === 'folders' ? foldersBegun(site, problems) : [];
  const second = upgrade([...scenario.args, ...wait]);
  const said = `${second.stdout}${second.stderr}`;
  const codes = [
    ...new Set([...said.matchAll(/\b(FOLDER_BUSY|DB_BUSY|STORE_LOCKED|UPGRADE_RUNNING)\b/g)].map(([code]) => code)),
  ];
  const met = codes.length === 0 ? 'nothing' : codes.join(' and ');
  tally.seen.set(met, (tally.seen.get(met) ?? 0) + 1);
  if (second.signal !== null) problems.push('the second process did not end');
  if (second.status === 0 && codes.length === 0) {
    for (const name of begun) problems.push(`${name} was under way in the stopped process, and the second one took it`);
    return;
  }
  if (codes.length === 0 || !codes.every((code) => scenario.codes.includes(code)))
    problems.push(`the second process ended with ${second.status}: ${said}`);
  const named = `process ${first.pid} (`;
  if (!said.includes(named) || !said.includes(`kill -CONT ${first.pid}`))
    problems.push(`the stopped process ${first.pid} is not named: ${said}`);
  if (scenario.from === 'fresh') return;
  readers(site, codes.includes('DB_BUSY'), said, begun, problems);
  const surviving = survivingContents(site);
  const lost = [...site.contents].filter((content) => !surviving.has(content)).length;
  if (lost > 0) problems.push(`${lost} messages have no name`);
}

/** Listing works, and what is still in TRANSITION are the folders that were named as busy. */
function readers(site: Site, databaseBusy: boolean, said: string, begun: readonly string[], problems: string[]): void {
  const waiting = inTransition(site, problems);
  for (const name of begun) {
    if (!waiting.has(name)) problems.push(`${name} was under way in the stopped process, and was published meanwhile`);
  }
  if (databaseBusy) return;
  const named = said.split('"code":"FOLDER_BUSY"').length - 1;
  if (waiting.size > named) problems.push(`${waiting.size} folders are in TRANSITION, and ${named} were busy: ${said}`);
}

/** Mailboxes in TRANSITION that have message files: the stopped process has begun them, and must be their only one. */
function foldersBegun(site: Site, problems: string[]): string[] {
  return [...inTransition(site, problems)]
    .filter(([name, owner]) =>
      site.partitions.some((partition) => hasMessages(path.join(partition, ...mailboxPathComponents(owner, name)))),
    )
    .map(([name]) => name);
}

/** Message files lie in directories of two digits. */
function hasMessages(mailbox: string): boolean {
  if (!fs.existsSync(mailbox)) return false;
  const hashes = fs.readdirSync(mailbox).filter((name) => /^\d\d$/.test(name));
  return hashes.some((hash) => fs.readdirSync(path.join(mailbox, hash)).some((name) => name.endsWith('.msg')));
}

/** Names of the mailboxes in TRANSITION, with their owners. */
function inTransition(site: Site, problems: string[]): Map<string, string> {
  const list = spawnSync(process.execPath, [commandFile('mboxutil'), '-l', '--json', '--instance', site.instance], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  if (list.status !== 0) problems.push(`mboxutil -l: ${list.status ?? list.signal}: ${list.stderr}`);
  const names = new Map<string, string>();
  for (const line of list.stdout.split('\n').filter((text) => text !== '')) {
    const { name, state } = JSON.parse(line) as { name: string; state: string };
    if (state === 'TRANSITION') names.set(name, parseMailboxName(name)?.uid ?? '');
  }
  return names;
}

/** Resolves when it has stopped itself, or ended before it came that far. */
async function startStopped(scenario: Scenario, point: string, output: string): Promise<ChildProcess> {
  const fd = fs.openSync(output, 'w');
  const child = spawn(process.execPath, [commandFile('upgrade'), ...scenario.args], {
    env: { ...process.env, MAILHAUL_FAULT: `stop:${point}` },
    stdio: ['ignore', fd, fd],
  });
  fs.closeSync(fd);
  const end = (): boolean => child.kill('SIGKILL');
  process.once('exit', end);
  child.once('exit', () => process.removeListener('exit', end));
  while (child.exitCode === null && !isStopped(child)) await new Promise((resolve) => setTimeout(resolve, 10));
  return child;
}

function ended(child: ChildProcess): Promise<number | string | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      resolve(code ?? signal);
    });
  });
}
