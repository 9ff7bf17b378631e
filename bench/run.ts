/**
 * `msg-bench`, `npm run bench`: how fast is a migration here, beside programs that only copy, link or read the same
 * tree, and beside the floor of the machine? Which parts run in each round, on which disks, and what is told of them.
 */
import * as fs from 'node:fs';
import { allCases, type Case } from './cases.js';
import { answerSignals } from './children.js';
import { removeAll } from './filesystem.js';
import { pageOf } from './html/page.js';
import { windows } from './like.js';
import { partsOf, plannedParts } from './parts.js';
import type { Part, Sample } from './plan.js';
import { UPGRADE } from './project.js';
import { type Report, summarize } from './report.js';
import { PartRun } from './round.js';
import { HELP, type Settings, settingsOf, UsageError } from './settings.js';
import { readShape, type StoreShapeFound } from './shape.js';
import { textOf } from './text.js';
import { canThrottle } from './throttle.js';
import { type Tools, toolsFor } from './tools.js';
import { disksOf } from './workspaces.js';

const say = (line: string) => void process.stderr.write(`${line}\n`);

async function main(args: readonly string[]): Promise<void> {
  const settings = settingsOf(args);
  if (settings === undefined) {
    process.stdout.write(HELP);
    return;
  }
  if (settings.cases.includes('list')) {
    for (const { name, title, bar } of allCases(1)) process.stdout.write(`${name}\n  ${title}\n  ${bar}\n`);
    return;
  }
  if (!fs.existsSync(UPGRADE)) throw new Error('dist/cli/upgrade.js is missing: npm run build');
  const report = await benchmark(settings, `msg-bench ${args.join(' ')}`.trim());
  process.stdout.write(textOf(report));
  if (settings.json !== null) fs.writeFileSync(settings.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (settings.html !== null) fs.writeFileSync(settings.html, pageOf(report));
  if (report.cases.some(({ reached }) => reached === false)) process.exitCode = 1;
}

async function benchmark(settings: Settings, command: string): Promise<Report> {
  const cases = chosenCases(settings);
  const shape = settings.like.length > 0 ? readShape(settings.like) : undefined;
  if (shape !== undefined)
    say(`${shape.messages} messages in ${shape.folders} folders, read in ${shape.seconds.toFixed(1)} s`);
  // Before this nothing was made that a stop must remove, and reading a shape does not let a signal through.
  answerSignals();
  const wanted = cases.length > 0 ? partsOf(cases) : plannedParts(settings, shape);
  const tools = toolsFor(wanted, cases.length > 0, say);
  try {
    return await measureParts(settings, { cases, shape, command }, tools);
  } finally {
    tools.remove();
  }
}

interface Asked {
  readonly cases: readonly Case[];
  readonly shape: StoreShapeFound | undefined;
  readonly command: string;
}

async function measureParts(settings: Settings, asked: Asked, { parts, floor }: Tools): Promise<Report> {
  const { cases, shape, command } = asked;
  const disks = disksOf(settings, parts);
  if (disks.lacking !== null) say(`disks are made anew in each round: with what all rounds leave, ${disks.lacking}`);
  const once = settings.rounds > 1 && disks.lacking === null;
  const rounds: Sample[][] = [];
  const runs = new Map<Part, PartRun>();
  let where = '';
  try {
    for (let number = 1; number <= settings.rounds; number++) {
      const samples: Sample[] = [];
      for (const part of parts) {
        const run = runs.get(part) ?? new PartRun(disks.open(part), part, floor, say);
        runs.set(part, run);
        where = run.space.description;
        say(`round ${number} of ${settings.rounds}, ${part.name}, on ${where}`);
        samples.push(...(await run.run(samples)));
        if (once) continue;
        runs.delete(part);
        run.space.remove();
      }
      rounds.push(samples);
    }
  } finally {
    removeAll([...runs.values()].map(({ space }) => space));
  }
  const like = shape === undefined ? null : { shape, windows: windows(rounds, parts[0]!.migrations, shape) };
  const made = disks.lacking === null ? 'once' : 'each round';
  return summarize({ rounds, disks: made, parts, cases, scaled: settings.scale !== 1, where, command, like });
}

function chosenCases(settings: Settings): readonly Case[] {
  if (settings.cases.length === 0) return [];
  const all = allCases(settings.scale);
  const unknown = settings.cases.find((name) => name !== 'all' && !all.some((one) => one.name === name));
  if (unknown !== undefined)
    throw new UsageError(`--case: ${unknown} is none of ${all.map(({ name }) => name).join(', ')}`);
  const chosen = settings.cases.includes('all') ? all : all.filter(({ name }) => settings.cases.includes(name));
  for (const { name, needsRoot, disks } of chosen) {
    if (needsRoot && process.geteuid?.() !== 0) throw new UsageError(`--case ${name} needs root`);
    if (name === 'throttled' && !canThrottle()) {
      throw new Error('--case throttled: neither cgroup v1 blkio nor io.max of cgroup v2 is there to limit a disk');
    }
    if (settings.directories.length > 0 && settings.directories.length < disks) {
      throw new UsageError(`--case ${name} needs ${disks} --dir, each on a disk of its own`);
    }
  }
  return chosen;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`msg-bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
