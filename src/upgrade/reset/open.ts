/**
 * Everything that a reset opens and locks before it looks at the first folder. The refusals here are those of `-s`:
 * a running 3.x server, another run, a mapping of another instance. Nothing is made but the lock file.
 */
import * as fs from 'node:fs';
import { resolve } from 'node:path';
import { type BareInstance, OPTION, openBareInstance } from '../../config/instance.js';
import { partitionPaths } from '../../config/partition-paths.js';
import { becomeAccount, checkIdentity, enterAccount } from '../../config/privileges.js';
import { lockDirectory, lockWholeStore, type StoreLock } from '../../config/store-lock.js';
import { hasErrno, MailhaulError } from '../../errors.js';
import { closeDir, type Dir, fstat, openRoot, stat } from '../../fs/dir.js';
import { ensureDirs, walkIfThere } from '../../fs/walk.js';
import { type Log, nullLog } from '../../log/log.js';
import { refuseWhileRunning } from '../../source/nsms3/running.js';
import { nsms3 } from '../../source/nsms3/source.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../store/database.js';
import { isZeroFile } from '../../store/lmdbHeader.js';
import type { MailboxDatabase } from '../../store/types.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from '../mapping/database.js';
import { type Defer, openInSteps } from '../open-in-steps.js';
import { checkFrom, checkMappingIsOurs, openWorkDir, refuseRunningServer, type SessionOptions } from '../session.js';
import { openSourceInstance } from '../setup.js';
import type { MappingDatabase } from '../types.js';
import { closeRoots, heldRoot } from './context.js';
import type { FilePlaces } from './files.js';
import { type WantedRoots, wantedRoots } from './wanted.js';

export interface ResetSite {
  readonly instance: BareInstance;
  readonly log: Log;
  readonly places: FilePlaces;
  readonly mapping: MappingDatabase | undefined;
  readonly mailboxes: MailboxDatabase | undefined;
  /** Absolute path of a partition; configdb is read once for each. */
  readonly partitionPath: (name: string) => string | undefined;
  readonly wanted: WantedRoots;
  /** Store paths and partitions, opened with the rights that the command was started with. */
  readonly roots: Map<string, Dir | null>;
  /** Ends the rights of the server account, where the last files are root's to remove. */
  leaveAccount(): void;
  /** Closes the databases, before their files go. */
  closeDatabases(): Promise<void>;
  close(): Promise<void>;
}

export interface ResetSiteOptions extends SessionOptions {
  readonly dryRun: boolean;
  readonly becomeServerAccount?: boolean | undefined;
}

/**
 * @throws MailhaulError INSTANCE_*, FROM_*, SOURCE_RUNNING, UPGRADE_RUNNING, STORE_LOCKED, MAPPING_OTHER_INSTANCE,
 * WORK_DIR, DB_* (exit 2 or 3)
 */
export function openResetSite(options: ResetSiteOptions): Promise<ResetSite> {
  return openInSteps((defer) => open(options, defer));
}

async function open(options: ResetSiteOptions, defer: Defer): Promise<Omit<ResetSite, 'close'>> {
  const instance = openBareInstance(options.instance);
  defer(() => instance.close());
  checkIdentity(instance.account, instance.account.user);
  checkFrom(instance, options.from);
  if (options.pidIsStale !== true) {
    refuseRunningServer(instance);
    const from = unrecordedSource(instance, options.from);
    if (from !== undefined) withSource(from, (dir) => refuseWhileRunning(dir, nsms3.serverState(dir), false));
  }

  const hold = (dir: Dir | undefined): Dir | undefined => {
    if (dir !== undefined) defer(() => closeDir(dir));
    return dir;
  };
  const workDir = hold(findWorkDir(instance, options));
  // In the order of `-s` (docs/formats/instance.md).
  const locks: StoreLock[] = [];
  defer(() => {
    for (const lock of locks) lock.release();
  });
  if (workDir !== undefined) locks.push(lockDirectory(workDir, 'The mapping database'));
  locks.push(...lockWholeStore(instance.lockDir, options.dryRun, 'upgrade --reset', instance.owner));
  if (workDir !== undefined) checkMappingIsOurs(instance, workDir);

  const log = options.dryRun ? nullLog : instance.openLog('upgrade', options.logLevel);
  defer(() => log.close());
  const { owner } = instance;
  const readOnly = options.dryRun;
  const mapping = hasContent(workDir, MAPPING_DATABASE_FILE, false)
    ? await openMappingDatabase(workDir!, MAPPING_DATABASE_FILE, { owner, readOnly })
    : undefined;
  // Durable after the mailbox database.
  const finished = (mapping?.meta()?.finished ?? null) !== null;
  const mailboxes = hasContent(instance.mboxlist, MAILBOX_DATABASE_FILE, finished)
    ? await openMailboxDatabase(instance.mboxlist!, { owner, readOnly: true })
    : undefined;
  const databases = [mapping, mailboxes];
  const closeDatabases = async (): Promise<void> => {
    for (const database of databases.splice(0)) await database?.close();
  };
  defer(closeDatabases);

  const roots = new Map<string, Dir | null>();
  defer(() => closeRoots(roots));
  const partitionPath = partitionPaths(instance);
  const wanted = wantedRoots({ mapping, mailboxes, partitionPath });
  for (const path of [...wanted.partitions.keys(), ...wanted.stores]) heldRoot(roots, path);
  const mailboxDirectory = hold(findMailboxDirectory(instance, mapping));
  const userDir = hold(walkIfThere(instance.dir, ['store', 'user']));
  const places = { workDir, mailboxDirectory, mboxlist: instance.mboxlist, userDir, lockDir: instance.lockDir };
  const leaveAccount =
    options.becomeServerAccount === true ? takeAccount(instance, [workDir, mailboxDirectory]) : () => {};
  return { instance, log, places, mapping, mailboxes, partitionPath, wanted, roots, leaveAccount, closeDatabases };
}

