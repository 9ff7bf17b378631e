/**
 * One migrated folder against its 3.x original, as far as that is still there: count and uids by the migration
 * record, flags and dates by `.mailbox`, content by digest.
 *
 * This reads `.mailbox` with the 3.x reader but decides by itself what each line means (3x-profile.md, "Damage"):
 * what planned and moved the messages is not asked.
 */
import type { BigIntStats } from 'node:fs';
import { crlfForm } from '../../engine/message/parse.js';
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, listTyped, stat, walk } from '../../fs/dir.js';
import { nsms3 } from '../../source/nsms3/source.js';
import type { FolderIndex } from '../../source/types.js';
import { digest } from '../../store/digest.js';
import type { MailboxIndex } from '../../store/index/mailboxIndex.js';
import type { IndexRecord } from '../../store/index/record.js';
import { rawKey } from '../../store/names.js';
import type { MappingFolder, MappingUser, MigrationRecord } from '../types.js';
import { heldRoot, isSampled, type VerifyContext, withFile } from './context.js';
import type { Subject } from './findings.js';
import { flagText, type MessageFileIdentity } from './mailbox.js';

/** A message file of 4.x by uid; undefined when it is not there. */
export type FileOf = (uid: number) => MessageFileIdentity | undefined;

export interface MigratedFolder {
  readonly folder: MappingFolder;
  readonly user: MappingUser;
  readonly record: MigrationRecord;
  /** uids of the messages that are on record as failed. */
  readonly failed: ReadonlySet<number>;
  readonly index: MailboxIndex;
  readonly fileOf: FileOf;
}

export function verifySource(context: VerifyContext, subject: Subject, migrated: MigratedFolder): void {
  verifyRecord(context, subject, migrated);
  const dir = openSource(context, subject, migrated);
  try {
    if (dir !== undefined) verifyFolder(context, subject, migrated, dir);
    shareCopies(context, migrated, dir);
  } finally {
    if (dir !== undefined) closeDir(dir);
  }
}

/** The messages of the record are the messages of the index. */
function verifyRecord(
  context: VerifyContext,
  subject: Subject,
  { record, index, failed, folder }: MigratedFolder,
): void {
  const { findings } = context;
  const where = folder.mailbox;
  if (record.uidvalidity !== index.uidvalidity) {
    const text = `The migration record has uidvalidity ${record.uidvalidity}, the index ${index.uidvalidity}.`;
    findings.add(subject, 'VERIFY_UIDVALIDITY', where, text);
  }
  // Once folded, the index is the services' and says nothing about the migration.
  if (index.reader.header.generation > 0) return;
  if (index.reader.header.uidnext < record.uidnext) {
    const text = `The migration record has uidnext ${record.uidnext}, the index ${index.reader.header.uidnext}.`;
    findings.add(subject, 'VERIFY_UIDNEXT', where, text);
  }
  const recorded = new Set<number>();
  for (const uid of record.uids) {
    recorded.add(uid);
    if (failed.has(uid) || index.reader.find(uid) >= 0) continue;
    // A retry after a service opened the folder appends to the journal.
    if (index.byUid(uid) !== undefined) continue;
    findings.add(subject, 'VERIFY_COUNT', where, 'The message is on record as migrated but not in the index.', uid);
  }
  for (const { uid } of index.reader.records()) {
    if (!recorded.has(uid)) {
      findings.add(subject, 'VERIFY_COUNT', where, 'The message is in the index but not in the migration record.', uid);
    }
  }
}

function openSource(context: VerifyContext, subject: Subject, { folder, user }: MigratedFolder): Dir | undefined {
  if (folder.missing) return undefined;
  const where = `${user.storePath}/${user.uid}/${folder.legacyName}`;
  const store = heldRoot(context, user.storePath);
  try {
    if (store !== null) return walk(store, [user.uid, ...folder.path]);
    context.findings.add(subject, 'VERIFY_SOURCE_GONE', where, 'The 3.x store path cannot be opened.');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) {
      context.findings.add(subject, 'VERIFY_SOURCE_GONE', where, 'The 3.x folder is not there any more.');
    } else {
      const text = `The 3.x folder cannot be opened: ${describeError(error)}.`;
      context.findings.add(subject, 'VERIFY_SOURCE_UNREADABLE', where, text);
    }
  }
  return undefined;
}

