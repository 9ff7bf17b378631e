/**
 * A campaign that is interrupted ends by process.exit, so that what it registered for `exit` gives everything back. Node
 * that a signal ends by itself runs none of that.
 */
import * as fs from 'node:fs';
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The exit code of a shell's command that a signal ended. */
export function codeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/**
 * Calls `act` at every such signal while `work` runs: a second one must not end the process in the middle of what the
 * first began.
 */
export async function whenInterrupted<T>(act: (signal: NodeJS.Signals) => void, work: () => Promise<T>): Promise<T> {
  for (const signal of SIGNALS) process.on(signal, act);
  try {
    return await work();
  } finally {
    for (const signal of SIGNALS) process.off(signal, act);
  }
}

/** For a campaign that runs in this process: the end, with all that it started. */
export function endAtOnce(signal: NodeJS.Signals): never {
  endDescendants();
  process.exit(codeOf(signal));
}

interface Found {
  readonly pid: number;
  readonly parent: number;
  readonly ignoresTerm: boolean;
}

/** A descendant that does not go, such as one in an uninterruptible call, is waited for so long. */
const PATIENCE_MS = 5_000;
const LOOK_MS = 20;

/**
 * Kills the processes below this one and waits until they are gone: what still runs writes into directories that are
 * being removed, and keeps file systems mounted. What ignores SIGTERM (the server of the power campaign's disks) is left
 * to the campaign: it must go after the mounts that stand on it.
 */
function endDescendants(): void {
  const found = descendants(process.pid).filter(({ ignoresTerm }) => !ignoresTerm);
  for (const { pid } of found) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has just ended.
    }
  }
  const until = performance.now() + PATIENCE_MS;
  while (found.some(({ pid }) => isRunning(pid)) && performance.now() < until) sleep(LOOK_MS);
}

function descendants(of: number): Found[] {
  if (process.platform !== 'linux') return [];
  const all = fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => look(Number(name)) ?? []);
  const below: Found[] = [];
  for (let parents = [of]; parents.length > 0; ) {
    const children = all.filter(({ parent }) => parents.includes(parent));
    below.push(...children);
    parents = children.map(({ pid }) => pid);
  }
  return below;
}

function look(pid: number): Found | undefined {
  const status = statusOf(pid);
  const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1];
  if (parent === undefined) return undefined;
  const ignored = BigInt(`0x${/^SigIgn:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const term = BigInt(constants.signals.SIGTERM - 1);
  return { pid, parent: Number(parent), ignoresTerm: ((ignored >> term) & 1n) === 1n };
}

/** A zombie holds nothing any more: it waits for this process, which is busy here, to be told. */
function isRunning(pid: number): boolean {
  const status = statusOf(pid);
  return status !== '' && !/^State:\s+[ZX]/m.test(status);
}

function statusOf(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return '';
  }
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
