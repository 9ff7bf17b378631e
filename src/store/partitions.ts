/**
 * Partitions: 4.x names for the 3.x store paths, and the directories behind them.
 *
 *     3.x store path /mail/marketing  ─▶  partition `marketing`  ─▶  /mail/marketing/.0004x.marketing
 *     3.x default path                ─▶  partition `primary`    ─▶  <instance>/store/partition/primary
 *
 * Invariant: different store paths have different names, and no store path is another one or lies in it.
 * A partition's directory is made by `upgrade -s` alone; a directory that is missing later is an unmounted
 * disk, and mail must not go into the mount point (4x-store.md, Layout).
 */
import * as fs from 'node:fs';
import { PRIMARY } from '../config/instance.js';
import { hasErrno, MailhaulError, messageOf } from '../errors.js';
import {
  closeDir,
  type Dir,
  ensureDir,
  fstat,
  type Ownership,
  openRoot,
  openRootOr,
  own,
  stat,
  sync,
} from '../fs/dir.js';
import { mindsLinks, readRootLink } from '../fs/links.js';

/** Permissions of every directory of a partition. */
const PARTITION_MODE = 0o700;

/** A 3.x store path and how many users have their mailbox there. */
export interface StorePathUse {
  /** Absolute, normalised. */
  readonly path: string;
  readonly users: number;
}

export interface PartitionPlan extends StorePathUse {
  readonly name: string;
  /** Where the partition lies unless `configutil` changes it. */
  readonly defaultPath: string;
}

/** Store paths whose partition name is not theirs alone. */
export interface NameCollision {
  readonly reason: 'duplicate' | 'empty' | 'reserved';
  /** '' when `reason` is `empty`. */
  readonly name: string;
  readonly paths: readonly StorePathUse[];
}

/** PARTITION_NAMES (exit 3): every collision there is, in `collisions` and in the message. */
export class PartitionNamesError extends MailhaulError {
  readonly collisions: readonly NameCollision[];

  constructor(collisions: readonly NameCollision[]) {
    const lines = collisions.map(({ reason, name, paths }) => {
      const listed = paths.map(({ path, users }) => `${path} (${users} ${users === 1 ? 'user' : 'users'})`);
      return `${describeCollision(reason, name)} ${listed.join(', ')}`;
    });
    super('PARTITION_NAMES', `Some mail store paths get no partition name of their own: ${lines.join('; ')}.`, {
      hint:
        'Give each mail store path another last subdirectory: move it, change mailMessageStore of its users, then ' +
        'run `upgrade -s` again. Nothing was changed.',
    });
    this.collisions = collisions;
  }
}

function describeCollision(reason: NameCollision['reason'], name: string): string {
  if (reason === 'empty') return 'no letters or digits are in the last subdirectory of';
  if (reason === 'reserved') return `\`${name}\` is the name of the default path, but would be that of`;
  return `\`${name}\` would be the name of`;
}

/** The guide's rule: last subdirectory, non-alphanumeric characters stripped, lower case. May be ''. */
export function partitionNameOf(storePath: string): string {
  const last = storePath.replace(/\/+$/, '').split('/').at(-1) ?? '';
  return last.replace(/[^A-Za-z0-9]/g, '').toLowerCase();
}

/** `/mail/marketing` → `/mail/marketing/.0004x.marketing`. */
export function defaultPartitionPath(storePath: string, name: string): string {
  return `${storePath === '/' ? '' : storePath}/${partitionDirectoryName(name)}`;
}

function partitionDirectoryName(name: string): string {
  return `.0004x.${name}`;
}

/**
 * Names the store paths; `primary`, for the default path, comes first whether it has users or not.
 *
 * @param uses each store path once
 * @throws PartitionNamesError with all duplicate, empty and reserved names at once
 */
