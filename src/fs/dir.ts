/**
 * Held directories, and calls relative to them.
 *
 * A `Dir` is an open directory descriptor. Every open, link, rename, unlink and mkdir of the package goes
 * through a held `Dir` and one name: no path is walked twice, so nobody can swap a directory for a link
 * between two calls (4x-store.md, promise 6), and no path ever exceeds PATH_MAX.
 *
 * Node has no `openat`. On Linux `/proc/self/fd/<fd>/<name>` is the same thing: the kernel resolves the
 * descriptor, then exactly one name. Elsewhere the joined path is used, which protects less; migrating an
 * untrusted store is supported on Linux only (docs/operations.md).
 */
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { onDescriptor } from './descriptor.js';
import { mindsLinks, openDirectoryAt } from './links.js';
import { isPaced, pieceOf, spent } from './pace.js';
import { effect } from './seam.js';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_CREAT, O_EXCL, O_WRONLY } = fs.constants;

/** An open directory. Close it with `closeDir`, or hold it for the life of the process. */
export interface Dir {
  readonly fd: number;
  /** For messages only; never opened again. Bytes that are not UTF-8 show as U+FFFD. */
  readonly path: string;
}

/** One path component, never with `/`. Bytes when it comes from a directory that users control. */
export type Name = string | Uint8Array;

/** Of a directory that is made, unless somebody says otherwise. */
export const DIRECTORY_MODE = 0o700;

const throughProc = process.platform === 'linux' && fs.existsSync('/proc/self/fd');

/** `path` for display: a name that may hold any bytes appended to a directory's path. */
export function displayPath(dir: Dir, name: Name): string {
  return `${dir.path}/${typeof name === 'string' ? name : Buffer.from(name).toString('utf8')}`;
}

/** The path that Node's calls take for `name` in `dir`. Refuses anything that is not one component. */
export function at(dir: Dir, name: Name): string | Buffer {
  const prefix = throughProc ? `/proc/self/fd/${dir.fd}/` : `${dir.path}/`;
  checkName(name);
  return typeof name === 'string' ? prefix + name : Buffer.concat([Buffer.from(prefix), bytesOf(name)]);
}

function bytesOf(name: Uint8Array): Buffer {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength);
}

/** A name for the addon: a character for each byte. */
export function latin1Of(name: Name): string {
  return (typeof name === 'string' ? Buffer.from(name) : bytesOf(name)).toString('latin1');
}

const ASCII = /^[\x01-\x7f]*$/;

/** Names below each other for the addon, which refuses what is not a component each. */
export function latin1Path(names: readonly Name[]): string {
  const text = names.join('/');
  return ASCII.test(text) && names.every((name) => typeof name === 'string') ? text : names.map(latin1Of).join('/');
}

/** A name as text where that is the same, which travels to another thread in less time. */
export function textIfPlain(name: Uint8Array): Name {
  const text = bytesOf(name).toString('latin1');
  return ASCII.test(text) ? text : name;
}

/** Refuses anything that is not one component. */
export function checkName(name: Name): void {
  if (isComponent(typeof name === 'string' ? name : bytesOf(name).toString('latin1'))) return;
  const where = typeof name === 'string' ? name : bytesOf(name).toString();
  throw new MailhaulError('FS_NAME', 'A name that is not one path component was refused.', { where });
}

function isComponent(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');
}

/** A path to `dir` itself. */
function ownPath(dir: Dir): string {
  return throughProc ? `/proc/self/fd/${dir.fd}` : dir.path;
}

/**
 * Makes a call on `name` in `dir`, or on `dir` itself. What it throws names the path that people know, not
 * `/proc/self/fd/…`; calls on a descriptor name none by themselves.
 */
export function naming<T>(dir: Dir, name: Name | undefined, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw withPath(error, dir, name);
  }
}

/** The error of a call on `name` in `dir`, or on `dir` itself, with the path that people know. */
export function withPath(error: unknown, dir: Dir, name?: Name): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error;
  const path = name === undefined ? dir.path : displayPath(dir, name);
  const internal = name === undefined ? `'/proc/self/fd/${dir.fd}'` : `'${at(dir, name).toString()}'`;
  if (error.message.includes(internal)) error.message = error.message.replaceAll(internal, `'${path}'`);
  else if (!error.message.includes("'")) error.message += ` '${path}'`;
  return error;
}

