/**
 * The steps of one folder that touch mail: what a transfer thread does (worker.ts), and what a service does
 * in its own process when it opens a folder in TRANSITION. Nothing here opens a database.
 */
import {
  type DirectoryScan,
  type EngineInput,
  type EngineOutput,
  type FolderEngine,
  OUTPUT_BYTES,
} from '../engine/types.js';
import { describeError, hasErrno, isNotThere, MailhaulError, systemCause } from '../errors.js';
import { closeDir, type Dir, fstat, stat } from '../fs/dir.js';
import { tryFlock } from '../fs/flock.js';
import { flockPids } from '../fs/holders.js';
import { ensureDirs, walk } from '../fs/walk.js';
import type { FolderIndex, FolderLock, MailSource } from '../source/types.js';
import { refuseEmptied } from './emptied.js';
import { placePath, rootOf } from './places.js';
import { planFolder } from './plan.js';
import { planPlain } from './plan-plain.js';
import { withMigrated } from './plan-removed.js';
import { withVanished } from './plan-vanished.js';
import { openPlan, roomBehind, type SharedTable, sharePlan } from './shared.js';
import { stampOf } from './stamp.js';
import type {
  AddedRows,
  FailedFolder,
  FolderFailure,
  MoveFolder,
  MoveResult,
  Place,
  PrepareFolder,
  PrepareResult,
  Trouble,
  WorkerContext,
} from './tasks.js';
import { troubleOf } from './trouble-kinds.js';
import type { FolderPlan } from './types.js';

/** What a thread works with. */
export interface StepTools {
  readonly engine: FolderEngine;
  readonly source: MailSource;
  readonly context: WorkerContext;
}

/** A folder with all its locks. */
type ReadyFolder = Extract<PrepareResult, { kind: 'ready' }>;

export function ownerOf(context: WorkerContext): { uid: number; gid: number } {
  return { uid: context.ownerUid, gid: context.ownerGid };
}

/** What to do about a folder that failed for a reason of the system. */
const ADVICE: Readonly<Record<string, string>> = {
  FOLDER_UNREADABLE: ' Correct the permissions or repair the disk, then run the same command again.',
  FOLDER_TARGET: ' Correct owner and mode of the 4.x directory, then run the same command again.',
  ORIGINALS_NOT_REMOVED: ' The folder is migrated. Repair its 3.x disk; a later -m -r looks at the files again.',
};

/** `error` as a folder's failure; `code` and `where` when it has none of its own. */
export function failure(error: unknown, code: string, where: string): FolderFailure {
  if (error instanceof MailhaulError) {
    return { code: error.code, message: error.message + systemCause(error), where: error.where ?? where };
  }
  return { code, message: `${describeError(error)}.${ADVICE[code] ?? ''}`, where };
}

/** What a retry has to add to a published folder, or who holds its mailbox. */
export type AddTo = (
  tools: StepTools,
  task: PrepareFolder,
  plan: FolderPlan,
) => (Pick<ReadyFolder, 'targetFd' | 'device'> & Addition) | { readonly holders: readonly number[] };

interface Addition {
  readonly plan: FolderPlan;
  readonly additions: AddedRows;
}

/**
 * Locks, scans, reads and plans a folder, then locks its mailbox directory. Each lock is tried once. The second one
 * makes sure of one migrator a folder (4x-store.md, promise 3) whatever somebody does to the 3.x side: a directory
 * that is renamed and made anew there has another inode, and so another lock. A published one (`addTo` of
 * additions-open.ts) is there already, and locked with what is to be added to it.
 */
