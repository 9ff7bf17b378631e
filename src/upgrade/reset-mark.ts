/**
 * What commands ask that need no mapping database otherwise, which lies with the 3.x mail: is a reset of an instance
 * under way, or was one stopped (it alone holds the mark, reset.ts)? Has a migration to a partition begun?
 */
import { type BareInstance, openBareInstance } from '../config/instance.js';
import { MailhaulError } from '../errors.js';
import { closeDir, stat } from '../fs/dir.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from './mapping/database.js';
import { checkMappingIsOurs, openWorkDir, resetUnfinished } from './session.js';
import type { MappingDatabase, ResetStage } from './types.js';

export interface UnfinishedReset {
  readonly stage: ResetStage;
  /** RESET_UNFINISHED (exit 3), for whoever cannot go on because of it. */
  readonly error: MailhaulError;
}

/**
 * undefined: there is none, or the mapping database is not to be found or read, so that nobody can tell.
 *
 * @throws MailhaulError DB_BUSY
 */
export function unfinishedReset(instance: BareInstance): Promise<UnfinishedReset | undefined> {
  return askMapping(instance, (mapping, path) => {
    const stage = mapping.meta()?.reset;
    return stage === undefined ? undefined : { stage, error: resetUnfinished(path) };
  });
}

/**
 * True when a folder has its root in the partition, although nothing need be published there yet: the root is noted
 * before the first message moves.
 *
 * @param partition in lower case
 * @throws MailhaulError DB_BUSY
 */
export async function isPartitionBegun(path: string, partition: string): Promise<boolean> {
  const instance = openIfThere(path);
  if (instance === undefined) return false;
  try {
    const begun = await askMapping(instance, (mapping) => {
      for (const folder of mapping.folders()) {
        if (folder.root !== null && folder.partition.toLowerCase() === partition) return true;
      }
      return false;
    });
    return begun === true;
  } finally {
    instance.close();
  }
}

async function askMapping<T>(
  instance: BareInstance,
  question: (mapping: MappingDatabase, path: string) => T,
): Promise<T | undefined> {
  try {
    const { dir, path } = openWorkDir(instance, undefined);
    try {
      if ((stat(dir, MAPPING_DATABASE_FILE)?.size ?? 0n) === 0n) return undefined;
      checkMappingIsOurs(instance, dir);
      const mapping = await openMappingDatabase(dir, MAPPING_DATABASE_FILE, { owner: instance.owner, readOnly: true });
      try {
        return question(mapping, path);
      } finally {
        await mapping.close();
      }
    } finally {
      closeDir(dir);
    }
  } catch (error) {
    if (!(error instanceof MailhaulError) || error.code === 'DB_BUSY') throw error;
    return undefined;
  }
}

/**
 * For commands that write: what a reset needs to go on is not changed under it. An instance that cannot be opened,
 * which such a command may be there to repair, has no reset under way.
 *
 * @throws MailhaulError RESET_UNFINISHED, DB_BUSY
 */
export async function refuseDuringReset(path: string): Promise<void> {
  const instance = openIfThere(path);
  if (instance === undefined) return;
  try {
    const reset = await unfinishedReset(instance);
    if (reset !== undefined) throw reset.error;
  } finally {
    instance.close();
  }
}

function openIfThere(path: string): BareInstance | undefined {
  try {
    return openBareInstance(path);
  } catch (error) {
    if (error instanceof MailhaulError) return undefined;
    throw error;
  }
}
