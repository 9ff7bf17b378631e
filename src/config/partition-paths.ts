/**
 * Partition paths for a loop over folders: each is looked up once. configdb is read and parsed anew for every look, which
 * of 400,000 folders took longer than all else together. No path changes while the store is in use (STORE_LOCKED).
 */
import type { Instance } from './instance.js';

/** Absolute path of a partition, as it was when it was first asked for; undefined for an unknown one. */
export function partitionPaths(instance: Pick<Instance, 'partitionPath'>): (name: string) => string | undefined {
  const known = new Map<string, string | undefined>();
  return (name) => {
    if (!known.has(name)) known.set(name, instance.partitionPath(name));
    return known.get(name);
  };
}
