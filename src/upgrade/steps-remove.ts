/**
 * The steps of a folder that take its originals away (`-r`): right after it was published, and in a later run. Only what
 * is on record goes, and only where its message is in 4.x (4x-store.md, promise 1).
 */
import { closeDir, type Dir, fstat, stat, sync } from '../fs/dir.js';
import { walk } from '../fs/walk.js';
import { HashDirectories } from '../store/hashDirectories.js';
import { messageFile } from '../store/layout.js';
import { exceptFailed } from './failures.js';
import { rootOf } from './places.js';
import { tableOf } from './rows.js';
import { columnsOf } from './shared.js';
import { failed, openSource, ownerOf, type StepTools } from './steps.js';
import type { FinishFolder, FinishResult, RemoveFolder, RemoveResult, Trouble } from './tasks.js';

/**
 * `-r` right after the folder was published; the lock is still held by the main thread's descriptor. The store paths
 * are synced at the end of the run (removal.ts), which does not reach what is mounted below them.
 */
export function finishFolder(tools: StepTools, task: FinishFolder): FinishResult {
  const { id, sourceFd, legacyName, mountedBelow, messages, remove } = task;
  try {
    const output = tools.engine.removeSources({ sourceFd, messages: columnsOf(messages), remove });
    if (mountedBelow) sync(sourceFd);
    return { kind: 'removed', id, output };
  } catch (error) {
    return failed(id, error, 'ORIGINALS_NOT_REMOVED', legacyName, 'source');
  }
}

/** Late `-r`: lock, see that every message that did not fail is in 4.x, remove, unlock. */
export function removeFolder(tools: StepTools, task: RemoveFolder): RemoveResult {
  const opened = openSource(task);
  if (opened === 'missing') {
    const output = { removed: 0, bytes: 0, missing: task.record.count, kept: [] };
    return { kind: 'removed', id: task.id, output, notInTarget: 0, found: task.record.count === 0 };
  }
  if ('kind' in opened) return opened;
  let side: Trouble['side'] = 'source';
  try {
    const lock = tools.source.tryLockFolder(opened, ownerOf(tools.context));
    if (lock === 'busy') return { kind: 'busy', id: task.id, holders: tools.source.lockHolders(opened) };
    try {
      const remove = exceptFailed(task.record.uids, task.failed);
      side = 'target';
      const notInTarget = task.checkTarget ? keepUnlessInTarget(task, opened, remove) : 0;
      side = 'source';
      const output = tools.engine.removeSources({ sourceFd: opened.fd, messages: tableOf(task.record), remove });
      if (fstat(opened).dev !== fstat(rootOf(task.source)).dev) sync(opened.fd);
      const found = task.record.count === 0 || output.removed + output.kept.length > 0 || isFolder(task, opened);
      return { kind: 'removed', id: task.id, output, notInTarget, found };
    } finally {
      lock.release();
    }
  } catch (error) {
    return failed(task.id, error, 'FOLDER_UNREADABLE', opened.path, side);
  } finally {
    closeDir(opened);
  }
}

/**
 * Whether an opened directory without one original is the 3.x folder that `-r` emptied, and not a mount point whose disk
 * is elsewhere: `-r` leaves `.mailbox`, and the directory itself. Not `.lock`, which we make in a mount point too.
 */
function isFolder({ inode }: RemoveFolder, directory: Dir): boolean {
  return stat(directory, '.mailbox') !== undefined || String(fstat(directory).ino) === inode;
}

/**
 * Clears `remove` where the 4.x message file is not there, or is shorter than what was migrated (the CRLF form never
 * is); returns how many originals that keeps. A disk that lost data since the folder was published must not cost the
 * original too. One that an earlier `-r` took is not kept: its message was deleted in 4.x since.
 */
function keepUnlessInTarget(task: RemoveFolder, source: Dir, remove: Uint8Array): number {
  const { record } = task;
  const mailbox = walk(rootOf(task.target), task.target.components);
  let kept = 0;
  const hashes = new HashDirectories(mailbox);
  try {
    for (let i = 0; i < record.count; i++) {
      if (remove[i] === 0) continue;
      const uid = record.uids[i] ?? 0;
      const dir = hashes.of(uid);
      const file = dir === undefined ? undefined : stat(dir, messageFile(uid));
      if (file?.isFile() && Number(file.size) >= (record.sizes[i] ?? 0)) continue;
      remove[i] = 0;
      const original = Buffer.from(record.names.subarray(record.nameOffsets[i], record.nameOffsets[i + 1]));
      if (stat(source, original) !== undefined) kept += 1;
    }
  } finally {
    hashes.close();
    closeDir(mailbox);
  }
  return kept;
}
