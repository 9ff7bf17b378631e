/**
 * `upgrade --reset`: back to a store as it was before the first `upgrade -s` (the guide, "Upgrade Failed or Was Halted
 * Before Completion"), without losing a message.
 *
 *     survey     writes nothing; everything in 4.x that 3.x has not, and that cannot go back, is refused by name
 *     ask        what will be done is listed
 *     mark       the mapping database: a reset is under way; `-s`, `-m`, `-u`, --verify and services refuse from here on
 *     restore    messages that are in 4.x only get their 3.x names again; all file systems synced; marked
 *     remove     4.x files and directories of all partitions; synced
 *     forget     mailbox databases, lists, markers, lock file, and as the very last the mapping database
 *
 * Invariant: a 4.x name goes only after the message's 3.x name is durable. Stopped anywhere, `--reset` is run again:
 * it begins with the survey, and what is done already is found done.
 */
import { STORE_LOCK_FILE } from '../config/store-lock.js';
import { selectEngine } from '../engine/engines.js';
import { describeError, EXIT, hasErrno, MailhaulError } from '../errors.js';
import { closeDir, type Dir, displayPath, fstat } from '../fs/dir.js';
import { syncFileSystem } from '../fs/syncfs.js';
import { walk } from '../fs/walk.js';
import type { Log } from '../log/log.js';
import { nsms3 } from '../source/nsms3/source.js';
import { loadDigest } from '../store/digest.js';
import { beginStep, heldRoot, isAttempted, type ResetContext } from './reset/context.js';
import { removeFirstFiles, removeLastFiles, surveyFiles } from './reset/files.js';
import { completeInstance, openResetSite, type ResetSite } from './reset/open.js';
import { withFolder } from './reset/opened.js';
import { collectRefusals } from './reset/refusals.js';
import { type Removal, removePartition, removeUser } from './reset/remove.js';
import { restoreFolder } from './reset/restore.js';
import { openRegistry, registerOriginals, removeRegistry, type SharedOriginals } from './reset/shared.js';
import { type Survey, surveyStore } from './reset/survey.js';
import { betweenFolders } from './reset/turns.js';
import type { ResetProgress, ResetReport } from './reset/types.js';
import { storePathOf } from './selection.js';
import type { SessionOptions } from './session.js';
import type { ResetStage } from './types.js';

export type { Refusal, RefusalCode, ResetOutcome, ResetProgress, ResetReport, ResetStep } from './reset/types.js';

export interface ResetOptions extends Omit<SessionOptions, 'readOnly'> {
  /** Ends after the survey. */
  readonly dryRun?: boolean | undefined;
  /** Asked once, with the plan; `nobody`: there was nobody to ask. Not asked when something is refused. */
  readonly confirm: (plan: ResetReport) => 'yes' | 'no' | 'nobody' | Promise<'yes' | 'no' | 'nobody'>;
  /** Started as root, become the server account before mail is looked at. The process stays so: for commands. */
  readonly becomeServerAccount?: boolean | undefined;
  /** Stops between two folders (exit 4). */
  readonly signal?: AbortSignal | undefined;
  /** Told once, with what says how far the reset is. */
  readonly onStart?: ((progress: () => ResetProgress) => void) | undefined;
  /** What the report tells people to run after a halt. */
  readonly commandLine?: string | undefined;
}

/**
 * Resets an instance. What is refused is in the report (exit 3), and then nothing was changed; a reset that is stopped
 * says in it what it did and why it halted (exit 4).
 *
 * @throws MailhaulError: exit 2 or 3 before anything was changed
 */
export async function resetStore(options: ResetOptions): Promise<ResetReport> {
  await loadDigest();
  const started = performance.now();
  const engine = await selectEngine('auto');
  const site = await openResetSite({ ...options, dryRun: options.dryRun === true });
  try {
    const report = emptyReport(site, options);
    const context: ResetContext = {
      mapping: site.mapping,
      mailboxes: site.mailboxes,
      stage: site.mapping?.meta()?.reset,
      owner: site.instance.owner,
      engine,
      source: nsms3,
      report,
      progress: { step: 'survey', folders: 0, foldersInAll: 0 },
      refusals: collectRefusals(report),
      roots: site.roots,
      mounted: new Map(),
      sharing: new Set(),
      signal: options.signal,
      partitionPath: site.partitionPath,
      wanted: site.wanted,
    };
    options.onStart?.(() => progressOf(context));
    try {
      await run(context, site, options);
    } catch (error) {
      noteHalt(error, report, site.log, options.commandLine);
    } finally {
      for (const dir of context.mounted.values()) closeDir(dir);
    }
    report.seconds = Math.round(performance.now() - started) / 1000;
    return report;
  } finally {
    await site.close();
  }
}

