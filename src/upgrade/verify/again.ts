/** Items that are to be done once more, from the databases as they are now. */
import type { MailboxDatabase, MailboxRecord } from '../../store/types.js';
import type { VerifyItem } from './tasks.js';
import type { Verification } from './verification.js';
import { attempt, mailboxItem, settle, type UserProgress, userItem, type Work } from './work.js';

/** The same work. A mailbox that was renamed meanwhile is looked for under its new name; one that is gone is done. */
export async function* refreshed(verification: Verification, work: readonly Work[]): AsyncGenerator<Work> {
  const { mailboxes, mapping } = verification.session;
  for (const { item, progress, attempts } of work) {
    mailboxes.refresh();
    mapping.refresh();
    const { uid } = progress.known;
    const items = attempt(verification.findings, uid, () => itemsNow(verification, item, progress)) ?? [];
    // The one that is replaced keeps the user open until all that came of it are counted.
    progress.left += items.length;
    settle(verification, progress);
    for (const fresh of items) yield { item: fresh, progress, attempts };
  }
}

function itemsNow(verification: Verification, item: VerifyItem, progress: UserProgress): VerifyItem[] {
  const { mailboxes, mapping } = verification.session;
  const { uid } = progress.known;
  const known = { uid, folders: mapping.foldersOf(uid), user: mapping.user(uid) };
  if (item.kind === 'user') {
    return [userItem(verification, { ...known, records: [...mailboxes.list(`user/${uid}/`, () => {})] })];
  }
  return recordsNow(mailboxes, item.record, progress)
    .filter(({ state }) => state === 'NON-TRANSITION')
    .flatMap((record) => mailboxItem(verification, known, record) ?? []);
}

/** The mailbox as the database has it now; none when it was deleted. */
function recordsNow(mailboxes: MailboxDatabase, before: MailboxRecord, progress: UserProgress): MailboxRecord[] {
  const here = mailboxes.get(before.name);
  if (here !== undefined && isSame(here, before)) return [here];
  if (before.mappingId === null) return newOnes(mailboxes, before, progress);
  const name = mailboxes.publishedName(before.mappingId);
  const there = name === undefined ? undefined : mailboxes.get(name);
  return there !== undefined && isSame(there, before) ? [there] : [];
}

/** Another mailbox may have the name by now. A rename changes neither the id of the mapping nor the uidvalidity. */
function isSame(a: MailboxRecord, b: MailboxRecord): boolean {
  return a.mappingId === b.mappingId && (a.mappingId !== null || a.uidvalidity === b.uidvalidity);
}

/**
 * A mailbox that was made in 4.x has no id to follow, and two made in one second have the same uidvalidity: every one
 * that could be it and was not on the list is looked at.
 */
function newOnes(mailboxes: MailboxDatabase, before: MailboxRecord, progress: UserProgress): MailboxRecord[] {
  const listed = new Set(progress.known.records.map(identity));
  const found = [...mailboxes.list(`user/${before.owner}/`, () => {})].filter(
    (record) => isSame(record, before) && !listed.has(identity(record)) && !progress.followed.has(identity(record)),
  );
  for (const record of found) progress.followed.add(identity(record));
  return found;
}

function identity({ name, uidvalidity }: MailboxRecord): string {
  return `${uidvalidity} ${name}`;
}
