/**
 * Kernel locks (flock). They belong to the open file description, so they die with the process that holds
 * them: no lock file can be left in the way (4x-store.md, promise 3).
 *
 * Node has no flock(2). With the addon it is one call; without it, flock(1) of util-linux locks a
 * descriptor that it inherits from us (the lock stays with our description when flock(1) ends); BSD systems
 * take the lock while opening (O_EXLOCK), which this package does not need yet.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { loadAddon } from './addon.js';

/** Tries once, never waits. False: another process or thread holds it. */
export function tryFlock(fd: number, mode: 'exclusive' | 'shared'): boolean {
  const addon = loadAddon();
  if (addon !== undefined) return addon.flock(fd, mode === 'exclusive');
  const result = spawnSync('flock', [mode === 'exclusive' ? '-x' : '-s', '-n', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  if (result.error !== undefined || (result.status !== 0 && result.status !== 1)) {
    throw new MailhaulError('LOCK_UNAVAILABLE', 'Kernel locks cannot be taken: neither the addon nor flock(1) works.', {
      hint: 'Install util-linux, or a compiler and cmake, then `npm run build`.',
      cause: result.error,
    });
  }
  return result.status === 0;
}

/** Pids that hold a flock on this file, from /proc/locks; empty where the kernel does not tell. */
export function flockHolders(fd: number): number[] {
  const { ino } = fs.fstatSync(fd, { bigint: true });
  let table: string;
  try {
    table = fs.readFileSync('/proc/locks', 'latin1');
  } catch {
    return [];
  }
  const holders = new Set<number>();
  for (const line of table.split('\n')) {
    // "1: FLOCK  ADVISORY  WRITE 708 00:13:1425 0 EOF"; waiting lines have "->" after the number.
    const fields = line.trim().split(/\s+/);
    if (fields[1] !== 'FLOCK') continue;
    const [pid, id] = [Number(fields[4]), fields[5] ?? ''];
    if (pid > 0 && id.split(':')[2] === String(ino)) holders.add(pid);
  }
  return [...holders];
}
