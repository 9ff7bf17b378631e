/**
 * Complexity: inputs made to be expensive, each in three sizes that double. Processor time and memory must grow
 * linearly, up to a limit that is documented.
 *
 *     npm run campaign -- complexity [--long] [-- --case <regexp>] [--engine native|portable] [--base <directory>]
 *
 * Growth is the exponent k of time ~ n^k between the smallest and the largest size; 1 is linear. What takes less than
 * `NOISE` seconds has no exponent that means anything.
 */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { engines } from '../support/engines.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import type { Case, EngineName } from './case.js';
import { CASES } from './cases.js';

/** Other processes share the processor and its caches: twice the work takes up to 2.5 times as long. */
const MOST_GROWTH = 1.35;
/** Seconds; below it start-up of code and collection of garbage rule. */
const NOISE = 0.25;
/** Bytes; below it memory is that of the program. */
const SMALL = 64 << 20;
const HANG_MS = 30 * 60 * 1000;
/** Times that a case which seems to grow too fast is measured again: others' work only ever adds to a figure. */
const MEASURED_AGAIN = 2;

interface Cost {
  readonly n: number;
  /** Seconds of processor time. */
  readonly seconds: number;
  /** Anonymous memory above what was there before, bytes. */
  readonly bytes: number;
  readonly failed?: string;
}

export const campaign: Campaign = {
  about: 'time and memory of hostile input grow linearly, up to documented limits',
  alone: true,
  run: measure,
};

async function measure(options: CampaignOptions): Promise<CampaignOutcome> {
  const { values } = parseArgs({
    args: [...options.args],
    options: { case: { type: 'string' }, engine: { type: 'string' }, base: { type: 'string' } },
  });
  const only = new RegExp(values.case ?? '');
  const chosen = CASES.filter(({ name }) => only.test(name));
  const base = fs.mkdtempSync(path.join(values.base ?? fastDirectory(), 'mailhaul-complexity-'));
  // rm(1): Node's own cannot remove what lies deeper than PATH_MAX, which a probe that was interrupted leaves.
  const cleanUp = (): void => void spawnSync('rm', ['-rf', base]);
  process.once('exit', cleanUp);
  const problems: string[] = [];
  const notes: string[] = [
    '| input | engine | sizes | seconds | memory, MB | growth | limit |',
    '| --- | --- | --- | --- | --- | --- | --- |',
  ];
  let cases = 0;
  try {
    const work = chosen.flatMap((one) => enginesOf(one, values.engine).map((engine) => ({ one, engine })));
    const costs = await costsOf(base, work, options.long);
    for (const [i, { one, engine }] of work.entries()) {
      cases++;
      let found = costs[i] ?? [];
      for (let again = 0; again < MEASURED_AGAIN && growsTooFast(found); again++) {
        options.log(`${one.name}, ${engine}: measured again after ${found.map(({ seconds }) => seconds.toFixed(2))} s`);
        const [repeated = []] = await costsOf(base, [{ one, engine }], options.long);
        found = found.map((cost, k) => cheaper(cost, repeated[k]));
      }
      problems.push(...judge(one, engine, found));
      notes.push(row(one, engine, found));
    }
  } finally {
    process.off('exit', cleanUp);
    cleanUp();
  }
  return { cases, problems, notes };
}

function fastDirectory(): string {
  return fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
}

function enginesOf(one: Case, wanted: string | undefined): EngineName[] {
  if (!one.engines) return wanted === 'native' ? [] : ['portable'];
  return engines().filter((engine) => wanted === undefined || engine === wanted);
}

/** Costs by job. In the sample one process does all of them; in full each case has one of its own. */
async function costsOf(
  base: string,
  work: readonly { one: Case; engine: EngineName }[],
  long: boolean,
): Promise<Cost[][]> {
  const jobs = work.flatMap(({ one, engine }) =>
    (long ? one.long : one.quick).map((n) => ({ n, job: `${one.name}|${engine}|${Math.round(n)}` })),
  );
  const costs: Cost[] = [];
  // The sizes of a case in one process, the smallest first: what the engine keeps does not count for the next.
  if (long) for (let i = 0; i < jobs.length; i += 3) costs.push(...(await probe(base, jobs.slice(i, i + 3), true)));
  else costs.push(...(await probe(base, jobs, false)));
  return work.map((_, i) => costs.slice(3 * i, 3 * i + 3));
}

