/**
 * The 4.x instance directory (4x-store.md, Layout).
 *
 *     <server-root>/msg-<instance>/
 *       config/configdb          options; written last: an instance without it is not there yet
 *       log/default/default      the log
 *       lock/__lock.share        the store-wide lock (store-lock.ts)
 *       queue/active, deferred   message queue
 *       store/mboxlist           mailbox databases
 *       store/user
 *       store/partition/primary  the default partition
 *
 * Every directory has mode 0700, every file 0600, and all belong to the server account; a directory that was there
 * before the instance is made so, unless it belongs to somebody else. Making an instance that is there already changes
 * nothing: what a killed run left unfinished is completed.
 */
import { resolve } from 'node:path';
import { EXIT, hasErrno, MailhaulError } from '../errors.js';
import {
  adoptDir,
  closeDir,
  DIRECTORY_MODE,
  type Dir,
  ensureDir,
  fstat,
  giveTo,
  openDir,
  openRoot,
  openRootOr,
  own,
  stat,
  sync,
} from '../fs/dir.js';
import { ensureDirs } from '../fs/walk.js';
import { DEFAULT_LOG_LEVEL, LOG_LEVELS, type Log, type LogLevel, openLog } from '../log/log.js';
import { type Account, lookupAccount } from './account.js';
import { CONFIGDB, type ConfigDb, openConfigDb } from './configdb.js';

/** Names of the options that this package reads (docs/formats/instance.md). */
export const OPTION = {
  hostName: 'local.hostname',
  instance: 'local.instancedir',
  serverUser: 'local.serveruid',
  serverGroup: 'local.servergid',
  /** The 3.x instance directory that the mail comes from (`--from`). */
  from: 'local.upgrade.from',
  /** MailboxDirectory of that instance when the last `upgrade -s` read it. */
  mailboxDirectory: 'local.upgrade.mailboxdirectory',
  /** Where the mapping database and the user lists lie when not in the 3.x default mailbox directory. */
  workDir: 'local.upgrade.workdir',
  defaultPartition: 'store.defaultpartition',
} as const;

/** The partition that always exists: the one of the default mail store path. */
export const PRIMARY = 'primary';

/** `store.partition.<name>.path` */
export function partitionPathOption(partition: string): string {
  return `store.partition.${partition}.path`;
}

/** The server account as owner of files. */
interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** An open instance. Paths of held directories are for messages; calls go through the descriptors. */
export interface Instance {
  /** Absolute. */
  readonly path: string;
  readonly dir: Dir;
  readonly lockDir: Dir;
  /** `store/mboxlist`. */
  readonly mboxlist: Dir;
  readonly config: ConfigDb;
  readonly account: Account;
  readonly owner: Owner;
  /** The log of a command of this name; the threshold is `logfile.default.loglevel` unless given. */
  openLog(process: string, level?: LogLevel): Log;
  /** Absolute path of a partition, from configdb; undefined for an unknown one. */
  partitionPath(name: string): string | undefined;
  close(): void;
}

/** What is needed to make an instance. */
export interface InstanceSettings {
  readonly hostName: string;
  readonly serverUser: string;
  readonly serverGroup: string;
  /** 3.x instance directory; null for a fresh installation. */
  readonly from: string | null;
  /** Further options for configdb, by name. */
  readonly options?: ReadonlyMap<string, string>;
}

const DIRECTORIES: readonly (readonly string[])[] = [
  ['config'],
  ['log', 'default'],
  ['lock'],
  ['queue', 'active'],
  ['queue', 'deferred'],
  ['store', 'mboxlist'],
  ['store', 'user'],
  ['store', 'partition', PRIMARY],
];

/** Absolute path of the primary partition of an instance. */
export function primaryPartitionPath(instance: string): string {
  return `${resolve(instance)}/store/partition/${PRIMARY}`;
}

/** What lies in a directory that may be an instance. */
export type Installation = 'none' | '3.x' | '4.x';

/** Looks which product's instance a directory is; one that is missing is `none`. */
export function detectInstallation(path: string): Installation {
  const dir = openRootOr(resolve(path), (error) => {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw instanceError('INSTANCE_UNREADABLE', 'The instance directory cannot be opened.', path, error);
  });
  if (dir === undefined) return 'none';
  try {
    return installationIn(dir);
  } catch (error) {
    throw instanceError('INSTANCE_UNREADABLE', 'The instance directory cannot be opened.', path, error);
  } finally {
    closeDir(dir);
  }
}

function installationIn(dir: Dir): Installation {
  try {
    const config = openDir(dir, 'config');
    try {
      if (stat(config, CONFIGDB)?.isFile()) return '4.x';
      return stat(config, 'NscpMail.conf') === undefined ? 'none' : '3.x';
    } finally {
      closeDir(config);
    }
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return 'none';
    throw error;
  }
}

