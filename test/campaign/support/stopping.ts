/** Children that stand still (SIGSTOP), which only /proc tells, and signals to them. */
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
