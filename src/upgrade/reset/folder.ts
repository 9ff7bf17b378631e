/**
 * Looks at one attempted folder, message by message: what must go back to 3.x before its 4.x side may go, and
 * what stands in the way.
 *
 *     3.x name        4.x file                      so
 *     as on record    any                           nothing to do
 *     there, other    same content                  nothing to do
 *                     other content                 refused, unless the folder was never published: 3.x rules
 *     gone            as on record, or by digest    goes back
 *                     cannot be checked             refused
 *                     gone                          refused if the folder was published
 *
 * Two messages that go back to one 3.x name: the newer one does if their content is the same, else both are refused.
 * 3.x gave the name to another message when the first had been migrated.
 *
 * Nothing is written.
 */
import { closeSync } from 'node:fs';
import { rowOfUid } from '../../engine/rows.js';
import { describeError } from '../../errors.js';
import { type Dir, displayPath, stat } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { INDEX_FILE, JOURNAL_FILE } from '../../store/layout.js';
import { rawKey } from '../../store/names.js';
import { fileDigest, sameDigest } from './content.js';
import type { ResetContext } from './context.js';
import { serviceChanges } from './journal.js';
import { isLinkable, isOnRecord, type Located, MessageFinder, nameOf, type OpenFolder } from './opened.js';
import { isTurnDue, takeTurn } from './turns.js';

export interface Examination {
  /** Rows of the record whose message is in 4.x only. */
  readonly rows: readonly number[];
  /** 4.x message files. */
  readonly files: number;
}

/** @param read compare contents; without it, what an examination before this one has compared is trusted */
export async function examineFolder(context: ResetContext, open: OpenFolder, read: boolean): Promise<Examination> {
  if (open.deleted) {
    examineDeleted(context, open);
    return { rows: [], files: 0 };
  }
  examineIndex(context, open, read);
  const rows: number[] = [];
  let files = 0;
  const finder = new MessageFinder(open.target);
  try {
    for (let i = 0; i < open.record.count; i++) {
      if (isTurnDue()) await takeTurn();
      const file = finder.find(open.record.uids[i] ?? 0);
      if (file !== undefined) files += 1;
      if (examineMessage(context, open, i, file, read)) rows.push(i);
    }
  } finally {
    finder.close();
  }
  if (rows.length > 0 && open.source === undefined) folderGone(context, open, rows.length);
  const back = onePerName(context, open, rows);
  if (read && !open.published && back.length > 0) noteDeleted(context, open, back.length);
  return { rows: back, files };
}

/**
 * `-r` takes nothing of a folder that was never published: whoever took the messages away was 3.x, which runs again
 * after a back-out. That 4.x has the only copy all the same decides: to bring one back is better than to lose one.
 */
function noteDeleted({ refusals }: ResetContext, { folder }: OpenFolder, messages: number): void {
  const text =
    `${folder.mailbox} was never published, and ${messages} of its messages are not in 3.x any more, probably ` +
    'deleted there: they come back, without flags where no index has them. `upgrade -m` before the reset leaves them out.';
  refusals.note(text);
}

/** `rows` without those whose content another one brings back under the same name; two messages of a name are refused. */
function onePerName({ refusals }: ResetContext, open: OpenFolder, rows: readonly number[]): readonly number[] {
  const { record, source, index, subject } = open;
  const byName = new Map<string, number>();
  for (const row of rows) {
    const name = nameOf(record, row);
    const key = rawKey(name);
    const before = byName.get(key);
    byName.set(key, row);
    if (before === undefined) continue;
    const [uid, uidBefore] = [record.uids[row] ?? 0, record.uids[before] ?? 0];
    const [digest, digestBefore] = [index?.byUid(uid)?.digest, index?.byUid(uidBefore)?.digest];
    // Of what the index does not know nobody can say that one file is enough.
    if (digest !== undefined && digestBefore !== undefined && sameDigest(digest, digestBefore)) continue;
    const where = source === undefined ? open.folder.legacyName : displayPath(source, name);
    const text =
      `Two messages, uids ${uidBefore} and ${uid} in 4.x, had this 3.x name one after the other, and only one can go ` +
      'back to it. Copy the 4.x file of one of them to this name, and move the 4.x file of the other into the 3.x ' +
      'folder under a name that no message has; both for the server account, with mode 0600.';
    refusals.add(subject, 'RESET_NAME_TWICE', where, text, uidBefore);
  }
  return byName.size === rows.length ? rows : [...byName.values()].sort((a, b) => a - b);
}

