/**
 * `upgrade -s`: the folders of all users of this server, from a 3.x store into the 4.x mailbox database, each in
 * TRANSITION. No message moves.
 *
 *     check    both installations, account, locks, directory read to its end, store paths, partition names
 *     write 1  instance, partition directories, upgrade4x.conf, mapping database: not finished
 *     write 2  user by user: mapping database, then mailbox database                      (batches)
 *     write 3  partition paths in configdb, user lists, mapping database: finished
 *
 * Invariants: nothing is written before everything that can refuse the run was checked; `-m` and `-u` refuse
 * until the finished mark is there; every step can be repeated, so a killed run is simply run again.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  createInstance,
  type Instance,
  OPTION,
  partitionPathOption,
  primaryPartitionPath,
} from '../config/instance.js';
import { becomeAccount } from '../config/privileges.js';
import { lockStore, type StoreLock } from '../config/store-lock.js';
import { openDirectory } from '../directory/open.js';
import { describeError, EXIT, hasErrno, MailhaulError } from '../errors.js';
import { closeDir, type Dir, fstat, openRoot } from '../fs/dir.js';
import type { Log, LogLevel } from '../log/log.js';
import type { MailSource } from '../source/types.js';
import { openMailboxDatabase } from '../store/database.js';
import { checkPartitionDirectory, makePartitionDirectory, type PartitionPlan } from '../store/partitions.js';
import { UPGRADE_CONF, writeUpgradeConf, writeUserLists } from './folders-files.js';
import { type Earlier, mergeUser, type UserChanges } from './folders-merge.js';
import { type ChosenPath, choosePaths, deviceOf, partitionsInUse } from './folders-partitions.js';
import { createRecorder, type FolderProblem, type FoldersReport, type Recorder } from './folders-report.js';
import { openSite, type Site } from './folders-site.js';
import { readUserMailbox } from './folders-user.js';
import { collectUsers, planStores, type StorePlan, type UserTable } from './folders-users.js';
import { type ChangeWriter, createChangeWriter } from './folders-write.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from './mapping/database.js';
import { DIRECTORY_OPTION, settingsFrom, warningsOf } from './setup.js';
import type { MappingDatabase, MappingMeta } from './types.js';

export interface FoldersOptions {
  /** 4.x instance directory; made with the defaults when it is missing and `from` is given. */
  readonly instance: string;
  /** 3.x instance directory; else the one that the instance remembers. */
  readonly from?: string | undefined;
  /** LDAP URL or LDIF file; else the configuration's LDAP settings. */
  readonly directory?: string | undefined;
  readonly directoryTls?: { readonly startTls?: boolean; readonly caFile?: string } | undefined;
  /** Entries a page, and seconds to wait for the directory; the directory's defaults unless given. */
  readonly pageSize?: number | undefined;
  readonly directoryTimeoutSeconds?: number | undefined;
  /** Store paths that are used whoever owns them (`--store-path`). */
  readonly storePaths?: readonly string[] | undefined;
  readonly pidIsStale?: boolean | undefined;
  /** For mapping database and lists, instead of the 3.x default mailbox directory; remembered. */
  readonly workDir?: string | undefined;
  readonly keepPartitionPaths?: boolean | undefined;
  /** Every check, nothing written. */
  readonly dryRun?: boolean | undefined;
  /** As root: become the server account for good once directories are made. For commands, not for libraries. */
  readonly becomeServerAccount?: boolean | undefined;
  /** Threshold of the log; `logfile.default.loglevel` unless given. */
  readonly logLevel?: LogLevel | undefined;
  /** Aborted by a signal: the run stops between two users (exit 4). */
  readonly signal?: AbortSignal | undefined;
  readonly source?: MailSource | undefined;
  /** Seconds since 1970; the uidvalidity of folders whose header is lost. */
  readonly now?: number | undefined;
  readonly onProblem?: ((severity: 'error' | 'warning', problem: FolderProblem) => void) | undefined;
  /** Called now and then with the users done so far, all users, and folders found. */
  readonly onProgress?: ((done: number, users: number, folders: number) => void) | undefined;
}

