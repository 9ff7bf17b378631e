/**
 * `upgrade -m` and `upgrade -u` from the first check to the report: opens the session, holds every root,
 * gives the threads what they need, becomes the server account, migrates, removes (`-r`), tidies up.
 */

import { partitionPaths } from '../config/partition-paths.js';
import { becomeAccount, becomesOther, checkIdentity } from '../config/privileges.js';
import { selectEngine } from '../engine/engines.js';
import { PROGRESS } from '../engine/types.js';
import { describeError, EXIT, MailhaulError, messageOf } from '../errors.js';
import { loadAddon } from '../fs/addon.js';
import { isUsedUp } from '../fs/pace.js';
import type { LogLevel } from '../log/log.js';
import { settleOwners } from './adopt.js';
import { ControlFile } from './control.js';
import { createCrew } from './crew.js';
import { disagreement, stillUnrecorded, unrecorded } from './disagree.js';
import { NO_LIMITS } from './limits.js';
import { migrateFolders } from './messages.js';
import { hasOriginals, needsNoMailbox } from './originals.js';
import type { StartedPool } from './pool.js';
import { type Progress, startProgress } from './progress.js';
import { removePublishedOriginals, settleRemovals } from './removal.js';
import { addError, emptyReport, exitCodeOf, type MessagesReport } from './report.js';
import { closeRoots, emptyRoots, leftoverRoot, openStorePaths, partitionRoot } from './roots.js';
import { devicesOf } from './routes.js';
import { drain, type Run, tell } from './run.js';
import { isDue, mailboxOf, type Selection, selectFolders } from './selection.js';
import { openSession, type Session } from './session.js';
import { threadsFor } from './sharing.js';
import { removeSharedCopies } from './singles.js';
import { checkSpace } from './spaceCheck.js';
import type { FolderFailure, WorkerContext } from './tasks.js';
import { codeForLater } from './thread-code.js';
import { Throttle } from './throttle.js';
import { noteTombstones } from './tombstones.js';
import { addWork, noTroubles, settleTroubles, stopDevice, type Workload } from './trouble.js';
import { isProcessTrouble, troubleOf } from './trouble-kinds.js';
import type { MappingFolder } from './types.js';
import type { MessagesOptions } from './upgradeMessages.js';
import { threadWaits } from './waits.js';
import { buildWorklist, type Worklist } from './worklist.js';

const LOCK_WAIT_MS = 60_000;

