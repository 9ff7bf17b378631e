/**
 * `upgrade -s`: the folders of all users of this server, from a 3.x store into the 4.x mailbox database, each in
 * TRANSITION. No message moves.
 *
 *     check    both installations, account, locks, directory read to its end, store paths, partition names
 *     write 1  instance, partition directories, upgrade4x.conf, mapping database: not finished
 *     write 2  user by user: mapping database, then mailbox database                      (batches)
 *     write 3  partition paths in configdb, upgrade4x.conf again, user lists, mapping database: finished
 *
 * Invariants: nothing is written before everything that can refuse the run was checked; `-m` and `-u` refuse
 * until the finished mark is there; every step can be repeated, so a killed run is simply run again.
 */
import { addMissingOptions, createInstance, type Instance, OPTION, partitionPathOption } from '../config/instance.js';
import { becomeAccount, enterAccount } from '../config/privileges.js';
import { lockStore, type StoreLock } from '../config/store-lock.js';
import { describeError, EXIT, hasErrno, isOutOfResources, MailhaulError, messageOf } from '../errors.js';
import { closeDir, type Dir, fstat } from '../fs/dir.js';
import type { Log } from '../log/log.js';
import { openMailboxDatabase } from '../store/database.js';
import { makePartitionDirectory } from '../store/partitions.js';
import { diskOf } from './device-name.js';
import type { Earlier } from './folders-changes.js';
import { checkPartitions, openStores, readDirectory } from './folders-check.js';
import { type CheckedWork, eachUser } from './folders-each.js';
import {
  type ListsOfUsers,
  listsOf,
  partitionsOnRecord,
  UPGRADE_CONF,
  type UpgradeConf,
  writeUpgradeConf,
  writeUserLists,
} from './folders-files.js';
import type { FoldersOptions } from './folders-options.js';
import { aboveAndAt, type ChosenPath } from './folders-partitions.js';
import { readersFor, startReaders, type UserReaders } from './folders-readers.js';
import { createRecorder, type FoldersReport, type Recorder } from './folders-report.js';
import { checkWorkDir, openSite, type Site } from './folders-site.js';
import type { StorePlan } from './folders-users.js';
import { createChangeWriter } from './folders-write.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from './mapping/database.js';
import { carriedOptions, settingsFrom, warningsOf } from './setup.js';
import type { MappingDatabase, MappingMeta } from './types.js';

export type { FoldersOptions } from './folders-options.js';

/**
 * Runs `upgrade -s`. What users and folders got wrong is in the report and in the log.
 *
 * @throws MailhaulError: exit 2 or 3 before anything was written; exit 4 when the run was halted after that
 */
export async function upgradeFolders(options: FoldersOptions): Promise<FoldersReport> {
  const started = performance.now();
  const site = await openSite(options);
  const run: WriteState = { writing: false };
  try {
    const report = emptyReport(options, site);
    const recorder = createRecorder(report, options.onProblem);
    for (const message of warningsOf(site.configuration)) {
      recorder.warning({ user: '', folder: '', code: 'CONF_WARNING', message });
    }
    if (site.otherSourceUser !== undefined) {
      const message =
        `The mail files belong to ${site.otherSourceUser}, the 4.x account is ${site.account.user}: messages need ` +
        '`upgrade -m --take-foreign`.';
      recorder.warning({ user: '', folder: '', code: 'ACCOUNT_DIFFERS', message });
    }
    const { table, plan, inUse, places } = await readDirectory(options, site, report, recorder);
    const stores = openStores(plan);
    let readers: UserReaders | undefined;
    try {
      const count = options.readers ?? readersFor(table.uids.length, disksOf(stores));
      readers = await startReaders(count, site.source, (error) => {
        const message = `The main thread alone reads the users' mailbox directories: ${messageOf(error)}`;
        recorder.warning({ user: '', folder: '', code: 'READERS_LOST', message });
      });
      const paths = checkPartitions(options, site, { plan, inUse }, stores, report, recorder);
      const notMail = [...places.keys(), ...paths.map(({ path }) => path)];
      const work = { table, plan, stores, readers, paths, notMail, workDirNeedsRoot: checkWorkDir(site, options) };
      if (options.dryRun === true) await readOnly(options, site, work, report, recorder);
      else await write(options, site, work, report, recorder, run);
    } finally {
      await readers?.threads?.close();
      for (const dir of stores.values()) closeDir(dir);
    }
    report.seconds = (performance.now() - started) / 1000;
    return report;
  } catch (error) {
    throw asHalt(error, run.writing, options.signal);
  } finally {
    await site.close();
  }
}

function disksOf(stores: ReadonlyMap<string, Dir>): number {
  return new Set([...stores.values()].map((dir) => diskOf(fstat(dir).dev))).size;
}

interface WriteState {
  /** Something was written: from now on a failure is a halt. */
  writing: boolean;
}

