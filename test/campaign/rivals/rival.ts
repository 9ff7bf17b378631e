/** One of the processes that fight over the store, and its fate. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../../src/fs/addon.js';
import type { Random } from '../../support/generate/random.js';
import { argv, type Ground } from './ground.js';

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

const PORTABLE: readonly Kind[] = [
  { name: '-m --no-native', whole: true, args: (ground) => upgrade(ground, '-m', '--no-native', '-t', '2') },
  {
    name: '-m without the addon',
    whole: true,
    env: { MAILHAUL_ADDON: 'none' },
    args: (ground) => upgrade(ground, '-m', '-t', '2'),
  },
  {
    name: '-u',
    whole: false,
    args: (ground, random) => upgrade(ground, '-u', random.pick(ground.lists), '-t', '1', '-q', '8'),
  },
  { name: '-m -i', whole: false, args: (ground) => upgrade(ground, '-m', '-i', '-t', '1') },
  { name: '-m -r', whole: true, args: (ground) => upgrade(ground, '-m', '-r', '-t', '2') },
  {
    name: 'service',
    whole: false,
    args: (ground, random) => [...TSX, ACCESS, ground.instance, String(random.int(1, 1e9))],
  },
];

const NATIVE: Kind = {
  name: '-m --native',
  whole: true,
  args: (ground) => upgrade(ground, '-m', '--native', '-t', '2'),
};

/** Kinds that can run here. */
export const KINDS: readonly Kind[] = loadAddon() === undefined ? PORTABLE : [NATIVE, NATIVE, ...PORTABLE];

/** Milliseconds after the start at which something happens to it; undefined: never. */
export interface Fate {
  readonly kill: number | undefined;
  readonly stop: number | undefined;
  readonly go: number | undefined;
}

export interface End {
  readonly kind: Kind;
  readonly fate: Fate;
  /** The signal ended it. */
  readonly killed: boolean;
  readonly code: number | null;
  readonly output: string;
}

/** A rival that is not killed ends by itself within this time, on a loaded machine too. */
const PATIENCE_MS = 300_000;

/** How long a rival takes when it is alone: until it begins its work, and for the work. */
export interface Pace {
  readonly bootMs: number;
  readonly workMs: number;
}

/** Nearly all are killed, one of four is stopped for a while; one time of ten before it has begun, else at its work. */
export function drawFate(random: Random, { bootMs, workMs }: Pace): Fate {
  const moment = (): number => (random.chance(0.1) ? random.next() * bootMs : bootMs + random.next() * workMs);
  const kill = random.chance(0.97) ? moment() : undefined;
  const stop = random.chance(0.25) ? moment() : undefined;
  return { kill, stop, go: stop === undefined ? undefined : stop + random.next() * workMs };
}

/** Runs it to its end, whichever that is. */
export function runRival(kind: Kind, ground: Ground, random: Random, fate: Fate): Promise<End> {
  const child = spawn(process.execPath, kind.args(ground, random), {
    // A process group of its own: flock(1) and sync(1) that it runs die with it.
    detached: true,
    env: { ...process.env, ...kind.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const group = random.chance(0.5);
  const timers = [
    later(fate.kill, () => signal(child, 'SIGKILL', group)),
    later(fate.stop, () => signal(child, 'SIGSTOP', false)),
    later(fate.go, () => signal(child, 'SIGCONT', false)),
    later(PATIENCE_MS, () => signal(child, 'SIGKILL', true)),
  ];
  const end = (): void => signal(child, 'SIGKILL', true);
  process.once('exit', end);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, ending) => {
      for (const timer of timers) clearTimeout(timer);
      process.removeListener('exit', end);
      resolve({ kind, fate, killed: ending !== null, code, output });
    });
  });
}

function later(afterMs: number | undefined, act: () => void): NodeJS.Timeout | undefined {
  return afterMs === undefined ? undefined : setTimeout(act, afterMs);
}

/** Only a process that this one started and that has not ended, so that its number is still its own. */
function signal(child: ChildProcess, name: NodeJS.Signals, group: boolean): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(group ? -child.pid : child.pid, name);
}
