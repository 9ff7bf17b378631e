/**
 * The migration record against the index and the message files: the same messages, none lost, none doubled. The
 * record lives as long as the mapping database, so this holds after `-r` too.
 *
 *     record   uid ↔ 3.x file (name, inode, size, time), fixed before the first link
 *     index    every uid of the record that did not fail, and no other
 *     files    one 3.x file, one 4.x file; two 3.x files, never one 4.x file
 */
import type { MailboxIndex } from '../../store/index/mailboxIndex.js';
import { nameTable } from '../plan-names.js';
import type { MappingFolder, MessageFailure, MigrationRecord } from '../types.js';
import { type Check, report } from './context.js';
import type { MessageFiles } from './messageFiles.js';

export interface Migrated {
  readonly folder: MappingFolder;
  readonly record: MigrationRecord;
  readonly failures: readonly MessageFailure[];
  /** Their uids. */
  readonly failed: ReadonlySet<number>;
  readonly index: MailboxIndex;
  readonly files: MessageFiles;
  /** A service has opened the mailbox. */
  readonly used: boolean;
}

export function verifyRecord(check: Check, migrated: Migrated): void {
  const { record, index, folder } = migrated;
  const where = folder.mailbox;
  verifyItself(check, record, where);
  if (folder.missing && record.count > 0) {
    const text = `The mapping says that there was no 3.x folder, the migration record has ${record.count} messages of it.`;
    report(check, 'VERIFY_DATABASES', where, text);
  }
  verifyFailures(check, migrated);
  if (record.uidvalidity !== index.uidvalidity) {
    const text = `The migration record has uidvalidity ${record.uidvalidity}, the index ${index.uidvalidity}.`;
    report(check, 'VERIFY_UIDVALIDITY', where, text);
  }
  // Once folded, the index is the services' and says nothing about the migration.
  if (index.reader.header.generation > 0) return;
  if (!isUidnext(migrated)) {
    const text = `The migration record has uidnext ${record.uidnext}, the index ${index.uidnext}.`;
    report(check, 'VERIFY_UIDNEXT', where, text);
  }
  verifyCount(check, migrated);
  verifyFiles(check, migrated);
}

/**
 * Where a service has been, the index may be ahead. A retry puts on record the numbers that 3.x has given since and those
 * that it is about to give itself; the index gets them only with a message that comes in, and is behind till then.
 */
function isUidnext({ record, index, used, folder, failed }: Migrated): boolean {
  if (index.uidnext >= record.uidnext) return used || index.uidnext === record.uidnext;
  const highest = record.uids.findLast((uid) => !failed.has(uid)) ?? 0;
  return folder.attempts > 1 && highest < index.uidnext;
}

/** What no plan writes, whatever its check says. */
function verifyItself(check: Check, record: MigrationRecord, where: string): void {
  const table = nameTable({ count: record.count, names: record.names, nameOffsets: record.nameOffsets });
  /** uid by file, of those that have a name with others. */
  const known = new Map<string, number>();
  for (let i = 0; i < record.count; i++) {
    const uid = record.uids[i] ?? 0;
    if (i > 0 && uid <= (record.uids[i - 1] ?? 0)) {
      report(check, 'VERIFY_RECORD', where, 'The uids of the migration record do not ascend.', uid);
    }
    if (uid === 0 || (uid >= record.uidnext && record.uidnext !== 0xffff_ffff)) {
      const text = `The migration record has uidnext ${record.uidnext}, which is not above the uid.`;
      report(check, 'VERIFY_RECORD', where, text, uid);
    }
    const first = table.find(record.names, record.nameOffsets[i] ?? 0, record.nameOffsets[i + 1] ?? 0);
    if (first === i) continue;
    // 3.x may have given the name to another message, which a retry brought in: that is another file.
    const fileOf = (row: number): string => `${first} ${record.inodes[row]} ${record.sizes[row]} ${record.mtimes[row]}`;
    known.set(fileOf(first), record.uids[first] ?? 0);
    const other = known.get(fileOf(i));
    known.set(fileOf(i), uid);
    if (other === undefined) continue;
    const text = `The migration record gives one 3.x file two uids, this one and ${other}.`;
    report(check, 'VERIFY_DOUBLED', where, text, uid);
  }
}

