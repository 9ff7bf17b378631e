/**
 * Power loss on real file systems: a run on a disk whose writes and flushes are logged (blockdev.cc), the disk as a
 * power loss can have left it (log.ts), and on it the next run (check.ts).
 *
 *     npm run campaign -- power                                  ext4, a few states
 *     npm run campaign -- power --long [-- --points 8]           ext4 in three manners and xfs, every scenario
 *     … -- --fs xfs --scenario="-m -r" --points 100 --flushes 0  one file system, scenarios whose names have this
 *
 * Bar: before the next run no message is in neither store, and what is published is whole; after it, all is as if
 * nothing had happened (store.idx to the byte) and `upgrade --verify` has nothing to say.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { randomOf } from '../../support/generate/random.js';
import { engines } from '../support/engines.js';
import { command } from '../support/kept-site.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { checkEnd, checkPublished, lostContents } from './check.js';
import { buildBlockdev, copyImage, FILE_SYSTEMS, type FileSystem, fsckComplaint } from './disks.js';
import {
  apply,
  type CrashPoint,
  crashPoints,
  FlushedImage,
  flushedUpTo,
  type LogRecord,
  type Piece,
  survivors,
} from './log.js';
import { type Ground, hindrance, makeGround, removeGround, removeStaleGrounds } from './machine.js';
import { startReader } from './reader.js';
import { type Recording, record, type Tools } from './record.js';
import { type Scenario, scenarios } from './scenarios.js';
import { modelTest, selfTest } from './selftest.js';
import { type DiskSite, disksOf, makeDiskSite, mountAll, type SiteKind } from './site.js';

/** Every so many states the file system itself is checked. */
const FSCK_EVERY = 8;
/** Problems of a scenario that are told at once. */
const PROBLEMS_LOGGED = 2;

interface Choice {
  readonly fileSystems: readonly FileSystem[];
  readonly scenarios: readonly Scenario[];
  /** Random points a scenario and file system. */
  readonly points: number;
  /** Flushes of a scenario, two states each, at most. */
  readonly flushes: number;
}

interface Tally {
  states: number;
  /** States in which some but not all folders were published. */
  partly: number;
  readonly problems: string[];
}

export const campaign: Campaign = {
  about: 'power loss at every flush and between, on ext4 and xfs: nothing lost, the next run finishes',
  run: runCampaign,
};

