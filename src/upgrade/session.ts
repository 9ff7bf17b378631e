/**
 * What `-m`, `-u`, `--status` and `--verify` open before they start: instance, log, store-wide lock, mapping
 * and mailbox databases; and the refusals that come first (commands.md, exit 3).
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type BareInstance, type Instance, OPTION, openInstance } from '../config/instance.js';
import { lockDirectory, lockStore, type StoreLock } from '../config/store-lock.js';
import { describeError, EXIT, hasErrno, MailhaulError } from '../errors.js';
import { closeDir, type Dir, openRootOr } from '../fs/dir.js';
import { type Log, type LogLevel, nullLog } from '../log/log.js';
import { refuseWhileRunning } from '../source/nsms3/running.js';
import { nsms3 } from '../source/nsms3/source.js';
import { openMailboxDatabase } from '../store/database.js';
import { finishNameChanges } from '../store/mailbox/unfinished.js';
import type { MailboxDatabase } from '../store/types.js';
import { refuseOldMapping } from './disagree.js';
import { readUpgradeConf } from './folders-files.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from './mapping/database.js';
import { type Defer, openInSteps } from './open-in-steps.js';
import { openSourceInstance } from './setup.js';
import type { MappingDatabase, MappingMeta } from './types.js';

export interface SessionOptions {
  /** The 4.x instance directory. */
  readonly instance: string;
  /** `--from`: must be the 3.x instance that `-s` recorded. */
  readonly from?: string | undefined;
  /** Where `-s` put its files when not in the 3.x default mailbox directory. */
  readonly workDir?: string | undefined;
  readonly logLevel?: LogLevel | undefined;
  /** Do not look whether a 3.x server runs. */
  readonly pidIsStale?: boolean | undefined;
  /** How long other processes that hold a folder or a database are waited for without any change; milliseconds. */
  readonly lockWaitMs?: number | undefined;
  /** Nothing is written: no log, databases read only, no lock file made. */
  readonly readOnly?: boolean | undefined;
}

export interface Session {
  readonly instance: Instance;
  readonly log: Log;
  readonly mapping: MappingDatabase;
  readonly mailboxes: MailboxDatabase;
  readonly meta: MappingMeta;
  /** The directory that holds `__upfolder.db` and the user lists. */
  readonly workDir: string;
  close(): Promise<void>;
}

/**
 * Opens a finished `-s` for work. `purpose` is the command, for whoever finds the store locked. `before` is
 * called before the databases are opened, `beforeLock` before others can see that the store is in use.
 *
 * @throws MailhaulError INSTANCE_*, SOURCE_RUNNING, UPGRADE_RUNNING, STORE_LOCKED, FOLDERS_FIRST, MAPPING_*,
 * DB_* (exit 3; DB_BUSY: 4)
 */
export function openSession(
  options: SessionOptions,
  purpose: string,
  before?: (opened: { readonly instance: Instance; readonly workDir: string }) => Promise<void>,
  beforeLock?: (instance: Instance) => void,
): Promise<Session> {
  return openInSteps(async (defer) => {
    const instance = openInstance(options.instance);
    defer(() => instance.close());
    checkFrom(instance, options.from);
    const readOnly = options.readOnly === true;
    const log = readOnly ? nullLog : tellingLog(instance.openLog('upgrade', options.logLevel), instance.path);
    defer(() => log.close());
    if (options.pidIsStale !== true) refuseRunningServer(instance);
    const database = {
      owner: instance.owner,
      readOnly,
      ...(options.lockWaitMs === undefined ? {} : { lockWaitMs: options.lockWaitMs }),
    };
    const { dir, path } = openWorkDir(instance, options.workDir);
    let mapping: MappingDatabase;
    try {
      beforeLock?.(instance);
      if (!readOnly) lockForUse(instance, dir, purpose, defer);
      checkMappingIsOurs(instance, dir);
      await before?.({ instance, workDir: path });
      mapping = await openMappingDatabase(dir, MAPPING_DATABASE_FILE, database);
    } catch (error) {
      throw error instanceof MailhaulError && error.code === 'DB_MISSING' ? foldersFirst(path) : error;
    } finally {
      closeDir(dir);
    }
    defer(() => mapping.close());
    const meta = mapping.meta();
    refuseUnfinishedReset(meta, path);
    if (meta === undefined || meta.finished === null) throw foldersFirst(path);
    const mailboxes = await openMailboxDatabase(instance.mboxlist, database);
    defer(() => mailboxes.close());
    // `--status` and `--verify` are what tells what is wrong.
    if (!readOnly) refuseOldMapping(mapping, mailboxes, path);
    if (!readOnly) await followNames(instance, mailboxes, log);
    return { instance, log, mapping, mailboxes, meta, workDir: path };
  });
}

/**
 * The mapping database's directory, then the store: the order of `-s` and `--reset`, so that of two which start at once
 * one goes on. The store's lock alone does not meet a `-s` for another instance: it reads its directory of users for
 * minutes before it writes, and would take over folders that are migrated to this one meanwhile.
 */
function lockForUse(instance: Instance, workDir: Dir, purpose: string, defer: Defer): void {
  const take = (lock: StoreLock): void => defer(() => lock.release());
  take(lockDirectory(workDir, 'The mapping database', 'shared'));
  take(lockStore(instance.lockDir, 'shared', purpose, instance.owner));
}

/**
 * Directories of mailboxes that a service was stopped at renaming or deleting. One that cannot follow now will later;
 * folders that it concerns wait for it (changing.ts).
 */