/** undefined: nobody has said where, so no `-s` can have been there. */
function findWorkDir(instance: BareInstance, options: ResetSiteOptions): Dir | undefined {
  const from = unrecordedSource(instance, options.from);
  const named =
    options.workDir ?? (from === undefined ? undefined : withSource(from, nsms3.readConfiguration).mailboxDirectory);
  try {
    return openWorkDir(instance, named).dir;
  } catch (error) {
    if (error instanceof MailhaulError && error.code === 'FOLDERS_FIRST') return undefined;
    throw error;
  }
}

/** `--from` where it is not on record yet: `-s` was killed before it wrote it down. */
function unrecordedSource(instance: BareInstance, named: string | undefined): string | undefined {
  return (instance.config.get(OPTION.from) ?? '') === '' ? named : undefined;
}

function withSource<T>(from: string, use: (dir: Dir) => T): T {
  const dir = openSourceInstance(resolve(from));
  try {
    return use(dir);
  } finally {
    closeDir(dir);
  }
}

/**
 * An empty file is what `-s` leaves when it is killed before its first transaction, one of zeros what a power loss
 * leaves of it. Where that transaction was made (`filled`) zeros are damage.
 */
function hasContent(dir: Dir | undefined, name: string, filled: boolean): boolean {
  const found = dir === undefined ? undefined : stat(dir, name);
  if (dir === undefined || found === undefined) return false;
  return !found.isFile() || (found.size > 0n && (filled || !isZeroFile(dir, name)));
}

/** Where the markers are; undefined when it cannot be told, or is not there. */
function findMailboxDirectory(instance: BareInstance, mapping: MappingDatabase | undefined): Dir | undefined {
  const path = mapping?.meta()?.mailboxDirectory ?? configuredMailboxDirectory(instance);
  if (path === undefined) return undefined;
  try {
    return openRoot(path);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function configuredMailboxDirectory(instance: BareInstance): string | undefined {
  const from = instance.config.get(OPTION.from);
  if (from === undefined || from === '') return undefined;
  try {
    return withSource(from, nsms3.readConfiguration).mailboxDirectory;
  } catch (error) {
    if (error instanceof MailhaulError) return undefined;
    throw error;
  }
}

/** From here on as the server account: for good, unless a directory of the last files is root's. */
function takeAccount(instance: BareInstance, dirs: readonly (Dir | undefined)[]): () => void {
  const { account } = instance;
  const leave = enterAccount(account);
  const needsRoot = dirs.some((dir) => dir !== undefined && !mayWrite(dir));
  if (needsRoot) return leave;
  leave();
  becomeAccount(account);
  return () => {};
}

/** access(2) asks for the real user; what counts is the effective one. */
function mayWrite(dir: Dir): boolean {
  const { uid, gid, mode } = fstat(dir);
  const [user, groups] = [process.geteuid?.() ?? -1, [process.getegid?.() ?? -1, ...(process.getgroups?.() ?? [])]];
  const bits = Number(mode);
  if (Number(uid) === user) return (bits & 0o300) === 0o300;
  return groups.includes(Number(gid)) ? (bits & 0o030) === 0o030 : (bits & 0o003) === 0o003;
}

/** A reset leaves the instance as it was made: with an empty `store/mboxlist`. */
export function completeInstance(instance: BareInstance): void {
  if (instance.mboxlist !== undefined) return;
  closeDir(ensureDirs(instance.dir, ['store', 'mboxlist'], instance.owner));
  fs.fsyncSync(instance.dir.fd);
}
