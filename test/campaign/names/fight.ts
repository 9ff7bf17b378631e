/** One round: workers that change names and mail, and a command that migrates meanwhile; each with a fate of its own. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT } from '../../../src/errors.js';
import type { Random } from '../../support/generate/random.js';
import { commandFile } from '../../support/process.js';
import { type ChildEnd, continueAfter, endOf, signal } from '../support/stopping.js';
import { answersOf, type Line, readDiary } from './diary.js';
import type { Ground } from './ground.js';
import { drawTasks, type Order } from './order.js';

/** How many services at a time. */
export const WORKERS = 3;
/** What each is told to do in a round. */
const TASKS = 120;
/** Effective calls and commits of a round that nobody disturbs, about; a kill at a later one is none. */
const CALLS = 400;
const COMMITS = 50;
/** Effective calls of `-m` on this ground, about. */
const COMMAND_CALLS = 300;

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));
/** One that is not killed ends by itself within this time, on a loaded machine too. */
const PATIENCE_MS = 180_000;

/** MAILHAUL_FAULT, and how long one that stops itself stands still. */
interface Fate {
  readonly fault: string | undefined;
  readonly forMs: number;
}

export interface Round {
  readonly diaries: readonly (readonly Line[])[];
  /** The command need not be run again. */
  readonly commandEnded: boolean;
  readonly kills: number;
  readonly stops: number;
  readonly codes: ReadonlyMap<string, number>;
  readonly problems: readonly string[];
}

export interface RoundPlan {
  readonly label: string;
  readonly seed: string;
  readonly calm: boolean;
  /** Arguments of `upgrade`. */
  readonly command: readonly string[];
  /** Milliseconds since 1970, before any worker. */
  readonly startMs: number;
}

export async function fight(ground: Ground, random: Random, plan: RoundPlan): Promise<Round> {
  const fates = Array.from({ length: WORKERS }, (_, i) => (plan.calm ? calmFate(random, i) : drawFate(random)));
  const orders = fates.map((_, number) => writeOrder(ground, random, plan, number));
  const ends = await Promise.all([
    ...orders.map(({ file }, i) => run(['--enable-source-maps', WORKER, file], fates[i])),
    runCommand(plan.command, random, plan.calm),
  ]);
  const diaries = orders.map(({ order }) => readDiary(order.diary));
  const codes = new Map<string, number>();
  const problems: string[] = [];
  diaries.forEach((lines, i) => {
    const answers = answersOf(lines);
    for (const [code, times] of answers.codes) codes.set(code, (codes.get(code) ?? 0) + times);
    problems.push(...answers.problems.map((problem) => `worker ${i}${fateText(fates[i])}: ${problem}`));
  });
  for (const [i, end] of ends.entries()) {
    if (i >= WORKERS) problems.push(...unexpected(end));
    else if (!end.killed && end.code !== 0) problems.push(`worker ${i} ended with ${end.code}: ${end.output}`);
    else if (end.killed && end.fate?.fault?.startsWith('kill') !== true) problems.push(`worker ${i} had to be ended`);
  }
  return {
    diaries,
    commandEnded: ends.at(-1)?.killed === false && ends.at(-1)?.code !== EXIT.halted,
    kills: ends.filter(({ killed }) => killed).length,
    stops: fates.filter(({ fault }) => fault?.startsWith('stop')).length,
    codes,
    problems: problems.map((problem) => `${plan.label}: ${problem}`),
  };
}

/** Most are killed; one of four stands still for a while, with what it holds and what it believes. */
function drawFate(random: Random): Fate {
  if (random.chance(0.25)) return stopFate(random);
  const fault = random.chance(0.3) ? `kill:${random.int(1, COMMITS)}:commit` : `kill:${random.int(1, CALLS)}`;
  return { fault, forMs: 0 };
}

/** Nobody is killed, so that all must end well; one stands still for a while. */
function calmFate(random: Random, i: number): Fate {
  return i === 0 ? stopFate(random) : { fault: undefined, forMs: 0 };
}

function stopFate(random: Random): Fate {
  return { fault: `stop:${random.int(1, CALLS)}`, forMs: random.int(20, 500) };
}

const fateText = (fate: Fate | undefined): string => (fate?.fault === undefined ? '' : ` (${fate.fault})`);

function writeOrder(
  ground: Ground,
  random: Random,
  { label, seed, startMs }: RoundPlan,
  number: number,
): { file: string; order: Order } {
  const base = path.join(ground.root, `${label} ${number}`.replaceAll(' ', '-'));
  const order: Order = {
    instance: ground.instance,
    diary: `${base}.diary`,
    number,
    tasks: drawTasks(seed, `${label}, worker ${number}`, TASKS, ground.users, ground.partitions),
    chances: Array.from({ length: 997 }, () => random.next()),
    stallMs: 20,
    lockWaitMs: random.pick([0, 100, 1_000]),
    startMs,
    firstUidvalidity: 1_000_000_000,
  };
  fs.writeFileSync(`${base}.json`, JSON.stringify(order));
  return { file: `${base}.json`, order };
}

interface End extends ChildEnd {
  readonly fate: Fate | undefined;
}

function runCommand(command: readonly string[], random: Random, calm: boolean): Promise<End> {
  const fault = calm || random.chance(0.4) ? undefined : `kill:${random.int(1, COMMAND_CALLS)}`;
  return run([commandFile('upgrade'), ...command], { fault, forMs: 0 });
}

/**
 * One that was not killed ends with 0, or with 1 because a service holds a folder; `-s` also because a service has made
 * a mailbox under the name that it had found for a folder.
 */
function unexpected({ killed, code, fate, output }: End): string[] {
  if (killed) return fate?.fault === undefined ? [`upgrade had to be ended: ${output}`] : [];
  if (code === EXIT.ok || (code === EXIT.halted && output.includes('FOLDER_NAME_TAKEN'))) return [];
  const codes = [...output.matchAll(/"code":"([A-Z_]+)"/g)].map(([, found]) => found);
  if (code === 1 && codes.length > 0 && codes.every((found) => found === 'FOLDER_BUSY')) return [];
  return [`upgrade ended with ${code}: ${output.slice(0, 2_000)} ${codes.join(' ')}`];
}

async function run(args: readonly string[], fate: Fate | undefined): Promise<End> {
  const child = spawn(process.execPath, args, {
    detached: true,
    env: { ...process.env, ...(fate?.fault === undefined ? {} : { MAILHAUL_FAULT: fate.fault }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timers = [
    setTimeout(() => signal(child, 'SIGKILL', true), PATIENCE_MS),
    ...(fate?.fault?.startsWith('stop') ? [continueAfter(child, fate.forMs)] : []),
  ];
  return { fate, ...(await endOf(child, timers)) };
}