function emptyReport(site: ResetSite, options: ResetOptions): ResetReport {
  return {
    exitCode: EXIT.ok,
    outcome: 'nothing',
    dryRun: options.dryRun === true,
    resumed: site.mapping?.meta()?.reset !== undefined,
    instance: site.instance.path,
    folders: 0,
    partitions: [],
    restore: { messages: 0, rewritten: 0, copied: 0, lines: 0, stores: [] },
    done: { restored: 0, removed: 0 },
    halted: null,
    files: [],
    refusals: [],
    refusalsNotListed: 0,
    notes: [],
    notesNotListed: 0,
    seconds: 0,
  };
}

function progressOf({ progress, report: { done, restore } }: ResetContext): ResetProgress {
  return { ...progress, restored: done.restored, restoreInAll: restore.messages, removed: done.removed };
}

async function run(context: ResetContext, site: ResetSite, options: ResetOptions): Promise<void> {
  const { report, refusals } = context;
  const survey = await surveyStore(context);
  report.files.push(...surveyFiles(site.places, refusals));
  const end = (outcome: ResetReport['outcome'], exitCode: ResetReport['exitCode']): void => {
    report.outcome = outcome;
    report.exitCode = exitCode;
  };
  if (refusals.count > 0) {
    logRefusals(site.log, report);
    return end('refused', EXIT.refused);
  }
  const idle = report.files.length === 0 && report.folders === 0 && site.mapping === undefined;
  if (idle && site.instance.mboxlist !== undefined) return end('nothing', EXIT.ok);
  report.files.push(displayPath(site.places.lockDir, STORE_LOCK_FILE));
  if (options.dryRun === true) return end('planned', EXIT.ok);
  const answer = await options.confirm(report);
  // Before anything is marked: what stopped while it asked is no reset that must be gone on with.
  await betweenFolders(context);
  if (answer !== 'yes') return end(answer === 'no' ? 'declined' : 'unconfirmed', EXIT.refused);
  try {
    await carryOut(context, site, survey);
  } catch (error) {
    throw asHalt(error);
  }
  end('done', EXIT.ok);
}

/** Puts a halt on the report; throws every other error. */
function noteHalt(error: unknown, report: ResetReport, log: Log, commandLine: string | undefined): void {
  if (!(error instanceof MailhaulError) || error.exit !== EXIT.halted) throw error;
  report.outcome = 'halted';
  report.exitCode = EXIT.halted;
  report.halted = { code: error.code, message: describeError(error) };
  if (commandLine !== undefined) report.halted.resume = commandLine;
  try {
    log.write('Store', 'Error', `upgrade --reset halted: ${report.halted.message}`);
  } catch {
    // The disk of the log may be the one that is full; the report says the same.
  }
}

function logRefusals(log: Log, { refusals, refusalsNotListed }: ResetReport): void {
  for (const { code, user, mailbox, uid, where, message } of refusals) {
    const about = [mailbox === '' ? user : mailbox, uid === null ? '' : `uid ${uid}`].filter((part) => part !== '');
    log.write('Store', 'Error', `upgrade --reset refused: ${[...about, code].join(', ')}: ${message} [${where}]`);
  }
  if (refusalsNotListed > 0) log.write('Store', 'Error', `upgrade --reset refused: ${refusalsNotListed} more reasons`);
}

async function carryOut(context: ResetContext, site: ResetSite, survey: Survey): Promise<void> {
  const { report } = context;
  const { restore } = report;
  site.log.write(
    'Store',
    'Notice',
    `upgrade --reset began: ${report.folders} folders, ${restore.messages} messages go back to 3.x ` +
      `(${restore.rewritten} in CRLF form)`,
  );
  // Where nothing goes back the first that is changed is 4.x.
  const restores = context.stage === 'restoring' || survey.restore.length > 0;
  if (context.stage !== 'removing' && restores) await mark(context, 'restoring');
  await restoreAll(context, survey);
  await syncSources(context, survey);
  if (context.stage !== 'removing') await mark(context, 'removing');
  await removeAll(context, survey);
  completeInstance(site.instance);
  site.log.write('Store', 'Notice', 'upgrade --reset: every message is in 3.x, the 4.x store is empty');
  await site.closeDatabases();
  site.leaveAccount();
  for (const path of removeFirstFiles(site.places)) report.notes.push(`${path} is on a read-only disk and stays.`);
  removeLastFiles(site.places);
}

/** Durable before anything of its kind happens. */
async function mark({ mapping }: ResetContext, reset: ResetStage): Promise<void> {
  const meta = mapping?.meta();
  // Without meta `-s` came no further than the empty database.
  if (mapping !== undefined && meta !== undefined) await mapping.update((writes) => writes.putMeta({ ...meta, reset }));
}

// ---- restore ----

