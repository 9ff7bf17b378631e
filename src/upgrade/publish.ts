/**
 * What happens to a group of moved folders (design.md, "One folder, in order", steps 4 to 6):
 *
 *     sync ─▶ sources unchanged? ─▶ failures on record ─▶ publish ─▶ outcome on record ─▶ `-r` ─▶ unlock
 *
 * A retry of a published folder that a service has used has one step more before `publish`: entries in its journal.
 *
 * A message that is not in the published index is on record as failed before the index is published: a late
 * `-r` can therefore trust the record whenever the process was killed (4x-store.md, promise 1).
 */
import { type EngineOutput, METHOD } from '../engine/types.js';
import { describeError, isOutOfResources, MailhaulError } from '../errors.js';
import { syncFileSystem } from '../fs/syncfs.js';
import { RETRY_DIRECTORY } from '../store/layout.js';
import { removeRetry } from '../store/mailbox/retry.js';
import type { MailboxWrites } from '../store/types.js';
import { folderStops } from './batch.js';
import type { Errand } from './dispatch.js';
import { exceptFailed, messageFailures } from './failures.js';
import { countRemoval, removalFailed, storeDevice } from './removal.js';
import { addError, addMethods, addTimes, partitionTotals, timed } from './report.js';
import type { PartitionRoot } from './roots.js';
import { failureOf, folderProblem, type MovedFolder, type Run, release } from './run.js';
import { storePathOf } from './selection.js';
import { columnsOf } from './shared.js';
import { isSame, stampOf } from './stamp.js';
import type { AppendFolder, FailedFolder } from './tasks.js';
import type { Transactions } from './transactions.js';
import { stopDevice, workDone } from './trouble.js';
import { isProcessTrouble, syncTrouble, troubleOf } from './trouble-kinds.js';
import type { MessageFailure } from './types.js';

interface Outcome extends MovedFolder {
  /** uidnext of the mailbox. */
  readonly uidnext: number;
  readonly failures: readonly MessageFailure[];
}

/** How a disk gets a thread for what a group still needs: in turn with its other tasks. */
export interface Turns {
  /** The device of a store path or partition. */
  deviceOf(path: string): string;
  readonly errand: Errand;
}

/**
 * Makes a group durable and publishes it. Folders on a device that could not be synced are not published. Throws only
 * when the run must halt.
 */
export async function commitGroup(
  run: Run,
  group: readonly MovedFolder[],
  transactions: Transactions,
  turns: Turns,
): Promise<void> {
  try {
    let outcomes: Outcome[] = [];
    for (const moved of await syncTargets(run, group)) {
      const change = sourceChange(moved);
      if (change !== undefined) folderStops(run, moved.folder, moved.rootPath, change);
      else {
        const failures = failuresOf(moved);
        outcomes.push({ ...moved, uidnext: uidnextOf(moved), failures });
      }
    }
    await recordFailures(run, outcomes, transactions);
    outcomes = await enterInJournals(run, outcomes, turns);
    await publish(outcomes, transactions);
    await recordOutcomes(outcomes, transactions);
    await tidyUp(run, outcomes, transactions);
    if (run.options.remove) await removeOriginals(run, outcomes, turns);
    for (const outcome of outcomes) count(run, outcome);
  } finally {
    for (const moved of group) release(run, moved.ready);
  }
}

function failuresOf({ ready: { plan }, output }: MovedFolder): MessageFailure[] {
  // Of nearly every folder there are none, and its names need not be opened.
  return output.errors.every((error) => error === 0) ? [] : messageFailures(columnsOf(plan.messages), output);
}

/** As in its index: a retry that adds nothing writes none, and one that appends has it later. */
function uidnextOf({ ready: { plan, additions }, output }: MovedFolder): number {
  if (additions === null) return plan.uidnext;
  return !additions.append && addsAny(output) ? Math.max(additions.uidnext, plan.uidnext) : additions.uidnext;
}

const addsAny = ({ methods }: EngineOutput): boolean => methods.some((method) => method !== METHOD.failed);

