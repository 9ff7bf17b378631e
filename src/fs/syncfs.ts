/**
 * Making a whole file system durable, for many folders at once (design.md, "Durability is paid by group
 * commit"), while the transfer threads go on.
 *
 * With the addon it is syncfs(2) on a thread of Node's pool. Without it, sync(1): `sync -f` opens its argument, here
 * the link of a descriptor that it inherits from us, and calls syncfs with that.
 *
 * Errors: since Linux 5.8 syncfs reports that pages of the file system could not be written, once to each open file
 * description that was there before; such a call is never retried, what was to be durable is done again by the next
 * run. The description of sync(1) is new: it is not told what another process that syncs has been told already. So
 * without the addon, and before 5.8, whoever writes files syncs each for itself (`syncWritten`).
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { release } from 'node:os';
import { hasErrno, MailhaulError } from '../errors.js';
import { loadAddon } from './addon.js';
import { sync } from './dir.js';
import { effect } from './seam.js';

/** The first Linux whose syncfs reports pages that could not be written (syncfs(2), "VERSIONS"). */
const REPORTING = { major: 5, minor: 8 };

const kernelReports = reportsLostPages(release());

/** Whether `syncFileSystem` fails when pages were lost that were written after its descriptor was opened. */
export function syncfsTells(): boolean {
  return kernelReports && loadAddon() !== undefined;
}

/** Whether syncfs of this release of Linux does; one that cannot be read is taken for one that does not. */
function reportsLostPages(name: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(name)?.map(Number) ?? [];
  if (process.platform !== 'linux' || major === undefined || minor === undefined) return false;
  return major > REPORTING.major || (major === REPORTING.major && minor >= REPORTING.minor);
}

/**
 * Syncs a file, through the very descriptor that wrote it, where the later `syncFileSystem` could miss that its pages
 * were lost. To be called before the file gets a name that counts.
 */
export function syncWritten(fd: number): void {
  if (!syncfsTells()) sync(fd);
}

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