async function restoreAll(context: ResetContext, survey: Survey): Promise<void> {
  const { mapping, roots, owner, sharing } = context;
  if (mapping === undefined) return;
  const registries = new Map<string, SharedOriginals>();
  try {
    for (const path of sharing) {
      const store = heldRoot(roots, path);
      if (store !== null) registries.set(path, openRegistry(store, owner));
    }
    if (registries.size > 0) await registerAll(context, registries);
    const anew = context.stage === 'restoring';
    beginStep(context, 'restore', anew ? context.report.folders : survey.restore.length);
    for (const id of anew ? attemptedIds(context) : survey.restore) {
      await betweenFolders(context);
      const folder = mapping.folder(id);
      if (folder === undefined) continue;
      const registry = registries.get(storePathOf(mapping, folder));
      // Held open while its messages are copied.
      await withFolder(context, folder, (open) => restoreFolder(context, open, registry));
      context.progress.folders += 1;
    }
  } finally {
    for (const registry of registries.values()) registry.close();
  }
  for (const store of heldStores(context)) removeRegistry(store);
}

/**
 * Every 3.x name is durable when this returns: those that were put back, by a reset that was stopped as well, and
 * those that the survey found. A read-only disk has nothing to sync if no reset has written to it.
 */
async function syncSources(context: ResetContext, survey: Survey): Promise<void> {
  const mayBeReadOnly = (device: bigint): boolean => context.stage !== 'restoring' && !survey.devices.has(device);
  await syncAll([...heldStores(context), ...context.mounted.values()], mayBeReadOnly);
}

function* attemptedIds(context: ResetContext): Generator<number> {
  for (const folder of context.mapping?.folders() ?? []) if (isAttempted(context, folder)) yield folder.id;
}

/** What is still shared in 3.x, whether its folder was migrated or not. */
async function registerAll(context: ResetContext, registries: ReadonlyMap<string, SharedOriginals>): Promise<void> {
  const { mapping, roots, progress } = context;
  beginStep(context, 'shared', 0);
  for (const { uid, storePath } of mapping?.users() ?? []) {
    const registry = registries.get(storePath);
    const store = heldRoot(roots, storePath);
    if (registry === undefined || store === null) continue;
    // Also those that -s did not find: the directory may have come since.
    for (const { path } of mapping?.foldersOf(uid) ?? []) {
      await betweenFolders(context);
      progress.folders += 1;
      let dir: Dir;
      try {
        dir = walk(store, [uid, ...path]);
      } catch {
        // What cannot be read cannot be shared: its messages get a copy of their own.
        continue;
      }
      try {
        registerOriginals(registry, dir);
      } finally {
        closeDir(dir);
      }
    }
  }
}

function heldStores({ wanted, roots }: ResetContext): Dir[] {
  return [...wanted.stores].map((path) => heldRoot(roots, path)).filter((store) => store !== null);
}

/** Makes every file system of these directories durable, each once. */
async function syncAll(dirs: readonly Dir[], mayBeReadOnly: (device: bigint) => boolean = () => false): Promise<void> {
  const byDevice = new Map(dirs.map((dir) => [fstat(dir).dev, dir.fd]));
  for (const [device, fd] of byDevice) {
    try {
      await syncFileSystem(fd);
    } catch (error) {
      if (!hasErrno(error, 'EROFS') || !mayBeReadOnly(device)) throw error;
    }
  }
}

// ---- remove ----

async function removeAll(context: ResetContext, survey: Survey): Promise<void> {
  const { mapping, roots } = context;
  const removal: Removal = { done: context.report.done, left: 0 };
  beginStep(context, 'remove', context.report.folders);
  for (const uid of survey.users) {
    await removeUser(context, uid, mapping?.foldersOf(uid) ?? [], removal);
  }
  for (const path of survey.partitions) await removePartition(context, path, removal);
  // The mapping must not be forgotten before what it names is gone for good.
  await syncAll(survey.partitions.map((path) => heldRoot(roots, path)).filter((dir) => dir !== null));
  if (removal.left === 0) return;
  throw new MailhaulError('RESET_LEFT', `${removal.left} directories could not be removed: something is in them.`, {
    where: survey.partitions.join(', '),
    hint: 'Somebody works in the store. Run `upgrade --reset` again: it says what is there.',
    exit: EXIT.halted,
  });
}

/** From the mark on every failure is a halt: the same command goes on. */
function asHalt(error: unknown): MailhaulError {
  const again = 'Run `upgrade --reset` again; it goes on where it stopped.';
  if (error instanceof MailhaulError) {
    if (error.exit === EXIT.halted) return error;
    const details = { exit: EXIT.halted, hint: `${error.hint ?? ''} ${again}`.trim(), cause: error };
    const where = error.where === undefined ? {} : { where: error.where };
    return new MailhaulError(error.code, error.message, { ...details, ...where });
  }
  if (!(error instanceof Error && 'code' in error)) throw error;
  const code = hasErrno(error, 'ENOSPC', 'EDQUOT') ? 'DISK_FULL' : 'RESET_HALTED';
  return new MailhaulError(code, `The reset could not go on: ${describeError(error)}.`, {
    hint: `Nothing was lost. Remove the cause. ${again}`,
    exit: EXIT.halted,
    cause: error,
  });
}