function emptyReport(options: FoldersOptions, site: Site): FoldersReport {
  return {
    exitCode: EXIT.ok,
    dryRun: options.dryRun === true,
    instance: site.instancePath,
    from: site.from,
    mailboxDirectory: site.configuration.mailboxDirectory,
    workDir: site.workDir.path,
    instanceCreated: site.instance === undefined && options.dryRun !== true,
    users: { found: 0, added: 0, skipped: 0, withoutMailbox: 0 },
    folders: { found: 0, added: 0, waiting: 0, migrated: 0, failed: 0 },
    partitions: [],
    files: [],
    errors: [],
    warnings: [],
    errorsNotListed: 0,
    warningsNotListed: 0,
    seconds: 0,
  };
}

function asHalt(error: unknown, writing: boolean, signal: AbortSignal | undefined): unknown {
  if (isOutOfResources(error)) {
    return new MailhaulError('PROCESS_HALT', `The process lacks what it needs to go on: ${describeError(error)}.`, {
      hint: 'Raise the limit of open files (ulimit -n), or free memory; then run `upgrade -s` again.',
      exit: writing ? EXIT.halted : EXIT.refused,
      cause: error,
    });
  }
  if (error instanceof MailhaulError) {
    if (!writing || error.exit === EXIT.halted) return error;
    const details = { exit: EXIT.halted, hint: `${error.hint ?? ''} Run \`upgrade -s\` again.`, cause: error };
    return new MailhaulError(
      error.code,
      error.message,
      error.where === undefined ? details : { ...details, where: error.where },
    );
  }
  if (signal?.aborted === true) {
    return new MailhaulError('HALTED', 'The run was stopped.', {
      hint: 'Run `upgrade -s` again.',
      exit: EXIT.halted,
      cause: error,
    });
  }
  const code = hasErrno(error, 'ENOSPC', 'EDQUOT') ? 'DISK_FULL' : 'FOLDERS_FAILED';
  return new MailhaulError(code, `\`upgrade -s\` could not go on: ${describeError(error)}.`, {
    hint: 'Correct the cause, then run it again.',
    exit: writing ? EXIT.halted : EXIT.refused,
    cause: error,
  });
}

// ---- write ----

