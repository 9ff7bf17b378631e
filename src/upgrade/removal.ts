/**
 * Late `-r`: removes the originals of folders that an earlier run published, and of those that this run retried
 * (4x-store.md, promise 1). The migration record names what was migrated. What failed stays; so does a file that has
 * no message in 4.x although the mailbox is still there.
 */

import { constants as osConstants } from 'node:os';
import { isTargetError, type RemoveOutput } from '../engine/types.js';
import { errnoName } from '../errors.js';
import { fstat } from '../fs/dir.js';
import { syncFileSystem } from '../fs/syncfs.js';
import { folderStops } from './batch.js';
import { unrecorded } from './disagree.js';
import { placesOf } from './folder-places.js';
import { inOneStep } from './one-step.js';
import { hasOriginals } from './originals.js';
import { routesOf } from './routes.js';
import { failureOf, folderBusy, folderFailed, folderProblem, halted, type Run } from './run.js';
import { mailboxOf, storePathOf } from './selection.js';
import type { FolderFailure, RemoveFolder } from './tasks.js';
import { addWork, isStopped, removalRefused, stopDevice, type Workload } from './trouble.js';
import { isProcessTrouble, syncTrouble } from './trouble-kinds.js';
import type { MappingFolder } from './types.js';
import { buildWorklist } from './worklist.js';

/**
 * Removes the originals of the published folders among `ids`, in the order that the schedule (schedule.ts) finds best: a
 * slow disk never has the threads that another one wants.
 */
export async function removePublishedOriginals(run: Run, ids: Iterable<number>): Promise<void> {
  const load = (id: number): MappingFolder | undefined => {
    if (run.swept.has(id) || !run.mailboxes.wasPublished(id)) return undefined;
    const folder = run.mapping.folder(id);
    const due = folder !== undefined && hasOriginals(run.mapping, folder) && !folder.sourcesRemoved;
    return due && !isStopped(run, folder) ? folder : undefined;
  };
  const work = new Map<string, Workload>();
  const list = buildWorklist(
    loaded(ids, load),
    () => true,
    (folder) => addWork(work, storePathOf(run.mapping, folder), folder.root ?? '', folder),
  );
  const routes = routesOf(run, work.values(), list);
  await inOneStep(routes, run.options, {
    crew: run.crew,
    load,
    // Their records are read when there is a thread.
    step: (batch) => removeBatch(run, batch),
    isStopped: () => halted(run),
  });
}

function* loaded(ids: Iterable<number>, load: (id: number) => MappingFolder | undefined): Generator<MappingFolder> {
  for (const id of ids) {
    const folder = load(id);
    if (folder !== undefined) yield folder;
  }
}

/** Returns how many messages were looked at. The run or the device may have been stopped since the batch was taken. */
async function removeBatch(run: Run, batch: readonly MappingFolder[]): Promise<number> {
  if (halted(run)) return 0;
  const known = new Map<number, { readonly folder: MappingFolder; readonly failures: number }>();
  const tasks: RemoveFolder[] = [];
  // The folders are published. What is not in their indexes was on record as failed before that (publish.ts), and a
  // retry notes record and failures together (messages.ts): one snapshot from now on cannot miss a failure.
  run.mapping.refresh();
  for (const folder of batch) {
    if (isStopped(run, folder)) continue;
    const record = run.mapping.record(folder.id);
    if (record === undefined) {
      folderFailed(run, folder, unrecorded(folder));
      continue;
    }
    try {
      const places = placesOf(run, folder);
      const failed = Uint32Array.from(run.mapping.failures(folder.id), ({ uid }) => uid);
      tasks.push({
        id: folder.id,
        source: places.source,
        target: places.target,
        record,
        failed,
        checkTarget: mailboxOf(run.mailboxes, folder) !== undefined,
        inode: folder.inode,
      });
      known.set(folder.id, { folder, failures: failed.length });
    } catch (error) {
      folderFailed(run, folder, failureOf(error, folder.mailbox));
    }
  }
  const results = await run.pool.run({ kind: 'remove', folders: tasks });
  for (const result of results) {
    const entry = known.get(result.id);
    if (entry === undefined) continue;
    const { folder, failures } = entry;
    if (result.kind === 'busy') {
      folderBusy(run, folder, result.holders, 'its originals stay');
    } else if (result.kind === 'failed') {
      folderStops(run, folder, rootPathOf(run, folder), result);
    } else if (result.found) {
      countRemoval(run, folder, result.output, result.notInTarget, failures);
    } else {
      notFound(run, folder);
    }
  }
  return tasks.reduce((sum, { record }) => sum + record.count, 0);
}

