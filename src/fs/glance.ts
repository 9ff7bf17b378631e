/**
 * What hundreds of thousands of folders are asked, in one call of the addon each: a directory's sub-directories, and the
 * beginning of a small file. Node's calls take eight times as long, most of it around the system calls.
 *
 * Only the usual case is answered. Whatever else it is (an error, a link, a file that root may not open for its owner, no
 * addon) the caller asks again in the usual way, with all its checks and its words: nothing is decided here twice.
 */
import { loadAddon } from './addon.js';
import { type Dir, displayPath, latin1Of, type Name } from './dir.js';

/** To be asked in the usual way. */
export const ASK = Symbol('ask');

/** Files that are read beside the messages, in the order of their bits; kSmallFiles of native/src/scan/glance.h. */
const SMALL_FILES = ['.mailbox', '.acl', '.subscriptions'] as const;
export type SmallFile = (typeof SMALL_FILES)[number];

/** What a listing said of SMALL_FILES, two bits each: 0 a regular file, 1 not there, 2 to be asked in the usual way. */
export type SmallFiles = number;
const [LISTED, ABSENT] = [0, 1];

export interface Glance {
  /** The directory, for the caller to close when it was opened here. */
  readonly dir: Dir;
  readonly device: bigint;
  readonly inode: bigint;
  /** Names without a leading dot as ISO-8859-1, in no order. */
  readonly directories: string[];
  /** Something that is no directory has a name without a leading dot. */
  readonly strays: boolean;
  readonly files: SmallFiles;
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
  const names = loadAddon()?.glance(dir.fd, name === undefined ? null : latin1Of(name), numbers) ?? undefined;
  if (names === undefined) return ASK;
  const [device, inode, bits, fd] = numbers as unknown as [bigint, bigint, bigint, bigint];
  return {
    dir: name === undefined ? dir : { fd: Number(fd), path: displayPath(dir, name) },
    device,
    inode,
    directories: names === '' ? [] : names.split('/'),
    strays: (bits & 1n) !== 0n,
    files: Number(bits) >> 1,
  };
}

/**
 * The first `most` bytes of the regular file `name`; undefined when there is nothing of that name. Never as root.
 *
 * @param files what the listing that opened `dir` said: a name that was not in it is not asked for, and a regular file
 *   is opened without another look. It is looked at when it is open, as always: between a look before and the open the
 *   name could become another file's just as well.
 */
export function headOf(dir: Dir, name: SmallFile, most: number, files?: SmallFiles): Head | undefined | typeof ASK {
  const addon = loadAddon();
  if (addon === undefined) return ASK;
  const listed = files === undefined ? undefined : (files >> (2 * SMALL_FILES.indexOf(name))) & 3;
  if (listed === ABSENT) return undefined;
  const text = addon.head(dir.fd, name, listed === LISTED, most, numbers);
  if (text === null) return ASK;
  return text === undefined ? undefined : { size: Number(numbers[0]), text };
}
