/**
 * The one directory that a campaign works in, in memory where the system has such a place, and the processes that it
 * starts: both are gone when it ends, also by a signal. Threads and processes find the directory in MAILHAUL_FUZZ_PLACE.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const VARIABLE = 'MAILHAUL_FUZZ_PLACE';

const children = new Set<ChildProcess>();

/** Ends with the campaign. */
export function watched<T extends ChildProcess>(child: T): T {
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** A new directory for one target; the caller removes it, or the end of the campaign does. */
export function makePlace(name: string): string {
  return mkdtempSync(join(process.env[VARIABLE] ?? tmpdir(), `mailhaul-${name}-`));
}

/** Runs `work` while there is a place. */
export async function withPlace<T>(work: () => Promise<T>): Promise<T> {
  const path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'mailhaul-fuzz-'));
  const remove = (): void => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(path, { recursive: true, force: true });
  };
  process.env[VARIABLE] = path;
  // Also when the campaign is interrupted (run.ts).
  process.once('exit', remove);
  try {
    return await work();
  } finally {
    process.off('exit', remove);
    delete process.env[VARIABLE];
    remove();
  }
}
