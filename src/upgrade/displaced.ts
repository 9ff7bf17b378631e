/**
 * Folders whose place in 4.x is not their own yet: a mailbox of that name, or one above it, was deleted or renamed, and
 * its directory is still there (store/mailbox/unfinished.ts). What is migrated into it would go with it: be destroyed
 * by the delete, or replace the renamed mail. They wait until the change has its end.
 */
import { describeError, MailhaulError } from '../errors.js';
import { isDisplacing } from '../store/mailbox/changing.js';
import { finishNameChanges } from '../store/mailbox/unfinished.js';
import type { NameChange } from '../store/types.js';
import { folderFailed, type Run } from './run.js';
import { mailboxOf } from './selection.js';
import type { MappingFolder } from './types.js';

/** @param changes those on record, looked up once for many folders */
export function isDisplaced(
  changes: readonly NameChange[],
  run: Pick<Run, 'mailboxes'>,
  folder: MappingFolder,
): boolean {
  if (changes.length === 0) return false;
  const name = nameOf(run, folder);
  return changes.some((change) => isDisplacing(change, name));
}

function nameOf({ mailboxes }: Pick<Run, 'mailboxes'>, folder: MappingFolder): string {
  return mailboxOf(mailboxes, folder)?.name ?? folder.mailbox;
}

/**
 * Finishes the changes that displace a folder. Returns the pids that hold what has to follow, undefined when nothing
 * is left; 'failed' when one cannot be finished, which is reported. Throws the database's errors.
 */
export async function settleDisplaced(
  run: Run,
  folder: MappingFolder,
): Promise<readonly number[] | undefined | 'failed'> {
  const name = nameOf(run, folder);
  let failed = false;
  const holders = await finishNameChanges(
    { mailboxes: run.mailboxes, owner: run.owner },
    (change) => isDisplacing(change, name),
    (change, cause) => {
      if (failed) return;
      failed = true;
      const what = change.to === null ? `${change.name} was deleted` : `${change.name} was renamed to ${change.to}`;
      const message =
        `The mailbox ${what} in 4.x, and its directory cannot follow: ${describeError(cause)} ` +
        'The folder waits: its own is to be where that still is. Correct this, then run the same command again.';
      folderFailed(run, folder, {
        code: 'MAILBOX_CHANGING',
        message,
        where: cause instanceof MailhaulError ? (cause.where ?? name) : name,
      });
    },
  );
  return failed ? 'failed' : holders;
}
