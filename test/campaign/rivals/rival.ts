/** One of the processes that fight over the store, and its fate. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../../src/fs/addon.js';
import type { Random } from '../../support/generate/random.js';
import { type ChildEnd, continueAfter, endOf, signal } from '../support/stopping.js';
import { argv, type Ground } from './ground.js';

/** How many fight at a time. */
export const RIVALS = 3;

/** What a rival does; `whole`: when it ends with 0, nothing is left to do for anybody. */
interface Kind {
  readonly name: string;
  readonly whole: boolean;
  readonly env?: Readonly<Record<string, string>>;
  args(ground: Ground, random: Random): string[];
}

const TSX = ['--import', import.meta.resolve('tsx')];
const ACCESS = fileURLToPath(new URL('access.ts', import.meta.url));
const upgrade = (ground: Ground, ...args: string[]): string[] =>
  argv('upgrade', ['--json', '--instance', ground.instance, ...args]);

/** Short queues: folders that wait for a thread, not locked yet, while others do them; long ones: all locked at once. */
const QUEUES = ['4', '8', '50'];
const queue = (random: Random): string[] => ['-q', random.pick(QUEUES)];

const PORTABLE: readonly Kind[] = [
  {
    name: '-m --no-native',
    whole: true,
    args: (ground, random) => upgrade(ground, '-m', '--no-native', '-t', '2', ...queue(random)),
  },
  {
    name: '-m without the addon',
    whole: true,
    env: { MAILHAUL_ADDON: 'none' },
    args: (ground, random) => upgrade(ground, '-m', '-t', '2', ...queue(random)),
  },
  {
    name: '-u',
    whole: false,
    args: (ground, random) => upgrade(ground, '-u', random.pick(ground.lists), '-t', '1', '-q', '8'),
  },
  { name: '-m -i', whole: false, args: (ground) => upgrade(ground, '-m', '-i', '-t', '1') },
  { name: '-m -r', whole: true, args: (ground, random) => upgrade(ground, '-m', '-r', '-t', '2', ...queue(random)) },
  {
    name: 'service',
    whole: false,
    args: (ground, random) => [...TSX, ACCESS, ground.instance, String(random.int(1, 1e9))],
  },
];

const NATIVE: Kind = {
  name: '-m --native',
  whole: true,
  args: (ground, random) => upgrade(ground, '-m', '--native', '-t', '2', ...queue(random)),
};

/** Kinds that can run here. */
export const KINDS: readonly Kind[] = loadAddon() === undefined ? PORTABLE : [NATIVE, NATIVE, ...PORTABLE];

/** Milliseconds after the start at which something happens to it; undefined: never. */
export interface Fate {
  readonly kill: number | undefined;
  readonly stop: number | undefined;
  readonly go: number | undefined;
  /** It stops itself at its n-th effective call, whatever it holds then, and goes on after `forMs`. */
  readonly lag?: { readonly call: number; readonly forMs: number };
  /** It kills itself instead of its n-th effective call. */
  readonly killCall?: number;
}

export interface End extends ChildEnd {
  readonly kind: Kind;
  readonly fate: Fate;
}

/** Nothing happens to it. */
export const NEVER: Fate = { kill: undefined, stop: undefined, go: undefined };

/** A rival that is not killed ends by itself within this time, on a loaded machine too. */
const PATIENCE_MS = 300_000;

/** What a rival takes when it is alone: time until it begins its work, time for the work, effective calls. */
export interface Pace {
  readonly bootMs: number;
  readonly workMs: number;
  readonly calls: number;
}

/**
 * Nearly all are killed, one of four is stopped for a while; one time of ten before it has begun, else at its work. Half
 * of the kills are at an effective call: on a loaded machine the clock hits the middle of a folder too seldom.
 */
export function drawFate(random: Random, { bootMs, workMs, calls }: Pace): Fate {
  if (random.chance(0.5)) return { ...NEVER, killCall: ownCall(random, calls) };
  const moment = (): number => (random.chance(0.1) ? random.next() * bootMs : bootMs + random.next() * workMs);
  const kill = random.chance(0.97) ? moment() : undefined;
  const stop = random.chance(0.25) ? moment() : undefined;
  return { kill, stop, go: stop === undefined ? undefined : stop + random.next() * workMs };
}

/** A call that a rival comes to although the others do their share of them. */
const ownCall = (random: Random, calls: number): number => random.int(1, Math.max(1, Math.floor(calls / RIVALS)));

/** One that nobody kills: what it says must be right. It may stand still in the middle of its work for a while. */
export function drawLag(random: Random, { workMs, calls }: Pace): Fate {
  return { ...NEVER, lag: { call: ownCall(random, calls), forMs: workMs * (0.5 + 2 * random.next()) } };
}

/** Runs it to its end, whichever that is. */
export async function runRival(
  kind: Kind,
  ground: Ground,
  random: Random,
  fate: Fate,
  env: Readonly<Record<string, string>> = {},
): Promise<End> {
  const child = spawn(process.execPath, kind.args(ground, random), {
    // A process group of its own: flock(1) and sync(1) that it runs die with it.
    detached: true,
    env: {
      ...process.env,
      ...kind.env,
      ...env,
      ...(fate.lag === undefined ? {} : { MAILHAUL_FAULT: `stop:${fate.lag.call}` }),
      ...(fate.killCall === undefined ? {} : { MAILHAUL_FAULT: `kill:${fate.killCall}` }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const group = random.chance(0.5);
  const timers = [
    ...later(fate.kill, () => signal(child, 'SIGKILL', group)),
    ...later(fate.stop, () => signal(child, 'SIGSTOP', false)),
    ...later(fate.go, () => signal(child, 'SIGCONT', false)),
    ...later(PATIENCE_MS, () => signal(child, 'SIGKILL', true)),
    ...(fate.lag === undefined ? [] : [continueAfter(child, fate.lag.forMs)]),
  ];
  return { kind, fate, ...(await endOf(child, timers)) };
}

function later(afterMs: number | undefined, act: () => void): NodeJS.Timeout[] {
  return afterMs === undefined ? [] : [setTimeout(act, afterMs)];
}
