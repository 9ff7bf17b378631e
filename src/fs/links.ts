/**
 * The way to a root, or to a file that somebody named, when this process is root: of the symbolic links on it, only
 * those of root are followed. Who may write into a parent of a root, as the server account may, could otherwise have
 * root work on any other directory of the system (4x-store.md, promise 6). Another account follows what the kernel
 * lets it: it reaches nothing by that which it may not.
 *
 * The path is walked one name at a time from held descriptors, so what was looked at is what is used.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { hasErrno, MailhaulError } from '../errors.js';

/** Symbolic links in one path before it counts as a loop (the kernel's own limit). */
const MAX_LINKS = 40;

/** Opens nothing, so that no fifo or device notices (asm-generic/fcntl.h; Node has no name for it). */
const O_PATH = 0o10000000;
const AS_LINK = O_PATH | fs.constants.O_NOFOLLOW;
/** A directory to pass through. With O_DIRECTORY an automount point is mounted, which O_PATH alone would not do. */
export const PASSING = AS_LINK | fs.constants.O_DIRECTORY;

/** How often a link of root is looked at while its target is read: the chance to be deceived is 1 in 2^LOOKS. */
const LOOKS = 64;

export interface Way {
  /** A directory, opened with O_PATH; to be closed. */
  readonly fd: number;
  /** Name in that directory of what the path leads to; undefined: it leads to the directory itself. */
  readonly file: string | undefined;
}

/**
 * True when links of other accounts must not be followed. A process of root that has taken the rights of an account for
 * a while (config/privileges.ts) answers as before: what it finds then, it works on as root later.
 */
export function mindsLinks(): boolean {
  return process.platform === 'linux' && [process.geteuid?.(), process.getuid?.()].includes(0);
}

/**
 * Walks to what `path` names; its last component may be no directory.
 *
 * @throws MailhaulError FS_FOREIGN_LINK, FS_LINK_LOOP; the file system's errors, which name `path`
 */
export function walkTo(path: string): Way {
  const absolute = path.startsWith('/');
  const pending = componentsOf(path);
  // For messages: where the walk really is.
  let here = absolute ? '' : '.';
  let fd = openAt(absolute ? '/' : '.', PASSING, path);
  const enter = (next: number): void => {
    fs.closeSync(fd);
    fd = next;
  };
  try {
    for (let links = 0; pending.length > 0; ) {
      const name = pending.shift() as string;
      const place = `/proc/self/fd/${fd}/${name}`;
      const child = openAt(place, PASSING, path, 'ENOTDIR', 'ELOOP');
      if (child !== undefined) {
        enter(child);
        here = `${here}/${name}`;
        continue;
      }
      const target = linkTarget(place, `${here}/${name}`, path);
      if (target === undefined) {
        if (pending.length > 0) throw notDirectory(path);
        return { fd, file: name };
      }
      links += 1;
      if (links > MAX_LINKS) {
        const cause = openError('ELOOP', 'too many symbolic links encountered', path);
        throw new MailhaulError('FS_LINK_LOOP', 'Too many symbolic links lead to it.', { where: path, cause });
      }
      if (target.startsWith('/')) {
        enter(openAt('/', PASSING, path));
        here = '';
      }
      pending.unshift(...componentsOf(target));
    }
    return { fd, file: undefined };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** Where the link at `place` leads; undefined when there is none. */
function linkTarget(place: string, here: string, path: string): string | undefined {
  const link = openAt(place, AS_LINK, path);
  try {
    const seen = fs.fstatSync(link, { bigint: true });
    return seen.isSymbolicLink() ? readRootLink(place, seen, here) : undefined;
  } finally {
    fs.closeSync(link);
  }
}

/**
 * The target of a link that was seen, if it is root's and stays in its place meanwhile. Node reads a link by name
 * only: somebody may exchange it for their own and back, but cannot know whether the next look is at the inode or at
 * the target.
 *
 * @param place path of the link through a held directory
 * @param here the path for messages
 * @throws MailhaulError FS_FOREIGN_LINK
 */
export function readRootLink(place: string, seen: fs.BigIntStats, here: string): string {
  const refused = (what: string): MailhaulError =>
    new MailhaulError('FS_FOREIGN_LINK', `A symbolic link ${what} is not followed.`, {
      where: here,
      hint: `If root shall follow it: \`chown -h root ${here}\`. Else name the place that it leads to.`,
    });
  if (seen.uid !== 0n) throw refused('of another account');
  const target = readLink(place);
  for (const byte of randomBytes(LOOKS / 8)) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      if ((byte & bit) === 0 ? readLink(place) === target : isAt(place, seen)) continue;
      throw refused('that is being exchanged');
    }
  }
  if (target === undefined || !isAt(place, seen)) throw refused('that is being exchanged');
  return target;
}

/** undefined: it is no link any more. */
function readLink(place: string): string | undefined {
  try {
    return fs.readlinkSync(place);
  } catch (error) {
    if (hasErrno(error, 'EINVAL', 'ENOENT')) return undefined;
    throw error;
  }
}

function isAt(place: string, seen: fs.BigIntStats): boolean {
  const now = fs.lstatSync(place, { bigint: true, throwIfNoEntry: false });
  return now?.ino === seen.ino && now.dev === seen.dev;
}

/** Opens; undefined for the errors in `none`. Any other names `path`, not the descriptor that it was opened through. */
function openAt(place: string, flags: number, path: string): number;
function openAt(place: string, flags: number, path: string, ...none: string[]): number | undefined;
function openAt(place: string, flags: number, path: string, ...none: string[]): number | undefined {
  try {
    return fs.openSync(place, flags);
  } catch (error) {
    if (hasErrno(error, ...none)) return undefined;
    throw naming(error, place, path);
  }
}

/** The error of a call on `place` with the path that people know. */
function naming(error: unknown, place: string, path: string): unknown {
  if (error instanceof Error) error.message = error.message.replaceAll(`'${place}'`, `'${path}'`);
  return error;
}

function notDirectory(path: string): Error {
  return openError('ENOTDIR', 'not a directory', path);
}

/** As Node has it of an open(2) that the kernel refuses. */
export function openError(code: 'ENOTDIR' | 'ELOOP' | 'EACCES', text: string, path: string): Error {
  const details = { code, errno: -constants.errno[code], syscall: 'open', path };
  return Object.assign(new Error(`${code}: ${text}, open '${path}'`), details);
}

/** Opens the directory that `path` leads to, for reading. */
export function openDirectoryAt(path: string, flags: number): number {
  const way = walkTo(path);
  try {
    if (way.file !== undefined) throw notDirectory(path);
    return openAt(`/proc/self/fd/${way.fd}/.`, flags, path);
  } finally {
    fs.closeSync(way.fd);
  }
}