export function prepareFolder(tools: StepTools, task: PrepareFolder, addTo?: AddTo): PrepareResult {
  const opened = openSource(task);
  if (opened === 'missing') {
    if (!isEmptyInbox(task)) return gone(task);
    const nothing = { index: undefined, scan: emptyScan() };
    const held = { sourceFd: -1, lockFd: -1, stamp: null, times: { scan: 0, plan: 0 } };
    return holdTarget(tools, task, held, nothing, () => planOf(tools, task, nothing));
  }
  if ('kind' in opened) return opened;
  const late = lateRights(task, opened);
  if (late !== undefined) {
    closeDir(opened);
    return late;
  }
  let lock: FolderLock | 'busy' | undefined;
  let result: PrepareResult | undefined;
  try {
    lock = tools.source.tryLockFolder(opened, ownerOf(tools.context));
    if (lock === 'busy') return { kind: 'busy', id: task.id, holders: tools.source.lockHolders(opened) };
    const lockFd = lock.target === 'file' ? lock.fd : -1;
    // Taken before anything is read: what changes from here on is seen before the commit (publish.ts).
    const stamp = stampOf(opened);
    const beganMs = performance.now();
    const found = readFolder(tools, task, opened);
    const planned = found.plan;
    const times = { scan: found.scanMs, plan: performance.now() - beganMs - found.scanMs };
    const held = { sourceFd: opened.fd, lockFd, stamp, times };
    if (addTo === undefined) {
      // With the lock of the mailbox: whoever holds that may have renamed the folder.
      const plan = (): FolderPlan => {
        if (isMountPoint(task, opened, planned)) throw goneError(task);
        return planned;
      };
      result = holdTarget(tools, task, held, found, plan);
      return result;
    }
    const retry = tryAddTo(addTo, tools, task, planned);
    if ('kind' in retry) return retry;
    if ('holders' in retry) return { kind: 'busy', id: task.id, holders: retry.holders };
    result = { kind: 'ready', id: task.id, ...held, ...retry, plan: sharePlan(retry.plan, task.memory) };
    return result;
  } catch (error) {
    return failed(task.id, error, 'FOLDER_UNREADABLE', opened.path, 'source');
  } finally {
    if (result?.kind !== 'ready') {
      if (lock !== undefined && lock !== 'busy') lock.release();
      closeDir(opened);
    }
  }
}

/** What fails there is the 4.x disk's, not that of the folder that was read. */
function tryAddTo(
  addTo: AddTo,
  tools: StepTools,
  task: PrepareFolder,
  plan: FolderPlan,
): ReturnType<AddTo> | FailedFolder {
  try {
    return addTo(tools, task, plan);
  } catch (error) {
    return failed(task.id, error, 'FOLDER_TARGET', placePath(task.target), 'target');
  }
}

/**
 * Makes and locks the mailbox directory; with it, what is held is complete. One that was there is looked into: nothing
 * in it may be the only one of its kind (emptied.ts).
 */
function holdTarget(
  tools: StepTools,
  task: PrepareFolder,
  held: Pick<ReadyFolder, 'sourceFd' | 'lockFd' | 'stamp' | 'times'>,
  { index, scan }: FolderFiles,
  plan: () => FolderPlan,
): PrepareResult {
  let target: Dir | undefined;
  let isNew = false;
  try {
    target = ensureDirs(rootOf(task.target), task.target.components, ownerOf(tools.context), () => {
      isNew = true;
    });
    if (!tryFlock(target.fd, 'exclusive')) {
      const holders = flockPids(target.fd);
      closeDir(target);
      return { kind: 'busy', id: task.id, holders };
    }
    if (!isNew) refuseEmptied(task, index, scan, target);
    const { dev: device } = fstat(target);
    const planned = sharePlan(plan(), task.memory);
    return { kind: 'ready', id: task.id, ...held, targetFd: target.fd, device, plan: planned, additions: null };
  } catch (error) {
    if (target !== undefined) closeDir(target);
    return failed(task.id, error, 'FOLDER_TARGET', placePath(task.target), 'target');
  }
}

export function failed(id: number, error: unknown, code: string, where: string, side: Trouble['side']): FailedFolder {
  return { kind: 'failed', id, failure: failure(error, code, where), trouble: troubleOf(error, side) };
}