/** Deleted in 4.x: what 3.x still has comes back with the next `-s`; what it has not can only be refused. */
function examineDeleted({ refusals, stage }: ResetContext, { record, source, subject, folder }: OpenFolder): void {
  let missing = 0;
  for (let i = 0; i < record.count; i++) {
    if (source === undefined || stat(source, nameOf(record, i)) === undefined) missing += 1;
  }
  if (missing === 0) refusals.note(`${folder.mailbox} was deleted in 4.x; its folder is whole in 3.x and comes back.`);
  else if (stage !== 'removing') {
    const text = `The mailbox was deleted or renamed in 4.x, and ${missing} of its messages are not in 3.x any more.`;
    refusals.add(subject, 'RESET_DELETED', folder.mailbox, `${text} Restore them to 3.x first.`);
  }
}

/** What services changed shows in the journal, beside what a retry entered there, and in the index's generation. */
function examineIndex(context: ResetContext, open: OpenFolder, survey: boolean): void {
  const { target, index, subject, record } = open;
  if (target === undefined) return;
  const { refusals, stage } = context;
  const where = displayPath(target, INDEX_FILE);
  if (index === undefined) {
    const reported = stat(target, INDEX_FILE) !== undefined;
    if (open.published && record.count > 0 && stage !== 'removing' && !reported) {
      const text = 'The mailbox is published but has no index, so nobody can tell what it holds. Rebuild it first.';
      refusals.add(subject, 'RESET_INDEX', where, text);
    }
    return;
  }
  // Once 4.x goes, what services did is settled: nothing stood in the way before, and nobody has come in since. What
  // told a retry's messages from theirs (journal.ts) may be gone by now.
  if (stage !== 'removing') {
    const { generation } = index.reader.header;
    if (generation !== 0) {
      const text = `Services have changed the mailbox and folded their changes into its index (generation ${generation}).`;
      refusals.add(subject, 'RESET_CHANGED', where, text);
    }
    examineJournal(context, open, target, survey);
  }
  for (const { uid } of index.reader.records()) {
    if (rowOfUid(record.uids, uid) >= 0) continue;
    const text = 'The message is in the index but not in the migration record: it did not come from 3.x.';
    refusals.add(subject, 'RESET_NOT_ON_RECORD', where, text, uid);
  }
}

function examineJournal({ refusals }: ResetContext, open: OpenFolder, target: Dir, survey: boolean): void {
  if (stat(target, JOURNAL_FILE) === undefined) return;
  const where = displayPath(target, JOURNAL_FILE);
  if (open.journalDamage !== undefined) {
    refusals.add(open.subject, 'RESET_CHANGED', where, `The journal cannot be read: ${open.journalDamage}.`);
    return;
  }
  if (open.index?.lostChanges === true) {
    const text = 'A record of the journal is damaged, so that nobody can tell what the changes behind it are.';
    refusals.add(open.subject, 'RESET_CHANGED', where, text);
    return;
  }
  if (open.index?.hasOtherJournal === true) {
    const text = 'The journal belongs to another index, so that nobody can tell what services have changed.';
    refusals.add(open.subject, 'RESET_CHANGED', where, text);
    return;
  }
  const { append, expunge, flags, uidnext, byRetry } = serviceChanges(open, target);
  if (append + expunge + flags + uidnext > 0) {
    const text =
      `Services have changed the mailbox since it was migrated: ${append} messages added, ${expunge} removed, ` +
      `${flags} changes of flags.`;
    refusals.add(open.subject, 'RESET_CHANGED', where, text);
  } else if (byRetry > 0 && survey) {
    const text = `${open.folder.mailbox}: ${byRetry} messages that a retry added at the end get their uids of 3.x.`;
    refusals.note(text);
  }
}

