/**
 * Failing system calls. Two ways:
 *
 *     seam      the n-th call with an effect of the whole run fails (MAILHAUL_FAULT), both engines
 *     strace    the n-th call of one kind on a path of the stores, the databases or the log fails in each thread
 *
 * After each: every message content has a name, the exit code fits, the cause is told; the next run reaches the
 * result of an undisturbed one.
 *
 *     npm run campaign -- faults [--long] [--seed s] [-- --every 10 --only seam|strace --command '-m --native' --errno EIO]
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  type Command,
  conductProblems,
  engines,
  lossProblems,
  rehearse,
  resultProblems,
  resumeProblems,
  type Undisturbed,
} from '../support/converge.js';
import { keep, makeSite, restore, type Site, upgradeFolders, upgradeMessages } from '../support/kept-site.js';
import { memoryGround } from '../support/memory.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { countCalls, faultyRun, storePaths, straceMissing, TRACED } from './strace.js';

const ERRORS = ['ENOSPC', 'EIO', 'EACCES', 'EMFILE', 'EDQUOT', 'ENOMEM'] as const;

/** Cases of the quick form. */
const QUICK_SEAM = 8;
const QUICK_STRACE = 4;

interface Case {
  readonly command: Command;
  readonly golden: Undisturbed;
  readonly what: string;
  readonly errno: string;
  attempt(): ReturnType<Command['run']>;
}

export const campaign: Campaign = {
  about: 'the n-th call fails with ENOSPC, EIO, EACCES, EMFILE, EDQUOT, ENOMEM; by the seam and by strace',
  async run(options) {
    const ground = memoryGround('faults', '2g');
    try {
      return await runAll(makeSite(ground.root), options);
    } finally {
      ground.remove();
    }
  },
};

async function runAll(site: Site, options: CampaignOptions): Promise<CampaignOutcome> {
  const { values } = parseArgs({
    args: [...options.args],
    options: {
      every: { type: 'string', default: '1' },
      only: { type: 'string' },
      command: { type: 'string' },
      errno: { type: 'string' },
    },
  });
  keep(site, 'fresh');
  const prepared = upgradeFolders(site);
  if (prepared.status !== 0) throw new Error(prepared.stderr);
  keep(site, 'folders');
  const notes: string[] = [];
  const problems: string[] = [];
  const commands = commandsOf(site).filter(({ name }) => values.command === undefined || name === values.command);
  const every = Number(values.every);
  const random = randomOf(options.seed);
  const exits = new Map<number | null, number>();
  let cases = 0;
  let openings = 0;
  const take = async (all: readonly Case[], quick: number): Promise<void> => {
    const chosen = options.long ? all.filter((_case, i) => i % every === 0) : sample(all, quick, random);
    for (const [i, one] of chosen.entries()) {
      if (values.errno !== undefined && one.errno !== values.errno) continue;
      cases += 1;
      // A signal that came meanwhile is seen now.
      await nextTurn();
      const { status, inLmdb } = tryCase(site, one, problems, options.long ? options.log : () => {});
      exits.set(status, (exits.get(status) ?? 0) + 1);
      if (inLmdb) openings += 1;
      if (options.long && i % 50 === 49)
        options.log(`${i + 1}/${chosen.length}: ${one.command.name}, ${one.what}; ${problems.length} problems so far`);
    }
  };
  if (values.only !== 'strace') {
    const all = commands.flatMap((command) => seamCases(site, command));
    notes.push(`seam: ${all.length} cases in all (every call x ${ERRORS.length} errors x ${commands.length} commands)`);
    await take(all, QUICK_SEAM);
  }
  const missing = straceMissing();
  if (missing !== undefined) notes.push(`strace: not tried, ${missing}`);
  else if (values.only !== 'seam') {
    const traced = options.long ? commands : sample(commands, 1, random);
    const all = traced.flatMap((command) => straceCases(site, command));
    notes.push(`strace: ${all.length} cases of ${traced.map(({ name }) => name).join(', ')}`);
    await take(all, QUICK_STRACE);
  }
  notes.push(
    `exit codes of the disturbed runs: ${[...exits]
      .map(([code, count]) => `${code}: ${count}`)
      .sort()
      .join(', ')}`,
  );
  if (openings > 0) {
    notes.push(`${openings} ended inside LMDB, which was opening a database: nothing lost, the next run complete`);
  }
  return { cases, problems, notes };
}