/** What one sync makes durable. */
interface SyncTarget<Folder extends MovedFolder> {
  readonly dev: bigint;
  readonly fd: number;
  /** The partition. */
  readonly path: string;
  readonly folders: Folder[];
}

/**
 * The device of every partition once, by the descriptor that was opened before the first write. Where another file
 * system is mounted below the partition, every folder by its own, which was opened before the first write to it.
 */
function syncTargetsOf<Folder extends MovedFolder>(run: Run, group: readonly Folder[]): SyncTarget<Folder>[] {
  const byDevice = new Map<bigint, SyncTarget<Folder>>();
  const mountedBelow: SyncTarget<Folder>[] = [];
  for (const moved of group) {
    const { rootPath: path } = moved;
    const { device: own } = moved.ready;
    const { dir, dev } = heldPartition(run, path);
    const known = byDevice.get(dev);
    if (own !== dev) mountedBelow.push({ dev: own, fd: moved.ready.targetFd, path, folders: [moved] });
    else if (known === undefined) byDevice.set(dev, { dev, fd: dir.fd, path, folders: [moved] });
    else known.folders.push(moved);
  }
  return [...byDevice.values(), ...mountedBelow];
}

/** Syncs every target device of the group; returns the folders that are durable now. */
async function syncTargets<Folder extends MovedFolder>(run: Run, group: readonly Folder[]): Promise<Folder[]> {
  const durable = await Promise.all(
    syncTargetsOf(run, group).map(async ({ dev, fd, path, folders }) => {
      // Never again: what an earlier sync failed to write would be taken for written.
      if (run.troubles.unsynced.has(dev)) return [];
      try {
        await timed(run.report.times, 'sync', () => syncFileSystem(fd));
        return folders;
      } catch (error) {
        const trouble = syncTrouble(error, 'target');
        if (isProcessTrouble(trouble.errno)) throw error;
        run.troubles.unsynced.add(dev);
        stopDevice(run, path, trouble);
        return [];
      }
    }),
  );
  return durable.flat();
}

/** The root that folders went to: it was held before they did. */
export function heldPartition({ roots }: Pick<Run, 'roots'>, path: string): PartitionRoot {
  const root = roots.partitions.get(path);
  if (root === undefined) throw new MailhaulError('ROOT_NOT_HELD', 'The partition is not open.', { where: path });
  return root;
}

/** Why the folder cannot be published: its directory or index is not what it was when it was read. */
function sourceChange(moved: MovedFolder): Pick<FailedFolder, 'failure' | 'trouble'> | undefined {
  try {
    if (isSourceUnchanged(moved)) return undefined;
  } catch (error) {
    return { failure: failureOf(error, moved.folder.legacyName), trouble: troubleOf(error, 'source') };
  }
  const message = 'The 3.x folder changed while it was migrated and stays in TRANSITION. Is a 3.x server running?';
  return { failure: { code: 'FOLDER_CHANGED', message, where: moved.folder.legacyName } };
}

function isSourceUnchanged({ folder, ready }: MovedFolder): boolean {
  if (ready.stamp === null || ready.sourceFd < 0) return true;
  return isSame(ready.stamp, stampOf({ fd: ready.sourceFd, path: folder.legacyName }));
}

/**
 * What is not in the index that is about to be published. The first index of a folder has all other messages: what an
 * attempt before reported of those is cleared now, or a run that is killed once the folder is published would leave it
 * for a retry, which adds them once more where a service has been by then (4x-store.md, promise 2). A retry clears
 * nothing before its outcome: till then `.retry` tells what came in.
 */
