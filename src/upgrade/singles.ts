/**
 * The end of the registry of shared copies (docs/formats/partition.md): once no folder of a partition is left
 * in TRANSITION nobody will look for a shared copy there, and `=single` goes, names only: every copy has its
 * names in mailboxes.
 */
import { hasErrno } from '../errors.js';
import { list, removeDir, unlinkIfThere } from '../fs/dir.js';
import { SINGLE_DIRECTORY } from '../store/layout.js';
import type { PartitionRoot } from './roots.js';
import type { Run } from './run.js';
import { isDue } from './selection.js';
import { stopDevice } from './trouble.js';
import { isProcessTrouble, troubleOf } from './trouble-kinds.js';

/** Empties and removes `=single` of every partition that the run holds and in which nothing is left to do. */
export function removeSharedCopies(run: Run): void {
  if (run.roots.partitions.size === 0) return;
  run.mailboxes.refresh();
  run.mapping.refresh();
  const busy = new Set<string>();
  for (const folder of run.mapping.unsettledFolders((id) => run.mailboxes.wasPublished(id))) {
    if (isDue(run.mapping, run.mailboxes, folder)) busy.add(folder.root ?? run.partitionPath(folder.partition));
  }
  for (const [path, root] of run.roots.partitions) {
    if (busy.has(path)) continue;
    try {
      removeRegistry(root);
    } catch (error) {
      const trouble = troubleOf(error, 'target');
      if (trouble === undefined || isProcessTrouble(trouble.errno)) throw error;
      // Everything is published; the registry takes space until the next run.
      stopDevice(run, path, trouble);
    }
  }
}

function removeRegistry({ dir, single }: PartitionRoot): void {
  // Another process that ends at the same moment tidies up as well.
  for (const name of list(single)) unlinkIfThere(single, name);
  try {
    removeDir(dir, SINGLE_DIRECTORY);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}