/** `upgradeMessages` with threads that may still be loading. They are closed in the end, whatever comes. */
export async function runMessages(options: MessagesOptions, pool: StartedPool): Promise<MessagesReport> {
  const engine = await selectEngine(options.engine);
  loadAddon()?.returnFreedMemory();
  if (options.engine === 'auto' && engine.name === 'portable') {
    options.notice?.('The native addon is not there; the portable engine is used.');
  }
  let control: ControlFile | undefined;
  let loaded: readonly string[] = [];
  const session = await openSession(
    options,
    commandName(options),
    // The databases are opened as the server account, which may not be able to read the code of a thread that loads.
    async () => {
      loaded = await pool.ready();
    },
    ({ lockDir, owner }) => {
      control = new ControlFile(lockDir, owner.uid);
    },
  );
  const { instance } = session;
  const throttle = new Throttle(options.limits ?? NO_LIMITS);
  const progress = new Int32Array(new SharedArrayBuffer(64));
  const report = emptyReport(engine.name);
  const startedMs = performance.now();
  const roots = emptyRoots();
  let begun = false;
  let shown: Progress | undefined;
  try {
    checkIdentity(instance.account, instance.account.user);
    const selection = selectFolders(session.mapping, session.workDir, options);
    reportSelection(session, report, selection);
    const pathOf = partitionPaths(instance);
    const scope = scopeOf(session, selection, report, options.remove, pathOf);
    const partitionPath = (name: string): string => pathOf(name) ?? withoutPath(name);
    const unopened = openStorePaths(roots, scope.storePaths);
    const early = [...unopened].map(([path, trouble]) => ({ path, trouble }));
    for (const { name, recorded, storePaths } of scope.partitions) {
      // Nothing can come to it: often it lies in the store path that is not there.
      if (storePaths.size > 0 && [...storePaths].every((storePath) => unopened.has(storePath))) continue;
      const path = recorded ?? partitionPath(name);
      try {
        partitionRoot(roots, name, path, instance.owner);
      } catch (error) {
        // Too full for the registry's directory: the others go on.
        const trouble = troubleOf(error, 'target');
        if (trouble === undefined || isProcessTrouble(trouble.errno)) throw error;
        early.push({ path, trouble });
      }
    }
    for (const [path, name] of scope.finished) leftoverRoot(roots, name, path, instance.owner);
    // A thread costs 60 ms of processor time to start: no more of them than folders, or slices of giant ones, can use.
    const folders = scope.list.ids.length + scope.all.length;
    const slices = engine.jobs === undefined ? 1 : threadsFor(scope.totals.messages);
    const threads = Math.min(options.threads, folders === 0 ? 0 : folders - 1 + slices);
    const becomes = !options.takeForeign && becomesOther(instance.account);
    const later = threads > pool.size ? codeForLater(loaded, becomes ? instance.account : undefined) : undefined;
    begun = true;
    // One for each device at once, others when they are of use; all at once where the server account cannot read the code.
    pool.growTo(later === undefined ? threads : Math.min(threads, devicesOf(roots).size));
    const { uid: ownerUid, gid: ownerGid } = instance.owner;
    const context: WorkerContext = {
      engine: engine.name,
      progress,
      pace: throttle.pace,
      ownerUid,
      ownerGid,
      setOwner: process.geteuid?.() === 0,
      takeForeign: options.takeForeign,
      publishWithFailures: options.acceptFailures,
    };
    await pool.begin(context, scope.additions);
    await settleOwners(session, roots, scope.list.ids, { takeForeign: options.takeForeign, partitionPath });
    if (!options.takeForeign) becomeAccount(instance.account);
    shown = startProgress(scope.totals, progress, options.progressOutput, undefined, () => throttle.text());
    const run: Run = {
      options: {
        threads: Math.max(1, threads),
        queue: options.queue,
        remove: options.remove,
        acceptFailures: options.acceptFailures,
        lockWaitMs: options.lockWaitMs ?? LOCK_WAIT_MS,
      },
      mapping: session.mapping,
      mailboxes: session.mailboxes,
      pool,
      crew:
        later &&
        createCrew(pool, {
          most: Math.max(1, threads),
          code: later,
          waits: threadWaits(() => isUsedUp(throttle.pace)),
          failed: (error) => tell(run, 'Warning', `No further thread can be started: ${messageOf(error)}`),
        }),
      jobs: engine.jobs,
      planMemory: [],
      roots,
      log: session.log,
      report,
      progress,
      ...(options.notice === undefined ? {} : { notice: options.notice }),
      swept: new Set(),
      removed: new Set(),
      troubles: noTroubles(scope.work),
      owner: instance.owner,
      partitionPath,
      // While the disk is waited for.
      onMoved: () => void pool.close().catch(() => {}),
      onFolder: (folder) => shown?.folderDone(folder.partition),
    };
    options.onStart?.({
      stop: (reason) => drain(run, 'RUN_STOPPED', reason),
      stopAtOnce: () => Atomics.store(progress, PROGRESS.cancel, 1),
      progressLine: () => shown?.line() ?? '',
    });
    const limits = throttle.text() === '' ? '' : `, ${throttle.text()}`;
    session.log.write('Store', 'Notice', startLine(run, options, engine.name, threads, scope.list.ids.length) + limits);
    if (control !== undefined) throttle.watch(control, (level, line) => tell(run, level, line));
    for (const { path, trouble } of early) stopDevice(run, path, trouble);
    await noteTombstones(run.mapping, scope.untold);
    if (await checkSpace(run, scope.list)) {
      await migrateFolders(run, scope.list);
      if (options.remove && report.halted === null) await removePublishedOriginals(run, scope.all);
      await settleRemovals(run);
    }
    if (report.halted === null && run.troubles.stopped.length === 0) removeSharedCopies(run);
    settleTroubles(run);
  } catch (error) {
    if (error instanceof MailhaulError && !begun) {
      session.log.write('Store', 'Error', `${commandName(options)} refused: ${describeError(error)}`);
      throw error;
    }
    const code = error instanceof MailhaulError ? error.code : 'RUN_HALTED';
    report.halted ??= { code, message: describeError(error) };
    Atomics.store(progress, PROGRESS.cancel, 1);
  } finally {
    shown?.stop();
    throttle.stop();
    report.throttle = throttle.report();
    report.threads = pool.size;
    await pool.close();
    closeRoots(roots);
    if (report.halted !== null && options.commandLine !== undefined) report.halted.resume = options.commandLine;
    report.seconds = Math.round(performance.now() - startedMs) / 1000;
    if (begun) logEnd(session, report);
    await session.close();
  }
  return report;
}

