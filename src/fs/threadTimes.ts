/**
 * How long threads were on a processor or ready for one. The kernel counts it in nanoseconds, in
 * /proc/self/task/<thread>/schedstat.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Of all threads of this process together, milliseconds; 0 where the kernel does not count. */
export function busyMs(): number {
  let nanoseconds = 0;
  for (const thread of namesIn('/proc/self/task')) nanoseconds += schedstatOf(thread);
  return nanoseconds / 1e6;
}

function schedstatOf(thread: string): number {
  try {
    const [running, ready] = readFileSync(`/proc/self/task/${thread}/schedstat`, 'latin1').split(' ');
    return Number(running) + Number(ready);
  } catch {
    // It has ended meanwhile.
    return 0;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
