/**
 * 3.x store paths on disk, found by walking them one name at a time: whether one may be used, and whether two of them
 * are one.
 *
 * Invariant: nothing on the way to a store path, its symbolic links included, is somebody's but root's or the server
 * account's, unless the administrator vouches for it (3x-profile.md); and no store path is another one, lies in one, or
 * in a directory of 4.x.
 */
import { type BigIntStats, readlinkSync } from 'node:fs';
import { hasErrno, MailhaulError } from '../errors.js';
import { closeDir, type Dir, fstat, stat, statfs } from '../fs/dir.js';
import { mindsLinks, readRootLink } from '../fs/links.js';
import { checkReadable, passInto, passRoot } from '../fs/passing.js';

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
 * would follow a link of the account to what that account may not touch, follows only links of root. The parents must be
 * passable, only the store path itself readable.
 *
 * @param exempt named with `--store-path`: the rule does not apply, the path must still be a directory
 * @throws MailhaulError STORE_PATH_MISSING, STORE_PATH_NOT_DIRECTORY, STORE_PATH_UNTRUSTED, STORE_PATH_UNREADABLE,
 *   FS_FOREIGN_LINK
 */
export function checkStorePath(path: string, accountUid: number, exempt: boolean): StorePathIdentity {
  return walkPath(path, accountUid, exempt, (dir) => {
    try {
      checkReadable(dir);
    } catch (error) {
      throw unreadable(dir.path, error);
    }
  });
}

/** @param arrived what else is asked of the directory that the path leads to */
function walkPath(
  path: string,
  accountUid: number,
  exempt: boolean,
  arrived: (dir: Dir) => void = () => {},
): StorePathIdentity {
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
    enter(passRoot());
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
    arrived(held.at(-1)!.dir);
    const ids = held.map(({ id }) => id);
    return { id: ids.at(-1)!, parents: ids.slice(0, -1) };
  } finally {
    for (const { dir } of held) closeDir(dir);
  }
}

/** What a path is, whoever owns it and may read it; undefined when it is not there or cannot be reached. */
export function identityOf(path: string): StorePathIdentity | undefined {
  try {
    return walkPath(path, 0, true);
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
  return KERNEL_FILE_SYSTEMS.includes(statfs(dir).type);
}

/** `stat`; what else fails, such as a name that is too long, is an error of this store path alone. */
function lookAt(dir: Dir, name: string, here: string): BigIntStats | undefined {
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
function followable(dir: Dir, name: string, here: string, status: BigIntStats): string {
  const place = `/proc/self/fd/${dir.fd}/${name}`;
  return mindsLinks() ? readRootLink(place, status, here) : readlinkSync(place);
}

/** `passInto`, with a plain path for messages and errors that say which store path it was. */
function openChild(dir: Dir, name: string, here: string, path: string): Dir {
  try {
    return { ...passInto(dir, name), path: here };
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
