/**
 * Everything that `upgrade -s` must know or hold before it reads the directory: both installations, the server
 * account, the locks, the directory for its files. Each refusal of the guide and of commands.md that needs no
 * user is made here, and nothing is written.
 */
import * as fs from 'node:fs';
import { resolve } from 'node:path';
import { type Account, lookupAccount } from '../config/account.js';
import { detectInstallation, type Instance, OPTION, openInstance } from '../config/instance.js';
import { asAccount, checkIdentity } from '../config/privileges.js';
import { lockDirectory, lockWholeStore, type StoreLock } from '../config/store-lock.js';
import { hasErrno, MailhaulError } from '../errors.js';
import { closeDir, createFile, type Dir, openRoot, openRootOr, stat, sync, unlink, writeAll } from '../fs/dir.js';
import { refuseWhileRunning } from '../source/nsms3/running.js';
import { nsms3 } from '../source/nsms3/source.js';
import type { MailSource, SourceConfiguration } from '../source/types.js';
import { openMailboxDatabase } from '../store/database.js';
import type { MailboxDatabase } from '../store/types.js';
import { refuseOldMapping } from './disagree.js';
import { readUpgradeConf } from './folders-files.js';
import type { FoldersOptions } from './folders-options.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from './mapping/database.js';
import { type Defer, openInSteps } from './open-in-steps.js';
import { compareInstances, refuseUnfinishedReset } from './session.js';
import { openSourceInstance } from './setup.js';
import type { MappingDatabase, MappingFolder } from './types.js';