interface Scope {
  /** What is due. Its places are numbers of `work`. */
  readonly list: Worklist;
  /** All ids in scope, for late removal. */
  readonly all: readonly number[];
  /** Published folders that the mapping does not show as migrated yet. */
  readonly untold: readonly number[];
  readonly partitions: readonly NeededPartition[];
  /** Names of the partitions that hold published folders, by path. */
  readonly finished: ReadonlyMap<string, string>;
  readonly storePaths: ReadonlySet<string>;
  /** Some of them are published and lack messages. */
  readonly additions: boolean;
  /** What is due, by store path and partition path. */
  readonly work: Map<string, Workload>;
  readonly totals: Parameters<typeof startProgress>[0];
}

interface NeededPartition {
  readonly name: string;
  /** Root of the folders that are due; undefined: the path in force. */
  readonly recorded: string | undefined;
  /** Where these folders come from. */
  readonly storePaths: Set<string>;
}

/** Goes over the folders in scope once: what is due, and which roots it needs. */
function scopeOf(
  session: Session,
  selection: Selection,
  report: MessagesReport,
  remove: boolean,
  pathOf: (partition: string) => string | undefined,
): Scope {
  const { mapping, mailboxes } = session;
  const all: number[] = [];
  const untold: number[] = [];
  const partitions = new Map<string, NeededPartition>();
  const finished = new Map<string, string>();
  const storePaths = new Set<string>();
  const folderCountByPartition = new Map<string, number>();
  const storePathOf = new Map<string, string>();
  const work = new Map<string, Workload>();
  const withoutAttempt: MappingFolder[] = [];
  let additions = false;
  for (const user of mapping.users()) storePathOf.set(user.uid, user.storePath);
  const take = (folder: MappingFolder): boolean => {
    if (folder.attempts === 0 && mailboxes.wasPublished(folder.id)) {
      withoutAttempt.push(folder);
      return false;
    }
    const due = isDue(mapping, mailboxes, folder);
    const removalDue = remove && !folder.sourcesRemoved && hasOriginals(mapping, folder);
    if (mailboxes.wasPublished(folder.id)) {
      if (!due && !folder.migrated) untold.push(folder.id);
      if (due) additions = true;
      else if (mailboxOf(mailboxes, folder) !== undefined || !failuresStay(session, report, folder)) {
        report.folders.skipped += 1;
      }
      if (folder.root !== null) finished.set(folder.root, folder.partition);
    } else if (!due && !needsNoMailbox(mapping, mailboxes, folder)) {
      withoutMailbox(session, report, folder);
    }
    if (removalDue) all.push(folder.id);
    if (due || removalDue) {
      const key = `${folder.partition}\n${folder.root ?? ''}`;
      const needed = partitions.get(key) ?? {
        name: folder.partition,
        recorded: folder.root ?? undefined,
        storePaths: new Set(),
      };
      partitions.set(key, needed);
      const storePath = storePathOf.get(folder.uid);
      if (storePath !== undefined) storePaths.add(storePath);
      if (storePath !== undefined) needed.storePaths.add(storePath);
    }
    return due;
  };
  const worklist = buildWorklist(selection.folders(), take, (folder) => {
    folderCountByPartition.set(folder.partition, (folderCountByPartition.get(folder.partition) ?? 0) + 1);
    return addWork(work, storePathOf.get(folder.uid) ?? '', folder.root ?? pathOf(folder.partition) ?? '', folder);
  });
  const lost = stillUnrecorded(mapping, withoutAttempt);
  for (const folder of lost) cannotBegin(session, report, folder, unrecorded(folder));
  report.folders.skipped += withoutAttempt.length - lost.length;
  return {
    list: worklist,
    all,
    untold,
    partitions: [...partitions.values()],
    finished,
    storePaths,
    additions,
    work,
    totals: { folders: worklist.ids.length, messages: worklist.estimatedMessages, folderCountByPartition },
  };
}

