/**
 * A batch of folders on its way to the committer: prepare, still TRANSITION?, record durable, move
 * (design.md, "One folder, in order", steps 1 to 4). Whatever happens, a folder ends in exactly one place:
 * handed to the committer, set aside, reported as failed, skipped, or let go because the run halts.
 */
import { type EngineOutput, isDeviceError, isTargetError, MESSAGE_ERRORS, METHOD } from '../engine/types.js';
import { errnoName } from '../errors.js';
import { statOpenExactly } from '../fs/descriptor.js';
import { encodeAdminRecord } from '../store/adminRecord.js';
import type { MailboxRecord, NameChange } from '../store/types.js';
import type { Committer } from './committer.js';
import { disagreement } from './disagree.js';
import type { Lane } from './dispatch.js';
import { isDisplaced, settleDisplaced } from './displaced.js';
import { EMPTIED_CODES } from './emptied.js';
import { failuresToAdd, sameUids } from './failures.js';
import { type FolderPlaces, placesOf, prepareTaskOf } from './folder-places.js';
import type { Postponed } from './messages.js';
import { bytesOf, recordOf } from './plan.js';
import { takeMemory } from './plan-memory.js';
import {
  failureOf,
  folderFailed,
  folderSkipped,
  halt,
  halted,
  type MovedFolder,
  type ReadyFolder,
  type Run,
  release,
} from './run.js';
import type { Amount } from './schedule-types.js';
import { isDueIn, mailboxOf, storePathOf } from './selection.js';
import { columnBytes, openPlan } from './shared.js';
import { runShared } from './sharing.js';
import type { FailedFolder, MoveFolder, PrepareFolder, Trouble } from './tasks.js';
import {
  countUnreadable,
  isPathStopped,
  isStopped,
  messagesReadable,
  sourceStrike,
  sourceWorks,
  stopDevice,
} from './trouble.js';
import { isProcessTrouble } from './trouble-kinds.js';
import type { MappingFolder, MappingUser, MessageFailure, MigrationRecord } from './types.js';
import { estimateMessages } from './worklist.js';

/** Makes migration records durable; many batches share one transaction. */
export type RecordWriter = (items: readonly RecordItem[]) => Promise<void>;

export interface RecordItem {
  readonly folder: MappingFolder;
  readonly record: MigrationRecord;
  /** Of a published folder: what is to be added counts as failed, under the uid it will have, until it is in. */
  readonly failures: readonly MessageFailure[] | null;
}

interface PreparedFolder {
  readonly folder: MappingFolder;
  readonly ready: ReadyFolder;
  readonly record: MigrationRecord;
  readonly move: MoveFolder;
  readonly failures: readonly MessageFailure[] | null;
  readonly mailbox: string;
  readonly rootPath: string;
  readonly storePath: string;
}

/**
 * Done by somebody else, reported as failed, or `stale`: another process had it between our look at the record and the
 * lock, so the plan rests on an old record; it is planned again.
 */
type NotPrepared = 'skipped' | 'stale' | 'failed';

export async function processBatch(
  run: Run,
  batch: readonly MappingFolder[],
  lane: Lane,
  postponed: Postponed,
  records: RecordWriter,
  committer: Committer<MovedFolder>,
): Promise<Amount> {
  const amount = { messages: 0, bytes: 0 };
  const prepared = await prepare(run, batch, lane, postponed);
  if (prepared.length === 0) return amount;
  const held = new Set(prepared);
  try {
    // Nothing of these is begun: when the run ends meanwhile they are let go.
    if (halted(run)) return amount;
    await records(prepared.map(({ folder, record, failures }) => ({ folder, record, failures })));
    const messages = prepared.reduce((sum, { record }) => sum + record.count, 0);
    const results = await runShared(run, lane, 'move', messages, (job) =>
      runIfAny(
        run,
        prepared,
        (entry) => entry.folder,
        (entries) => run.pool.run({ kind: 'move', folders: entries.map(({ move }) => ({ ...move, job })) }),
      ),
    );
    const byId = new Map(prepared.map((entry) => [entry.folder.id, entry]));
    const moved: MovedFolder[] = [];
    const handedOver: PreparedFolder[] = [];
    for (const result of results) {
      const entry = byId.get(result.id);
      if (entry === undefined) continue;
      const { folder, rootPath, ready } = entry;
      if (result.kind === 'failed') {
        folderStops(run, folder, rootPath, result);
      } else if (result.output.halt !== null) {
        engineHalted(run, folder, rootPath, result.output.halt);
      } else if (!result.output.stopped && isReadable(run, entry, result.output)) {
        handedOver.push(entry);
        moved.push({ folder, ready, mailbox: entry.mailbox, rootPath, output: result.output });
        amount.messages += result.output.methods.length;
        amount.bytes += result.output.bytes;
      }
    }
    // From here on they are the committer's, whatever becomes of them.
    for (const entry of handedOver) held.delete(entry);
    await committer.add(moved);
    return amount;
  } finally {
    for (const entry of held) release(run, entry.ready);
  }
}