export interface Site {
  readonly source: MailSource;
  /** 3.x instance directory. */
  readonly from: string;
  readonly configuration: SourceConfiguration;
  /** The server account of 4.x. */
  readonly account: Account;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly instancePath: string;
  /** The account that owns the 3.x mail files, when it is another one. */
  readonly otherSourceUser: string | undefined;
  /** undefined: it must be made. */
  readonly instance: Instance | undefined;
  /** Where mapping database, user lists and upgrade4x.conf lie. */
  readonly workDir: Dir;
  /** Left by earlier runs. */
  readonly mapping: MappingDatabase | undefined;
  readonly mailboxes: MailboxDatabase | undefined;
  readonly upgradeConf: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

/** @throws MailhaulError (exit 3): every refusal, with its own code */
export function openSite(options: FoldersOptions): Promise<Site> {
  return openInSteps((defer) => open(options, defer));
}

async function open(options: FoldersOptions, defer: Defer): Promise<Omit<Site, 'close'>> {
  const source = options.source ?? nsms3;
  const instancePath = resolve(options.instance);
  const instance = openExisting(instancePath, options.from === undefined);
  if (instance !== undefined) defer(() => instance.close());

  const from = sourcePath(options, instance);
  const fromDir = openSourceInstance(from);
  defer(() => closeDir(fromDir));
  const configuration = source.readConfiguration(fromDir);
  refuseWhileRunning(fromDir, source.serverState(fromDir), options.pidIsStale === true);

  const sourceAccount = accountOf(configuration, instance);
  const account = instance?.account ?? sourceAccount;
  checkIdentity(account, account.user);
  const owner = { uid: account.uid, gid: account.gid };

  const workDir = openWorkDir(options, instance, configuration);
  defer(() => closeDir(workDir));
  // The directory first: it is one for all instances that could write this mapping database.
  const locks: StoreLock[] = [lockDirectory(workDir, 'The mapping database')];
  defer(() => {
    for (const lock of locks) lock.release();
  });
  const readOnly = options.dryRun === true;
  if (instance !== undefined) locks.push(...lockWholeStore(instance.lockDir, readOnly, 'upgrade -s', owner));
  const mapping = hasFile(workDir, MAPPING_DATABASE_FILE)
    ? await openMappingDatabase(workDir, MAPPING_DATABASE_FILE, { owner, readOnly })
    : undefined;
  if (mapping !== undefined) defer(() => mapping.close());
  const mailboxes = instance === undefined ? undefined : await openMailboxes(instance, owner, readOnly);
  if (mailboxes !== undefined) defer(() => mailboxes.close());
  const upgradeConf = readUpgradeConf(workDir);
  const context: MappingContext = { configuration, instance, mailboxes, instancePath, upgradeConf, workDir };
  if (mapping !== undefined) checkMapping(mapping, context);
  if (instance !== undefined && mailboxes !== undefined) {
    checkSameSource({ instance, mailboxes, mapping, from, mailboxDirectory: configuration.mailboxDirectory });
  }
  if (mapping?.meta() === undefined && (mailboxes?.highestPublished() ?? 0) > 0) throw mappingLost(workDir);
  if (mapping !== undefined && mailboxes !== undefined) {
    refuseOldMapping(mapping, mailboxes, `${workDir.path}/${MAPPING_DATABASE_FILE}`);
  }
  return {
    source,
    from,
    configuration,
    account,
    owner,
    otherSourceUser: sourceAccount.uid === account.uid ? undefined : sourceAccount.user,
    instancePath,
    instance,
    workDir,
    mapping,
    mailboxes,
    upgradeConf,
  };
}

/** The server account of 3.x, which most often is that of the instance. */
function accountOf({ serverUser, serverGroup }: SourceConfiguration, instance: Instance | undefined): Account {
  const known = instance?.account;
  return known?.user === serverUser && known.group === serverGroup ? known : lookupAccount(serverUser, serverGroup);
}

/** The instance when it is there. One that is not can only be made with `--from`. */
function openExisting(path: string, required: boolean): Instance | undefined {
  return required || detectInstallation(path) !== 'none' ? openInstance(path) : undefined;
}

function sourcePath(options: FoldersOptions, instance: Instance | undefined): string {
  const named = options.from ?? instance?.config.get(OPTION.from);
  if (named !== undefined) return resolve(named);
  throw new MailhaulError('FROM_UNKNOWN', 'Nobody said which 3.x instance the mail comes from.', {
    where: OPTION.from,
    hint: 'Name it with --from <3.x instance directory>; it is remembered.',
  });
}

function openWorkDir(options: FoldersOptions, instance: Instance | undefined, configuration: SourceConfiguration): Dir {
  const remembered = instance?.config.get(OPTION.workDir);
  const path =
    options.workDir === undefined ? (remembered ?? configuration.mailboxDirectory) : resolve(options.workDir);
  const before = remembered ?? configuration.mailboxDirectory;
  if (instance !== undefined && path !== before && holdsMapping(before)) {
    throw new MailhaulError('WORK_DIR_CHANGED', 'An earlier `upgrade -s` keeps its mapping database elsewhere.', {
      where: before,
      hint: 'Leave out --work-dir, or name that directory: what was migrated is on record there.',
    });
  }
  return openRootOr(path, (error) => {
    throw new MailhaulError('WORK_DIR', 'The directory for the mapping database cannot be opened.', {
      where: path,
      hint: `${error instanceof Error ? error.message : ''} Is its disk mounted?`,
      cause: error,
    });
  });
}

function holdsMapping(path: string): boolean {
  try {
    const dir = openRoot(path);
    try {
      return hasFile(dir, MAPPING_DATABASE_FILE);
    } finally {
      closeDir(dir);
    }
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

function hasFile(dir: Dir, name: string): boolean {
  return stat(dir, name) !== undefined;
}

async function openMailboxes(
  instance: Instance,
  owner: Site['owner'],
  readOnly: boolean,
): Promise<MailboxDatabase | undefined> {
  try {
    return await openMailboxDatabase(instance.mboxlist, { owner, readOnly });
  } catch (error) {
    if (error instanceof MailhaulError && error.code === 'DB_MISSING') return undefined;
    throw error;
  }
}

interface SourceContext {
  readonly instance: Instance;
  readonly mailboxes: MailboxDatabase;
  readonly mapping: MappingDatabase | undefined;
  readonly from: string;
  readonly mailboxDirectory: string;
}

/**
 * The folders of one 3.x server in one 4.x instance: the mapping database is looked for where the named 3.x instance
 * keeps its mail, so that of another one would not be missed, and its users would stay in TRANSITION for ever.
 *
 * @throws MailhaulError FROM_OTHER, MAILBOX_DIRECTORY_CHANGED (exit 3)
 */
function checkSameSource({ instance, mailboxes, mapping, from, mailboxDirectory }: SourceContext): void {
  if (!hasMappedMailbox(mailboxes)) return;
  const recorded = instance.config.get(OPTION.from);
  const recordedDirectory = instance.config.get(OPTION.mailboxDirectory);
  // A 3.x instance that was moved still has its mailbox directory, and the mapping database in it or in --work-dir.
  const isElsewhere = recordedDirectory !== undefined && recordedDirectory !== mailboxDirectory;
  const isOther = recorded !== undefined && resolve(recorded) !== from;
  if (isOther && (isElsewhere || mapping?.meta() === undefined)) {
    throw new MailhaulError('FROM_OTHER', `The folders were upgraded from ${recorded}, not from this 3.x instance.`, {
      where: from,
      hint:
        'Leave --from out, or give this 3.x instance a 4.x instance of its own with --instance. If it is the same one, ' +
        'moved, restore the mapping database, or name its directory with --work-dir. Nothing was changed.',
    });
  }
  if (!isElsewhere) return;
  const message = `The folders were upgraded from ${recordedDirectory}; NscpMail.conf says ${mailboxDirectory} now.`;
  throw new MailhaulError('MAILBOX_DIRECTORY_CHANGED', message, {
    where: OPTION.mailboxDirectory,
    hint: 'Set MailboxDirectory back, or clean up with `upgrade --reset` before it is changed. Nothing was changed.',
  });
}

/** Folders of 3.x are in the mailbox database, whatever has become of them since. */
function hasMappedMailbox(mailboxes: MailboxDatabase): boolean {
  if (mailboxes.highestPublished() > 0) return true;
  for (const { mappingId } of mailboxes.list()) if (mappingId !== null) return true;
  return false;
}

/** Without the mapping nobody can tell which 3.x folder a migrated mailbox is: its mail would come a second time. */
function mappingLost(workDir: Dir): MailhaulError {
  return new MailhaulError('MAPPING_LOST', 'Mailboxes have been migrated, but the mapping database is gone.', {
    where: `${workDir.path}/${MAPPING_DATABASE_FILE}`,
    hint: 'Restore it from a backup, or name its directory with --work-dir.',
  });
}

interface MappingContext {
  readonly configuration: SourceConfiguration;
  readonly instance: Instance | undefined;
  readonly mailboxes: MailboxDatabase | undefined;
  readonly instancePath: string;
  readonly upgradeConf: ReadonlyMap<string, string>;
  readonly workDir: Dir;
}

/** A mapping database of another installation must not be continued: its records are about other mail. */
function checkMapping(mapping: MappingDatabase, context: MappingContext): void {
  const meta = mapping.meta();
  const { configuration, instance, mailboxes, instancePath, upgradeConf, workDir } = context;
  refuseUnfinishedReset(meta, workDir.path);
  if (meta !== undefined && meta.mailboxDirectory !== configuration.mailboxDirectory) {
    throw new MailhaulError('MAPPING_OTHER_SOURCE', `The mapping database is about ${meta.mailboxDirectory}.`, {
      where: workDir.path,
      hint: 'Name the 3.x instance that it was made for with --from, or another --work-dir.',
    });
  }
  const other = upgradeConf.get('upgrade.instance');
  if (other === undefined) return;
  const compared = compareInstances(other, instancePath);
  if (compared === 'same' || (compared === 'gone' && instance?.config.get(OPTION.instance) === other)) return;
  // One that was moved knows a mailbox that was migrated to it; a new one beside an old one that was removed does not.
  const isKnown = ({ id, mailbox }: MappingFolder): boolean => mailboxes?.get(mailbox)?.mappingId === id;
  let attempted = false;
  for (const folder of mapping.folders()) {
    if (folder.root === null && !folder.migrated) continue;
    if (compared === 'gone' && isKnown(folder)) return;
    attempted = true;
  }
  if (attempted) {
    throw new MailhaulError('MAPPING_OTHER_INSTANCE', `Mail was migrated to another 4.x instance, ${other}.`, {
      where: workDir.path,
      hint: `Use --instance ${other}, or clean up with \`upgrade --reset\` first.`,
    });
  }
}

const PROBE = '.__up.probe';

/** Bytes that must fit before anything is written; the databases of an empty site are this large. */
const PROBE_BYTES = 256 * 1024;

/**
 * A read-only or full directory is refused before anything is written (4x-store.md, Mailbox databases): the last of
 * the checks, because it tries. A dry run only looks.
 *
 * @returns true when root can write there and the server account cannot
 * @throws MailhaulError WORK_DIR_READ_ONLY, WORK_DIR_FULL (exit 3)
 */
export function checkWorkDir({ workDir, account }: Site, options: FoldersOptions): boolean {
  if (options.dryRun !== true) return checkWritable(workDir, account, options.becomeServerAccount === true);
  const path = `/proc/self/fd/${workDir.fd}`;
  try {
    fs.accessSync(path, fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    throw notWritable(workDir, account, error);
  }
  const { bavail, bsize } = fs.statfsSync(path);
  if (bavail * bsize >= PROBE_BYTES) return false;
  throw notWritable(workDir, account, Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
}

/** @param asServer the process is going to become the server account */
function checkWritable(dir: Dir, account: Account, asServer: boolean): boolean {
  try {
    if (!asServer) probe(dir);
    else asAccount(account, () => probe(dir));
    return false;
  } catch (error) {
    // A directory of root: its files can belong to the account all the same.
    if (!asServer || process.geteuid?.() !== 0 || !hasErrno(error, 'EACCES')) throw notWritable(dir, account, error);
  }
  try {
    probe(dir);
    return true;
  } catch (error) {
    throw notWritable(dir, account, error);
  }
}

function probe(dir: Dir): void {
  if (stat(dir, PROBE) !== undefined) unlink(dir, PROBE);
  const fd = createFile(dir, PROBE);
  try {
    writeAll(fd, Buffer.alloc(PROBE_BYTES, 1));
    sync(fd);
  } finally {
    fs.closeSync(fd);
    unlink(dir, PROBE);
  }
}

function notWritable(dir: Dir, account: Account, cause: unknown): MailhaulError {
  const full = hasErrno(cause, 'ENOSPC', 'EDQUOT');
  const repair = hasErrno(cause, 'EROFS')
    ? 'Mount its file system for writing'
    : `Give it to the server account “${account.user}”`;
  const [code, what, help] = full
    ? ['WORK_DIR_FULL', 'is full', 'Make space']
    : ['WORK_DIR_READ_ONLY', 'cannot be written', repair];
  return new MailhaulError(code, `The directory for the mapping database ${what}.`, {
    where: dir.path,
    hint: `${help}, or name another directory with --work-dir. Nothing was changed.`,
    cause,
  });
}
