/** One run on logged disks, to its end: the log, and what an uninterrupted run leaves. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { commandFile } from '../../support/process.js';
import { afterReset, checkEnd, endState, type Golden, progress, publishedDumps } from './check.js';
import { mountImage, startLoggedDisks } from './disks.js';
import { type LogRecord, parseLog } from './log.js';
import type { Ground } from './machine.js';
import type { Reader } from './reader.js';
import type { Scenario } from './scenarios.js';
import { type DiskSite, disksOf } from './site.js';

const UPGRADE = commandFile('upgrade');
const STIR_MILLISECONDS = 10;

/** What the disks got during a run. */
export interface Recording {
  readonly records: readonly LogRecord[];
  /** Records before the run began: mounting, and what was read before. */
  readonly from: number;
}

/** What a campaign works with. */
export interface Tools {
  /** blockdev.cc, built. */
  readonly program: string;
  readonly ground: Ground;
  readonly reader: Reader;
}

/** The environment of the processes that are recorded, beside that of this process. */
export type Environment = Readonly<Record<string, string>>;

/** Runs `scenario` on `images`, which are then in the state at its end. */
export async function record(
  tools: Tools,
  site: DiskSite,
  scenario: Scenario,
  images: readonly string[],
  contents: ReadonlySet<string>,
  environment: Environment = {},
): Promise<{ recording: Recording; golden: Golden }> {
  const { reader } = tools;
  let before = new Map<string, string>();
  let golden: Golden | undefined;
  const recording = await onLoggedDisks(tools, site, images, async (mark) => {
    if (scenario.readable !== 'nothing') before = await publishedDumps(site, reader);
    const ends = [progress(site)];
    await mark(() => attempt(tools, site, scenario, environment));
    ends.push(progress(site));
    // What is left to do after the recorded run: `-s` is followed by `-m`.
    let reset: readonly string[] | undefined;
    for (const args of scenario.resume(site)) {
      await succeed(args);
      if (scenario.resets) reset ??= afterReset(site);
    }
    const end = { ...(await endState(site, reader)), contents, ends, reset };
    golden = { ...end, published: together(before, await publishedDumps(site, reader)) };
    const problems = await checkEnd(site, reader, golden);
    if (problems.length > 0) throw new Error(`the uninterrupted run is not as it must be: ${problems.join('; ')}`);
  });
  if (golden === undefined) throw new Error('nothing was recorded');
  return { recording, golden };
}

/** Runs the attempt of `scenario` once more, on disks that a power loss has left. */
export async function recordAgain(
  tools: Tools,
  site: DiskSite,
  scenario: Scenario,
  images: readonly string[],
): Promise<Recording> {
  return await onLoggedDisks(tools, site, images, (mark) => mark(() => attempt(tools, site, scenario, {})));
}

/** Mounts `images` with a log below them; the log of what `use` gives to `mark`. */
async function onLoggedDisks(
  { program, ground }: Tools,
  site: DiskSite,
  images: readonly string[],
  use: (mark: (run: () => Promise<void>) => Promise<void>) => Promise<void>,
): Promise<Recording> {
  const disks = await startLoggedDisks(program, ground, images);
  const mounted: { unmount(): void }[] = [];
  let began = 0;
  let ended = 0;
  try {
    try {
      for (const [i, file] of disks.files.entries()) {
        mounted.push(mountImage(file, ground.disks[i] ?? '', site.fileSystem));
      }
      await use(async (run) => {
        began = disks.mark();
        await run();
        ended = disks.mark();
      });
    } finally {
      for (const disk of mounted.reverse()) disk.unmount();
    }
  } catch (error) {
    await disks.stop();
    throw error;
  }
  const log = await disks.stop();
  return { records: parseLog(log.subarray(0, ended)), from: parseLog(log.subarray(0, began)).length };
}

async function attempt({ ground }: Tools, site: DiskSite, scenario: Scenario, environment: Environment): Promise<void> {
  const disks = ground.disks.slice(0, disksOf(site.kind));
  const stirred = { all: disks, instance: disks.slice(-1), none: [] }[scenario.stirred];
  const stop = stir(stirred);
  try {
    await Promise.all(scenario.attempt(site).map((args) => succeed(args, environment)));
  } finally {
    await stop();
  }
}

function together(...dumps: readonly ReadonlyMap<string, string>[]): Map<string, Set<string>> {
  const all = new Map<string, Set<string>>();
  for (const map of dumps) {
    for (const [mailbox, dump] of map) all.set(mailbox, (all.get(mailbox) ?? new Set()).add(dump));
  }
  return all;
}

async function succeed(args: readonly string[], environment: Environment = {}): Promise<void> {
  const env = { ...process.env, ...environment };
  const child = spawn(process.execPath, [UPGRADE, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`upgrade ${args.join(' ')} ended with ${status}: ${output}`);
}

/** Commits the journals of file systems all the while, by fsync of a file of its own. Returns what ends it. */
function stir(disks: readonly string[]): () => Promise<void> {
  let stopped = false;
  const one = async (disk: string): Promise<void> => {
    const file = await fs.promises.open(path.join(disk, 'stir'), 'w');
    try {
      for (let n = 0; !stopped; n++) {
        await file.write(`${n}\n`);
        await file.sync();
        await wait(STIR_MILLISECONDS);
      }
    } finally {
      await file.close();
    }
  };
  const all = Promise.all(disks.map(one));
  return async () => {
    stopped = true;
    await all;
  };
}
