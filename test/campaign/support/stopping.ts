/** Children that stand still (SIGSTOP), which only /proc tells, signals to them, and their end. */
import type { ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';

/** False as well when it has ended. */
export function isStopped(child: ChildProcess): boolean {
  try {
    const text = fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1');
    return text[text.lastIndexOf(')') + 2] === 'T';
  } catch {
    return false;
  }
}

/** How often it is looked whether a process has stopped itself. */
const LOOK_MS = 10;

/** Continues a process that stopped itself, `forMs` after it did. */
export function continueAfter(child: ChildProcess, forMs: number): NodeJS.Timeout {
  let stoppedAtMs: number | undefined;
  const timer = setInterval(() => {
    if (stoppedAtMs === undefined && isStopped(child)) stoppedAtMs = performance.now();
    if (stoppedAtMs === undefined || performance.now() - stoppedAtMs < forMs) return;
    signal(child, 'SIGCONT', false);
    clearInterval(timer);
  }, LOOK_MS);
  return timer;
}

/** Only a process that this one started and that has not ended, so that its number is still its own. */
export function signal(child: ChildProcess, name: NodeJS.Signals, group: boolean): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(group ? -child.pid : child.pid, name);
}

export interface ChildEnd {
  /** A signal ended it. */
  readonly killed: boolean;
  readonly code: number | null;
  /** Both streams, as they came. */
  readonly output: string;
}

/**
 * How a child with a process group of its own ends; `timers` are cleared then. When this process ends before, the whole
 * group goes with it.
 */
export function endOf(child: ChildProcess, timers: readonly NodeJS.Timeout[]): Promise<ChildEnd> {
  const end = (): void => signal(child, 'SIGKILL', true);
  process.once('exit', end);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, ending) => {
      for (const timer of timers) clearTimeout(timer);
      process.removeListener('exit', end);
      resolve({ killed: ending !== null, code, output });
    });
  });
}
