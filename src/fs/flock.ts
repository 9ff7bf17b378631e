/**
 * Kernel locks (flock). They belong to the open file description, so they die with the process that holds
 * them: no lock file can be left in the way (4x-store.md, promise 3).
 *
 * Node has no flock(2). With the addon it is one call; without it, flock(1) of util-linux locks a
 * descriptor that it inherits from us (the lock stays with our description when flock(1) ends); BSD systems
 * take the lock while opening (O_EXLOCK), which this package does not need yet.
 */
import { spawnSync } from 'node:child_process';
import { MailhaulError } from '../errors.js';
import { loadAddon } from './addon.js';
import { onDescriptor } from './descriptor.js';

/** Tries once, never waits. False: another process or thread holds it. */
export function tryFlock(fd: number, mode: 'exclusive' | 'shared'): boolean {
  const addon = loadAddon();
  if (addon !== undefined) {
    return onDescriptor(fd, () => addon.flock(fd, mode === 'exclusive'));
  }
  return flockCommand(fd, mode === 'exclusive' ? '-x' : '-s', '-n') === 0;
}

/** Lets go of the lock without closing the descriptor. */
export function unlock(fd: number): void {
  const addon = loadAddon();
  if (addon !== undefined) onDescriptor(fd, () => addon.unlock(fd));
  else flockCommand(fd, '-u');
}

/** flock(1) on an inherited descriptor: 0 done, 1 held by another. */
function flockCommand(fd: number, ...options: readonly string[]): number {
  const result = spawnSync('flock', [...options, '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
  if (result.error !== undefined || (result.status !== 0 && result.status !== 1)) {
    throw new MailhaulError('LOCK_UNAVAILABLE', 'Kernel locks cannot be taken: neither the addon nor flock(1) works.', {
      hint: 'Install util-linux, or a compiler and cmake, then `npm run build`.',
      cause: result.error,
    });
  }
  return result.status;
}
