/**
 * A run is recorded, then cut: the disks as a power loss at one of its points can have left them are mounted, looked
 * at, and the next run is made on them. Where the power fails twice, the next run is recorded as well, and cut.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Random, randomOf } from '../../support/generate/random.js';
import { command } from '../support/kept-site.js';
import type { CampaignOptions } from '../types.js';
import { afterReset, checkEnd, checkPublished, firstDifference, type Golden, lostContents, progress } from './check.js';
import { copyImage, fsckComplaint } from './disks.js';
import {
  apply,
  type CrashPoint,
  crashPoints,
  FlushedImage,
  flushedUpTo,
  LOSSES,
  type LogRecord,
  type Piece,
  survivors,
} from './log.js';
import { type Environment, type Recording, record, recordAgain, type Tools } from './record.js';
import type { Scenario } from './scenarios.js';
import { copyImages, type DiskSite, disksOf, messagesArgs, mountAll } from './site.js';

/** Every so many states the file system itself is checked. */
const FSCK_EVERY = 8;
/** Every so many states of a reset somebody runs `-m` before the reset is run again. */
const OTHER_EVERY = 4;
/** Problems of a scenario that are told at once. */
const PROBLEMS_LOGGED = 2;

/** How a recorded run is cut. */
export interface Cuts {
  /** Random points of a run. */
  readonly points: number;
  /** Flushes of a run, two states each, at most. */
  readonly flushes: number;
  /** Points of the first run after which the second is cut, where the power fails twice. */
  readonly again: number;
  /** Ends at the first problem. */
  readonly untilFound: boolean;
}

export interface Tally {
  states: number;
  /** States in which the run was half done. */
  halfDone: number;
  readonly problems: string[];
}

/** What one scenario on one site is cut with. */
interface Work extends Tools {
  readonly site: DiskSite;
  readonly scenario: Scenario;
  readonly golden: Golden;
  readonly cuts: Cuts;
  readonly options: CampaignOptions;
  readonly tally: Tally;
}

/** Records a run, then tries the states that one power loss, or two, can leave. */
export async function lose(
  tools: Tools,
  site: DiskSite,
  scenario: Scenario,
  cuts: Cuts,
  options: CampaignOptions,
  environment: Environment = {},
): Promise<Tally> {
  const label = `${site.fileSystem.name} ${scenario.name}`;
  const tally: Tally = { states: 0, halfDone: 0, problems: [] };
  try {
    const { images, contents } = await site.state(scenario.from);
    const running = copyImages(images, imagesFor(tools, site, 'running'));
    const { recording, golden } = await record(tools, site, scenario, running, contents, environment);
    const work: Work = { ...tools, site, scenario, golden, cuts, options, tally };
    if (scenario.twice) await cutTwice(work, label, images, recording);
    else await cut(work, label, images, recording, cuts.points * scenario.weight, cuts.flushes);
  } catch (error) {
    tally.problems.push(`${label}: ${error instanceof Error ? error.message : error}`);
  }
  return tally;
}

function imagesFor({ ground }: Tools, { kind }: DiskSite, name: string): string[] {
  return Array.from({ length: disksOf(kind) }, (_, i) => path.join(ground.images, `${name}-${i}`));
}

/** Cuts the first run at a few points, and on each of the states that this leaves the second run at many. */
async function cutTwice(work: Work, label: string, base: readonly string[], first: Recording): Promise<void> {
  const { site, scenario, cuts, options, tally } = work;
  const states = statesOf(work, label, base, first);
  const random = randomOf(options.seed, `${label}, first`);
  const left = imagesFor(work, site, 'left');
  try {
    for (const [n, point] of spread(first, cuts.again * scenario.weight, random).entries()) {
      if (cuts.untilFound && tally.problems.length > 0) return;
      copyImages(states.make(point, n).images, left);
      const where = `${label}, ${describe(point, first)}`;
      const running = copyImages(left, imagesFor(work, site, 'running'));
      let second: Recording;
      try {
        second = await recordAgain(work, site, scenario, running);
      } catch (error) {
        tell(work, `${where}: ${error instanceof Error ? error.message : error}`);
        continue;
      }
      await cut(work, `${where}, again`, left, second, cuts.points, Math.ceil(cuts.flushes / cuts.again));
    }
  } finally {
    states.remove();
  }
}

/** Points all over the run, ascending. */
function spread({ records, from }: Recording, count: number, random: Random): CrashPoint[] {
  const step = (records.length - from) / count;
  return Array.from({ length: count }, (_, k) => ({
    at: from + Math.floor((k + random.int(0, 1000) / 1000) * step),
    loss: random.pick(LOSSES),
  }));
}

