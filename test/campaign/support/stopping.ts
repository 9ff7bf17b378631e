/** Whether a child stands still (SIGSTOP), which only /proc tells. */
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