/**
 * What a batch does when it has its thread, which may be long after it asked for one: nothing, when the run has been
 * stopped, and without the folders of a device that was.
 */
async function runIfAny<T, R>(
  run: Run,
  items: readonly T[],
  folderOf: (item: T) => MappingFolder | undefined,
  task: (items: readonly T[]) => Promise<R[]>,
): Promise<R[]> {
  if (halted(run)) return [];
  const going = items.filter((item) => {
    const folder = folderOf(item);
    return folder !== undefined && !isStopped(run, folder);
  });
  return going.length === 0 ? [] : await task(going);
}

/** Locks, reads and plans the batch; returns the folders that go on, each holding its lock. */
async function prepare(
  run: Run,
  batch: readonly MappingFolder[],
  lane: Lane,
  postponed: Postponed,
): Promise<PreparedFolder[]> {
  const known = new Map<number, { folder: MappingFolder; places: FolderPlaces; failed: Uint32Array | null }>();
  const tasks: PrepareFolder[] = [];
  const changesBefore = [...run.mailboxes.nameChanges()];
  for (const folder of batch) {
    if (isDisplaced(changesBefore, run, folder)) {
      const left = await settleDisplaced(run, folder);
      if (left === 'failed') continue;
      if (left !== undefined) {
        postponed.set(folder.id, left);
        continue;
      }
    }
    try {
      const places = placesOf(run, folder);
      const memory = takeMemory(run.planMemory, columnBytes(folder.indexBytes));
      const task = prepareTaskOf(run, folder, places, memory);
      tasks.push(task);
      known.set(folder.id, { folder, places, failed: task.failed });
    } catch (error) {
      folderFailed(run, folder, failureOf(error, folder.mailbox));
    }
  }
  const estimate = batch.reduce((sum, folder) => sum + estimateMessages(folder), 0);
  const results = await runShared(run, lane, 'prepare', estimate, (job) =>
    runIfAny(
      run,
      tasks,
      (task) => known.get(task.id)?.folder,
      (folders) => run.pool.run({ kind: 'prepare', folders: folders.map((task) => ({ ...task, job })) }),
    ),
  );
  const held = new Set(results.filter((result) => result.kind === 'ready'));
  const prepared: PreparedFolder[] = [];
  try {
    // The locks are ours now: what another process published before it let go must be seen.
    run.mailboxes.refresh();
    run.mapping.refresh();
    const changes = [...run.mailboxes.nameChanges()];
    for (const result of results) {
      const entry = known.get(result.id);
      if (entry === undefined) continue;
      const { folder, places, failed } = entry;
      let outcome: PreparedFolder | NotPrepared;
      if (result.kind === 'busy') {
        postponed.set(folder.id, result.holders);
        continue;
      }
      if (result.kind === 'ready') {
        sourceWorks(run, places.user.storePath);
        outcome = accept(run, folder, places, result, failed, changes);
      } else if (EMPTIED_CODES.includes(result.failure.code)) {
        outcome = emptied(run, folder, result);
      } else {
        folderStops(run, folder, places.rootPath, result);
        continue;
      }
      if (outcome === 'skipped') folderSkipped(run, folder);
      else if (outcome === 'stale') postponed.set(folder.id, []);
      else if (outcome !== 'failed') prepared.push(outcome);
    }
    for (const { ready } of prepared) held.delete(ready);
    return prepared;
  } finally {
    for (const ready of held) release(run, ready);
  }
}

