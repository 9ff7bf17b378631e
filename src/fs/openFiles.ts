/** How many files this process may have open: Node raises its soft limit to the hard one (`ulimit -Hn`) when it starts. */
import { readFileSync } from 'node:fs';

/** RLIMIT_NOFILE; infinite where the system does not tell. */
export function openFileLimit(limits = '/proc/self/limits'): number {
  try {
    const line = /^Max open files +(\d+|unlimited) /m.exec(readFileSync(limits, 'latin1'));
    return line === null || line[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line[1]);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
