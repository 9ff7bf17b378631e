/**
 * Directories several levels below a held one (dir.ts).
 *
 * The addon opens them in one call: openat2(2) follows no link at any level and leaves the held directory nowhere, which
 * is what a walk of one name at a time makes sure of (4x-store.md, promise 6). The walk is what there is without it, and
 * what says why something could not be opened.
 */
import { constants } from 'node:os';
import { hasErrno, isNotThere } from '../errors.js';
import { loadAddon } from './addon.js';
import {
  checkName,
  closeDir,
  type Dir,
  displayPath,
  ensureDir,
  latin1Of,
  makeDir,
  mustChown,
  type Name,
  type Ownership,
  openDir,
  reopen,
} from './dir.js';
import { spent } from './pace.js';

/** The addon's openBelow, once it is known to work. */
let belowWorks = true;

/**
 * Opens the directory reached by walking `names` below `dir` in one call, by the addon. undefined where there is none,
 * or it cannot be opened, or not in this way: who walks one name at a time learns why.
 */
function openBelow(dir: Dir, names: readonly Name[]): Dir | undefined {
  const addon = belowWorks && names.length > 0 ? loadAddon() : undefined;
  if (addon === undefined) return undefined;
  spent.operations += names.length;
  const fd = addon.openBelow(dir.fd, joined(names));
  if (fd >= 0) return { fd, path: names.reduce<string>((path, name) => displayPath({ fd, path }, name), dir.path) };
  // A kernel without openat2(2), or a filter that refuses it, will never do it.
  if (fd === -constants.errno.ENOSYS || fd === -constants.errno.EPERM) belowWorks = false;
  return undefined;
}

/** A relative path for the addon: raw bytes, ended by 0. */
function joined(names: readonly Name[]): Buffer {
  for (const name of names) checkName(name);
  return Buffer.from(`${names.map(latin1Of).join('/')}\0`, 'latin1');
}

/** Opens the directory reached by walking `names` below `dir`; intermediate descriptors are closed. */
export function walk(dir: Dir, names: readonly Name[]): Dir {
  if (names.length > 1) {
    const opened = openBelow(dir, names);
    if (opened !== undefined) return opened;
  }
  let current: Dir | undefined;
  for (const name of names) {
    const parent: Dir = current ?? dir;
    try {
      current = openDir(parent, name);
    } finally {
      if (parent !== dir) closeDir(parent);
    }
  }
  return current ?? reopen(dir);
}

/** The same; undefined when it is not there (`isNotThere`), or for whatever else is named. */
export function walkIfThere(dir: Dir, names: readonly Name[], ...others: readonly string[]): Dir | undefined {
  try {
    return walk(dir, names);
  } catch (error) {
    if (isNotThere(error) || hasErrno(error, ...others)) return undefined;
    throw error;
  }
}

/** Walks `names` below `dir`, making what is missing; `onMade` is told of each. */
export function ensureDirs(dir: Dir, names: readonly Name[], owner?: Ownership, onMade?: () => void): Dir {
  const found = deepest(dir, names, owner);
  let current = found?.dir;
  for (const name of names.slice(found?.depth)) {
    const parent: Dir = current ?? dir;
    try {
      current =
        found === undefined
          ? ensureDir(parent, name, owner, undefined, onMade)
          : makeDir(parent, name, owner, undefined, onMade);
    } finally {
      if (parent !== dir) closeDir(parent);
    }
  }
  return current ?? reopen(dir);
}

/**
 * The directory that is there as far as `names` lead, and how many of them that is: a call a level instead of three.
 * undefined where each has to be looked at: root gives away those on the way that are still its own.
 */
function deepest(
  dir: Dir,
  names: readonly Name[],
  owner: Ownership | undefined,
): { readonly dir: Dir; readonly depth: number } | undefined {
  if (mustChown(owner)) return undefined;
  for (let depth = names.length; depth > 0; depth--) {
    const opened = openBelow(dir, names.slice(0, depth));
    if (opened !== undefined) return { dir: opened, depth };
  }
  return undefined;
}