/**
 * A folder that is not what its databases said: another process has had it since, or they do not fit each other, which
 * tells more. Nobody publishes it from then on, or it is planned again: it does not matter that the lock is gone.
 */
function emptied(run: Run, folder: MappingFolder, { failure }: FailedFolder): NotPrepared {
  try {
    const now = run.mapping.folder(folder.id);
    const mailbox = mailboxToFill(run, folder, now);
    if (typeof mailbox === 'string') return mailbox;
    if (mailbox.state !== 'TRANSITION' || hasNewAttempt(folder, now)) return 'stale';
    folderFailed(run, folder, failure);
  } catch (error) {
    folderFailed(run, folder, failureOf(error, folder.mailbox));
  }
  return 'failed';
}

/** The mailbox of a folder that is still to be done; the mapping has the folder as `now`. `failed` is reported. */
function mailboxToFill(
  run: Run,
  folder: MappingFolder,
  now: MappingFolder | undefined,
): MailboxRecord | 'skipped' | 'failed' {
  const mailbox = mailboxOf(run.mailboxes, folder);
  if (mailbox === undefined || !isDueIn(mailbox, run.mapping, run.mailboxes, folder)) return 'skipped';
  const disagrees = disagreement(now, mailbox);
  if (disagrees === undefined) return mailbox;
  folderFailed(run, folder, disagrees);
  return 'failed';
}

/** Another process has made a record since the one that the plan rests on. */
function hasNewAttempt({ attempts }: MappingFolder, now: MappingFolder | undefined): boolean {
  return now?.attempts !== attempts;
}

/** What becomes of a folder that holds its lock. */
function accept(
  run: Run,
  folder: MappingFolder,
  places: FolderPlaces,
  ready: ReadyFolder,
  failed: Uint32Array | null,
  changes: readonly NameChange[],
): PreparedFolder | NotPrepared {
  let admin: Uint8Array;
  let failures: MessageFailure[] | null = null;
  const { plan, additions } = ready;
  const opened = openPlan(plan);
  const record = recordOf(opened);
  try {
    const now = run.mapping.folder(folder.id);
    const mailbox = mailboxToFill(run, folder, now);
    if (typeof mailbox === 'string') return mailbox;
    if (hasNewAttempt(folder, now) || mailbox.name !== places.mailbox) return 'stale';
    if ((mailbox.state === 'NON-TRANSITION') !== (additions !== null) || isDisplaced(changes, run, folder))
      return 'stale';
    if (additions !== null) {
      const recorded = run.mapping.failures(folder.id);
      if (!sameUids(recorded, failed)) return 'stale';
      failures = failuresToAdd(opened, additions, recorded);
    }
    admin = adminOf(places.user, mailbox);
  } catch (error) {
    folderFailed(run, folder, failureOf(error, folder.mailbox));
    return 'failed';
  }
  for (const warning of plan.warnings) {
    run.report.warnings += 1;
    run.log.write('Store', 'Warning', `${folder.mailbox}: ${warning.code}: ${warning.message} [${warning.where}]`);
  }
  run.troubles.planned.messages += record.count;
  run.troubles.planned.bytes += bytesOf(record);
  return {
    // The root and the attempt are part of what is made durable before the first link.
    folder: {
      ...folder,
      ...(folder.missing && ready.sourceFd >= 0 ? foundNow(folder, ready) : {}),
      root: places.rootPath,
      attempts: folder.attempts + 1,
      ...(additions === null ? {} : { retrying: true }),
    },
    ready,
    record,
    failures,
    mailbox: places.mailbox,
    rootPath: places.rootPath,
    storePath: places.user.storePath,
    move: {
      id: folder.id,
      job: 0,
      sourceFd: ready.sourceFd,
      targetFd: ready.targetFd,
      target: places.target,
      singleFd: places.singleFd,
      plan,
      admin,
      resumed: folder.attempts > 0,
      additions,
    },
  };
}