/**
 * lmdb 3.5 uses memory that it has freed when its own calls fail while it opens a database, and tells another cause
 * when its lock file cannot be made (docs/operations.md, "Security").
 */
function endedOpeningLmdb({ signal, stderr }: SpawnSyncReturns<string>): boolean {
  return signal === 'SIGSEGV' || /: Attempting to setup locks/.test(stderr);
}

function commandsOf(site: Site): Command[] {
  const flag = (engine: string) => (engine === 'native' ? '--native' : '--no-native');
  const first = flag(engines()[0] ?? 'portable');
  const messages = engines().flatMap((engine) =>
    [[], ['-r']].map((remove): Command => {
      const args = [flag(engine), ...remove];
      return { name: `-m ${args.join(' ')}`, state: 'folders', run: (env) => upgradeMessages(site, args, env) };
    }),
  );
  const folders: Command = {
    name: '-s',
    state: 'fresh',
    run: (env) => upgradeFolders(site, env),
    finish: () => upgradeMessages(site, [first]),
  };
  return [folders, ...messages];
}

function seamCases(site: Site, command: Command): Case[] {
  const report = path.join(site.root, 'calls');
  const golden = rehearse(site, command, { MAILHAUL_FAULT: `count:${report}` });
  const calls = Number(fs.readFileSync(report, 'utf8'));
  const cases: Case[] = [];
  for (let n = 1; n <= calls; n++) {
    for (const errno of ERRORS) {
      const attempt = () => command.run({ MAILHAUL_FAULT: `fail:${n}:${errno}` });
      cases.push({ command, golden, what: `call ${n} of ${calls} fails with ${errno}`, errno, attempt });
    }
  }
  return cases;
}

function straceCases(site: Site, command: Command): Case[] {
  const golden = rehearse(site, command);
  const paths = storePaths(site);
  restore(site, command.state);
  const counts = countCalls(command, paths);
  const cases: Case[] = [];
  for (const call of TRACED) {
    for (let n = 1; n <= (counts.get(call) ?? 0); n++) {
      for (const errno of ERRORS) {
        const attempt = () => faultyRun(command, paths, { call, n, errno });
        cases.push({ command, golden, what: `${call} number ${n} of each thread fails with ${errno}`, errno, attempt });
      }
    }
  }
  return cases;
}

function tryCase(
  site: Site,
  one: Case,
  problems: string[],
  log: (line: string) => void,
): { readonly status: number | null; readonly inLmdb: boolean } {
  restore(site, one.command.state);
  const attempt = one.attempt();
  const inLmdb = endedOpeningLmdb(attempt);
  const cause = new RegExp(`${one.errno}|${textOf(one.errno)}`);
  const found = [...(inLmdb ? [] : conductProblems(attempt, cause)), ...lossProblems(site)];
  // Nothing was left undone when it says so.
  if (attempt.status === 0 && one.command.finish === undefined) found.push(...resultProblems(site, one.golden));
  found.push(...resumeProblems(site, one.command, one.golden));
  for (const problem of found) {
    const line = `${one.command.name}: ${one.what}: ${problem}`;
    problems.push(line);
    log(`PROBLEM ${line}`);
  }
  return { status: attempt.status, inLmdb };
}

/** What the C library says, where a library hands on its text instead of the name. */
function textOf(errno: string): string {
  const code = { ENOSPC: 28, EIO: 5, EACCES: 13, EMFILE: 24, EDQUOT: 122, ENOMEM: 12 }[errno] ?? 0;
  return (
    spawnSync('python3', ['-c', `import os;print(os.strerror(${code}))`], { encoding: 'utf8' }).stdout.trim() || errno
  );
}

function randomOf(seed: string): () => number {
  let state = [...seed].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 2_166_136_261);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sample<T>(all: readonly T[], count: number, random: () => number): T[] {
  const rest = [...all];
  const chosen: T[] = [];
  while (chosen.length < count && rest.length > 0) {
    chosen.push(...rest.splice(Math.floor(random() * rest.length), 1));
  }
  return chosen;
}