export function planPartitions(
  uses: readonly StorePathUse[],
  options: { readonly defaultStorePath: string; readonly primaryPath: string },
): PartitionPlan[] {
  const { defaultStorePath, primaryPath } = options;
  const primary = uses.find(({ path }) => path === defaultStorePath) ?? { path: defaultStorePath, users: 0 };
  const byName = new Map<string, StorePathUse[]>();
  for (const use of uses) {
    if (use.path === defaultStorePath) continue;
    const name = partitionNameOf(use.path);
    const same = byName.get(name);
    if (same === undefined) byName.set(name, [use]);
    else same.push(use);
  }
  const collisions: NameCollision[] = [];
  const plans: PartitionPlan[] = [{ ...primary, name: PRIMARY, defaultPath: primaryPath }];
  for (const [name, paths] of byName) {
    if (name === '') collisions.push({ reason: 'empty', name, paths });
    else if (name === PRIMARY) collisions.push({ reason: 'reserved', name, paths: [primary, ...paths] });
    else if (paths.length > 1) collisions.push({ reason: 'duplicate', name, paths });
    else plans.push({ ...paths[0]!, name, defaultPath: defaultPartitionPath(paths[0]!.path, name) });
  }
  if (collisions.length > 0) throw new PartitionNamesError(collisions);
  return plans;
}

// ---- store paths on disk ----

/** What a store path is, found by walking it one name at a time. */
export interface StorePathIdentity {
  /** `<device>:<inode>` of the directory. */
  readonly id: string;
  /** The same of every directory above it, after links are resolved. */
  readonly parents: readonly string[];
}

/** Symbolic links in one path before it counts as a loop (the kernel's own limit). */
const MAX_LINKS = 40;

/**
 * Looks whether a store path may be used: it and every parent (every symbolic link on the way too) is owned by
 * root or the server account and not writable by others; a sticky directory counts as not (3x-profile.md). Root, who
 * would follow a link of the account to what that account may not touch, follows only links of root.
 *
 * @param exempt named with `--store-path`: the rule does not apply, the path must still be a directory
 * @throws MailhaulError STORE_PATH_MISSING, STORE_PATH_NOT_DIRECTORY, STORE_PATH_UNTRUSTED, FS_FOREIGN_LINK
 */
export function checkStorePath(path: string, accountUid: number, exempt: boolean): StorePathIdentity {
  const held: { dir: Dir; id: string }[] = [];
  const enter = (dir: Dir): void => {
    const status = fstat(dir);
    held.push({ dir, id: `${status.dev}:${status.ino}` });
    if (exempt) return;
    if (isOfKernel(dir)) throw untrusted(path, dir.path, 'holds no files but the state of the system');
    if (!isTrusted(status.uid, accountUid)) throw untrusted(path, dir.path, `is owned by uid ${status.uid}`);
    if ((status.mode & 0o002n) !== 0n && (status.mode & 0o1000n) === 0n) {
      throw untrusted(path, dir.path, 'is writable by others');
    }
  };
  try {
    enter(openRoot('/'));
    const pending = path.split('/').filter((name) => name !== '');
    for (let links = 0; pending.length > 0; ) {
      const name = pending.shift()!;
      if (name === '.') continue;
      if (name === '..') {
        if (held.length > 1) closeDir(held.pop()!.dir);
        continue;
      }
      const { dir } = held.at(-1)!;
      const here = `${dir.path === '/' ? '' : dir.path}/${name}`;
      const status = lookAt(dir, name, here);
      if (status === undefined) throw missing(path, here);
      if (!status.isSymbolicLink()) {
        enter(openChild(dir, name, here, path));
        continue;
      }
      links += 1;
      if (links > MAX_LINKS) throw notDirectory(path, here);
      const target = followable(dir, name, here, status);
      if (!exempt && !isTrusted(status.uid, accountUid)) {
        throw untrusted(path, here, `is a symbolic link owned by uid ${status.uid}`);
      }
      if (target.startsWith('/')) while (held.length > 1) closeDir(held.pop()!.dir);
      pending.unshift(...target.split('/').filter((part) => part !== ''));
    }
    const ids = held.map(({ id }) => id);
    return { id: ids.at(-1)!, parents: ids.slice(0, -1) };
  } finally {
    for (const { dir } of held) closeDir(dir);
  }
}

/** What a path is, whoever owns it; undefined when it is not there or cannot be reached. */
export function identityOf(path: string): StorePathIdentity | undefined {
  try {
    return checkStorePath(path, 0, true);
  } catch (error) {
    if (error instanceof MailhaulError) return undefined;
    throw error;
  }
}

/**
 * Refuses a store path that is a directory of 4.x, or lies in one: 4.x mail would be read as 3.x mail of whoever the
 * directory entry names. Nobody can vouch for that.
 *
 * @param places what each directory of 4.x is, by its id
 * @throws MailhaulError STORE_PATH_UNTRUSTED
 */
