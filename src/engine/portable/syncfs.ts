/**
 * Making a whole file system durable without the addon.
 *
 * Node has no syncfs(2). sync(1) has: `sync -f` calls it for the file system of its argument, here of a
 * descriptor that it inherits from us. So the group commit of many folders works as with the addon, from
 * any thread, whichever thread wrote the files. (Calling fsync for every file and directory that the engine
 * wrote would do as well, but only in the thread that wrote them, and without the group.)
 *
 * Errors: the kernel reports a failed write-back of the file system to whoever opens it next and syncs, so a
 * failure since the last successful call ends this one; it is never retried (design.md).
 */
import { spawnSync } from 'node:child_process';
import { MailhaulError } from '../../errors.js';
import { effect } from '../../fs/seam.js';

/** Where sync(1) finds the inherited descriptor. */
const INHERITED_FD = '/proc/self/fd/3';

/** Throws SYNC_FAILED when the device refuses, SYNC_UNAVAILABLE without a sync(1) that can do it. */
export function syncFileSystem(fd: number): void {
  effect('sync');
  const result = spawnSync('sync', ['-f', INHERITED_FD], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    encoding: 'utf8',
  });
  if (result.error !== undefined) {
    throw new MailhaulError('SYNC_UNAVAILABLE', 'sync(1), which makes written files durable, cannot be run.', {
      hint: 'Install coreutils, or a compiler and cmake, then `npm run build`.',
      cause: result.error,
    });
  }
  if (result.status !== 0) {
    throw new MailhaulError('SYNC_FAILED', `Written files could not be made durable: ${result.stderr.trim()}`, {
      hint: 'Check the device; then run the command again.',
    });
  }
}
