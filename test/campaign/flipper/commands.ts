/** The commands of the flipper campaign: how each is called, run in peace, and run under attack. */
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { commandFile } from '../../support/process.js';
import type { Site } from '../support/kept-site.js';

export type Engine = 'native' | 'portable';

/**
 * Arguments of `upgrade`; where the site lies is added. `-u` is followed by the name of a partition, whose list it takes,
 * and `ACCESS` alone is a service that opens every mailbox (access.ts).
 */
export type Command = readonly string[];

export const ACCESS = 'access';

const UPGRADE = commandFile('upgrade');
const ACCESS_FILE = fileURLToPath(new URL('access.ts', import.meta.url));
const TSX = ['--import', import.meta.resolve('tsx')];

/** Longer than any command takes here, however busy the machine: a command that is not done by then hangs. */
const HANG_MS = 180_000;

/** The kinds of ends that a command under attack may have: done, partly done, refused, halted. */
const CODES = [0, 1, 3, 4];
/** A list that cannot be read was named wrongly (USERLIST_FILE). */
const CODES_OF_LIST = [...CODES, 2];

export function mayEndWith(args: Command, code: number | null): boolean {
  return (args[0] === '-u' ? CODES_OF_LIST : CODES).includes(code ?? -1);
}

/** The list that `-s` wrote for a partition. */
export function userList(site: Site, partition: string): string {
  return path.join(site.stores[0] ?? '', `__up.${partition}.txt`);
}

function argumentsOf(site: Site, args: Command, engine: Engine): string[] {
  const [word, name = ''] = args;
  if (word === ACCESS) return [...TSX, ACCESS_FILE, site.instance, engine];
  const all = [UPGRADE, ...(word === '-u' ? ['-u', userList(site, name)] : args), '--instance', site.instance];
  if (word === '-s') all.push('--from', site.from, '--directory', site.ldif);
  if (word === '-m' || word === '-u') all.push('--json', engine === 'native' ? '--native' : '--no-native');
  return all;
}

export function inPeace(
  site: Site,
  args: Command,
  engine: Engine = 'native',
  env: Readonly<Record<string, string>> = {},
): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, argumentsOf(site, args, engine), {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
  });
}

export interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

export interface Running {
  /** It is killed, and has failed, when it takes HANG_MS. */
  readonly end: Promise<End>;
  /** Waits until it stands still at the call that `env` named; false when it has ended before. */
  stopped(): Promise<boolean>;
  goOn(): void;
}

/** @param trace where strace(1) writes the calls with a path; undefined: not watched */
export function underAttack(
  site: Site,
  args: Command,
  engine: Engine,
  trace: string | undefined,
  env: Readonly<Record<string, string>> = {},
): Running {
  const argv = [process.execPath, ...argumentsOf(site, args, engine)];
  if (trace !== undefined) argv.unshift('strace', '-f', '-qq', '-yy', '-s', '4096', '-e', 'trace=%file', '-o', trace);
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, {
    // tsx writes what it compiled into /tmp, which is outside the roots.
    env: { ...process.env, TSX_DISABLE_CACHE: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: HANG_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data));
  let hasEnded = false;
  const end = new Promise<End>((resolve) => {
    child.once('close', (code, signal) => {
      hasEnded = true;
      resolve({ code, signal, output });
    });
  });
  return {
    end,
    async stopped() {
      for (let seen = 0; !hasEnded; seen = standsStill(child, trace !== undefined) ? seen + 1 : 0) {
        if (seen >= SEEN_STANDING) return true;
        await wait(LOOK_MS);
      }
      return false;
    },
    goOn() {
      const pid = traceeOf(child, trace !== undefined);
      if (!hasEnded && pid !== undefined) process.kill(pid, 'SIGCONT');
    },
  };
}

const LOOK_MS = 10;
/** A process that is traced stands still for a moment at every call. */
const SEEN_STANDING = 30;

function standsStill(child: ChildProcess, traced: boolean): boolean {
  const status = read(`/proc/${traceeOf(child, traced)}/status`);
  return /^State:\s+[Tt]/m.test(status);
}

/** The command itself: below strace it is that one's only child. */
function traceeOf(child: ChildProcess, traced: boolean): number | undefined {
  if (!traced) return child.pid;
  const first = read(`/proc/${child.pid}/task/${child.pid}/children`).split(' ')[0];
  return first === undefined || first === '' ? undefined : Number(first);
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