export function checkOutside(
  path: string,
  { id, parents }: StorePathIdentity,
  places: ReadonlyMap<string, string>,
): void {
  for (const directory of [id, ...parents]) {
    const what = places.get(directory);
    if (what === undefined) continue;
    throw new MailhaulError(
      'STORE_PATH_UNTRUSTED',
      `The mail store path ${path} is not used: it is or lies in ${what}.`,
      {
        where: path,
        hint: 'No 3.x mail lies there: correct mailMessageStore of its users.',
      },
    );
  }
}

/** f_type of proc and sysfs, whose links lead anywhere and where nothing can be made (linux/magic.h). */
const KERNEL_FILE_SYSTEMS: readonly number[] = [0x9fa0, 0x62656572];

function isOfKernel(dir: Dir): boolean {
  return KERNEL_FILE_SYSTEMS.includes(fs.statfsSync(`/proc/self/fd/${dir.fd}`).type);
}

/** `stat`; what else fails, such as a name that is too long, is an error of this store path alone. */
function lookAt(dir: Dir, name: string, here: string): fs.BigIntStats | undefined {
  try {
    return stat(dir, name);
  } catch (error) {
    throw unreadable(here, error);
  }
}

function isTrusted(uid: bigint, accountUid: number): boolean {
  return uid === 0n || uid === BigInt(accountUid);
}

/** Where a link leads; by root only one of root is followed, whatever is vouched for (fs/links.ts). */
function followable(dir: Dir, name: string, here: string, status: fs.BigIntStats): string {
  const place = `/proc/self/fd/${dir.fd}/${name}`;
  return mindsLinks() ? readRootLink(place, status, here) : fs.readlinkSync(place);
}

/** `openDir`, with a plain path for messages and errors that say which store path it was. */
function openChild(dir: Dir, name: string, here: string, path: string): Dir {
  const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
  try {
    return { fd: fs.openSync(`/proc/self/fd/${dir.fd}/${name}`, flags), path: here };
  } catch (error) {
    if (hasErrno(error, 'ENOTDIR', 'ELOOP')) throw notDirectory(path, here);
    if (hasErrno(error, 'ENOENT')) throw missing(path, here);
    throw unreadable(here, error);
  }
}

function unreadable(here: string, cause: unknown): MailhaulError {
  return new MailhaulError('STORE_PATH_UNREADABLE', 'A mail store path cannot be opened.', {
    where: here,
    hint: cause instanceof Error ? cause.message : '',
    cause,
  });
}

function missing(path: string, here: string): MailhaulError {
  return new MailhaulError('STORE_PATH_MISSING', `The mail store path ${path} is not there: ${here} is missing.`, {
    where: path,
    hint: 'Is its disk mounted?',
  });
}

function notDirectory(path: string, here: string): MailhaulError {
  return new MailhaulError('STORE_PATH_NOT_DIRECTORY', `The mail store path ${path} is no directory.`, { where: here });
}

function untrusted(path: string, here: string, why: string): MailhaulError {
  return new MailhaulError('STORE_PATH_UNTRUSTED', `The mail store path ${path} is not used: ${here} ${why}.`, {
    where: here,
    hint: `Correct owner and mode, or vouch for it with \`--store-path ${path}\`.`,
  });
}

/**
 * Refuses store paths that are one directory under two names, or that lie in one another.
 *
 * @throws MailhaulError STORE_PATHS_OVERLAP (exit 3) with all pairs
 */
export function checkDistinct(paths: ReadonlyMap<string, StorePathIdentity>): void {
  const byId = new Map<string, string>();
  const overlaps: string[] = [];
  for (const [path, { id }] of paths) {
    const other = byId.get(id);
    if (other === undefined) byId.set(id, path);
    else overlaps.push(`${path} and ${other} are the same directory`);
  }
  for (const [path, { id, parents }] of paths) {
    for (const parent of parents) {
      const other = byId.get(parent);
      if (other !== undefined && parent !== id) overlaps.push(`${path} lies in ${other}`);
    }
  }
  if (overlaps.length === 0) return;
  throw new MailhaulError('STORE_PATHS_OVERLAP', `Mail store paths overlap: ${overlaps.join('; ')}.`, {
    hint: 'Give all users of one directory the same mailMessageStore, then run `upgrade -s` again. Nothing was changed.',
  });
}

