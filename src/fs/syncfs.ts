/**
 * Making a whole file system durable, for many folders at once (design.md, "Durability is paid by group
 * commit"), while the transfer threads go on.
 *
 * With the addon it is syncfs(2) on a thread of Node's pool. Without it sync(1) does the same: `sync -f` calls
 * syncfs for the file system of its argument, here of a descriptor that it inherits from us.
 *
 * Errors: the kernel reports a failed write-back of the file system to whoever syncs it next; such a call is
 * never retried, what was to be durable is done again by the next run.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { hasErrno, MailhaulError } from '../errors.js';
import { loadAddon } from './addon.js';
import { effect } from './seam.js';

/** Where sync(1) finds the inherited descriptor. */
const INHERITED_FD = '/proc/self/fd/3';

/**
 * Syncs the file system of an open directory. Throws an error of syncfs, EROFS for a file system that became
 * read-only, SYNC_FAILED or SYNC_UNAVAILABLE.
 */
export async function syncFileSystem(fd: number): Promise<void> {
  const addon = loadAddon();
  if (addon !== undefined) {
    await addon.syncfsAsync(fd);
  } else {
    effect('sync');
    await syncByCommand(fd);
  }
  // A file system that a disk error made read-only has nothing to sync, says syncfs, and succeeds (before Linux 6.14):
  // what was written before may never have reached the disk. access(2) tells EROFS also to root.
  try {
    accessSync(`/proc/self/fd/${fd}/.`, constants.W_OK);
  } catch (error) {
    if (hasErrno(error, 'EROFS', 'EIO')) throw error;
  }
}

function syncByCommand(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('sync', ['-f', INHERITED_FD], { stdio: ['ignore', 'ignore', 'pipe', fd] });
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    child.once('error', (cause) => {
      const hint = 'Install coreutils, or a compiler and cmake, then `npm run build`.';
      const message = 'sync(1), which makes written files durable, cannot be run.';
      reject(new MailhaulError('SYNC_UNAVAILABLE', message, { hint, cause }));
    });
    child.once('close', (status) => {
      if (status === 0) return resolve();
      const message = `Written files could not be made durable: ${complaint.trim()}`;
      reject(new MailhaulError('SYNC_FAILED', message, { hint: 'Check the device; then run the command again.' }));
    });
  });
}