/**
 * Makes an instance, or completes one; options that configdb has already (cleared ones too) keep their values.
 *
 * @throws MailhaulError CONF_ACCOUNT, INSTANCE_CREATE (exit 3); DISK_FULL (exit 4), and it is completed when run again
 */
export async function createInstance(path: string, settings: InstanceSettings): Promise<Instance> {
  const absolute = resolve(path);
  const account = lookupAccount(settings.serverUser, settings.serverGroup);
  const owner = { uid: account.uid, gid: account.gid };
  try {
    const dir = makeInstanceDirectory(absolute, owner);
    try {
      const settle = installationIn(dir) === '4.x' ? adoptDir : takeOver;
      settle(dir, owner);
      for (const names of DIRECTORIES) makeOwned(dir, names, owner, settle);
      await writeOptions(dir, owner, instanceOptions(absolute, settings));
    } finally {
      closeDir(dir);
    }
  } catch (error) {
    if (error instanceof MailhaulError) throw error;
    if (hasErrno(error, 'ENOSPC', 'EDQUOT')) {
      throw new MailhaulError('DISK_FULL', 'The disk of the 4.x instance is full.', {
        where: absolute,
        hint: 'Make space, then run the same command again.',
        exit: EXIT.halted,
        cause: error,
      });
    }
    throw instanceError('INSTANCE_CREATE', 'The 4.x instance cannot be made.', absolute, error);
  }
  return openInstance(absolute);
}

/** The options of a new instance, in the order in which configdb lists them. */
export function instanceOptions(path: string, settings: InstanceSettings): Map<string, string> {
  const options = new Map<string, string>([
    [OPTION.hostName, settings.hostName],
    [OPTION.instance, path],
    [OPTION.serverUser, settings.serverUser],
    [OPTION.serverGroup, settings.serverGroup],
    [OPTION.defaultPartition, PRIMARY],
    [partitionPathOption(PRIMARY), primaryPartitionPath(path)],
    ['logfile.default.loglevel', 'Notice'],
  ]);
  if (settings.from !== null) options.set(OPTION.from, settings.from);
  for (const [name, value] of settings.options ?? []) options.set(name, value);
  return options;
}

async function writeOptions(dir: Dir, owner: Owner, wanted: ReadonlyMap<string, string>): Promise<void> {
  const config = openDir(dir, 'config');
  try {
    await addMissingOptions(openConfigDb(config, { owner }), wanted);
  } finally {
    closeDir(config);
  }
}

/** Sets the options that configdb has no line for: what somebody has set or cleared stays. Returns their names. */
export async function addMissingOptions(db: ConfigDb, wanted: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const present = new Set(db.entries().map(({ option }) => option.toLowerCase()));
  const missing = [...wanted].filter(([option]) => !present.has(option.toLowerCase()));
  if (missing.length > 0) await db.update(missing.map(([option, value]) => ({ option, language: null, value })));
  return missing.map(([option]) => option);
}

/** Makes the instance directory; missing parents belong to whoever runs this and everybody may pass them. */
function makeInstanceDirectory(path: string, owner: Owner): Dir {
  const missing: string[] = [];
  let existing = path;
  let dir: Dir | undefined;
  while (dir === undefined) {
    try {
      dir = openRoot(existing);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT') || existing === '/') throw error;
      const slash = existing.lastIndexOf('/');
      missing.unshift(existing.slice(slash + 1));
      existing = slash <= 0 ? '/' : existing.slice(0, slash);
    }
  }
  for (const [index, name] of missing.entries()) {
    const parent: Dir = dir;
    const last = index === missing.length - 1;
    try {
      dir = ensureDir(parent, name, last ? owner : undefined, last ? DIRECTORY_MODE : 0o755);
      sync(parent.fd);
    } finally {
      closeDir(parent);
    }
  }
  return dir;
}

function makeOwned(dir: Dir, names: readonly string[], owner: Owner, settle: typeof takeOver): void {
  for (let depth = 1; depth <= names.length; depth += 1) {
    const made = ensureDirs(dir, names.slice(0, depth), owner);
    try {
      settle(made, owner);
      sync(made.fd);
    } finally {
      closeDir(made);
    }
  }
}

/**
 * While the instance is being made a directory may be there that somebody made beforehand, with any mode and group, or
 * a killed run as root: it is the account's alone after this. One of another account than root and the server account
 * is left as it is: nobody gave it to us.
 */
