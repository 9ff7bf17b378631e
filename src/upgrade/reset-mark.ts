/**
 * Is a reset of an instance under way, or was one stopped? For commands that need no mapping database otherwise: it
 * alone holds the mark (reset.ts), and it lies with the 3.x mail.
 */
import { type BareInstance, openBareInstance } from '../config/instance.js';
import { MailhaulError } from '../errors.js';
import { closeDir, stat } from '../fs/dir.js';
import { MAPPING_DATABASE_FILE, openMappingDatabase } from './mapping/database.js';
import { checkMappingIsOurs, openWorkDir, resetUnfinished } from './session.js';
import type { ResetStage } from './types.js';

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
export async function unfinishedReset(instance: BareInstance): Promise<UnfinishedReset | undefined> {
  try {
    const { dir, path } = openWorkDir(instance, undefined);
    try {
      if ((stat(dir, MAPPING_DATABASE_FILE)?.size ?? 0n) === 0n) return undefined;
      checkMappingIsOurs(instance, dir);
      const mapping = await openMappingDatabase(dir, MAPPING_DATABASE_FILE, { owner: instance.owner, readOnly: true });
      try {
        const stage = mapping.meta()?.reset;
        return stage === undefined ? undefined : { stage, error: resetUnfinished(path) };
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
  let instance: BareInstance;
  try {
    instance = openBareInstance(path);
  } catch (error) {
    if (error instanceof MailhaulError) return;
    throw error;
  }
  try {
    const reset = await unfinishedReset(instance);
    if (reset !== undefined) throw reset.error;
  } finally {
    instance.close();
  }
}