/** Cuts a run of which `base` is the beginning. */
async function cut(
  work: Work,
  label: string,
  base: readonly string[],
  recording: Recording,
  between: number,
  flushes: number,
): Promise<void> {
  const { cuts, options, tally } = work;
  const { records, from } = recording;
  const points = crashPoints(records, from, between, flushes, randomOf(options.seed, label));
  options.log(`${label}: ${records.length - from} records, ${points.length} points`);
  const states = statesOf(work, label, base, recording);
  const tried = new Set<string>();
  try {
    for (const [n, point] of points.entries()) {
      if (cuts.untilFound && tally.problems.length > 0) return;
      const { key, images } = states.make(point, n, tried);
      if (images.length === 0) continue;
      tried.add(key);
      const found = await tryState(work, images, n);
      tally.states += 1;
      if (found.halfDone) tally.halfDone += 1;
      for (const problem of found.problems) tell(work, `${label}, ${describe(point, recording)}: ${shorten(problem)}`);
      if (n % 20 === 19) options.log(`${label}: ${n + 1}/${points.length}, ${tally.problems.length} problems`);
      // Signals are heard between two states.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    states.remove();
  }
}

/** A long campaign says at once what it found. */
function tell({ tally, options, cuts }: Work, problem: string): void {
  tally.problems.push(problem);
  if (!cuts.untilFound && tally.problems.length <= PROBLEMS_LOGGED) options.log(`PROBLEM ${problem}`);
}

interface States {
  /** The disks after a crash at `point`, number `n`; none when they are known. Points come in ascending order. */
  make(point: CrashPoint, n: number, known?: ReadonlySet<string>): { key: string; images: readonly string[] };
  remove(): void;
}

function statesOf(work: Work, label: string, base: readonly string[], { records }: Recording): States {
  const { site, options } = work;
  // Where the power fails twice, two runs are carried forward at the same time.
  const name = `flushed-${label.endsWith('again') ? 'again' : 'first'}`;
  const flushed = copyImages(base, imagesFor(work, site, name)).map(
    (image, disk) => new FlushedImage(image, records, disk),
  );
  const crashed = imagesFor(work, site, 'crashed');
  return {
    make(point, n, known) {
      const pieces = flushed.map((_, disk) =>
        survivors(records, disk, point, randomOf(options.seed, `${label} ${n} ${disk}`)),
      );
      const key = stateKey(records, point, pieces);
      if (known?.has(key) === true) return { key, images: [] };
      for (const [disk, image] of flushed.entries()) {
        image.advance(point.at);
        const state = crashed[disk] ?? '';
        copyImage(image.path, state);
        const fd = fs.openSync(state, 'r+');
        apply(fd, pieces[disk] ?? []);
        fs.closeSync(fd);
      }
      return { key, images: crashed };
    },
    remove() {
      for (const { path } of flushed) fs.rmSync(path);
    },
  };
}

/** The same for two points that leave the same disks: between two flushes that follow each other nothing is written. */
function stateKey(records: readonly LogRecord[], { at }: CrashPoint, pieces: readonly (readonly Piece[])[]): string {
  const disks = pieces.map((ofDisk, disk) => {
    const flushedWrites = writesBefore(records, disk, flushedUpTo(records, disk, at));
    return [flushedWrites, ...ofDisk.map(({ data }) => `${data.byteOffset}+${data.length}`)].join(' ');
  });
  return disks.join('\n');
}

function writesBefore(records: readonly LogRecord[], disk: number, end: number): number {
  let count = 0;
  for (let i = 0; i < end; i++) {
    const record = records[i];
    if (record?.kind === 'write' && record.disk === disk) count += 1;
  }
  return count;
}

/** A problem as it fits into a report. */
function shorten(problem: string): string {
  const line = problem.trim().replaceAll(/\s*\n\s*/g, ' | ');
  return line.length > 700 ? `${line.slice(0, 700)}…` : line;
}

function describe({ at, loss }: CrashPoint, { records, from }: Recording): string {
  return `after ${at - from} of ${records.length - from} records, unflushed writes: ${loss}`;
}

interface Found {
  readonly problems: readonly string[];
  readonly halfDone: boolean;
}

/** Mounts the state, number `n`, looks at it, and makes the next run. */
async function tryState(work: Work, images: readonly string[], n: number): Promise<Found> {
  const { ground, reader, site, scenario, golden } = work;
  const problems: string[] = [];
  let halfDone = false;
  try {
    if (n % FSCK_EVERY === 0) {
      // Mounting replays the journal, without which the checkers have nothing to say.
      mountAll(ground, site.fileSystem, images)();
      for (const image of images) {
        const complaint = fsckComplaint(image, site.fileSystem);
        if (complaint !== undefined) problems.push(`the file system itself is damaged: ${complaint}`);
      }
    }
    const unmountAll = mountAll(ground, site.fileSystem, images);
    try {
      halfDone = !golden.ends.includes(progress(site));
      const lost = lostContents(site, golden.contents);
      if (lost.length > 0) problems.push(`${lost.length} messages are in neither store`);
      if (scenario.readable !== 'nothing') {
        problems.push(...(await checkPublished(site, reader, golden, scenario.readable)));
      }
      const refused = resume(work, n % OTHER_EVERY === 0);
      problems.push(...(refused === undefined ? await checkEnd(site, reader, golden) : [refused]));
    } finally {
      unmountAll();
    }
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  return { problems, halfDone };
}

/** The next run, in its own process; what is wrong with it. */
function resume({ site, scenario, golden }: Work, other: boolean): string | undefined {
  if (scenario.resets && other) {
    // 0: the power failed before the reset was on record.
    const { status, signal, stdout, stderr } = command('upgrade', messagesArgs(site, [], 1));
    if (status !== 0 && status !== 3) return `-m before the reset ended with ${status ?? signal}: ${stderr}${stdout}`;
  }
  for (const [i, args] of scenario.resume(site).entries()) {
    const { status, signal, stdout, stderr } = command('upgrade', args);
    if (status !== 0) return `the next run (${args[0]}) ended with ${status ?? signal}: ${stderr}${stdout}`;
    if (i > 0 || golden.reset === undefined) continue;
    const difference = firstDifference(golden.reset, afterReset(site));
    if (difference !== undefined) return `after the reset: ${difference}`;
  }
  return undefined;
}