export function openSource(task: { id: number; source: Place }): Dir | 'missing' | FailedFolder {
  try {
    return walk(rootOf(task.source), task.source.components);
  } catch (error) {
    if (isNotThere(error)) return 'missing';
    const link = hasErrno(error, 'ELOOP', 'ENOTDIR');
    const what = link
      ? 'A link or another file stands in place of the 3.x folder; it was not followed.'
      : describeError(error);
    const where = placePath(task.source);
    return {
      kind: 'failed',
      id: task.id,
      failure: { code: link ? 'FOLDER_LINK' : 'FOLDER_UNREADABLE', message: what, where },
      trouble: troubleOf(error, 'source'),
    };
  }
}

export function gone(task: PrepareFolder): FailedFolder {
  return failed(task.id, goneError(task), 'FOLDER_GONE', placePath(task.source), 'source');
}

function goneError({ source }: PrepareFolder): MailhaulError {
  const message = 'The 3.x folder is not there any more; upgrade -s saw it. Is its disk mounted?';
  return new MailhaulError('FOLDER_GONE', message, { where: placePath(source) });
}

/**
 * There is nothing in it, not even an index, of what `-s` or an attempt found in another directory at its place: a disk of
 * the folder's own is not mounted. Published empty, its mail would stay behind unnoticed.
 */
export function isMountPoint(task: PrepareFolder, dir: Dir, { messages }: FolderPlan): boolean {
  const { missing, inode, indexBytes, previous, failed } = task;
  if (failed !== null || missing || messages.count > 0) return false;
  if (indexBytes === 0 && (previous?.count ?? 0) === 0) return false;
  return stat(dir, '.mailbox') === undefined && String(fstat(dir).ino) !== inode;
}

/** `-s` found no 3.x folder, and no attempt since has found messages of it: one that is not there is empty. */
export function isEmptyInbox({ missing, previous }: PrepareFolder): boolean {
  return missing && (previous === null || previous.count === 0);
}

/**
 * A folder that came after `-s` has looked is migrated as it is found, but access rights are read by `-s` alone: with
 * its `.acl` left out the mailbox would have fewer for ever.
 */
export function lateRights(task: PrepareFolder, dir: Dir): FailedFolder | undefined {
  if (!task.missing || stat(dir, '.acl') === undefined) return undefined;
  const message =
    'The 3.x folder came after upgrade -s had looked for it, and has access rights of its own. Run `upgrade -s` ' +
    'again, which reads them, then the same command.';
  return { kind: 'failed', id: task.id, failure: { code: 'FOLDER_APPEARED', message, where: dir.path } };
}

/** Of a directory without files, or of one that is not there. */
export function emptyScan(): DirectoryScan {
  return {
    count: 0,
    names: new Uint8Array(0),
    nameOffsets: new Uint32Array(1),
    inodes: new BigUint64Array(0),
    sizes: new Float64Array(0),
    mtimes: new BigInt64Array(0),
    modes: new Uint32Array(0),
    uids: new Uint32Array(0),
    nlinks: new Uint32Array(0),
    errors: [],
  };
}

/** What is in a 3.x folder. */
export interface FolderFiles {
  /** undefined: there is none, or nothing has to be asked of it, since its plan is plain and no attempt is on record. */
  readonly index: FolderIndex | undefined;
  readonly scan: DirectoryScan;
}

export interface FoundFolder extends FolderFiles {
  readonly scanMs: number;
  readonly plan: FolderPlan;
}

/** The directory first: threads that help with it (`job`) are not kept waiting by the index. */
export function readFolder(tools: StepTools, task: PrepareFolder, dir: Dir): FoundFolder {
  const { source, engine, context } = tools;
  const beganMs = performance.now();
  const scan = engine.scan(dir.fd, task.job);
  const scanMs = performance.now() - beganMs;
  const plan = planPlain(engine, source, context, task, dir, scan);
  if (plan !== undefined) return { index: undefined, scan, scanMs, plan };
  const index = source.readIndex(dir, context.ownerUid);
  return { index, scan, scanMs, plan: planOf(tools, task, { index, scan }) };
}

