/**
 * Single-copy mail on its way back (4x-store.md, promise 5). A message that many 3.x names shared, and that had to be
 * copied or rewritten for 4.x, is one 3.x inode again:
 *
 *     <store path>/.__up.reset/<inode on record>     one more link of the 3.x file, while a reset runs
 *
 * Originals that are still there are registered first, so that names which `-r` took away become links of them.
 * Nothing registered is trusted: its content is compared before it is linked. A leading dot: no folder, no message.
 */
import type { BigIntStats } from 'node:fs';
import {
  closeDir,
  type Dir,
  ensureDir,
  entries,
  link,
  list,
  type Name,
  type Ownership,
  openDir,
  removeDir,
  stat,
  unlinkIfThere,
} from '../../fs/dir.js';
import { fileDigest, sameDigest } from './content.js';
import { cannotBeLinked, keepIfOf } from './links.js';

export const REGISTRY = '.__up.reset';

export interface SharedOriginals {
  /** Links the registered file of inode `inode` as `name`; false when there is none that holds what is wanted. */
  use(inode: bigint, digest: Uint8Array | undefined, folder: Dir, name: Name): boolean;
  /** Registers the file `name`; what was registered for the inode before goes. */
  add(inode: bigint, folder: Dir, name: Name): void;
  has(inode: bigint): boolean;
  close(): void;
}

export function openRegistry(store: Dir, owner: Ownership): SharedOriginals {
  const registry = ensureDir(store, REGISTRY, owner);
  return {
    use(inode, digest, folder, name) {
      const key = String(inode);
      const found = stat(registry, key);
      if (found === undefined || digest === undefined || !found.isFile()) return false;
      if (!sameDigest(fileDigest(registry, key, 'crlf'), digest)) return false;
      return tryLink(registry, key, folder, name) && keepIfOf(found.ino, folder, name);
    },
    add(inode, folder, name) {
      const key = String(inode);
      unlinkIfThere(registry, key);
      tryLink(folder, name, registry, key);
    },
    has: (inode) => stat(registry, String(inode)) !== undefined,
    close: () => closeDir(registry),
  };
}

function tryLink(from: Dir, name: Name, to: Dir, newName: Name): boolean {
  try {
    link(from, name, to, newName);
    return true;
  } catch (error) {
    if (cannotBeLinked(error)) return false;
    throw error;
  }
}

/** Registers what is still shared in a 3.x folder. */
export function registerOriginals(registry: SharedOriginals, folder: Dir): void {
  for (const entry of entries(folder)) {
    if (entry.name[0] === 0x2e) continue;
    const found: BigIntStats | undefined = stat(folder, entry.name);
    const shared = found?.isFile() === true && found.nlink > 1n;
    if (shared && !registry.has(found.ino)) registry.add(found.ino, folder, entry.name);
  }
}

/** Takes the registry of a store path away. Every file in it has its name in a folder. */
export function removeRegistry(store: Dir): void {
  if (stat(store, REGISTRY) === undefined) return;
  const registry = openDir(store, REGISTRY);
  try {
    for (const name of list(registry)) unlinkIfThere(registry, name);
  } finally {
    closeDir(registry);
  }
  removeDir(store, REGISTRY);
}
