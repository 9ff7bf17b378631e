/**
 * The directories that a store's mail came from and went to, as the databases have them: from one pass over users and
 * folders, which is a good part of what a reset does where nothing was migrated yet.
 */
import { PRIMARY } from '../../config/instance.js';
import { isAttempted, type ResetContext, rootPathOf } from './context.js';

export interface WantedRoots {
  /** Partitions by absolute path. Needed: something of an attempted folder may lie there. */
  readonly partitions: ReadonlyMap<string, { readonly name: string; readonly needed: boolean }>;
  /** 3.x store paths of all users. */
  readonly stores: ReadonlySet<string>;
  /** Those of users with attempted folders. */
  readonly neededStores: ReadonlySet<string>;
  /** Attempted folders. */
  readonly attempted: number;
}

/** Reads all users and folders. */
export function wantedRoots(databases: Pick<ResetContext, 'mapping' | 'mailboxes' | 'partitionPath'>): WantedRoots {
  const { mapping, partitionPath } = databases;
  const partitions = new Map<string, { name: string; needed: boolean }>();
  const stores = new Set<string>();
  const neededStores = new Set<string>();
  let attempted = 0;
  const want = (name: string, path: string | undefined, needed: boolean): void => {
    if (path === undefined || path === '') return;
    const known = partitions.get(path);
    partitions.set(path, { name, needed: needed || known?.needed === true });
  };
  want(PRIMARY, partitionPath(PRIMARY), false);
  for (const { storePath, partition } of mapping?.users() ?? []) {
    stores.add(storePath);
    want(partition, partitionPath(partition), false);
  }
  for (const folder of mapping?.folders() ?? []) {
    if (!isAttempted(databases, folder)) continue;
    attempted += 1;
    want(folder.partition, rootPathOf(databases, folder), true);
    const storePath = mapping?.user(folder.uid)?.storePath;
    if (storePath !== undefined) neededStores.add(storePath);
  }
  return { partitions, stores, neededStores, attempted };
}