/** Reports the failures on record, and those that do not fit. */
function verifyFailures(check: Check, { record, failures, index, folder }: Migrated): void {
  if (folder.retrying === true) {
    const text = 'A retry of the folder was stopped before its end.';
    report(check, 'VERIFY_FAILURES', folder.mailbox, text);
  }
  const rows = new Map<number, number>();
  if (failures.length > 0) record.uids.forEach((uid, row) => void rows.set(uid, row));
  for (const { uid, file, code, message } of failures) {
    report(check, 'VERIFY_NOT_MIGRATED', file, `${code}: ${message}`, uid);
    const row = rows.get(uid);
    if (row === undefined) {
      report(check, 'VERIFY_FAILURES', folder.mailbox, 'The migration record does not have this failed message.', uid);
      continue;
    }
    const name = record.names.subarray(record.nameOffsets[row], record.nameOffsets[row + 1]);
    if (Buffer.from(name).toString('utf8') !== file) {
      report(check, 'VERIFY_FAILURES', folder.mailbox, 'The migration record has another file for this uid.', uid);
    }
    if (index.byUid(uid) !== undefined) {
      report(
        check,
        'VERIFY_FAILURES',
        folder.mailbox,
        'The message is in 4.x although it is on record as failed.',
        uid,
      );
    }
  }
}

/** Both ascend: one walk over both. */
function verifyCount(check: Check, { record, index, failed, folder, used }: Migrated): void {
  const where = folder.mailbox;
  const absent = (uid: number): void => {
    if (failed.has(uid) || index.byUid(uid) !== undefined) return;
    // A retry appended it to the journal, and a service has expunged it since.
    if (used && uid >= index.reader.header.uidnext) return;
    report(check, 'VERIFY_COUNT', where, 'The message is on record as migrated but not in the index.', uid);
  };
  let row = 0;
  for (const stored of index.reader.records()) {
    while (row < record.count && (record.uids[row] ?? 0) < stored.uid) absent(record.uids[row++] ?? 0);
    if (record.uids[row] !== stored.uid) {
      const text = 'The message is in the index but not in the migration record.';
      report(check, 'VERIFY_COUNT', where, text, stored.uid);
      continue;
    }
    verifySize(check, stored.uid, record.sizes[row] ?? 0, stored.size, where);
    row++;
  }
  while (row < record.count) absent(record.uids[row++] ?? 0);
}

/** The CRLF form is as long as the 3.x file, or longer by a CR for each bare LF. */
function verifySize(check: Check, uid: number, recorded: number, stored: number, where: string): void {
  if (stored >= recorded && stored <= recorded * 2) return;
  const text = `The 3.x file had ${recorded} bytes, the 4.x message has ${stored}: it is another message.`;
  report(check, 'VERIFY_SIZE', where, text, uid);
}

/** Two 3.x files that are one file in 4.x: one message is lost, another one doubled. */
function verifyFiles(check: Check, { record, files, folder }: Migrated): void {
  const repeated = files.repeatedInodes();
  if (repeated.size === 0) return;
  const first = new Map<bigint, { readonly uid: number; readonly source: bigint }>();
  let row = 0;
  for (let i = 0; i < files.count; i++) {
    if (!repeated.has(files.inode(i))) continue;
    const uid = files.uid(i);
    while (row < record.count && (record.uids[row] ?? 0) < uid) row++;
    if (record.uids[row] !== uid) continue;
    const source = record.inodes[row] ?? 0n;
    const known = first.get(files.inode(i));
    if (known === undefined) first.set(files.inode(i), { uid, source });
    else if (known.source !== source) {
      const text = `It is one file with message ${known.uid}; in 3.x they were two.`;
      report(check, 'VERIFY_DOUBLED', folder.mailbox, text, uid);
    }
  }
}