// ---- partition directories ----

/**
 * Looks whether the default directory of a partition can be made, or be used if it is there.
 *
 * @returns false when the store path is on a read-only file system
 * @throws MailhaulError PARTITION_DIRECTORY (exit 3)
 */
export function checkPartitionDirectory(storePath: Dir, name: string, owner: Ownership): boolean {
  const directory = partitionDirectoryName(name);
  const where = `${storePath.path}/${directory}`;
  const found = stat(storePath, directory);
  if (found !== undefined) {
    checkPartitionStatus(found, name, owner, where);
    return true;
  }
  try {
    fs.accessSync(`/proc/self/fd/${storePath.fd}`, fs.constants.W_OK | fs.constants.X_OK);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EROFS')) return false;
    throw partitionError('PARTITION_DIRECTORY', name, 'cannot be made', where, messageOf(error), error);
  }
}

/** A directory of the account, or of root: one that a killed run had no time to give to the account. */
function checkPartitionStatus(status: fs.BigIntStats, name: string, owner: Ownership, where: string): void {
  if (!status.isDirectory()) {
    const hint = 'Something else has its name: remove it.';
    throw partitionError('PARTITION_DIRECTORY', name, 'cannot be made', where, hint);
  }
  const uid = Number(status.uid);
  if (owner.uid === undefined || uid === owner.uid || uid === 0) return;
  const what = `belongs to uid ${uid}, not to the server account (uid ${owner.uid})`;
  throw partitionError('PARTITION_DIRECTORY', name, what, where, 'Remove it or change its owner.');
}

/**
 * Makes the default directory of a partition, `.0004x.<name>` in its store path, for the server account with
 * mode 0700; one that is there gets that owner and mode.
 *
 * @throws MailhaulError PARTITION_DIRECTORY (exit 3) when something else has the name, or it cannot be made
 */
export function makePartitionDirectory(storePath: Dir, name: string, owner: Ownership): void {
  const directory = partitionDirectoryName(name);
  const where = `${storePath.path}/${directory}`;
  let dir: Dir;
  try {
    dir = ensureDir(storePath, directory, owner, PARTITION_MODE);
  } catch (error) {
    throw partitionError('PARTITION_DIRECTORY', name, 'cannot be made', where, messageOf(error), error);
  }
  try {
    const status = fstat(dir);
    checkPartitionStatus(status, name, owner, where);
    const foreign = owner.uid !== undefined && Number(status.uid) !== owner.uid;
    if (foreign || (status.mode & 0o7777n) !== BigInt(PARTITION_MODE)) own(dir.fd, PARTITION_MODE, owner);
    sync(storePath.fd);
  } finally {
    closeDir(dir);
  }
}

/**
 * Opens the directory of a partition for use. It must be there with the server account's ownership and mode
 * 0700; it is never made here.
 *
 * @throws MailhaulError PARTITION_MISSING, PARTITION_OWNER, PARTITION_MODE (exit 3), naming the partition
 */
export function openPartition(name: string, path: string, owner: Ownership): Dir {
  const dir = openRootOr(path, (error) => {
    const what = hasErrno(error, 'ENOENT') ? 'is missing' : 'cannot be opened';
    const hint = 'Is its disk mounted? If it is new, make it for the server account with mode 0700.';
    throw partitionError('PARTITION_MISSING', name, what, path, hint, error);
  });
  const status = fstat(dir);
  const mode = Number(status.mode & 0o777n);
  if (owner.uid !== undefined && Number(status.uid) !== owner.uid) {
    closeDir(dir);
    const what = `belongs to uid ${status.uid}, not to the server account (uid ${owner.uid})`;
    throw partitionError('PARTITION_OWNER', name, what, path, `chown it to uid ${owner.uid}.`);
  }
  if (mode !== PARTITION_MODE) {
    closeDir(dir);
    const what = `has mode ${mode.toString(8).padStart(4, '0')}, not 0700`;
    throw partitionError('PARTITION_MODE', name, what, path, 'chmod it to 0700.');
  }
  return dir;
}

function partitionError(
  code: string,
  name: string,
  what: string,
  where: string,
  hint: string,
  cause?: unknown,
): MailhaulError {
  return new MailhaulError(code, `The directory of partition ${name} ${what}.`, { where, hint, cause });
}
