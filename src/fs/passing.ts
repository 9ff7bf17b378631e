/**
 * Directories that are looked at and passed through, but not read. The right to pass (`x`) is all that takes: above a
 * store path there may be directories that the server account cannot list (mode 0711), and the kernel asks for no more
 * when it walks a path itself.
 *
 * What is opened here works with `fstat`, `statfs` and as the directory of `stat`, `openDir` and the functions below.
 */
import * as fs from 'node:fs';
import { at, type Dir, displayPath, type Name, naming } from './dir.js';
import { PASSING } from './links.js';

/** Elsewhere than on Linux there is no such thing, and a directory must be readable to be passed through. */
const FLAGS =
  process.platform === 'linux' ? PASSING : fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW;

/** The root directory of the file system. */
export function passRoot(): Dir {
  return { fd: fs.openSync('/', FLAGS), path: '/' };
}

/** The sub-directory `name`; a symbolic link in its place is ELOOP or ENOTDIR, never followed. */
export function passInto(dir: Dir, name: Name): Dir {
  return { fd: naming(dir, name, () => fs.openSync(at(dir, name), FLAGS)), path: displayPath(dir, name) };
}

/** Throws the file system's error when the directory cannot be opened for reading. */
export function checkReadable(dir: Dir): void {
  const own = process.platform === 'linux' ? `/proc/self/fd/${dir.fd}` : dir.path;
  const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NONBLOCK;
  fs.closeSync(naming(dir, undefined, () => fs.openSync(own, flags)));
}
