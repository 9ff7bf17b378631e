/** Regular files, opened by one name in a held directory: what else has the name is not even opened. */
import * as fs from 'node:fs';
import { MailhaulError } from '../errors.js';
import { onDescriptor, statOpen, statOpenExactly } from './descriptor.js';
import { at, type Dir, displayPath, type Name, naming } from './dir.js';
import { spent } from './pace.js';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** Opens a regular file for reading; anything else (link, fifo, device, directory) throws FS_NOT_REGULAR. */
export function openFile(dir: Dir, name: Name, flags = O_RDONLY): number {
  return openNow(dir, name, flags, true).fd;
}

/** A file that was opened, and what it was then. */
export interface OpenedFile {
  readonly fd: number;
  readonly seen: fs.BigIntStats;
}

/** The same; undefined when there is nothing of that name. */
export function openFileIfThere(dir: Dir, name: Name, flags = O_RDONLY): OpenedFile | undefined {
  return openNow(dir, name, flags, false);
}

function openNow(dir: Dir, name: Name, flags: number, mustBeThere: true): OpenedFile;
function openNow(dir: Dir, name: Name, flags: number, mustBeThere: false): OpenedFile | undefined;
function openNow(dir: Dir, name: Name, flags: number, mustBeThere: boolean): OpenedFile | undefined {
  spent.operations += 1;
  // A device or fifo must not even be opened, so the type is looked at first and checked again on the descriptor.
  const fd = naming(dir, name, () => {
    const path = at(dir, name);
    const first = fs.lstatSync(path, { throwIfNoEntry: mustBeThere });
    if (first === undefined) return undefined;
    if (!first.isFile()) throw notRegular(dir, name);
    return fs.openSync(path, flags | O_NOFOLLOW | O_NONBLOCK);
  });
  if (fd === undefined) return undefined;
  const seen = statOpenExactly(fd);
  if (seen.isFile()) return { fd, seen };
  fs.closeSync(fd);
  throw notRegular(dir, name);
}

/**
 * `openFile` for a file that only this package makes and never links. Another link of it may be any file of the
 * system, which root must neither write to nor give away: FS_LINKED.
 */
export function openSoleFile(dir: Dir, name: Name, flags = O_RDONLY): number {
  const fd = openFile(dir, name, flags);
  if (statOpen(fd).nlink <= 1) return fd;
  fs.closeSync(fd);
  throw new MailhaulError('FS_LINKED', 'The file is a hard link of another file.', {
    where: displayPath(dir, name),
    hint: 'Somebody put it there: find out who, and remove it.',
  });
}

/**
 * Opens for reading a name that the caller has just seen to be a regular file: `openFile` without its own
 * looks, for calls by the hundred thousand. The caller compares what it opened with what it saw.
 */
export function openSeenFile(dir: Dir, name: Name): number {
  spent.operations += 1;
  return fs.openSync(at(dir, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

function notRegular(dir: Dir, name: Name): MailhaulError {
  return new MailhaulError('FS_NOT_REGULAR', 'A regular file was expected.', { where: displayPath(dir, name) });
}

/** Opens a regular file for `use` and closes it. Throws what openFile and `use` throw. */
export function withFile<T>(dir: Dir, name: Name, use: (fd: number) => T): T {
  const fd = openFile(dir, name);
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** The whole content of a regular file; undefined when there is none. `limit` bytes at most, else FS_TOO_LARGE. */
export function readFile(dir: Dir, name: Name, limit = 1 << 30): Buffer | undefined {
  let fd: number;
  try {
    fd = openFile(dir, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    if (statOpen(fd).size > limit) {
      throw new MailhaulError('FS_TOO_LARGE', `The file is larger than ${limit} bytes.`, {
        where: displayPath(dir, name),
      });
    }
    const content = onDescriptor(fd, () => fs.readFileSync(fd));
    spent.bytes += content.length;
    return content;
  } finally {
    fs.closeSync(fd);
  }
}