/** Users between two looks at the signal. */
const USERS_A_TURN = 100;

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
    const { table, plan } = await readDirectory(options, site, report, recorder);
    const stores = openStores(plan);
    try {
      const paths = checkPartitions(options, site, plan, stores, report, recorder);
      if (options.dryRun === true) await readOnly(options, site, { table, plan, stores, paths }, report, recorder);
      else await write(options, site, { table, plan, stores, paths }, report, recorder, run);
    } finally {
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

interface WriteState {
  /** Something was written: from now on a failure is a halt. */
  writing: boolean;
}

interface Work {
  readonly table: UserTable;
  readonly plan: StorePlan;
  readonly stores: ReadonlyMap<string, Dir>;
  readonly paths: readonly ChosenPath[];
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

// ---- check ----

async function readDirectory(
  options: FoldersOptions,
  site: Site,
  report: FoldersReport,
  recorder: Recorder,
): Promise<{ table: UserTable; plan: StorePlan }> {
  const { configuration } = site;
  const carried = (option: string): string | undefined => site.instance?.config.get(option);
  const location = options.directory ?? carried(DIRECTORY_OPTION.url) ?? configuration.directory.url ?? undefined;
  if (location === undefined) {
    throw new MailhaulError('DIR_NONE', 'Nobody said where the users are.', {
      hint: 'Name the directory with --directory <LDAP URL or LDIF file>, or set LdapUrl in NscpMail.conf.',
    });
  }
  const directory = openDirectory({
    location,
    hostName: configuration.hostName,
    baseDn: carried(DIRECTORY_OPTION.baseDn) ?? configuration.directory.baseDn ?? undefined,
    bindDn: carried(DIRECTORY_OPTION.bindDn) ?? configuration.directory.bindDn ?? undefined,
    passwordFile: carried(DIRECTORY_OPTION.passwordFile) ?? configuration.directory.bindPasswordFile ?? undefined,
    startTls: options.directoryTls?.startTls,
    caFile: options.directoryTls?.caFile,
    pageSize: options.pageSize,
    timeoutSeconds: options.directoryTimeoutSeconds,
  });
  const defaultStorePath = configuration.mailboxDirectory;
  try {
    const { table, skipped } = await collectUsers(directory, defaultStorePath, recorder, options.signal);
    const plan = planStores({
      table,
      defaultStorePath,
      primaryPath: primaryPartitionPath(site.instancePath),
      accountUid: site.account.uid,
      exempt: new Set((options.storePaths ?? []).map(normalisePath)),
      known: site.mapping?.users() ?? [],
    });
    report.users.skipped = skipped;
    if (table.uids.length === 0) {
      const message = `${directory.description} holds no user of ${configuration.hostName}.`;
      recorder.warning({ user: '', folder: '', code: 'DIR_NO_USERS', message });
    }
    return { table, plan };
  } finally {
    await directory.close();
  }
}

function normalisePath(path: string): string {
  return path.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
}

/** Opens every store path; each must be the directory that was checked. */
function openStores(plan: StorePlan): Map<string, Dir> {
  const stores = new Map<string, Dir>();
  try {
    for (const [path, { id }] of plan.identities) {
      const dir = openRoot(path);
      stores.set(path, dir);
      const { dev, ino } = fstat(dir);
      if (`${dev}:${ino}` === id) continue;
      throw new MailhaulError('STORE_PATH_CHANGED', 'A mail store path was replaced while it was checked.', {
        where: path,
      });
    }
    return stores;
  } catch (error) {
    for (const dir of stores.values()) closeDir(dir);
    throw error;
  }
}

function checkPartitions(
  options: FoldersOptions,
  site: Site,
  plan: StorePlan,
  stores: ReadonlyMap<string, Dir>,
  report: FoldersReport,
  recorder: Recorder,
): ChosenPath[] {
  const inUse = partitionsInUse(site.mapping, site.mailboxes);
  const chosen = choosePaths(plan.partitions, {
    current: (name) => site.instance?.partitionPath(name),
    inUse,
    keep: options.keepPartitionPaths === true,
  });
  for (const { plan: partition, path, kept, resetFrom, make } of chosen) {
    const store = stores.get(partition.path)!;
    if (make && !checkPartitionDirectory(store, partition.name, site.owner)) {
      const message =
        `${partition.path} is read-only, so ${path} cannot be made. Before \`upgrade -m\`, make another directory ` +
        `and name it with \`configutil -o ${partitionPathOption(partition.name)} -v <path>\`.`;
      recorder.warning({ user: '', folder: '', code: 'PARTITION_READ_ONLY', message });
    }
    if (resetFrom !== null) {
      recorder.notice(`partition ${partition.name}: the path is ${path} again, it was ${resetFrom}`);
    }
    if (kept === 'migrated') recorder.notice(`partition ${partition.name} holds migrated mail: its path stays ${path}`);
    const device = deviceOf(path);
    report.partitions.push({
      name: partition.name,
      storePath: partition.path,
      path,
      users: partition.users,
      folders: 0,
      indexBytes: 0,
      kept,
      resetFrom,
      moves: device === undefined ? null : device === fstat(store).dev ? 'link' : 'copy',
    });
  }
  return chosen;
}

// ---- write ----

async function write(
  options: FoldersOptions,
  site: Site,
  work: Work,
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
    makePartitions(site, work);
    if (options.becomeServerAccount === true) becomeAccount(site.account);

    writeUpgradeConf(workDir, upgradeConfOf(site, work.plan), owner);
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
    await eachUser(
      options,
      site,
      work,
      { mapping, mailboxes },
      report,
      recorder,
      createChangeWriter(mapping, mailboxes),
    );
    await setOptions(instance, options, site, work.paths);
    writeLists(site, work.plan, mapping, report);
    await mapping.update((writes) => writes.putMeta({ ...meta, finished: Math.floor(Date.now() / 1000) }));
    recorder.notice(summary(report));
  } finally {
    for (const close of closers.reverse()) await close();
  }
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

function makePartitions(site: Site, work: Work): void {
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

function upgradeConfOf(site: Site, plan: StorePlan): Parameters<typeof writeUpgradeConf>[1] {
  return {
    instance: site.instancePath,
    from: site.from,
    hostName: site.configuration.hostName,
    mailboxDirectory: site.configuration.mailboxDirectory,
    workDir: site.workDir.path,
    serverUser: site.account.user,
    serverGroup: site.account.group,
    partitions: plan.partitions.map(({ name, path }) => ({ name, storePath: path })),
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
  changes.push({ option: OPTION.from, language: null, value: site.from });
  if (options.workDir !== undefined) changes.push({ option: OPTION.workDir, language: null, value: site.workDir.path });
  await instance.config.update(changes);
}

function writeLists(site: Site, plan: StorePlan, mapping: MappingDatabase, report: FoldersReport): void {
  mapping.refresh();
  const partitions = new Map(plan.partitions.map(({ name, path }) => [name, path]));
  const lists = writeUserLists(site.workDir, partitions, mapping.users(), site.owner);
  report.files.push(...[MAPPING_DATABASE_FILE, UPGRADE_CONF, ...lists].map((name) => `${site.workDir.path}/${name}`));
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
  mapping: { user: () => undefined, foldersOf: () => [] },
  mailboxes: { get: () => undefined, wasPublished: () => false, quota: () => undefined, subscriptions: () => [] },
};

async function readOnly(
  options: FoldersOptions,
  site: Site,
  work: Work,
  report: FoldersReport,
  recorder: Recorder,
): Promise<void> {
  if (options.becomeServerAccount === true) becomeAccount(site.account);
  const earlier: Earlier = {
    mapping: site.mapping ?? NOTHING_EARLIER.mapping,
    mailboxes: site.mailboxes ?? NOTHING_EARLIER.mailboxes,
  };
  await eachUser(options, site, work, earlier, report, recorder, { add: async () => {}, flush: async () => {} });
}

async function eachUser(
  options: FoldersOptions,
  site: Site,
  work: Work,
  earlier: Earlier,
  report: FoldersReport,
  recorder: Recorder,
  writer: ChangeWriter,
): Promise<void> {
  const { table, plan, stores } = work;
  const now = options.now ?? Math.floor(Date.now() / 1000);
  for (const [i, uid] of table.uids.entries()) {
    if (i % USERS_A_TURN === 0) {
      await nextTurn();
      options.signal?.throwIfAborted();
      options.onProgress?.(i, table.uids.length, report.folders.found);
    }
    const path = table.paths[table.pathOf[i]!]!;
    const partition = plan.byPath.get(path);
    if (partition === undefined) {
      skip(report, recorder, uid, plan.refused.get(path));
      continue;
    }
    const found = readUserMailbox(site.source, stores.get(path)!, uid);
    if (found.kind === 'unusable') {
      report.users.skipped += 1;
      recorder.error({ user: uid, folder: '', code: found.code, message: found.message });
      continue;
    }
    const user = { uid, storePath: path, partition: partition.name, quota: table.quotas[i]! };
    const changes = mergeUser(user, found, earlier, now);
    count(report, recorder, changes, partition, found.kind === 'missing');
    await writer.add(changes);
  }
  await writer.flush();
  options.onProgress?.(table.uids.length, table.uids.length, report.folders.found);
}

function skip(report: FoldersReport, recorder: Recorder, uid: string, why: MailhaulError | undefined): void {
  report.users.skipped += 1;
  const message = why === undefined ? 'The mail store path is not used.' : `${why.message} ${why.hint ?? ''}`.trim();
  recorder.error({ user: uid, folder: '', code: why?.code ?? 'STORE_PATH_UNUSED', message });
}

function count(
  report: FoldersReport,
  recorder: Recorder,
  changes: UserChanges,
  partition: PartitionPlan,
  withoutMailbox: boolean,
): void {
  report.users.found += 1;
  if (changes.newUser) report.users.added += 1;
  if (withoutMailbox) report.users.withoutMailbox += 1;
  report.folders.found += changes.counts.found;
  report.folders.added += changes.counts.added;
  report.folders.waiting += changes.counts.waiting;
  report.folders.migrated += changes.counts.migrated;
  report.folders.failed += changes.errors.filter(({ folder }) => folder !== '').length;
  const totals = report.partitions.find(({ name }) => name === partition.name);
  if (totals !== undefined) {
    totals.folders += changes.counts.found;
    totals.indexBytes += changes.indexBytes;
  }
  for (const problem of changes.errors) recorder.error(problem);
  for (const problem of changes.warnings) recorder.warning(problem);
}