/**
 * Opens an absolute path that the administrator named (a root). Links in it are followed, once, here; by root only
 * those of root: FS_FOREIGN_LINK.
 */
export function openRoot(path: string): Dir {
  const flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
  const minded = throughProc && path !== '' && mindsLinks();
  return { fd: minded ? openDirectoryAt(path, flags) : fs.openSync(path, flags), path };
}

/**
 * The same, or what `failed` makes of the error. A link that is not followed is no disk that is missing: FS_FOREIGN_LINK
 * is thrown as it is. A loop of links is the file system's error, to root as to others (FS_LINK_LOOP, caused by ELOOP).
 */
export function openRootOr<T>(path: string, failed: (error: unknown) => T): Dir | T {
  try {
    return openRoot(path);
  } catch (error) {
    if (error instanceof MailhaulError && error.code === 'FS_FOREIGN_LINK') throw error;
    return failed(error);
  }
}

/** Opens the sub-directory `name`; a symbolic link in its place is ELOOP or ENOTDIR, never followed. */
export function openDir(dir: Dir, name: Name): Dir {
  spent.operations += 1;
  const fd = naming(dir, name, () => fs.openSync(at(dir, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK));
  return { fd, path: displayPath(dir, name) };
}

/** A second, independent descriptor of `dir`. */
export function reopen(dir: Dir): Dir {
  spent.operations += 1;
  const path = throughProc ? `/proc/self/fd/${dir.fd}/.` : dir.path;
  return { fd: fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK), path: dir.path };
}

export function closeDir(dir: Dir): void {
  fs.closeSync(dir.fd);
}

/** Who owns what is made, and with which mode; undefined fields are left to the process and its umask. */
export interface Ownership {
  readonly uid?: number;
  readonly gid?: number;
}

/** True when this process may and must give files to another account. */
export function mustChown(owner: Ownership | undefined): owner is { uid: number; gid: number } {
  return owner?.uid !== undefined && owner.gid !== undefined && process.geteuid?.() === 0;
}

/** Sets owner and mode of an open file or directory. */
export function own(fd: number, mode: number, owner?: Ownership): void {
  if (mustChown(owner)) giveTo(fd, owner);
  effect('chmod');
  onDescriptor(fd, () => fs.fchmodSync(fd, mode));
}

/** Gives an open file or directory away. */
export function giveTo(fd: number, { uid, gid }: Required<Ownership>): void {
  effect('chown');
  onDescriptor(fd, () => fs.fchownSync(fd, uid, gid));
}

/**
 * Makes `name` (mode 0700) when it is missing; opens it without following a link. One that belongs to root is given
 * to `owner`: a run as root that was killed after it made the directory had no time to.
 *
 * @param onMade told when this call made it
 */
