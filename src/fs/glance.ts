/**
 * What hundreds of thousands of folders are asked, in one call of the addon each: a directory's sub-directories, and the
 * beginning of a small file. Node's calls take eight times as long, most of it around the system calls.
 *
 * Only the usual case is answered. Whatever else it is (an error, a link, a file that root may not open for its owner, no
 * addon) the caller asks again in the usual way, with all its checks and its words: nothing is decided here twice.
 */
import { loadAddon } from './addon.js';
import { type Dir, displayPath, type Name } from './dir.js';

/** To be asked in the usual way. */
export const ASK = Symbol('ask');

export interface Glance {
  /** The directory, for the caller to close when it was opened here. */
  readonly dir: Dir;
  readonly device: bigint;
  readonly inode: bigint;
  /** Names without a leading dot as ISO-8859-1, in no order. */
  readonly directories: string[];
  /** Something that is no directory has a name without a leading dot. */
  readonly strays: boolean;
}

/** The beginning of a small file. */
export interface Head {
  /** Of the file. */
  readonly size: number;
  /** ISO-8859-1: a character for each byte. */
  readonly text: string;
}

/** What the addon says in numbers; read before its next call. */
const numbers = new BigUint64Array(4);

/**
 * Opens the sub-directory `name` of `dir`, never through a link, and lists it; without `name`: lists `dir`, which nobody
 * else may be listing through the same descriptor. Files pass by without being kept, as with `entries`.
 */
export function glance(dir: Dir, name?: Name): Glance | typeof ASK {
  const names = loadAddon()?.glance(dir.fd, name === undefined ? null : bytesOf(name), numbers) ?? undefined;
  if (names === undefined) return ASK;
  const [device, inode, strays, fd] = numbers as unknown as [bigint, bigint, bigint, bigint];
  return {
    dir: name === undefined ? dir : { fd: Number(fd), path: displayPath(dir, name) },
    device,
    inode,
    directories: names === '' ? [] : names.split('/'),
    strays: strays !== 0n,
  };
}

function bytesOf(name: Name): string {
  const bytes = typeof name === 'string' ? Buffer.from(name) : Buffer.from(name.buffer, name.byteOffset, name.length);
  return bytes.toString('latin1');
}

/** The first `most` bytes of the regular file `name`; undefined when there is nothing of that name. Never as root. */
export function headOf(dir: Dir, name: string, most: number): Head | undefined | typeof ASK {
  const addon = loadAddon();
  if (addon === undefined) return ASK;
  const text = addon.head(dir.fd, name, most, numbers);
  if (text === null) return ASK;
  return text === undefined ? undefined : { size: Number(numbers[0]), text };
}