/** Runs the probe; memory is watched from here while the work is done. */
function probe(base: string, jobs: readonly { n: number; job: string }[], log: boolean): Promise<Cost[]> {
  const script = path.join(import.meta.dirname, 'probe.ts');
  const args = [
    '--expose-gc',
    '--max-old-space-size=8192',
    '--import',
    'tsx',
    script,
    base,
    ...jobs.map(({ job }) => job),
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: HANG_MS * jobs.length });
  const costs: Cost[] = [];
  let before = 0;
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, anonymousBytes(child.pid));
  }, 5);
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [word = '', first = ''] = line.split(' ');
      if (word === 'begin') {
        before = Number(first) * 1024;
        most = before;
        return;
      }
      const n = jobs[costs.length]?.n ?? 0;
      most = Math.max(most, anonymousBytes(child.pid));
      const cost = { n, seconds: Number(first), bytes: Math.max(0, most - before) };
      costs.push(word === 'end' ? cost : { ...cost, seconds: Number.NaN, failed: line });
      if (log) console.log(`  ${jobs[costs.length - 1]?.job}: ${line}, ${(cost.bytes / 2 ** 20).toFixed(0)} MB`);
    });
    child.once('close', (code, signal) => {
      clearInterval(watch);
      while (costs.length < jobs.length) {
        const n = jobs[costs.length]?.n ?? 0;
        costs.push({ n, seconds: Number.NaN, bytes: 0, failed: `the process ended with ${code ?? signal}` });
      }
      resolve(costs);
    });
  });
}

function anonymousBytes(pid: number | undefined): number {
  try {
    return Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** The exponent between the first and the last; NaN where there is nothing to compare. */
function growth(costs: readonly Cost[], of: (cost: Cost) => number, floor: number): number {
  const [first, last] = [costs[0], costs.at(-1)];
  if (first === undefined || last === undefined || of(last) < floor) return Number.NaN;
  // A first value that is lost in the noise would make anything look steep.
  return Math.log(of(last) / Math.max(of(first), floor / 8)) / Math.log(last.n / first.n);
}

/** The lower figures of two measurements of the same job; a failure stays one. */
function cheaper(cost: Cost, again: Cost | undefined): Cost {
  if (cost.failed !== undefined || again === undefined) return cost;
  if (again.failed !== undefined) return again;
  return { n: cost.n, seconds: Math.min(cost.seconds, again.seconds), bytes: Math.min(cost.bytes, again.bytes) };
}

function timeGrowth(costs: readonly Cost[]): number {
  return growth(costs, ({ seconds }) => seconds, NOISE);
}

function memoryGrowth(costs: readonly Cost[]): number {
  return growth(costs, ({ bytes }) => bytes, SMALL);
}

function growsTooFast(costs: readonly Cost[]): boolean {
  return timeGrowth(costs) > MOST_GROWTH || memoryGrowth(costs) > MOST_GROWTH;
}

function judge(one: Case, engine: EngineName, costs: readonly Cost[]): string[] {
  const problems: string[] = [];
  const name = `${one.name}, ${engine}`;
  const failed = costs.find((cost) => cost.failed !== undefined);
  if (failed !== undefined) problems.push(`${name}, ${failed.n} ${one.unit}: ${failed.failed}`);
  const time = timeGrowth(costs);
  if (time > MOST_GROWTH) {
    problems.push(`${name}: time grows as n^${time.toFixed(2)}: ${costs.map(({ seconds }) => seconds.toFixed(2))} s`);
  }
  const memory = memoryGrowth(costs);
  if (memory > MOST_GROWTH) problems.push(`${name}: memory grows as n^${memory.toFixed(2)}`);
  return problems;
}

function row(one: Case, engine: EngineName, costs: readonly Cost[]): string {
  const unit = one.unit === 'bytes' ? 'MB' : one.unit;
  const sizes = costs.map(({ n }) =>
    (one.unit === 'bytes' ? Math.round(n / 2 ** 20) : Math.round(n)).toLocaleString('en'),
  );
  const seconds = costs.map((cost) => cost.seconds.toFixed(2));
  const memory = costs.map(({ bytes }) => Math.round(bytes / 2 ** 20));
  const time = timeGrowth(costs);
  const shown = one.engines ? engine : 'shared';
  return `| ${one.name} | ${shown} | ${sizes.join(', ')} ${unit} | ${seconds.join(', ')} | ${memory.join(', ')} | ${Number.isNaN(time) ? 'small' : time.toFixed(2)} | ${one.limit ?? ''} |`;
}
