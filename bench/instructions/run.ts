/**
 * `npm run instructions`: the regression guard of the native hot path. Times are noisy; the instructions that a fixed
 * input takes and the system calls that it makes are not.
 *
 *     counted <case> ─▶ callgrind ─▶ instructions  ┐
 *                    ─▶ strace    ─▶ system calls  ┴─▶ beside record.json: more fails, fewer says "record anew"
 *
 * docs/benchmark-instructions.md says what the cases are and how to read the table.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { instructionsOf, systemCallsOf } from './count.js';
import { about, build, caseNames, type Run, toolProblem } from './program.js';
import { compare, type Figures, load, save, type Verdict } from './record.js';
import { table } from './table.js';

const HELP = `usage: npm run instructions -- [options] [part of a case's name …]

  --record       the figures of now are the record from now on (of all cases)
  --keep <dir>   keep callgrind's files there, for callgrind_annotate
`;

/** Exact on every machine: inode numbers ascend there, which the order of messages follows. */
const MEMORY = '/dev/shm';
/** Loops that choose vector instructions are counted without them as well; in a whole move they are a part. */
const SCALAR = ['parse-plain', 'parse-multipart', 'find-bare-lf', 'digest'];
/** Cases that work in memory alone make no system call that matters. */
const ON_DISK = /^(move|scan|remove|write)-/;

async function main(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    options: { record: { type: 'boolean' }, keep: { type: 'string' }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.help) {
    process.stdout.write(HELP);
    return true;
  }
  if (values.record && positionals.length > 0) throw new Error('--record takes all cases');
  const missing = toolProblem('valgrind');
  if (missing !== undefined) throw new Error(missing);
  build();
  const wanted = caseNames().filter(
    (name) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
  );
  const work = mkdtempSync(join(tmpdir(), 'mailhaul-instructions-'));
  try {
    const now = {
      instructions: await instructions(wanted, values.keep ?? work),
      systemCalls: await calls(wanted, work),
    };
    return values.record ? record(now) : verdict(now, positionals.length === 0);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function instructions(cases: readonly string[], keep: string): Promise<Figures['instructions']> {
  const runs = cases.flatMap((name): Run[] => [
    { name, scalar: false },
    ...(SCALAR.includes(name) ? [{ name, scalar: true }] : []),
  ]);
  const counted = await each(runs, (run) => instructionsOf(run, MEMORY, keep));
  return Object.fromEntries(
    runs.flatMap((run, i) => {
      const figure = counted[i];
      return figure === undefined ? [] : [[run.scalar ? `${run.name} scalar` : run.name, figure] as const];
    }),
  );
}

/** Undefined where processes may not be traced. */
async function calls(cases: readonly string[], work: string): Promise<Figures['systemCalls']> {
  const problem = toolProblem('strace');
  if (problem !== undefined) {
    process.stderr.write(`System calls are not counted: ${problem}\n`);
    return {};
  }
  const onDisk = cases.filter((name) => ON_DISK.test(name));
  const all: Figures['systemCalls'] = {};
  for (const directory of [MEMORY, work]) {
    const counted = await each(onDisk, (name) => systemCallsOf({ name, scalar: false }, directory));
    all[fileSystemOf(directory)] = Object.fromEntries(onDisk.map((name, i) => [name, counted[i]!] as const));
  }
  return all;
}

/** Numbers of linux/magic.h; another one stands for itself. */
function fileSystemOf(directory: string): string {
  const { type } = statfsSync(directory);
  const names: Readonly<Record<number, string>> = {
    16914836: 'tmpfs',
    61267: 'ext4',
    1481003842: 'xfs',
    2435016766: 'btrfs',
  };
  return names[type] ?? `0x${type.toString(16)}`;
}

/** As many at a time as there are processors: nothing here depends on time. */
async function each<T, R>(items: readonly T[], count: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await count(items[i]!);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

function record(now: Figures): boolean {
  save(about().environment, now);
  process.stdout.write(`${table(now, undefined, [])}Recorded for ${about().environment}.\n`);
  return true;
}

function verdict(now: Figures, whole: boolean): boolean {
  const { environment } = about();
  const before = load(environment);
  if (before === undefined) {
    process.stdout.write(table(now, undefined, []));
    process.stdout.write(`There is no record for ${environment}: nothing to compare with (-- --record makes one).\n`);
    return true;
  }
  const verdicts = compare(before, now, whole);
  process.stdout.write(table(now, before, verdicts));
  const worse = verdicts.filter(({ fails }) => fails);
  const text = worse.length > 0 ? `${worse.length} problems` : 'No more than the record';
  process.stdout.write(
    `${text} (${environment}).${anew(verdicts) ? ' Record anew: npm run instructions -- --record' : ''}\n`,
  );
  return worse.length === 0;
}

function anew(verdicts: readonly Verdict[]): boolean {
  return verdicts.some(({ fails }) => !fails);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`instructions: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