function planOf({ context }: StepTools, task: PrepareFolder, { index, scan }: FolderFiles): FolderPlan {
  const { previous, failed, endWithFile } = task;
  const retried = previous === null || failed === null ? null : { previous, failed, endWithFile };
  // Of a folder that came after `-s` the mapping has no more than the time of an `-s`; its header counts, as for `-s`.
  const byHeader = task.missing && index?.header !== undefined;
  const plan = planFolder({
    index,
    scan: retried === null ? scan : withMigrated(scan, retried.previous, retried.failed, context.ownerUid),
    previous: previous ?? undefined,
    chosenUidvalidity: byHeader ? 1 : task.uidvalidity,
    uidvalidityIsFinal: task.uidvalidityChosen && !byHeader,
    published: failed !== null,
    ownerUid: context.ownerUid,
    takeForeign: context.takeForeign,
    now: task.now,
  });
  return retried === null ? plan : withVanished(plan, index, retried.previous, retried);
}

/** With the columns of its plan. */
export interface OpenMove extends Omit<MoveFolder, 'plan'> {
  readonly plan: FolderPlan;
  /** Where they lie. */
  readonly shared: SharedTable;
}

/** Brings the messages of a folder into its mailbox directory, and its index. */
export type Transfer = (tools: StepTools, task: OpenMove, target: Dir) => EngineOutput;

/** What the engine is given for a folder. */
export function inputOf({ context }: StepTools, task: OpenMove, target: Dir, room?: Uint8Array): EngineInput {
  return {
    // Without a 3.x folder there is no message to read; any directory will do.
    sourceFd: task.sourceFd < 0 ? target.fd : task.sourceFd,
    targetFd: target.fd,
    singleFd: task.singleFd,
    uidvalidity: task.plan.uidvalidity,
    uidnext: task.plan.uidnext,
    keywords: task.plan.keywords,
    admin: task.admin,
    messages: task.plan.messages,
    ownerUid: context.ownerUid,
    ownerGid: context.ownerGid,
    setOwner: context.setOwner,
    takeForeign: context.takeForeign,
    job: task.job,
    publishWithFailures: context.publishWithFailures,
    resumed: task.resumed,
    progress: context.progress,
    room,
  };
}

const migrateAll: Transfer = (tools, task, target) => {
  const { shared, plan } = task;
  const room = roomBehind(shared, plan.messages, plan.messages.count * OUTPUT_BYTES);
  return tools.engine.migrate(inputOf(tools, task, target, room));
};

/** The engine leaves alone what the plan refused, and does not know why a file could not be looked at. */
function tellErrnos({ plan }: OpenMove, { errors, errnos }: EngineOutput): void {
  if (plan.errnos.size === 0) return;
  plan.messages.uids.forEach((uid, row) => {
    if (errors[row] !== 0 && errnos[row] === 0) errnos[row] = plan.errnos.get(uid) ?? 0;
  });
}

/**
 * Moves the messages into the mailbox directory: all of them, or with `addMessages` of additions.ts those that a
 * published folder lacks.
 */
export function moveFolder(tools: StepTools, task: MoveFolder, transfer: Transfer = migrateAll): MoveResult {
  const target: Dir = {
    fd: task.targetFd,
    // Of nearly every folder nobody asks for it.
    get path() {
      return placePath(task.target);
    },
  };
  try {
    const move = { ...task, plan: openPlan(task.plan), shared: task.plan.messages };
    const output = transfer(tools, move, target);
    tellErrnos(move, output);
    return { kind: 'moved', id: task.id, output };
  } catch (error) {
    return failed(task.id, error, 'FOLDER_TARGET', target.path, 'target');
  }
}