function verifyFolder(context: VerifyContext, subject: Subject, migrated: MigratedFolder, dir: Dir): void {
  const { record, index } = migrated;
  let lines: Lines | undefined;
  if (index.reader.header.generation === 0) {
    try {
      lines = readLines(nsms3.readIndex(dir));
      verifyHeader(context, subject, migrated, lines.index);
    } catch (error) {
      const text = `The 3.x index cannot be read: ${describeError(error)}.`;
      context.findings.add(subject, 'VERIFY_SOURCE_UNREADABLE', dir.path, text);
    }
  }
  const names = new Set<string>();
  for (let i = 0; i < record.count; i++) {
    const name = record.names.subarray(record.nameOffsets[i], record.nameOffsets[i + 1]);
    names.add(rawKey(name));
    const uid = record.uids[i] ?? 0;
    if (migrated.failed.has(uid)) continue;
    if (lines !== undefined) verifyLine(context, subject, migrated, lines, i, rawKey(name));
    verifyOriginal(context, subject, migrated, dir, i, name);
  }
  for (const entry of listTyped(dir)) {
    if (entry.name[0] === 0x2e || entry.isDirectory() || names.has(rawKey(entry.name))) continue;
    const where = displayPath(dir, entry.name);
    context.findings.add(subject, 'VERIFY_SOURCE_NEW', where, 'This 3.x message is not in the migration record.');
  }
}

/** `.mailbox` made ready for questions by file name. */
interface Lines {
  readonly index: FolderIndex;
  /** The line that counts for a file: the first with its name. */
  readonly byName: ReadonlyMap<string, number>;
  /** By uid, the line that has it: the first that counts. */
  readonly holderOf: ReadonlyMap<number, number>;
}

function readLines(index: FolderIndex): Lines {
  const byName = new Map<string, number>();
  const holderOf = new Map<number, number>();
  for (let line = 0; line < index.count; line++) {
    const name = rawKey(index.names.subarray(index.nameOffsets[line], index.nameOffsets[line + 1]));
    if (byName.has(name)) continue;
    byName.set(name, line);
    const uid = index.uids[line] ?? 0;
    if (!holderOf.has(uid)) holderOf.set(uid, line);
  }
  return { index, byName, holderOf };
}

function verifyHeader(
  context: VerifyContext,
  subject: Subject,
  { record, folder }: MigratedFolder,
  lines: FolderIndex,
): void {
  const { header } = lines;
  if (header === undefined) return;
  // A folder that ran out of uids has a higher one on record; one whose header was lost keeps what `-s` chose.
  if (record.uidvalidity < header.uidvalidity && folder.uidvalidityChosen !== true) {
    const text = `The 3.x index has uidvalidity ${header.uidvalidity}, the migrated folder ${record.uidvalidity}.`;
    context.findings.add(subject, 'VERIFY_UIDVALIDITY', folder.mailbox, text);
  } else if (record.uidvalidity === header.uidvalidity && record.uidnext < header.uidnext) {
    const text = `The 3.x index has uidnext ${header.uidnext}, the migrated folder ${record.uidnext}.`;
    context.findings.add(subject, 'VERIFY_UIDNEXT', folder.mailbox, text);
  }
}

/** uid, flags, keywords and date of message `i` of the record against its line. */
function verifyLine(
  context: VerifyContext,
  subject: Subject,
  migrated: MigratedFolder,
  lines: Lines,
  i: number,
  name: string,
): void {
  const { record, index, folder } = migrated;
  const uid = record.uids[i] ?? 0;
  const stored = index.reader.byUid(uid);
  if (stored === undefined) return;
  // A copy through another system puts a CR at the end of the line; a name that is there as written goes first.
  const line = lines.byName.get(name) ?? lines.byName.get(`${name}\r`);
  const said = line === undefined ? WITHOUT_LINE : lineFacts(lines.index, line);
  const { findings } = context;
  const where = folder.mailbox;
  const sameNumbers = record.uidvalidity === lines.index.header?.uidvalidity;
  if (line !== undefined && sameNumbers && lines.holderOf.get(said.uid) === line && said.uid !== uid) {
    findings.add(subject, 'VERIFY_UID', where, `The 3.x index gives it uid ${said.uid}.`, uid);
  }
  if (said.flags !== stored.flags) {
    const text = `Its flags are ${flagText(stored.flags)}; in 3.x they are ${flagText(said.flags)}.`;
    findings.add(subject, 'VERIFY_FLAGS', where, text, uid);
  }
  const keywords = foldKeywords(index.reader.keywordsOf(stored));
  if (keywords !== foldKeywords(said.keywords)) {
    findings.add(subject, 'VERIFY_FLAGS', where, 'Its keywords are not those of 3.x.', uid);
  }
  verifyDate(context, subject, migrated, i, stored, said.date);
}

function verifyDate(
  context: VerifyContext,
  subject: Subject,
  { record, folder }: MigratedFolder,
  i: number,
  stored: IndexRecord,
  said: number,
): void {
  const mtimeSeconds = Number(BigInt.asIntN(64, record.mtimes[i] ?? 0n) / 1_000_000_000n);
  // Before 1970 the division rounds up, a message's date down.
  const wanted = Number.isNaN(said) ? [mtimeSeconds, mtimeSeconds - 1] : [said];
  if (Number.isNaN(said) && (record.mtimes[i] ?? 0n) >= 0n) wanted.pop();
  if (wanted.includes(stored.internalDate)) return;
  const text = `Its date is ${stored.internalDate}; in 3.x it is ${wanted[0]} (seconds since 1970).`;
  context.findings.add(subject, 'VERIFY_DATE', folder.mailbox, text, stored.uid);
}

