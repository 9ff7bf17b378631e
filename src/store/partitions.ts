/**
 * Partitions: 4.x names for the 3.x store paths, and the directories behind them.
 *
 *     3.x store path /mail/marketing  ─▶  partition `marketing`  ─▶  /mail/marketing/.0004x.marketing
 *     3.x default path                ─▶  partition `primary`    ─▶  <instance>/store/partition/primary
 *
 * Invariant: different store paths have different names (whether they are different, storePaths.ts looks).
 * A partition's directory is made by `upgrade -s` alone; a directory that is missing later is an unmounted
 * disk, and mail must not go into the mount point (4x-store.md, Layout).
 */
import * as fs from 'node:fs';
import { PRIMARY } from '../config/instance.js';
import { hasErrno, MailhaulError, messageOf } from '../errors.js';
import { closeDir, type Dir, ensureDir, fstat, type Ownership, openRootOr, own, stat, sync } from '../fs/dir.js';

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

// ---- directories ----

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
 * Opens the directory of a partition for use; it is never made here.
 *
 * @throws MailhaulError PARTITION_MISSING, and what `checkPartitionRights` refuses (exit 3), naming the partition
 */
export function openPartition(name: string, path: string, owner: Ownership): Dir {
  const dir = openRootOr(path, (error) => {
    const what = hasErrno(error, 'ENOENT') ? 'is missing' : 'cannot be opened';
    const hint = 'Is its disk mounted? If it is new, make it for the server account with mode 0700.';
    throw partitionError('PARTITION_MISSING', name, what, path, hint, error);
  });
  try {
    checkPartitionRights(name, dir, owner);
    return dir;
  } catch (error) {
    closeDir(dir);
    throw error;
  }
}

/**
 * The directory of a partition must have the server account's ownership and mode 0700.
 *
 * @throws MailhaulError PARTITION_OWNER, PARTITION_MODE (exit 3)
 */
export function checkPartitionRights(name: string, dir: Dir, owner: Ownership): void {
  const status = fstat(dir);
  const mode = Number(status.mode & 0o777n);
  if (owner.uid !== undefined && Number(status.uid) !== owner.uid) {
    const what = `belongs to uid ${status.uid}, not to the server account (uid ${owner.uid})`;
    throw partitionError('PARTITION_OWNER', name, what, dir.path, `chown it to uid ${owner.uid}.`);
  }
  if (mode === PARTITION_MODE) return;
  const what = `has mode ${mode.toString(8).padStart(4, '0')}, not 0700`;
  throw partitionError('PARTITION_MODE', name, what, dir.path, 'chmod it to 0700.');
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
