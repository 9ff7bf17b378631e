/** Which mailboxes a delete or rename on record (NameChange) is about, while its directory has not followed. */
import type { MailboxDatabase, NameChange } from '../types.js';

/** A rule of this module: whether a change is about a mailbox. */
export type About = (change: NameChange, mailbox: string) => boolean;

/** Whose directories move or go with it, lie on the way there, or would have to be below what moves. */
export function concerns(change: NameChange, mailbox: string): boolean {
  return placesOf(change).some((changed) => within(changed, mailbox) || within(mailbox, changed));
}

/**
 * Whether the directory of `mailbox` may be elsewhere, or another's: the change is its own, or of one above it. One
 * below it moves nothing that is the mailbox's.
 */
export function isDisplacing(change: NameChange, mailbox: string): boolean {
  return placesOf(change).some((changed) => within(mailbox, changed));
}

/** Whether a change on record is about the mailbox. */
export function someChange(
  { nameChanges }: Pick<MailboxDatabase, 'nameChanges'>,
  about: About,
  mailbox: string,
): boolean {
  for (const change of nameChanges()) if (about(change, mailbox)) return true;
  return false;
}

function placesOf({ name, to }: NameChange): readonly string[] {
  return to === null ? [name] : [name, to];
}

function within(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
}