function takeOver(dir: Dir, owner: Owner): void {
  const { uid, gid, mode } = fstat(dir);
  const self = process.geteuid?.();
  const isAccounts = Number(uid) === owner.uid;
  const mayTake = self === 0 ? isAccounts || uid === 0n : isAccounts && self === owner.uid;
  const isRight = isAccounts && Number(gid) === owner.gid && (Number(mode) & 0o7777) === DIRECTORY_MODE;
  if (!mayTake || isRight) return;
  // The account may do that too, to the group that it runs with.
  giveTo(dir.fd, owner);
  own(dir.fd, DIRECTORY_MODE);
}

/**
 * Opens an instance.
 *
 * @throws MailhaulError INSTANCE_MISSING, INSTANCE_INCOMPLETE, CONF_ACCOUNT (exit 3)
 */
export function openInstance(path: string): Instance {
  return openParts(path, (store) => openDir(store, 'mboxlist'));
}

/** An instance whose `store/mboxlist` may be gone: what `--reset` cleans up after. */
export type BareInstance = Omit<Instance, 'mboxlist'> & { readonly mboxlist: Dir | undefined };

/** `openInstance` for `--reset`. */
export function openBareInstance(path: string): BareInstance {
  return openParts<Dir | undefined>(path, (store) => {
    try {
      return openDir(store, 'mboxlist');
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  });
}

/**
 * The instance that was opened bare, for what needs all of it: it is not opened twice.
 *
 * @throws MailhaulError INSTANCE_INCOMPLETE (exit 3)
 */
export function completeInstance(bare: BareInstance): Instance {
  const { mboxlist } = bare;
  if (mboxlist !== undefined) return { ...bare, mboxlist };
  throw new MailhaulError('INSTANCE_INCOMPLETE', 'A part of the instance directory cannot be opened.', {
    where: bare.path,
    hint: 'There is no store/mboxlist in it.',
  });
}

function openParts<Mboxlist extends Dir | undefined>(
  path: string,
  openMboxlist: (store: Dir) => Mboxlist,
): Omit<Instance, 'mboxlist'> & { readonly mboxlist: Mboxlist } {
  const absolute = resolve(path);
  const found = detectInstallation(absolute);
  if (found !== '4.x') {
    const what = found === '3.x' ? 'This is a 3.x instance, not a 4.x one.' : 'There is no 4.x instance here.';
    throw new MailhaulError('INSTANCE_MISSING', what, {
      where: absolute,
      hint: 'Name it with --instance (or MSG_INSTANCE); `msg-setup` or `upgrade -s --from <3.x instance>` make a new one.',
    });
  }
  const held: Dir[] = [];
  const hold = <T extends Dir | undefined>(opened: T): T => {
    if (opened !== undefined) held.push(opened);
    return opened;
  };
  const close = (): void => {
    for (const dir of held.splice(0)) closeDir(dir);
  };
  try {
    const dir = hold(openRoot(absolute));
    const configDir = hold(openDir(dir, 'config'));
    const lockDir = hold(openDir(dir, 'lock'));
    const mboxlist = hold(openMboxlist(hold(openDir(dir, 'store'))));
    const unowned = openConfigDb(configDir);
    const account = lookupAccount(required(unowned, OPTION.serverUser), required(unowned, OPTION.serverGroup));
    const owner = { uid: account.uid, gid: account.gid };
    const config = openConfigDb(configDir, { owner });
    return {
      path: absolute,
      dir,
      lockDir,
      mboxlist,
      config,
      account,
      owner,
      openLog: (process, level) => openLog({ instance: dir, owner, process, level: level ?? configuredLevel(config) }),
      partitionPath: (name) => config.get(partitionPathOption(name)),
      close,
    };
  } catch (error) {
    close();
    if (error instanceof MailhaulError) throw error;
    throw instanceError('INSTANCE_INCOMPLETE', 'A part of the instance directory cannot be opened.', absolute, error);
  }
}

function required(config: ConfigDb, option: string): string {
  const value = config.get(option);
  if (value !== undefined) return value;
  throw new MailhaulError('CONF_MISSING', `The option ${option} is not set.`, {
    where: option,
    hint: `Set it with \`configutil -o ${option} -v <value>\`.`,
  });
}

/** A level that is none (somebody's edit) must not keep the commands from running. */
function configuredLevel(config: ConfigDb): LogLevel {
  const wanted = config.get('logfile.default.loglevel')?.toLowerCase();
  return LOG_LEVELS.find((level) => level.toLowerCase() === wanted) ?? DEFAULT_LOG_LEVEL;
}

function instanceError(code: string, message: string, where: string, cause: unknown): MailhaulError {
  const hint = cause instanceof Error ? cause.message : '';
  return new MailhaulError(code, message, { where, hint, cause });
}