async function runCampaign(options: CampaignOptions): Promise<CampaignOutcome> {
  const notes: string[] = [];
  const problems: string[] = [];
  let cases = 0;
  const reason = hindrance();
  if (reason !== undefined) {
    const model = modelTest();
    const note = `Power loss was NOT tried: ${reason}. The cases are checks of the model of a disk only.`;
    return { ...model, notes: [note] };
  }
  for (const stale of removeStaleGrounds()) notes.push(`Removed what an earlier campaign left: ${stale}`);
  const ground = makeGround(2);
  const reader = startReader(ground.root);
  const clean = (): void => {
    reader.close();
    removeGround(ground.root);
  };
  const interrupted = (): void => {
    clean();
    process.exit(130);
  };
  process.once('exit', clean);
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const program = buildBlockdev(ground.root);
    const tools: Tools = { program, ground, reader };
    const choice = chosen(options, notes);
    for (const fileSystem of choice.fileSystems) {
      const tested = await selfTest(program, ground, fileSystem);
      cases += tested.cases;
      problems.push(...tested.problems);
      if (tested.problems.length > 0) continue;
      options.log(`${fileSystem.name}: the log is faithful (${tested.cases} checks; ${tested.device})`);
      for (const kind of new Set(choice.scenarios.map(({ site }) => site))) {
        const site = makeDiskSite(ground, kind, fileSystem);
        for (const scenario of choice.scenarios.filter((one) => one.site === kind)) {
          const tally = await lose(tools, site, scenario, choice, options);
          cases += tally.states;
          problems.push(...tally.problems);
          const line =
            `${fileSystem.name}, ${scenario.name}: ${tally.states} states, in ${tally.partly} of them some of the ` +
            `folders were published, ${tally.problems.length} problems`;
          notes.push(line);
        }
        removeImages(ground, site.kind);
      }
    }
    return { cases, problems, notes };
  } finally {
    clean();
    process.off('exit', clean).off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

function chosen({ long, args }: CampaignOptions, notes: string[]): Choice {
  const { values } = parseArgs({
    args: [...args],
    options: {
      points: { type: 'string', default: long ? '10' : '5' },
      flushes: { type: 'string', default: long ? '1000' : '3' },
      fs: { type: 'string', multiple: true },
      scenario: { type: 'string' },
    },
  });
  const all = scenarios(engines());
  const quick = all.filter(({ name }) => name.startsWith('-m -r') && name.endsWith('two disks')).slice(0, 1);
  if (all.every(({ name }) => !name.includes('native'))) notes.push('The addon is not built: portable engine only.');
  const wanted = values.fs ?? (long ? FILE_SYSTEMS.map(({ name }) => name) : ['ext4-harsh']);
  return {
    fileSystems: FILE_SYSTEMS.filter(({ name }) => wanted.includes(name)),
    scenarios:
      values.scenario === undefined
        ? long
          ? all
          : quick
        : all.filter(({ name }) => name.includes(values.scenario ?? '')),
    points: Number(values.points),
    flushes: Number(values.flushes),
  };
}

function removeImages(ground: Ground, kind: SiteKind): void {
  for (const name of fs.readdirSync(ground.images)) {
    if (name.includes(`-${kind}-`)) fs.rmSync(path.join(ground.images, name));
  }
}

/** Records a run, then tries the states that a power loss during it can leave. */
async function lose(
  tools: Tools,
  site: DiskSite,
  scenario: Scenario,
  choice: Choice,
  options: CampaignOptions,
): Promise<Tally> {
  const label = `${site.fileSystem.name} ${scenario.name}`;
  const tally: Tally = { states: 0, partly: 0, problems: [] };
  let recording: Recording;
  try {
    recording = await site.copyOf(scenario.from, (images) => record(tools, site, scenario, images));
  } catch (error) {
    tally.problems.push(`${label}: ${error instanceof Error ? error.message : error}`);
    return tally;
  }
  const { records, from } = recording;
  const random = randomOf(options.seed, label);
  const { points: between, flushes } = choice;
  const points = crashPoints(records, from, between * scenario.weight, flushes, random);
  options.log(`${label}: ${records.length - from} records, ${points.length} points`);
  const states = Array.from({ length: disksOf(site.kind) }, (_, i) => path.join(tools.ground.images, `crashed-${i}`));
  const flushed = site.copyOf(scenario.from, (images) =>
    images.map((image, disk) => new FlushedImage(image, records, disk)),
  );
  const tried = new Set<string>();
  for (const [n, point] of points.entries()) {
    const pieces = flushed.map((_, disk) =>
      survivors(records, disk, point, randomOf(options.seed, `${label} ${n} ${disk}`)),
    );
    const key = stateKey(records, point, pieces);
    if (tried.has(key)) continue;
    tried.add(key);
    for (const [disk, image] of flushed.entries()) {
      image.advance(point.at);
      const state = states[disk] ?? '';
      copyImage(image.path, state);
      const fd = fs.openSync(state, 'r+');
      apply(fd, pieces[disk] ?? []);
      fs.closeSync(fd);
    }
    const found = await tryState(tools, site, scenario, recording, states, n % FSCK_EVERY === 0);
    tally.states += 1;
    if (found.published > 0 && found.published < recording.golden.published.size) tally.partly += 1;
    const where = describe(point, records.length, from);
    for (const problem of found.problems) {
      tally.problems.push(`${label}, ${where}: ${shorten(problem)}`);
      // A long campaign says at once what it found.
      if (tally.problems.length <= PROBLEMS_LOGGED) options.log(`PROBLEM ${tally.problems.at(-1)}`);
    }
    if (n % 20 === 19) options.log(`${label}: ${n + 1}/${points.length}, ${tally.problems.length} problems`);
    // Signals are heard between two states.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return tally;
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

function describe({ at, loss }: CrashPoint, records: number, from: number): string {
  return `after ${at - from} of ${records - from} records, unflushed writes: ${loss}`;
}

interface Found {
  readonly problems: readonly string[];
  readonly published: number;
}

async function tryState(
  { ground, reader }: Tools,
  site: DiskSite,
  scenario: Scenario,
  { golden }: Recording,
  states: readonly string[],
  fsck: boolean,
): Promise<Found> {
  const problems: string[] = [];
  let published = 0;
  try {
    if (fsck) {
      // Mounting replays the journal, without which the checkers have nothing to say.
      mountAll(ground, site.fileSystem, states)();
      for (const state of states) {
        const complaint = fsckComplaint(state, site.fileSystem);
        if (complaint !== undefined) problems.push(`the file system itself is damaged: ${complaint}`);
      }
    }
    const unmountAll = mountAll(ground, site.fileSystem, states);
    try {
      const lost = lostContents(site);
      if (lost.length > 0) problems.push(`${lost.length} messages are in neither store`);
      if (scenario.from !== 'fresh') {
        const seen = await checkPublished(site, reader, golden);
        problems.push(...seen.problems);
        published = seen.published;
      }
      const refused = resume(site, scenario);
      problems.push(...(refused === undefined ? await checkEnd(site, reader, golden) : [refused]));
    } finally {
      unmountAll();
    }
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  return { problems, published };
}

/** The next run, in its own process; what is wrong with it. */
function resume(site: DiskSite, scenario: Scenario): string | undefined {
  for (const args of scenario.resume(site)) {
    const { status, signal, stdout, stderr } = command('upgrade', args);
    if (status !== 0) return `the next run (${args[0]}) ended with ${status ?? signal}: ${stderr}${stdout}`;
  }
  return undefined;
}