export function ensureDir(dir: Dir, name: Name, owner?: Ownership, mode = DIRECTORY_MODE, onMade?: () => void): Dir {
  try {
    return withOwner(openDir(dir, name), owner);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return makeDir(dir, name, owner, mode, onMade);
}

/** `ensureDir` for one that was not there a moment ago. */
export function makeDir(
  dir: Dir,
  name: Name,
  owner: Ownership | undefined,
  mode = DIRECTORY_MODE,
  onMade?: () => void,
): Dir {
  try {
    naming(dir, name, () => {
      spent.operations += 1;
      effect('mkdir');
      fs.mkdirSync(at(dir, name), { mode });
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return withOwner(openDir(dir, name), owner);
  }
  onMade?.();
  return withOwner(openDir(dir, name), owner, mode);
}

/** `opened`, owned by `owner` when it is new (`mode` given) or still root's. Closed when that fails. */
function withOwner(opened: Dir, owner: Ownership | undefined, mode?: number): Dir {
  try {
    if (mode !== undefined) own(opened.fd, mode, owner);
    else adoptDir(opened, owner);
    return opened;
  } catch (error) {
    closeDir(opened);
    throw withPath(error, opened);
  }
}

/** Gives an open directory to `owner` when it still is root's and this process is root. */
export function adoptDir(dir: Dir, owner: Ownership | undefined): void {
  if (!mustChown(owner) || owner.uid === 0) return;
  const seen = fstat(dir);
  if (seen.uid === 0n) own(dir.fd, Number(seen.mode & 0o777n), owner);
}

/** `lstat` with exact numbers; undefined when there is nothing of that name. */
export function stat(dir: Dir, name: Name): fs.BigIntStats | undefined {
  return naming(dir, name, () => fs.lstatSync(at(dir, name), { bigint: true, throwIfNoEntry: false }));
}

export function fstat(dir: Dir): fs.BigIntStats {
  return naming(dir, undefined, () => fs.fstatSync(dir.fd, { bigint: true }));
}

/** Blocks and inodes of the file system that holds `dir`. */
export function statfs(dir: Dir): fs.StatsFs {
  return fs.statfsSync(ownPath(dir));
}

/** Names in `dir` as raw bytes, unsorted, without `.` and `..`. */
export function list(dir: Dir): Buffer[] {
  return naming(dir, undefined, () => fs.readdirSync(ownPath(dir), { encoding: 'buffer' }));
}

/**
 * The same one by one, with types, for directories that may hold a million names. A type is a hint: open with `openDir`
 * or `openFile`, which check. Ends its descriptor with the loop.
 */
export function* entries(dir: Dir): Generator<fs.Dirent<Buffer>, void, undefined> {
  // Node takes `buffer` here as everywhere; its type definitions do not say so.
  const options = { encoding: 'buffer', bufferSize: 1024 } as unknown as fs.OpenDirOptions;
  const reader = naming(dir, undefined, () => fs.opendirSync(ownPath(dir), options));
  try {
    for (let entry = reader.readSync(); entry !== null; entry = reader.readSync()) {
      yield entry as unknown as fs.Dirent<Buffer>;
    }
  } finally {
    reader.closeSync();
  }
}

export function unlink(dir: Dir, name: Name): void {
  naming(dir, name, () => {
    spent.operations += 1;
    effect('unlink');
    fs.unlinkSync(at(dir, name));
  });
}

/** The same where the name may be gone already. */
export function unlinkIfThere(dir: Dir, name: Name): void {
  try {
    unlink(dir, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Removes an empty directory. */
export function removeDir(dir: Dir, name: Name): void {
  spent.operations += 1;
  effect('unlink');
  fs.rmdirSync(at(dir, name));
}

export function rename(from: Dir, name: Name, to: Dir, newName: Name): void {
  naming(to, newName, () => {
    spent.operations += 1;
    effect('rename');
    fs.renameSync(at(from, name), at(to, newName));
  });
}

/** Hard link; like link(2) it does not follow a symbolic link in place of `name`. */
export function link(from: Dir, name: Name, to: Dir, newName: Name): void {
  spent.operations += 1;
  effect('link');
  fs.linkSync(at(from, name), at(to, newName));
}

/** Creates `name`, which must not exist, for writing. Mode and owner are set before anything is written. */
export function createFile(dir: Dir, name: Name, owner?: Ownership, mode = 0o600): number {
  return naming(dir, name, () => {
    spent.operations += 1;
    effect('create');
    const fd = fs.openSync(at(dir, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    try {
      own(fd, mode, owner);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return fd;
  });
}

/** `createFile` for a name that only this package gives: a file that a killed run left under it is replaced. */
export function createOver(dir: Dir, name: Name, owner?: Ownership, mode = 0o600): number {
  try {
    return createFile(dir, name, owner, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    unlink(dir, name);
    return createFile(dir, name, owner, mode);
  }
}

/** Under a limit, so much of one file waits in memory for the disk at most. */
const UNWRITTEN_BYTES = 1 << 20;

/**
 * Writes all of `data` at the descriptor's position. Under a limit (pace.ts) what was written goes to the disk meanwhile,
 * not all at once when it is synced.
 */
export function writeAll(fd: number, data: Uint8Array): void {
  let done = 0;
  let unwritten = 0;
  onDescriptor(fd, () => {
    while (done < data.length) {
      const piece = pieceOf(data.length - done);
      effect('write');
      const count = fs.writeSync(fd, data, done, piece);
      spent.bytes += count;
      done += count;
      unwritten += count;
      if (unwritten < UNWRITTEN_BYTES || !isPaced()) continue;
      effect('sync');
      fs.fdatasyncSync(fd);
      unwritten = 0;
    }
  });
}

/** fsync of a file or directory. A failed sync is never retried by the caller (design.md). */
export function sync(fd: number): void {
  onDescriptor(fd, () => {
    effect('sync');
    fs.fsyncSync(fd);
  });
}
