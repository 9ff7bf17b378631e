/**
 * The state of one `-m` or `-u` run, shared by the modules that carry it: options, databases, threads,
 * roots, counters, and how a run or a folder fails.
 */
import { closeSync } from 'node:fs';
import { type EngineOutput, PROGRESS, type SharedJobs } from '../engine/types.js';
import { describeError, MailhaulError, systemCause } from '../errors.js';
import { describeHolder, holdersText } from '../fs/holders.js';
import type { Log, LogLevel } from '../log/log.js';
import type { MailboxDatabase } from '../store/types.js';
import type { Crew } from './dispatch.js';
import { keepMemory, type PlanMemory } from './plan-memory.js';
import type { WorkerPool } from './pool.js';
import { addError, type MessagesReport } from './report.js';
import type { Roots } from './roots.js';
import type { FolderFailure, PrepareResult } from './tasks.js';
import type { Troubles } from './trouble.js';
import type { MappingDatabase, MappingFolder } from './types.js';

export interface RunOptions {
  readonly threads: number;
  /** Folders read ahead (`-q`). */
  readonly queue: number;
  /** `-r`. */
  readonly remove: boolean;
  readonly acceptFailures: boolean;
  /** How long folders that other processes hold are waited for without any change, milliseconds. */
  readonly lockWaitMs: number;
}

/** Everything a run works with; opened by session.ts. */
export interface Run {
  readonly options: RunOptions;
  readonly mapping: MappingDatabase;
  readonly mailboxes: MailboxDatabase;
  readonly pool: WorkerPool;
  /** undefined: all of the pool's threads are there. */
  readonly crew?: Crew | undefined;
  /** undefined: a folder is one thread's. */
  readonly jobs: SharedJobs | undefined;
  readonly roots: Roots;
  readonly log: Log;
  readonly report: MessagesReport;
  readonly planMemory: PlanMemory;
  /** PROGRESS slots, shared with the workers. */
  readonly progress: Int32Array;
  /** Ids of folders that `-r` has seen to in this run, whatever stayed of their originals (removal.ts). */
  readonly swept: Set<number>;
  /** Those of them whose originals are all gone, which is not on record yet. */
  readonly removed: Set<number>;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Devices that cannot go on. */
  readonly troubles: Troubles;
  /** Partition path now in force, by partition name. */
  partitionPath(name: string): string;
  /** One line for people, while the run goes on. */
  notice?: (line: string) => void;
  /** Called when nothing is left for a thread; the last folders may still have to be committed. */
  onMoved?: () => void;
  /** Called when a folder is done (published, failed or skipped). */
  onFolder?: (folder: MappingFolder) => void;
}

/** A folder that holds its lock and has a plan. */
export type ReadyFolder = Extract<PrepareResult, { kind: 'ready' }>;

/** A folder that was moved and waits for its group. */
export interface MovedFolder {
  readonly folder: MappingFolder;
  readonly ready: ReadyFolder;
  /** Its name now; not the folder's when it was renamed in 4.x. */
  readonly mailbox: string;
  /** Absolute path of the partition it went to. */
  readonly rootPath: string;
  readonly output: EngineOutput;
}

/** Whether the run takes no new folder: a signal, or trouble of the process or the databases. */
export function halted(run: Run): boolean {
  return run.report.halted !== null;
}

/** Ends the run, whatever is under way: nothing of it could be published. The first cause is kept and logged. */
export function halt(run: Run, code: string, message: string): void {
  Atomics.store(run.progress, PROGRESS.cancel, 1);
  drain(run, code, message);
}

/** Takes no new folder; those under way are finished and published. The first cause is kept and logged. Never throws. */
export function drain(run: Run, code: string, message: string): void {
  if (run.report.halted !== null) return;
  run.report.halted = { code, message };
  try {
    run.log.write('Store', 'Error', `${code}: ${message}`);
  } catch {
    // The full disk that halts the run may hold the log, too; the report has the cause.
  }
}

/** A line that comes while the run goes on, for the log and for people. */
export function tell(run: Run, level: LogLevel, line: string): void {
  run.notice?.(line);
  try {
    run.log.write('Store', level, line);
  } catch (error) {
    drain(run, 'LOG_WRITE', describeError(error));
  }
}

/** Lets go of a folder that goes no further. */
export function release(
  { planMemory }: Pick<Run, 'planMemory'>,
  { sourceFd, lockFd, targetFd, plan }: ReadyFolder,
): void {
  keepMemory(planMemory, plan.messages);
  for (const fd of [targetFd, lockFd, sourceFd]) if (fd >= 0) closeSync(fd);
}

export function failureOf(error: unknown, where: string): FolderFailure {
  return error instanceof MailhaulError
    ? { code: error.code, message: error.message + systemCause(error), where: error.where ?? where }
    : { code: 'FOLDER_FAILED', message: describeError(error), where };
}

export function folderFailed(run: Run, folder: MappingFolder, failure: FolderFailure): void {
  run.report.folders.failed += 1;
  addError(run.report, {
    user: folder.uid,
    folder: folder.legacyName,
    file: '',
    code: failure.code,
    message: located(failure),
  });
  run.log.write('Store', 'Error', `${folder.mailbox}: ${failure.code}: ${failure.message} [${failure.where}]`);
  run.onFolder?.(folder);
}

/** The message with the place it is about, unless it names it already or the place is the folder itself. */
function located({ message, where }: FolderFailure): string {
  return where.startsWith('/') && !message.includes(where) ? `${message} [${where}]` : message;
}

/** An error of a folder that is published all the same. */
export function folderProblem(run: Run, folder: MappingFolder, code: string, message: string): void {
  addError(run.report, { user: folder.uid, folder: folder.legacyName, file: '', code, message });
  run.log.write('Store', 'Error', `${folder.mailbox}: ${code}: ${message}`);
}

/** Held by another process; `outcome` says what that means. */
export function folderBusy(run: Run, folder: MappingFolder, holders: readonly number[], outcome: string): void {
  const message = `The folder is locked by ${holdersText(holders.map(describeHolder))}; ${outcome}. Run again later.`;
  folderFailed(run, folder, { code: 'FOLDER_BUSY', message, where: folder.legacyName });
}

/** Already done, by this or another process. */
export function folderSkipped(run: Run, folder: MappingFolder): void {
  run.report.folders.skipped += 1;
  run.onFolder?.(folder);
}
