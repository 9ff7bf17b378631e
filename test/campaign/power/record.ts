/** One run on logged disks, to its end: the log, and what an uninterrupted run leaves. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { checkEnd, endState, type Golden, publishedDumps } from './check.js';
import { mountImage, startLoggedDisks } from './disks.js';
import { type LogRecord, parseLog } from './log.js';
import type { Ground } from './machine.js';
import type { Reader } from './reader.js';
import type { Scenario } from './scenarios.js';
import type { DiskSite } from './site.js';

const UPGRADE = fileURLToPath(new URL('../../../dist/cli/upgrade.js', import.meta.url));
const STIR_MILLISECONDS = 10;

export interface Recording {
  readonly records: readonly LogRecord[];
  /** Records before the run began: mounting, and what was read before. */
  readonly from: number;
  readonly golden: Golden;
}

/** What a campaign works with. */
export interface Tools {
  /** blockdev.cc, built. */
  readonly program: string;
  readonly ground: Ground;
  readonly reader: Reader;
}

/** Runs `scenario` on `images`, which are then in the state at its end. */
export async function record(
  { program, ground, reader }: Tools,
  site: DiskSite,
  scenario: Scenario,
  images: readonly string[],
): Promise<Recording> {
  const disks = await startLoggedDisks(program, ground, images);
  const mounted: { unmount(): void }[] = [];
  let began = 0;
  let ended = 0;
  let golden: Golden;
  try {
    for (const [i, file] of disks.files.entries()) {
      mounted.push(mountImage(file, ground.disks[i] ?? '', site.fileSystem));
    }
    const before = scenario.from === 'fresh' ? new Map<string, string>() : await publishedDumps(site, reader);
    began = disks.mark();
    const stop = scenario.stirred ? stir(ground.disks.slice(0, images.length)) : async () => {};
    try {
      await Promise.all(scenario.attempt(site).map((args) => succeed(args)));
    } finally {
      await stop();
    }
    ended = disks.mark();
    // What is left to do after the recorded run: `-s` is followed by `-m`.
    for (const args of scenario.resume(site)) await succeed(args);
    golden = { ...(await endState(site, reader)), published: together(before, await publishedDumps(site, reader)) };
    const problems = await checkEnd(site, reader, golden);
    if (problems.length > 0) throw new Error(`the uninterrupted run is not as it must be: ${problems.join('; ')}`);
  } finally {
    for (const disk of mounted.reverse()) disk.unmount();
  }
  const log = await disks.stop();
  return { records: parseLog(log.subarray(0, ended)), from: parseLog(log.subarray(0, began)).length, golden };
}

function together(...dumps: readonly ReadonlyMap<string, string>[]): Map<string, Set<string>> {
  const all = new Map<string, Set<string>>();
  for (const map of dumps) {
    for (const [mailbox, dump] of map) all.set(mailbox, (all.get(mailbox) ?? new Set()).add(dump));
  }
  return all;
}

async function succeed(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [UPGRADE, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
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