/** True when the message must go back. */
function examineMessage(
  context: ResetContext,
  open: OpenFolder,
  i: number,
  file: Located | undefined,
  read: boolean,
): boolean {
  const { record, source, sourceDevice, subject, index, failed, published } = open;
  const { refusals, stage } = context;
  const uid = record.uids[i] ?? 0;
  const name = nameOf(record, i);
  const original = source === undefined ? undefined : stat(source, name);
  const originalPath = source === undefined ? open.folder.legacyName : displayPath(source, name);
  if (file === undefined) {
    // Not published: nobody but 3.x itself took the message away.
    const migrated = !failed.has(uid) || index?.byUid(uid) !== undefined;
    if (original === undefined && published && migrated && stage !== 'removing') {
      const text = 'The message was migrated, but is neither in 3.x nor in 4.x now. Restore it from a backup.';
      refusals.add(subject, 'RESET_LOST', originalPath, text, uid);
    }
    return false;
  }
  const where = displayPath(file.dir, file.name);
  try {
    if (!file.stats.isFile()) {
      refusals.add(subject, 'RESET_UNKNOWN_FILE', where, 'This is no message file.', uid);
      return false;
    }
    const linked = file.stats.dev === sourceDevice && isOnRecord(record, i, file.stats);
    const entry = linked ? undefined : index?.byUid(uid);
    if (read && entry !== undefined) {
      const same = Number(file.stats.size) === entry.size && sameDigest(fileDigest(file.dir, file.name), entry.digest);
      if (!same) {
        const text = 'The 4.x message file is not what its index was made from: it was changed or damaged since.';
        refusals.add(subject, 'RESET_CONTENT', where, text, uid);
        return false;
      }
    }
    if (original === undefined) {
      // Copied, because it is somebody else's (opened.ts): it must be readable.
      if (linked && !isLinkable(context, open, file.stats)) closeSync(openFile(file.dir, file.name));
      if (linked || entry !== undefined) return true;
      const how = published
        ? 'Restore or rebuild the index.'
        : '`upgrade -m` finishes the folder without the message; save the 4.x file first if it is wanted.';
      const text = `The message is not in 3.x any more, and no index says what its 4.x file must hold. ${how}`;
      refusals.add(subject, 'RESET_UNVERIFIED', where, text, uid);
      return false;
    }
    if (isOnRecord(record, i, original)) return false;
    if (original.ino === file.stats.ino && original.dev === file.stats.dev) return false;
    if (!original.isFile()) {
      const text = 'The 3.x name holds no message file any more, and the message is in 4.x only. Move it away.';
      refusals.add(subject, 'RESET_SOURCE_CHANGED', originalPath, text, uid);
    } else if (read && published && source !== undefined) {
      const wanted = entry?.digest ?? fileDigest(file.dir, file.name);
      if (!sameDigest(fileDigest(source, name, 'crlf'), wanted)) {
        const text =
          'The 3.x file is another one than was migrated, and the 4.x message differs. Move one of them away.';
        refusals.add(subject, 'RESET_SOURCE_CHANGED', originalPath, text, uid);
      }
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    refusals.add(subject, 'RESET_UNREADABLE', where, `A file cannot be read: ${describeError(error)}.`, uid);
  }
  return false;
}

function folderGone({ refusals }: ResetContext, { folder, user, subject }: OpenFolder, messages: number): void {
  const where = `${user.storePath}/${folder.uid}/${folder.legacyName}`;
  const text =
    `The 3.x folder that ${messages} messages go back to is not there. Is its disk mounted? If it is gone for good, ` +
    'make the directory again, for the server account with mode 0700.';
  refusals.add(subject, 'RESET_FOLDER_GONE', where, text);
}
