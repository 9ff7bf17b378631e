/**
 * What a run needs besides the migration itself: programs to compare with, a compiler for the floor, the addon for the
 * native engine. All of it is looked for before anything is made or measured: what a run finds missing after an hour has
 * cost that hour. What was only wanted is left out, and said; what a case compares with must be there.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { loadAddon } from '../src/fs/addon.js';
import { COMPETITORS, isInstalled } from './competitors.js';
import type { Part } from './plan.js';
import { PROJECT } from './project.js';

export interface Tools {
  /** The parts with what there is. */
  readonly parts: readonly Part[];
  /** The compiled floor; null: no part measures it. */
  readonly floor: string | null;
  remove(): void;
}

/**
 * @param needed everything that the parts name must be there: they are of cases, whose bars speak of it
 * @param say is told what is left out
 * @throws Error when something needed is missing, or nothing is left to measure
 */
export function toolsFor(parts: readonly Part[], needed: boolean, say: (line: string) => void): Tools {
  const lack = (what: string, why: string) => {
    if (needed) throw new Error(`the case needs ${what}: ${why}`);
    say(`${what} is left out: ${why}`);
  };
  const wanted = new Set(parts.flatMap(({ competitors }) => competitors));
  const missing = COMPETITORS.filter((one) => wanted.has(one.name) && !isInstalled(one));
  for (const { name } of missing) lack(name, 'not installed');
  const wantsNative = parts.some(({ migrations }) => migrations.some(({ engine }) => engine === 'native'));
  const lacksNative = wantsNative && loadAddon() === undefined;
  if (lacksNative) lack('the native engine', 'the addon is not built (node native/build.mjs says why)');
  const floor = parts.some(({ floors }) => floors.length > 0) ? compileFloor() : null;
  if (floor !== null && 'why' in floor) lack('the floor', floor.why);
  const left = parts.map((part) => ({
    ...part,
    competitors: part.competitors.filter((name) => !missing.some((one) => one.name === name)),
    floors: floor === null || 'why' in floor ? [] : part.floors,
    migrations: part.migrations.filter(({ engine }) => !(lacksNative && engine === 'native')),
  }));
  if (left.some(({ migrations, foldersOnly }) => migrations.length === 0 && foldersOnly !== true)) {
    throw new Error('no engine is left to measure');
  }
  const made = floor !== null && 'program' in floor ? floor : null;
  return { parts: left, floor: made?.program ?? null, remove: () => made?.remove() };
}

type Compiled = { readonly program: string; remove(): void } | { readonly why: string };

/** For this machine, outside of the disks that are measured: those may forbid to run what lies on them. */
function compileFloor(): Compiled {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-floor-'));
  const remove = () => fs.rmSync(work, { recursive: true, force: true });
  const fail = (why: string): Compiled => {
    remove();
    return { why };
  };
  const program = path.join(work, 'floor');
  const compiler = process.env.CXX ?? 'c++';
  const options = ['-std=c++20', '-O3', '-pthread', '-isystem', path.join(PROJECT, 'native/third_party')];
  const source = path.join(PROJECT, 'bench/floor/floor.cc');
  const compiled = spawnSync(compiler, [...options, source, '-o', program], { encoding: 'utf8' });
  if (compiled.error !== undefined) return fail(`no C++ compiler (${compiled.error.message})`);
  if (compiled.status !== 0) return fail(`${compiler} failed: ${compiled.stderr.trim()}`);
  // Without arguments it tells its usage.
  const started = spawnSync(program, []);
  if (started.status !== FLOOR_USAGE) return fail(`${program} cannot be run: name a TMPDIR where programs may`);
  return { program, remove };
}

const FLOOR_USAGE = 2;
