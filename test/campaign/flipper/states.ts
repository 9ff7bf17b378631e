/**
 * The states of the store that rounds begin with, and their way back:
 *
 *     fresh      3.x
 *     folders    after -s
 *     half       after an -m that was killed in the middle
 *     done       after -m
 *     removed    after -m -r, the partition of the second store path on another file system: what `--reset` puts back is
 *                linked in one store path and copied, under temporary names and through a registry, in the other
 */
import type { SpawnSyncReturns } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { command, keep, makeSite, restore, type Site } from '../support/kept-site.js';
import { type Engine, inPeace } from './commands.js';
import { type Ground, run } from './ground.js';

export type State = 'fresh' | 'folders' | 'half' | 'done' | 'removed';

/** The site, with the partition on the other file system, which is empty in all states but one. */
export function makeStates(ground: Ground, engine: Engine, golden: (site: Site) => void): Site {
  const made = makeSite(ground.mount);
  const site = { ...made, partitions: [...made.partitions, ground.far] };
  const { uid, gid } = fs.statSync(site.stores[0] ?? '');
  fs.chownSync(ground.far, uid, gid);
  keep(site, 'fresh');
  expect(inPeace(site, ['-s']), 'in peace');
  keep(site, 'folders');
  expect(inPeace(site, ['-m', '-t', '1'], engine), 'in peace');
  golden(site);
  keep(site, 'done');
  putBack(ground, site, 'folders');
  const half = Math.floor(callsOf(ground, site, ['-m', '-t', '1'], engine) / 2);
  putBack(ground, site, 'folders');
  inPeace(site, ['-m', '-t', '1'], engine, { MAILHAUL_FAULT: `kill:${half}` });
  keep(site, 'half');
  putBack(ground, site, 'folders');
  const second = path.basename(site.stores[1] ?? '');
  const option = ['-o', `store.partition.${second}.path`, '-v', ground.far];
  expect(command('configutil', [...option, '--instance', site.instance]), 'in peace');
  expect(inPeace(site, ['-m', '-r'], engine), 'in peace');
  keep(site, 'removed');
  run('cp', '-a', ground.far, farKept(ground));
  return site;
}

/** Puts the store back to a state; effective calls of a command from there are counted by `callsOf`. */
export function putBack(ground: Ground, site: Site, state: State): void {
  restore(site, state);
  for (const name of fs.readdirSync(ground.far)) fs.rmSync(path.join(ground.far, name), { recursive: true });
  if (state === 'removed') run('cp', '-a', `${farKept(ground)}/.`, ground.far);
}

const farKept = (ground: Ground): string => path.join(ground.mount, 'far-kept');

/** Runs a command to its end; how many effective calls it made (src/fs/seam.ts). */
export function callsOf(ground: Ground, site: Site, args: readonly string[], engine: Engine): number {
  const count = path.join(ground.mount, 'calls');
  expect(inPeace(site, args, engine, { MAILHAUL_FAULT: `count:${count}` }), 'in peace');
  return Number(fs.readFileSync(count, 'utf8'));
}

export function expect(result: SpawnSyncReturns<string>, what: string): void {
  if (result.status !== 0) throw new Error(`${what}: ended with ${result.status}: ${result.stdout}${result.stderr}`);
}