async function recordFailures(run: Run, outcomes: readonly Outcome[], transactions: Transactions): Promise<void> {
  const changes: { readonly id: number; readonly failures: readonly MessageFailure[] }[] = [];
  for (const { folder, ready, output, failures } of outcomes) {
    const recorded = run.mapping.failures(folder.id);
    const isFirst = ready.additions === null && output.summary !== null;
    if (failures.length === 0 && (recorded.length === 0 || !isFirst)) continue;
    const uids = new Set(failures.map(({ uid }) => uid));
    const earlier = isFirst ? [] : recorded.filter(({ uid }) => !uids.has(uid));
    changes.push({ id: folder.id, failures: [...failures, ...earlier] });
  }
  if (changes.length === 0) return;
  await transactions.mapping((writes) => {
    for (const { id, failures } of changes) writes.setFailures(id, failures);
  });
}

/** The messages of a retry become part of the mailboxes that services use; without those that could not. */
async function enterInJournals(run: Run, outcomes: readonly Outcome[], turns: Turns): Promise<Outcome[]> {
  const byDevice = new Map<string, AppendFolder[]>();
  for (const { folder, mailbox, rootPath, ready, output } of outcomes) {
    if (ready.additions?.append !== true || output.summary === null || !addsAny(output)) continue;
    const appended = { id: folder.id, mailboxFd: ready.additions.mailboxFd, mailbox };
    addTo(byDevice, turns.deviceOf(rootPath), appended);
  }
  if (byDevice.size === 0) return [...outcomes];
  const appended = await inTurn(turns, byDevice, (folders) => run.pool.run({ kind: 'append', folders }));
  const results = new Map(appended.flat().map((result) => [result.id, result]));
  return outcomes.flatMap((outcome): Outcome[] => {
    const result = results.get(outcome.folder.id);
    if (result === undefined) return [outcome];
    if (result.kind === 'appended') {
      return [{ ...outcome, uidnext: result.uidnext, output: { ...outcome.output, summary: result.summary } }];
    }
    folderStops(run, outcome.folder, outcome.rootPath, result);
    return [];
  });
}

/**
 * `.retry` goes when what became of it is on record; then nothing is left to do for the folder, once that is durable:
 * after a power loss no `.retry` must be back that nobody looks for (4x-store.md, promise 2).
 */
async function tidyUp(run: Run, outcomes: readonly Outcome[], transactions: Transactions): Promise<void> {
  const tidied = outcomes.filter((outcome) => outcome.ready.additions !== null && isTidied(run, outcome));
  if (tidied.length === 0) return;
  const gone = await syncTargets(run, tidied);
  if (gone.length === 0) return;
  await transactions.mapping((writes) => {
    for (const { folder } of gone) writes.putFolder({ ...folder, migrated: true, retrying: false });
  });
}

/** False: that is told, and the next run tries again, since a retry stays under way (selection.ts). */
function isTidied(run: Run, { folder, mailbox, ready: { targetFd } }: Outcome): boolean {
  try {
    removeRetry({ fd: targetFd, path: mailbox });
    return true;
  } catch (error) {
    if (isOutOfResources(error)) throw error;
    const message =
      `What the retry made in ${mailbox}/${RETRY_DIRECTORY} cannot be taken away: ${describeError(error)}. The messages ` +
      'are migrated. Repair the disk, or take away what does not belong there, then run the same command again.';
    folderProblem(run, folder, 'RETRY_NOT_REMOVED', message);
    return false;
  }
}

async function publish(outcomes: readonly Outcome[], transactions: Transactions): Promise<void> {
  const publishable = outcomes.filter((outcome) => outcome.output.summary !== null);
  if (publishable.length === 0) return;
  const publication = (writes: MailboxWrites): void => {
    for (const { mailbox, ready, rootPath, output, uidnext } of publishable) {
      if (output.summary === null) continue;
      const { uidvalidity } = ready.plan;
      writes.publish(mailbox, { summary: output.summary, uidvalidity, uidnext, root: rootPath });
    }
  };
  await transactions.mailboxes(publication);
}

/** The failures that are left, and the copy of the tombstone. */
async function recordOutcomes(outcomes: readonly Outcome[], transactions: Transactions): Promise<void> {
  if (outcomes.length === 0) return;
  await transactions.mapping((writes) => {
    for (const { folder, output, failures } of outcomes) {
      writes.putFolder({ ...folder, migrated: folder.migrated || output.summary !== null });
      writes.setFailures(folder.id, failures);
    }
  });
}

