/**
 * Runs campaigns:
 *
 *     npm run campaign                          lists them
 *     npm run campaign -- <name>… [--long] [--seed s] [-- arguments of the campaign]
 *     npm run campaign -- <name>… --help        what it does, its arguments
 *     npm run campaign -- all                   a sample of each, one more at once than there are processors
 *
 * Exit 0 when every campaign tried something and found nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { codeOf, endAtOnce, whenInterrupted } from './support/interruption.js';
import type { Campaign, CampaignOutcome } from './types.js';

const HERE = new URL('.', import.meta.url);

/** Samples that take a minute or two, longest first: begun last, one of them would keep a single processor busy. */
const LONG_SAMPLES = ['kill', 'fuzz', 'faults', 'stopped'];

/** Problems of a campaign that are printed; all are counted. */
const PROBLEMS_SHOWN = 20;

function names(): string[] {
  return readdirSync(fileURLToPath(HERE), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/campaign.ts`, HERE)))
    .map((entry) => entry.name)
    .sort();
}

/** The comment that a source file begins with, without its frame. */
function headComment(file: URL): string {
  const comment = /^\/\*\*\n(.*?)\n \*\//s.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  return comment.replace(/^ \* ?/gm, '');
}

async function load(name: string): Promise<Campaign> {
  const module = (await import(new URL(`${name}/campaign.ts`, HERE).href)) as { campaign: Campaign };
  return module.campaign;
}

async function runOne(name: string, long: boolean, seed: string, args: readonly string[]): Promise<boolean> {
  const campaign = await load(name);
  const startedMs = performance.now();
  console.log(`\n${name}: ${campaign.about}`);
  let outcome: CampaignOutcome;
  try {
    const options = { long, seed, args, log: (line: string) => console.log(`  ${line}`) };
    outcome = await whenInterrupted(endAtOnce, () => campaign.run(options));
  } catch (error) {
    outcome = {
      cases: 0,
      problems: [`the campaign itself failed: ${error instanceof Error ? error.stack : error}`],
      notes: [],
    };
  }
  const { cases, problems, notes } = outcome;
  for (const note of notes) console.log(`  ${note}`);
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) console.log(`  PROBLEM ${problem}`);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(
    `${name}: ${cases} cases, ${problems.length} problems, ${seconds} s, seed ${seed}${long ? ', long' : ''}`,
  );
  return cases > 0 && problems.length === 0;
}

/** The campaign in a process of its own; what it prints comes out whole when it has ended. */
function runApart(name: string, words: readonly string[], running: Set<ChildProcess>): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), name, ...words]);
    running.add(child);
    const printed: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => printed.push(data));
    child.once('close', (code) => {
      running.delete(child);
      process.stdout.write(Buffer.concat(printed));
      resolve(code === 0);
    });
  });
}

/**
 * Most campaigns wait for one command after the other, and those for disks: side by side they use all processors. A signal is handed on, and
 * those under way may clean up before this process ends.
 */
async function runAll(all: readonly string[], words: readonly string[]): Promise<boolean> {
  const alone: string[] = [];
  const queue: string[] = [];
  const begin = new Set([...LONG_SAMPLES.filter((name) => all.includes(name)), ...all]);
  for (const name of begin) ((await load(name)).alone === true ? alone : queue).push(name);
  const running = new Set<ChildProcess>();
  let interruptedBy: NodeJS.Signals | undefined;
  const interrupted = (signal: NodeJS.Signals): void => {
    interruptedBy ??= signal;
    for (const list of [queue, alone]) list.length = 0;
    for (const child of running) child.kill('SIGTERM');
  };
  let good = true;
  const lane = async (names: string[]): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift())
      good = (await runApart(name, words, running)) && good;
  };
  await whenInterrupted(interrupted, async () => {
    await Promise.all(Array.from({ length: availableParallelism() + 1 }, () => lane(queue)));
    await lane(alone);
  });
  if (interruptedBy !== undefined) process.exit(codeOf(interruptedBy));
  return good;
}

const words = process.argv.slice(2);
const split = words.indexOf('--');
const rest = split < 0 ? [] : words.slice(split + 1);
const { values, positionals } = parseArgs({
  args: split < 0 ? words : words.slice(0, split),
  options: {
    long: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const known = names();
const wanted = positionals;
const unknown = wanted.filter((name) => name !== 'all' && !known.includes(name));
if (unknown.length > 0) {
  console.error(`There is no campaign ${unknown.join(', ')}. There are: ${known.join(', ')}.`);
  process.exit(2);
}
if (values.help) {
  const asked = wanted.filter((name) => name !== 'all');
  const files = asked.length === 0 ? [import.meta.url] : asked.map((name) => new URL(`${name}/campaign.ts`, HERE).href);
  for (const file of files) console.log(`${headComment(new URL(file))}\n`);
  process.exit(0);
}
if (wanted.length === 0) for (const name of known) console.log(`${name.padEnd(12)} ${(await load(name)).about}`);
let good = true;
const same = [...(values.long ? ['--long'] : []), '--seed', values.seed, '--', ...rest];
for (const name of wanted) {
  const result = name === 'all' ? runAll(known, same) : runOne(name, values.long, values.seed, rest);
  good = (await result) && good;
}
process.exit(good ? 0 : 1);
