/**
 * The mapping's copy of the tombstone (docs/formats/upfolder.md). A run that was killed between the transaction that
 * published a folder and the one that noted the outcome leaves it behind; the next run brings it up to date, so that
 * both databases end as if nothing had happened.
 */
import type { MappingDatabase } from './types.js';

/** Folders that one transaction notes. */
const NOTED_AT_ONCE = 1_000;

/** Notes the folders of `ids`, which are published, as migrated. */
export async function noteTombstones(mapping: MappingDatabase, ids: readonly number[]): Promise<void> {
  for (let first = 0; first < ids.length; first += NOTED_AT_ONCE) {
    await mapping.update((writes) => {
      for (const id of ids.slice(first, first + NOTED_AT_ONCE)) {
        const folder = mapping.folder(id);
        if (folder !== undefined && !folder.migrated) writes.putFolder({ ...folder, migrated: true });
      }
    });
  }
}