async function write(
  options: FoldersOptions,
  site: Site,
  work: CheckedWork,
  report: FoldersReport,
  recorder: Recorder,
  state: WriteState,
): Promise<void> {
  const { owner, configuration, workDir } = site;
  state.writing = true;
  const closers: (() => void | Promise<void>)[] = [];
  try {
    const { instance, lock } = await openOrMake(site);
    closers.push(() => lock?.release());
    if (site.instance === undefined) closers.push(() => instance.close());
    const log = instance.openLog('upgrade', options.logLevel);
    closers.push(() => log.close());
    begin(log, recorder, site);
    await recordSource(instance, site, recorder);
    makePartitions(site, work);
    // With the users of before: if the run is killed ahead of the next step, the mapping is finished, and theirs.
    writeUpgradeConf(
      workDir,
      upgradeConfOf(site, listsOf(storePathsOf(work.plan), site.mapping?.users() ?? [])),
      owner,
    );
    const mapping =
      site.mapping ?? (await openMappingDatabase(workDir, MAPPING_DATABASE_FILE, { owner, create: true }));
    if (site.mapping === undefined) closers.push(() => mapping.close());
    const mailboxes = site.mailboxes ?? (await openMailboxDatabase(instance.mboxlist, { owner, create: true }));
    if (site.mailboxes === undefined) closers.push(() => mailboxes.close());

    const meta: MappingMeta = {
      hostName: configuration.hostName,
      from: site.from,
      mailboxDirectory: configuration.mailboxDirectory,
      serverUser: site.account.user,
      serverGroup: site.account.group,
      finished: null,
    };
    await mapping.update((writes) => writes.putMeta(meta));
    // By root, who may look everywhere, and when all of them are made.
    const notMail = aboveAndAt(work.notMail);
    const leave = readAsAccount(options, site, work);
    try {
      const writer = createChangeWriter(mapping, mailboxes);
      const earlier = { mapping, mailboxes };
      await eachUser({ options, site, work: { ...work, notMail }, earlier, report, recorder }, writer);
    } finally {
      leave();
    }
    await setOptions(instance, options, site, work.paths);
    writeFiles(site, work.plan, mapping, report);
    await mapping.update((writes) => writes.putMeta({ ...meta, finished: Math.floor(Date.now() / 1000) }));
    recorder.notice(summary(report));
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/**
 * Users' directories are read as the server account: for good, unless root must write the lists afterwards.
 * Returns what ends it.
 */
function readAsAccount(options: FoldersOptions, site: Site, work: CheckedWork): () => void {
  if (options.becomeServerAccount !== true) return () => {};
  if (work.workDirNeedsRoot) return enterAccount(site.account);
  becomeAccount(site.account);
  return () => {};
}

/** A new instance is locked as soon as it is there; an old one has been since the checks. */
async function openOrMake(site: Site): Promise<{ instance: Instance; lock: StoreLock | undefined }> {
  if (site.instance !== undefined) return { instance: site.instance, lock: undefined };
  const instance = await createInstance(site.instancePath, settingsFrom(site.configuration, site.from));
  try {
    return { instance, lock: lockStore(instance.lockDir, 'exclusive', 'upgrade -s', site.owner) };
  } catch (error) {
    instance.close();
    throw error;
  }
}

function begin(log: Log, recorder: Recorder, site: Site): void {
  log.write('Store', 'Notice', `upgrade -s began: ${site.from} to ${site.instancePath}`);
  recorder.attach(log);
}

/**
 * Before the first folder is: a run that is killed has said whose folders the databases hold. An instance that was made
 * without this 3.x installation (`msg-setup` without --from) gets its settings now.
 */
async function recordSource(instance: Instance, { from, configuration }: Site, recorder: Recorder): Promise<void> {
  await instance.config.update([
    { option: OPTION.from, language: null, value: from },
    { option: OPTION.mailboxDirectory, language: null, value: configuration.mailboxDirectory },
  ]);
  const added = await addMissingOptions(instance.config, carriedOptions(configuration));
  if (added.length > 0) recorder.notice(`options of 3.x that configdb had not: ${added.join(', ')}`);
}

function makePartitions(site: Site, work: CheckedWork): void {
  for (const { plan, make } of work.paths) {
    if (!make) continue;
    const store = work.stores.get(plan.path)!;
    try {
      makePartitionDirectory(store, plan.name, site.owner);
    } catch (error) {
      // A read-only store path has been reported: the administrator names another partition path.
      if (!(error instanceof MailhaulError && hasErrno(error.cause, 'EROFS'))) throw error;
    }
  }
}

function upgradeConfOf(site: Site, lists: ListsOfUsers): UpgradeConf {
  return {
    instance: site.instancePath,
    from: site.from,
    hostName: site.configuration.hostName,
    mailboxDirectory: site.configuration.mailboxDirectory,
    workDir: site.workDir.path,
    serverUser: site.account.user,
    serverGroup: site.account.group,
    partitions: partitionsOnRecord(lists),
    removeMessages: site.upgradeConf.get('upgrade.removemessages') === 'yes',
  };
}

async function setOptions(
  instance: Instance,
  options: FoldersOptions,
  site: Site,
  paths: readonly ChosenPath[],
): Promise<void> {
  const changes = paths.map(({ plan, path }) => ({
    option: partitionPathOption(plan.name),
    language: null,
    value: path,
  }));
  if (options.workDir !== undefined) changes.push({ option: OPTION.workDir, language: null, value: site.workDir.path });
  await instance.config.update(changes);
}

/** 3.x store paths by partition name. */
function storePathsOf(plan: StorePlan): ReadonlyMap<string, string> {
  return new Map(plan.partitions.map(({ name, path }) => [name, path]));
}

/** The lists, and once more `upgrade4x.conf`: now it is known who has followed the partition, and who has not. */
function writeFiles(site: Site, plan: StorePlan, mapping: MappingDatabase, report: FoldersReport): void {
  mapping.refresh();
  const lists = listsOf(storePathsOf(plan), mapping.users());
  writeUpgradeConf(site.workDir, upgradeConfOf(site, lists), site.owner);
  const names = writeUserLists(site.workDir, lists, site.owner);
  report.files.push(...[MAPPING_DATABASE_FILE, UPGRADE_CONF, ...names].map((name) => `${site.workDir.path}/${name}`));
}

function summary({ users, folders }: FoldersReport): string {
  return (
    `upgrade -s done: ${users.found} users (${users.added} new, ${users.skipped} skipped), ` +
    `${folders.found} folders (${folders.added} new, ${folders.migrated} migrated before, ${folders.failed} failed)`
  );
}

// ---- users ----

/** Without databases there is nothing from before. */
const NOTHING_EARLIER: Earlier = {
  mapping: { user: () => undefined, foldersOf: () => [], record: () => undefined },
  mailboxes: {
    get: () => undefined,
    wasPublished: () => false,
    quota: () => undefined,
    subscriptions: () => [],
    nameChanges: () => [],
  },
};

async function readOnly(
  options: FoldersOptions,
  site: Site,
  work: CheckedWork,
  report: FoldersReport,
  recorder: Recorder,
): Promise<void> {
  const notMail = aboveAndAt(work.notMail);
  readAsAccount(options, site, work);
  const earlier: Earlier = {
    mapping: site.mapping ?? NOTHING_EARLIER.mapping,
    mailboxes: site.mailboxes ?? NOTHING_EARLIER.mailboxes,
  };
  await eachUser(
    { options, site, work: { ...work, notMail }, earlier, report, recorder },
    {
      add: async () => {},
      flush: async () => {},
      settle: async () => {},
    },
  );
}