/**
 * The mailbox was deleted in 4.x. Messages of it that failed stay in 3.x, listed and on record (4x-store.md,
 * promise 4), and nothing brings them into 4.x any more. False when there are none.
 */
function failuresStay(session: Session, report: MessagesReport, folder: MappingFolder): boolean {
  const failures = folder.sourcesRemoved ? [] : session.mapping.failures(folder.id);
  if (failures.length === 0) return false;
  const code = 'MAILBOX_DELETED';
  const message = 'The mailbox was deleted in 4.x. Those of its messages that had failed stay in 3.x, on record.';
  report.folders.failed += 1;
  report.messages.failed += failures.length;
  addError(report, { user: folder.uid, folder: folder.legacyName, file: '', code, message });
  session.log.write('Store', 'Error', `${folder.mailbox}: ${code}: ${message}`);
  for (const failure of failures) {
    const { file } = failure;
    addError(report, {
      user: folder.uid,
      folder: folder.legacyName,
      file,
      code: failure.code,
      message: failure.message,
    });
    session.log.write('Store', 'Error', `${folder.mailbox}: ${failure.code}: ${failure.message} [${file}]`);
  }
  return true;
}

/** A folder that was never published and is in no mailbox database: its mail would stay behind unnoticed. */
function withoutMailbox(session: Session, report: MessagesReport, folder: MappingFolder): void {
  const missing = {
    code: 'MAILBOX_MISSING',
    message: 'The mailbox database has no entry of this folder. Run `upgrade -s` again, which makes it.',
  };
  cannotBegin(session, report, folder, disagreement(session.mapping.folder(folder.id), undefined) ?? missing);
}

function cannotBegin(
  session: Session,
  report: MessagesReport,
  folder: MappingFolder,
  { code, message }: Pick<FolderFailure, 'code' | 'message'>,
): void {
  report.folders.failed += 1;
  addError(report, { user: folder.uid, folder: folder.legacyName, file: '', code, message });
  session.log.write('Store', 'Error', `${folder.mailbox}: ${code}: ${message}`);
}

function withoutPath(partition: string): never {
  throw new MailhaulError('PARTITION_PATH', `The path of partition ${partition} is not set.`, {
    where: `store.partition.${partition}.path`,
    hint: 'Set it with configutil, or run `upgrade -s` again.',
  });
}

function reportSelection(session: Session, report: MessagesReport, selection: Selection): void {
  for (const { user, folder, file, code, message } of selection.problems) {
    addError(report, { user, folder, file, code, message });
    session.log.write('Store', 'Error', `${code}: ${folder === '' ? '' : `${folder}: `}${message}`);
  }
  report.errorsNotListed += selection.problemsNotListed;
  for (const { code, message } of selection.warnings) {
    report.warnings += 1;
    session.log.write('Store', 'Warning', `${code}: ${message}`);
  }
}

function commandName(options: MessagesOptions): string {
  return options.userLists === undefined ? 'upgrade -m' : 'upgrade -u';
}

function startLine({ crew }: Run, options: MessagesOptions, engine: string, threads: number, folders: number): string {
  const removing = options.remove ? ', removing originals' : '';
  const further = crew !== undefined && crew.size < threads ? `${crew.size} to ` : '';
  return `${commandName(options)}: ${folders} folders, ${further}${threads} threads, ${engine} engine${removing}`;
}

function logEnd(session: Session, report: MessagesReport): void {
  const { folders, messages } = report;
  const level: LogLevel = exitCodeOf(report) === EXIT.ok ? 'Notice' : 'Error';
  const halted = report.halted === null ? 'finished' : `halted (${report.halted.code})`;
  const counts =
    `folders ${folders.done} done, ${folders.skipped} skipped, ${folders.failed} failed; ` +
    `messages ${messages.done} done, ${messages.failed} failed; ${report.bytes} bytes in ${report.seconds} s`;
  try {
    session.log.write('Store', level, `upgrade ${halted}: ${counts}`);
  } catch (error) {
    // What was done is done and has to be told, also where the log is full.
    report.halted ??= { code: 'LOG_WRITE', message: `The log cannot be written: ${describeError(error)}` };
  }
}