interface LineFacts {
  readonly uid: number;
  readonly flags: number;
  /** NaN: the file's modification time counts. */
  readonly date: number;
  readonly keywords: readonly string[];
}

const WITHOUT_LINE: LineFacts = { uid: 0, flags: 0, date: Number.NaN, keywords: [] };

function lineFacts(index: FolderIndex, line: number): LineFacts {
  const refs = index.keywordRefs.subarray(index.keywordOffsets[line], index.keywordOffsets[line + 1]);
  return {
    uid: index.uids[line] ?? 0,
    flags: index.flags[line] ?? 0,
    date: index.internalDates[line] ?? Number.NaN,
    keywords: Array.from(refs, (ref) => index.keywords[ref] ?? ''),
  };
}

/** Keywords as a set without case. */
function foldKeywords(keywords: readonly string[]): string {
  return [...new Set(keywords.map((keyword) => keyword.toLowerCase()))].sort().join(' ');
}

/**
 * The 3.x file of message `i` against the 4.x message, if it is still there. Content decides: a file that is not the
 * one on record but holds the same message (a store restored from a backup) is a note, for `-r` will not remove it.
 */
function verifyOriginal(
  context: VerifyContext,
  subject: Subject,
  migrated: MigratedFolder,
  dir: Dir,
  i: number,
  name: Uint8Array,
): void {
  const { record, index, folder } = migrated;
  const { findings } = context;
  const uid = record.uids[i] ?? 0;
  const where = displayPath(dir, name);
  const found = stat(dir, name);
  if (found === undefined) return;
  const onRecord = isOnRecord(found, record, i);
  const message = index.byUid(uid);
  if (message === undefined || !found.isFile()) {
    if (!onRecord) findings.add(subject, 'VERIFY_SOURCE_CHANGED', where, CHANGED, uid);
    return;
  }
  if (onRecord && !isSampled(context, folder.id, uid)) return;
  context.totals.compared += 1;
  // One inode: its content was compared with the index when the message file was read.
  const file = migrated.fileOf(uid);
  if (onRecord && file !== undefined && file.device === found.dev && file.inode === found.ino) return;
  try {
    withFile(dir, name, (fd, stats) => {
      const content = crlfForm(context.buffer.read(fd, Number(stats.size)));
      const same = Buffer.compare(digest(content), message.digest) === 0;
      if (!onRecord)
        findings.add(
          subject,
          same ? 'VERIFY_SOURCE_REPLACED' : 'VERIFY_SOURCE_CHANGED',
          where,
          same ? REPLACED : CHANGED,
          uid,
        );
      else if (!same)
        findings.add(subject, 'VERIFY_SOURCE_CONTENT', where, 'The 3.x file and the 4.x message differ.', uid);
    });
  } catch (error) {
    const text = `The 3.x file cannot be read: ${describeError(error)}.`;
    findings.add(subject, 'VERIFY_SOURCE_UNREADABLE', where, text, uid);
  }
}

const CHANGED =
  'The 3.x file is not what was migrated: its inode, size or time has changed, and it is another message now.';
const REPLACED =
  'The 3.x file has another inode or time than the one that was migrated; its content is the same. `-r` keeps it.';

function isOnRecord(found: BigIntStats, record: MigrationRecord, i: number): boolean {
  return (
    found.isFile() &&
    found.ino === record.inodes[i] &&
    Number(found.size) === record.sizes[i] &&
    found.mtimeNs === record.mtimes[i]
  );
}

/** Hands the files that have, or had, several links to the check of single-copy mail. */
function shareCopies(context: VerifyContext, migrated: MigratedFolder, dir: Dir | undefined): void {
  const { record, user, failed } = migrated;
  const root = migrated.folder.root ?? '';
  for (let i = 0; i < record.count; i++) {
    const uid = record.uids[i] ?? 0;
    const file = failed.has(uid) ? undefined : migrated.fileOf(uid);
    if (file === undefined) continue;
    const name = record.names.subarray(record.nameOffsets[i], record.nameOffsets[i + 1]);
    const found = dir === undefined ? undefined : stat(dir, name);
    // A linked file counts its own 3.x name as well.
    const linked = found !== undefined && found.ino === file.inode && found.dev === file.device;
    const shared = linked ? file.links > 2n : file.links > 1n || (found?.nlink ?? 0n) > 1n;
    if (!shared) continue;
    const source = `${user.storePath}\n${record.inodes[i]}`;
    context.singles.add({ source, root, inode: file.inode, links: file.links, where: file.where });
  }
}