/** Its disk may be mounted later: what is not seen is not noted as removed, so the next `-r` looks again. */
function notFound(run: Run, folder: MappingFolder): void {
  run.swept.add(folder.id);
  run.report.warnings += 1;
  const message =
    'The 3.x folder is not there, so no original was removed; the next -r looks again. Is its disk mounted?';
  run.log.write('Store', 'Warning', `${folder.mailbox}: FOLDER_GONE: ${message} [${folder.legacyName}]`);
}

/** Folders that one transaction notes. */
const NOTED_AT_ONCE = 1_000;

/**
 * Notes the folders whose originals are gone, once that is durable: after a power loss nothing must be back that no
 * later `-r` looks for. Without the note a later `-r` finds nothing left of them.
 */
export async function settleRemovals(run: Run): Promise<void> {
  if (run.removed.size === 0) return;
  const deviceOf = (id: number): bigint => storeDevice(run, run.mapping.folder(id)?.uid ?? '');
  const devices = new Set([...run.removed].map(deviceOf));
  const byDevice = new Map(
    [...run.roots.stores]
      .map(([path, dir]) => [fstat(dir).dev, { path, fd: dir.fd }] as const)
      .filter(([dev]) => devices.has(dev)),
  );
  const unsynced = new Set<bigint>();
  await Promise.all(
    [...byDevice].map(async ([dev, { path, fd }]) => {
      try {
        // One that failed before is never made again: those folders are looked at by a later `-r`.
        if (run.troubles.unsynced.has(dev)) unsynced.add(dev);
        else await syncFileSystem(fd);
      } catch (error) {
        const trouble = syncTrouble(error, 'source');
        if (isProcessTrouble(trouble.errno)) throw error;
        unsynced.add(dev);
        // Read-only: nothing was removed, which has been told.
        if (trouble.errno !== osConstants.errno.EROFS) stopDevice(run, path, trouble);
      }
    }),
  );
  const ids = [...run.removed].filter((id) => unsynced.size === 0 || !unsynced.has(deviceOf(id)));
  run.removed.clear();
  for (let first = 0; first < ids.length; first += NOTED_AT_ONCE) {
    await run.mapping.update((writes) => {
      for (const id of ids.slice(first, first + NOTED_AT_ONCE)) {
        const folder = run.mapping.folder(id);
        // A retry that was stopped may still find what fails, and nobody would look for that any more (selection.ts).
        if (folder === undefined || folder.retrying === true) continue;
        writes.putFolder({ ...folder, migrated: true, sourcesRemoved: true });
      }
    });
  }
}

/** Of the store path that holds the user's folders; -1 where there is none. */
export function storeDevice(run: Run, uid: string): bigint {
  const user = run.mapping.user(uid);
  const store = user === undefined ? undefined : run.roots.stores.get(user.storePath);
  return store === undefined ? -1n : fstat(store).dev;
}

function rootPathOf(run: Run, folder: MappingFolder): string {
  return folder.root ?? run.partitionPath(folder.partition);
}

/**
 * Nobody knows which originals of a folder that was just published are gone for good: a later `-r` looks again. Not this
 * run: a sync that failed is never made again.
 */
export function removalFailed(run: Run, folder: MappingFolder, { code, message }: FolderFailure): void {
  run.swept.add(folder.id);
  folderProblem(run, folder, code, message);
}

/**
 * Counts what became of a folder's originals. One that changed since, or has no message in 4.x, stays with a warning
 * (4x-store.md, promise 1); one that could not be removed is an error. Where a message failed, `-r` is not done with
 * the folder.
 */
export function countRemoval(
  run: Run,
  folder: MappingFolder,
  output: RemoveOutput,
  notInTarget: number,
  failures: number,
): void {
  run.swept.add(folder.id);
  const refused = output.kept.filter(({ errno }) => errno !== 0);
  const changed = output.kept.length - refused.length;
  run.report.removed.messages += output.removed;
  run.report.removed.kept += output.kept.length + notInTarget;
  if (changed + notInTarget > 0) {
    run.report.warnings += 1;
    const reasons = `${changed} changed since they were migrated, ${notInTarget} have no whole message file in 4.x`;
    run.log.write('Store', 'Warning', `${folder.mailbox}: ${changed + notInTarget} 3.x files stay: ${reasons}.`);
  }
  const [first] = refused;
  if (first !== undefined && isTargetError(first.errno)) {
    // A read-only or broken disk is told once, not once a folder.
    removalRefused(run, folder, first.errno, refused.length);
  } else if (first !== undefined) {
    const message = `${refused.length} 3.x files cannot be removed (${errnoName(first.errno)}) and stay.`;
    folderProblem(run, folder, 'ORIGINALS_NOT_REMOVED', message);
  }
  if (output.kept.length + notInTarget + failures === 0) run.removed.add(folder.id);
}
