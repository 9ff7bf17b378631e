/**
 * What is left to do when a change of a mailbox, or of its name, is durable. It is done again with later changes, so its
 * failure is told and is none of the change: a message that was appended, and whose sender is told otherwise, is sent
 * again; a rename is made again, and there is no such mailbox.
 */
import { describeError, MailhaulError } from '../../errors.js';
import type { MailStore } from './held.js';

const LEFT = {
  MAILBOX_FOLD: {
    message: 'The journal of the mailbox could not be folded into its index, and grows',
    hint: 'Nothing is lost; later changes try it again.',
  },
  MAILBOX_COUNTS: {
    message: 'Counts and quota in the mailbox database could not be brought up to date',
    hint: 'Nothing is lost; the next change of the mailbox does it.',
  },
  MAILBOX_FILE: {
    message: 'The file of an expunged message could not be removed',
    hint: 'It is in no index; `upgrade --verify` lists it.',
  },
  MAILBOX_DIRECTORY_LEFT: {
    message: 'The mailbox was deleted or renamed, but its directory could not follow yet',
    hint: 'Nothing is lost: it is on record, and done by whoever comes to the mailbox next.',
  },
} as const;

/** Tells that it failed, and why. Never throws. */
export function upkeepFailed({ notice }: MailStore, code: keyof typeof LEFT, mailbox: string, cause: unknown): void {
  const { message, hint } = LEFT[code];
  const problem = new MailhaulError(code, `${message}: ${describeError(cause)}`, { where: mailbox, hint, cause });
  try {
    if (notice !== undefined) {
      notice(problem);
      return;
    }
  } catch {
    // A log on the same full disk, perhaps; the process has another way to say it.
  }
  process.emitWarning(describeError(problem), { type: 'MailboxWarning', code });
}