/**
 * `-r`, for what came into 4.x just now. Originals of failed messages stay. Those of a retried folder go with the ones
 * of folders published before (removal.ts): some of its messages may have been in 4.x for long.
 */
async function removeOriginals(run: Run, outcomes: readonly Outcome[], turns: Turns): Promise<void> {
  const byDevice = new Map<string, Outcome[]>();
  for (const outcome of outcomes) {
    const { ready, output } = outcome;
    if (ready.sourceFd < 0 || ready.additions !== null || output.summary === null) continue;
    addTo(byDevice, turns.deviceOf(storePathOf(run.mapping, outcome.folder)), outcome);
  }
  await inTurn(turns, byDevice, (first) => finish(run, first));
}

function addTo<T>(byDevice: Map<string, T[]>, device: string, one: T): void {
  const known = byDevice.get(device);
  if (known === undefined) byDevice.set(device, [one]);
  else known.push(one);
}

/** A task for each device, when that has a thread for it. Each to its end: the caller lets go of the descriptors. */
async function inTurn<T, R>(
  { errand }: Turns,
  byDevice: ReadonlyMap<string, readonly T[]>,
  task: (ofDevice: readonly T[]) => Promise<R>,
): Promise<R[]> {
  const ended = await Promise.allSettled([...byDevice].map(([device, some]) => errand(device, () => task(some))));
  return ended.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** Folders of one device. */
async function finish(run: Run, first: readonly Outcome[]): Promise<void> {
  const results = await run.pool.run({
    kind: 'finish',
    folders: first.map(({ folder, ready: { sourceFd, stamp, plan }, output: { methods }, failures }) => {
      const remove = exceptFailed(
        columnsOf(plan.messages).uids,
        Uint32Array.from(failures, ({ uid }) => uid),
      );
      for (let i = 0; i < remove.length; i++) if (methods[i] === METHOD.failed) remove[i] = 0;
      const mountedBelow = stamp?.device !== storeDevice(run, folder.uid);
      return { id: folder.id, sourceFd, legacyName: folder.legacyName, mountedBelow, messages: plan.messages, remove };
    }),
  });
  const byId = new Map(first.map((outcome) => [outcome.folder.id, outcome]));
  for (const result of results) {
    const outcome = byId.get(result.id);
    if (outcome === undefined) continue;
    if (result.kind === 'failed') removalFailed(run, outcome.folder, result.failure);
    else countRemoval(run, outcome.folder, result.output, 0, outcome.failures.length);
  }
}

function count(run: Run, outcome: Outcome): void {
  const { folder, output, failures } = outcome;
  const published = output.summary !== null;
  for (const failure of failures) {
    const { file, code, message } = failure;
    addError(run.report, { user: folder.uid, folder: folder.legacyName, file, code, message });
    run.log.write('Store', 'Error', `${folder.mailbox}: ${code}: ${message} [${file}]`);
  }
  const removing = run.options.remove && published;
  // Of the folder and its mailbox themselves: other file systems may be mounted below their roots.
  const { stamp, device: target } = outcome.ready;
  const source = stamp?.device;
  const moved = addMethods(run.report, output.methods, removing, source, target);
  run.report.messages.done += moved;
  run.report.messages.failed += failures.length;
  run.report.bytes += output.bytes;
  addTimes(run.report.times, outcome.ready.times, output.times);
  // A published folder that still lacks messages is not done unless the failures were accepted.
  const done = published && (failures.length === 0 || run.options.acceptFailures);
  run.report.folders[done ? 'done' : 'failed'] += 1;
  workDone(run, folder);
  const totals = partitionTotals(run.report, folder.partition);
  totals.messages += moved;
  totals.bytes += output.bytes;
  totals.folders += done ? 1 : 0;
  run.onFolder?.(folder);
}
