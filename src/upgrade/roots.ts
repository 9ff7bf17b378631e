/**
 * The roots of a run: every store path and partition is opened once, at the start, and held. Everything
 * below is reached from these descriptors, one name at a time (4x-store.md, promise 6). A held root is also
 * the descriptor for syncfs, opened before the first write (design.md, "One folder, in order").
 */
import { MailhaulError } from '../errors.js';
import { closeDir, type Dir, ensureDir, fstat, type Ownership, openDir, openRootOr } from '../fs/dir.js';
import { SINGLE_DIRECTORY } from '../store/layout.js';
import { openPartition } from '../store/partitions.js';
import type { Trouble } from './tasks.js';
import { isProcessTrouble } from './trouble-kinds.js';

export interface PartitionRoot {
  readonly name: string;
  readonly dir: Dir;
  /** st_dev of `dir`. */
  readonly dev: bigint;
  /** `=single`, the registry of shared copies (docs/formats/partition.md). */
  readonly single: Dir;
}

export interface Roots {
  readonly stores: Map<string, Dir>;
  /** By absolute path: a folder whose first attempt went elsewhere keeps that root. */
  readonly partitions: Map<string, PartitionRoot>;
}

export function emptyRoots(): Roots {
  return { stores: new Map(), partitions: new Map() };
}

/** The held directory of a 3.x store path; opened when it is first asked for. */
export function storeRoot(roots: Roots, path: string): Dir {
  const held = roots.stores.get(path);
  if (held !== undefined) return held;
  const dir = openStorePath(path);
  roots.stores.set(path, dir);
  return dir;
}

/**
 * Opens and holds store paths. One that cannot be opened (its disk is not mounted, or retired with users who are gone)
 * stops its own folders only: its trouble is returned, by path.
 *
 * @throws MailhaulError FS_FOREIGN_LINK, and STORE_PATH where the trouble is the process's own
 */
export function openStorePaths(roots: Roots, paths: Iterable<string>): Map<string, Trouble> {
  const troubles = new Map<string, Trouble>();
  for (const path of paths) {
    try {
      storeRoot(roots, path);
    } catch (error) {
      const failed = failedCall(error);
      if (failed === undefined || isProcessTrouble(failed.errno)) throw error;
      troubles.set(path, { side: 'source', ...failed });
    }
  }
  return troubles;
}

/** The system call behind an error; undefined: there is none. */
function failedCall(error: unknown): Pick<Trouble, 'errno' | 'call'> | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { errno, syscall } = cause as NodeJS.ErrnoException;
    if (typeof errno === 'number') return { errno: Math.abs(errno), call: syscall ?? 'open' };
  }
  return undefined;
}

/** The held root of a partition. The directory itself is never made here (4x-store.md, Layout). */
export function partitionRoot(roots: Roots, name: string, path: string, owner: Ownership): PartitionRoot {
  const held = roots.partitions.get(path);
  if (held !== undefined) return held;
  const dir = openPartition(name, path, owner);
  const root = { name, dir, dev: fstat(dir).dev, single: ensureDir(dir, SINGLE_DIRECTORY, owner) };
  roots.partitions.set(path, root);
  return root;
}

/**
 * Holds a partition in which the run has nothing to do but to take away a registry that a killed run left
 * (singles.ts). Where there is none, or it cannot be opened, nothing is held.
 */
export function leftoverRoot(roots: Roots, name: string, path: string, owner: Ownership): void {
  if (roots.partitions.has(path)) return;
  let dir: Dir | undefined;
  try {
    dir = openPartition(name, path, owner);
    roots.partitions.set(path, { name, dir, dev: fstat(dir).dev, single: openDir(dir, SINGLE_DIRECTORY) });
  } catch {
    if (dir !== undefined) closeDir(dir);
  }
}

function openStorePath(path: string): Dir {
  return openRootOr(path, (error) => {
    const hint = 'Is its disk mounted?';
    throw new MailhaulError('STORE_PATH', 'The 3.x store path cannot be opened.', { where: path, hint, cause: error });
  });
}

export function closeRoots(roots: Roots): void {
  for (const dir of roots.stores.values()) closeDir(dir);
  for (const root of roots.partitions.values()) {
    closeDir(root.single);
    closeDir(root.dir);
  }
  roots.stores.clear();
  roots.partitions.clear();
}