async function followNames(instance: Instance, mailboxes: MailboxDatabase, log: Log): Promise<void> {
  const causes = new Map<number, string>();
  try {
    await finishNameChanges({ mailboxes, owner: instance.owner }, undefined, ({ id }, error) =>
      causes.set(id, describeError(error)),
    );
  } catch (error) {
    log.write(
      'Store',
      'Warning',
      `Renamed and deleted mailboxes keep their directories for now: ${describeError(error)}`,
    );
    return;
  }
  for (const { id, name, to } of mailboxes.nameChanges()) {
    const what = to === null ? `The deleted mailbox ${name}` : `${name}, renamed to ${to},`;
    const cause = causes.get(id) ?? 'another process holds it.';
    log.write('Store', 'Warning', `${what} keeps its directory for now: ${cause}`);
  }
}

/** A reset that was stopped has left both stores half-way: only another one may touch them (exit 3). */
export function refuseUnfinishedReset(meta: MappingMeta | undefined, workDir: string): void {
  if (meta?.reset !== undefined) throw resetUnfinished(workDir);
}

export function resetUnfinished(workDir: string): MailhaulError {
  return new MailhaulError('RESET_UNFINISHED', 'An `upgrade --reset` has begun and was not finished.', {
    where: workDir,
    hint: 'Run `upgrade --reset` again; it goes on where it stopped.',
  });
}

/** A log that says what could not be written, where, and what to do: a run halts when its log is full. */
function tellingLog(log: Log, instance: string): Log {
  return {
    level: log.level,
    write(category, level, message) {
      try {
        log.write(category, level, message);
      } catch (cause) {
        throw new MailhaulError('LOG_WRITE', `The log cannot be written: ${describeError(cause)}.`, {
          where: `${instance}/log/default/default`,
          hint: 'Make space or repair the device, then run the same command again.',
          exit: EXIT.halted,
          cause,
        });
      }
    },
    close: () => log.close(),
  };
}

/**
 * The mapping database serves the instance of the last `-s`: another one that had it before would migrate the same
 * messages a second time (4x-store.md, promise 2). An instance that was moved since then is the same instance.
 *
 * @throws MailhaulError MAPPING_OTHER_INSTANCE (exit 3)
 */
export function checkMappingIsOurs(instance: BareInstance, workDir: Dir): void {
  const recorded = readUpgradeConf(workDir).get('upgrade.instance');
  if (recorded === undefined || compareInstances(recorded, resolve(instance.path)) !== 'other') return;
  throw new MailhaulError(
    'MAPPING_OTHER_INSTANCE',
    `The last \`upgrade -s\` was for another 4.x instance, ${recorded}.`,
    {
      where: workDir.path,
      hint: `Use --instance ${recorded}, or run \`upgrade -s\` for this one.`,
    },
  );
}

/** Whether two paths lead to one instance. `gone`: nothing is at the recorded one any more; it may have been moved. */
export function compareInstances(recorded: string, path: string): 'same' | 'gone' | 'other' {
  if (recorded === path) return 'same';
  try {
    const other = statSync(recorded, { bigint: true });
    const own = statSync(path, { bigint: true });
    return other.dev === own.dev && other.ino === own.ino ? 'same' : 'other';
  } catch (error) {
    return hasErrno(error, 'ENOENT', 'ENOTDIR') ? 'gone' : 'other';
  }
}

/** @throws MailhaulError FROM_OTHER (exit 2) */
export function checkFrom(instance: BareInstance, named: string | undefined): void {
  const recorded = instance.config.get(OPTION.from);
  if (named === undefined || recorded === undefined || resolve(named) === resolve(recorded)) return;
  throw new MailhaulError('FROM_OTHER', `The folders were upgraded from ${recorded}, not from this 3.x instance.`, {
    where: named,
    hint: 'Leave --from out: only `upgrade -s` needs it, once.',
    exit: EXIT.usage,
  });
}

function foldersFirst(where: string): MailhaulError {
  return new MailhaulError('FOLDERS_FIRST', 'The folders have not been upgraded yet.', {
    where,
    hint: 'Run `upgrade -s` to its end first.',
  });
}

/** 3x-profile.md, Installation: while the 3.x server lives, nothing may read or change mail. */
export function refuseRunningServer(instance: BareInstance): void {
  const from = instance.config.get(OPTION.from);
  if (from === undefined || from === '') return;
  const dir = openRootOr(from, (error) => {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw new MailhaulError('FROM_UNREADABLE', 'The 3.x instance cannot be opened to see whether its server runs.', {
      where: from,
      cause: error,
    });
  });
  if (dir === undefined) return;
  try {
    refuseWhileRunning(dir, nsms3.serverState(dir), false);
  } finally {
    closeDir(dir);
  }
}

export function openWorkDir(instance: BareInstance, named: string | undefined): { dir: Dir; path: string } {
  const path = named ?? instance.config.get(OPTION.workDir) ?? mailboxDirectory(instance);
  if (path === undefined || path === '') throw foldersFirst(instance.path);
  const absolute = resolve(path);
  const dir = openRootOr(absolute, (error) => {
    throw new MailhaulError('WORK_DIR', 'The directory of the mapping database cannot be opened.', {
      where: absolute,
      hint: 'Is its disk mounted? --work-dir names another one.',
      exit: EXIT.refused,
      cause: error,
    });
  });
  return { dir, path: absolute };
}

/** The 3.x default mailbox directory, from the 3.x configuration. */
function mailboxDirectory(instance: BareInstance): string | undefined {
  const from = instance.config.get(OPTION.from);
  if (from === undefined || from === '') return undefined;
  const dir = openSourceInstance(from);
  try {
    return nsms3.readConfiguration(dir).mailboxDirectory;
  } finally {
    closeDir(dir);
  }
}