/**
 * What the mapping has of a folder that `-s` found, of one that came after it: without it `-r`, `--reset` and `-s` would
 * go on as if it had never been. Its uidvalidity is the one of `-s` where it has no header of its own (steps.ts).
 */
function foundNow(
  { uidvalidity }: MappingFolder,
  { sourceFd, plan }: ReadyFolder,
): Pick<MappingFolder, 'missing' | 'inode' | 'uidvalidity' | 'uidvalidityChosen'> {
  const inode = String(statOpenExactly(sourceFd).ino);
  const uidvalidityChosen = plan.uidvalidity === uidvalidity;
  return { missing: false, inode, uidvalidity: plan.uidvalidity, uidvalidityChosen };
}

function adminOf({ quota }: MappingUser, mailbox: MailboxRecord): Uint8Array {
  const { name, legacyName, owner, partition, acl } = mailbox;
  return encodeAdminRecord({ mailbox: name, legacyName, owner, partition, acl, quota });
}

/** A folder that failed as a whole: alone, or because of its device or the process. */
export function folderStops(
  run: Run,
  folder: MappingFolder,
  rootPath: string,
  { failure, trouble }: Pick<FailedFolder, 'failure' | 'trouble'>,
): void {
  if (trouble === undefined) folderFailed(run, folder, failure);
  else if (isProcessTrouble(trouble.errno)) processHalts(run, trouble, failure.where);
  else if (trouble.side === 'target') stopDevice(run, rootPath, trouble);
  else sourceStrike(run, storePathOf(run.mapping, folder), { folder, failure }, trouble);
}

function processHalts(run: Run, { errno, call }: Pick<Trouble, 'errno' | 'call'>, where: string): void {
  const advice =
    errnoName(errno) === 'ENOMEM'
      ? 'Free memory, or use fewer threads (-t)'
      : 'Raise the limit of open files (ulimit -n, fs.file-max), or use fewer threads (-t) and a shorter queue (-q)';
  halt(run, 'PROCESS_HALT', `${call} failed with ${errnoName(errno)} at ${where}. Nothing was lost. ${advice}.`);
}

function engineHalted(run: Run, folder: MappingFolder, rootPath: string, trouble: Trouble): void {
  const { errno, call, side } = trouble;
  if (isProcessTrouble(errno)) processHalts(run, trouble, folder.mailbox);
  else if (side === 'source') stopDevice(run, storePathOf(run.mapping, folder), trouble, 1);
  else if (isTargetError(errno)) stopDevice(run, rootPath, trouble);
  else {
    const message = `The 4.x mailbox directory cannot be completed: ${call} failed with ${errnoName(errno)}.`;
    folderFailed(run, folder, { code: 'FOLDER_TARGET', message, where: folder.mailbox });
  }
}

/**
 * Whether the folder goes on to be published. One whose disk is dead does not: its messages are not failures of their
 * own. A first folder without one readable message counts as a strike against its disk, and goes on.
 */
function isReadable(run: Run, { storePath, ready }: PreparedFolder, output: EngineOutput): boolean {
  const { methods } = output;
  const errno = deviceErrnoOf(output);
  if (errno === 0) {
    if (methods.length > 0) messagesReadable(run, storePath);
    return true;
  }
  if (isPathStopped(run, 'source', storePath)) return false;
  if (ready.sourceFd < 0 || methods.some((method) => method !== METHOD.failed)) return true;
  return countUnreadable(run, storePath, { side: 'source', errno, call: 'read' });
}

const UNREADABLE = MESSAGE_ERRORS.indexOf('MSG_UNREADABLE');

/** Of the first message that the 3.x disk could not read; 0: there is none. Other failures are those of 4.x. */
function deviceErrnoOf({ errors, errnos }: EngineOutput): number {
  for (let i = 0; i < errors.length; i++) {
    if (errors[i] === UNREADABLE && isDeviceError(errnos[i]!)) return errnos[i]!;
  }
  return 0;
}
