/** One transaction of an LMDB environment, and what its failures mean. */
import type { RootDatabase } from 'lmdb';
import { EXIT, MailhaulError, messageOf } from '../errors.js';
import { type Dir, statfs } from '../fs/dir.js';
import { effect } from '../fs/seam.js';

/** Less than this is no room for a transaction. */
const ROOM_BYTES = 256 * 1024;

/**
 * LMDB itself prints a line, and lmdb a stack trace, when a commit meets a full disk; so most full disks are seen
 * before. A transaction that is larger than what is left still meets them, and nothing of it is kept either way.
 */
export function refuseFullDisk(file: Dir): void {
  const { blocks, bavail, bsize } = statfs(file);
  // Some file systems do not tell.
  if (blocks === 0 || bavail * bsize >= ROOM_BYTES) return;
  throw new MailhaulError('DB_WRITE', `The disk of the database is full (ENOSPC): ${bavail * bsize} bytes are free.`, {
    where: file.path,
    exit: EXIT.halted,
    hint: 'Make space, then run the same command again.',
  });
}

/** Runs `change` in a transaction of its own. Errors: what `change` throws, DB_WRITE, DB_FULL. */
export async function runUpdate<T>(root: RootDatabase<Buffer, Buffer>, path: string, change: () => T): Promise<T> {
  let thrown: { readonly error: unknown } | undefined;
  try {
    return await root.childTransaction(() => {
      let result: T;
      try {
        result = change();
      } catch (error) {
        thrown = { error };
        throw error;
      }
      // Where it fails, it fails as LMDB's commit does.
      effect('commit');
      return result;
    });
  } catch (error) {
    if (thrown !== undefined) throw thrown.error;
    throw await commitFailure(error, path);
  }
}

/** What LMDB could not write, as an error that stops the run: nothing of the transaction happened. */
async function commitFailure(error: unknown, path: string): Promise<MailhaulError> {
  let cause = error;
  if (error instanceof Error && 'commitError' in error) {
    cause = await Promise.resolve(error.commitError).catch((reason: unknown) => reason);
  }
  const message = messageOf(cause);
  const full = /MDB_MAP_FULL/.test(message);
  return new MailhaulError(
    full ? 'DB_FULL' : 'DB_WRITE',
    `The database could not be written, nothing of this change was kept: ${message}.`,
    {
      where: path,
      exit: EXIT.halted,
      hint: 'Make space or repair the device, then run the same command again.',
      cause,
    },
  );
}
