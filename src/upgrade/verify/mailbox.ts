/**
 * The 4.x side of one published mailbox: its index against its message files, by a fresh parse with both
 * implementations; the mailbox database against the index; unknown files; ownership and modes.
 */
import * as fs from 'node:fs';
import { addKilobytes } from '../../engine/progress.js';
import { FLAG, type IndexSummary, PROGRESS } from '../../engine/types.js';
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, entries, openDir, stat } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { encodeAdminRecord } from '../../store/adminRecord.js';
import { HashDirectories } from '../../store/hashDirectories.js';
import { checkIndex } from '../../store/index/check.js';
import type { IndexedMessage, MailboxIndex } from '../../store/index/mailboxIndex.js';
import {
  hashDirectory,
  INDEX_FILE,
  isHashDirectory,
  JOURNAL_FILE,
  messageFile,
  parseMessageFile,
} from '../../store/layout.js';
import { parseMailboxName } from '../../store/names.js';
import type { AclEntry, MailboxRecord } from '../../store/types.js';
import { withContent } from './content.js';
import {
  type Check,
  checkDirectory,
  checkOwnership,
  checkUnopened,
  report,
  rethrowDefect,
  rethrowLack,
  stopped,
} from './context.js';
import { MessageFiles } from './messageFiles.js';
import { isSampled } from './sample.js';

/** All damage of the index file itself, and who owns it. False: damage was found. */
export function verifyIndexFile(check: Check, dir: Dir): boolean {
  const where = displayPath(dir, INDEX_FILE);
  let sound = true;
  try {
    const seen = stat(dir, INDEX_FILE);
    if (seen !== undefined) checkOwnership(check, seen, where);
    const fd = openFile(dir, INDEX_FILE);
    try {
      for (const damage of checkIndex(fd)) {
        sound = false;
        const about = damage.where === undefined ? '' : ` (${damage.where})`;
        report(check, 'VERIFY_INDEX', where, `${damage.code}: ${damage.message}${about}`);
      }
    } finally {
      fs.closeSync(fd);
    }
    const journal = stat(dir, JOURNAL_FILE);
    if (journal !== undefined) checkOwnership(check, journal, displayPath(dir, JOURNAL_FILE));
  } catch (error) {
    rethrowLack(error);
    report(check, 'VERIFY_INDEX', where, `It cannot be read: ${describeError(error)}.`);
    return false;
  }
  return sound;
}

/**
 * The mailbox database's copy of what the index says. A service writes it when it closes a mailbox: one that was killed
 * leaves an older copy, which the next change makes right.
 *
 * @param used a service has opened the mailbox
 */
export function verifySummary(check: Check, record: MailboxRecord, index: MailboxIndex, used: boolean): void {
  const where = record.name;
  if (record.uidvalidity !== index.uidvalidity) {
    const text = `The mailbox database has uidvalidity ${record.uidvalidity}, the index ${index.uidvalidity}.`;
    report(check, 'VERIFY_UIDVALIDITY', where, text);
  }
  if (record.uidnext !== index.uidnext) {
    const text = `The mailbox database has uidnext ${record.uidnext}, the index ${index.uidnext}.`;
    report(check, used && record.uidnext < index.uidnext ? 'VERIFY_CHANGED_SINCE' : 'VERIFY_UIDNEXT', where, text);
  }
  const counted: IndexSummary = index.summary();
  for (const name of Object.keys(counted) as (keyof IndexSummary)[]) {
    const said = record.summary?.[name];
    if (said === counted[name]) continue;
    const text = `${name}: the mailbox database has ${said ?? 'nothing'}, the index ${counted[name]}.`;
    report(check, used ? 'VERIFY_CHANGED_SINCE' : 'VERIFY_SUMMARY', where, text);
  }
}

/**
 * The backup copy of the mailbox record in the index; a mailbox that was renamed since may have its old name there,
 * and of one that was made in 4.x nobody knows which that was. ACL and quota may change later in the databases; what
 * they were when the folder was migrated is returned: the ACL, or undefined when the copy cannot be read.
 */
export function verifyAdmin(
  check: Check,
  dir: Dir,
  record: MailboxRecord,
  migratedAs: string,
  index: MailboxIndex,
): readonly AclEntry[] | undefined {
  const where = displayPath(dir, INDEX_FILE);
  let bytes: Uint8Array;
  let said: { mailbox?: unknown; acl?: unknown; quota?: unknown };
  try {
    bytes = index.reader.admin();
    said = JSON.parse(Buffer.from(bytes).toString('utf8')) as typeof said;
  } catch (error) {
    rethrowLack(error);
    // A damaged section is reported with the index.
    return undefined;
  }
  const acl = aclOf(said?.acl);
  const quota = typeof said?.quota === 'number' ? said.quota : null;
  const { legacyName, owner, partition } = record;
  const isOf = (mailbox: string): boolean =>
    acl !== undefined &&
    Buffer.compare(bytes, encodeAdminRecord({ mailbox, legacyName, owner, partition, acl, quota })) === 0;
  const { mailbox } = said ?? {};
  const madeAs = record.mappingId === null && typeof mailbox === 'string' ? mailbox : '';
  const isOwn = parseMailboxName(madeAs)?.uid === owner && isOf(madeAs);
  if (!isOf(record.name) && !isOf(migratedAs) && !isOwn) {
    report(check, 'VERIFY_ADMIN', where, 'The copy of the mailbox record in the index is not that of this mailbox.');
  }
  return acl;
}

function aclOf(value: unknown): AclEntry[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const entries: AclEntry[] = [];
  for (const pair of value as unknown[]) {
    const [identifier, rights] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (typeof identifier !== 'string' || typeof rights !== 'string') return undefined;
    entries.push({ identifier, rights });
  }
  return entries;
}

/** Every message of the index against its file. */
export function verifyMessages(check: Check, folderId: number, dir: Dir, index: MailboxIndex): MessageFiles {
  const files = new MessageFiles(index.count);
  const hashes = new HashDirectories(dir, (mailbox, name) => openHashDirectory(check, mailbox, name));
  try {
    for (const message of index.messages()) {
      if (stopped(check.context)) break;
      const held = hashes.of(message.uid);
      check.totals.checked += 1;
      Atomics.add(check.context.progress, PROGRESS.messages, 1);
      if (held === undefined) missing(check, `${dir.path}/${hashDirectory(message.uid)}`, message.uid);
      else verifyMessage(check, folderId, held, message, files);
    }
  } finally {
    hashes.close();
  }
  return files;
}

function openHashDirectory(check: Check, dir: Dir, name: string): Dir | undefined {
  let opened: Dir;
  try {
    opened = openDir(dir, name);
  } catch (error) {
    rethrowLack(error);
    if (!hasErrno(error, 'ENOENT')) {
      const text = `The directory cannot be opened: ${describeError(error)}.`;
      report(check, 'VERIFY_MESSAGE_UNREADABLE', displayPath(dir, name), text);
      checkUnopened(check, dir, name);
    }
    return undefined;
  }
  checkDirectory(check, opened);
  return opened;
}

function missing(check: Check, where: string, uid: number): void {
  report(check, 'VERIFY_MESSAGE_MISSING', where, 'The message is in the index, but no file of it can be found.', uid);
}

function verifyMessage(
  check: Check,
  folderId: number,
  directory: Dir,
  message: IndexedMessage,
  files: MessageFiles,
): void {
  const { uid } = message;
  const name = messageFile(uid);
  try {
    const stats = stat(directory, name);
    if (stats === undefined) {
      missing(check, displayPath(directory, name), uid);
      return;
    }
    if (stats.isFile()) {
      checkOwnership(check, stats, displayPath(directory, name), uid);
      files.add(uid, stats.ino, Number(stats.nlink), stats.dev);
      if (Number(stats.size) !== message.size) {
        const text = `The file has ${stats.size} bytes, the index says ${message.size}.`;
        report(check, 'VERIFY_SIZE', displayPath(directory, name), text, uid);
        return;
      }
      if (!isSampled(check.context.sample, folderId, uid)) return;
    }
    withContent(check.context, directory, name, stats, (content) =>
      verifyContent(check, message, content, displayPath(directory, name)),
    );
  } catch (error) {
    rethrowLack(error);
    const text = `The message file cannot be read: ${describeError(error)}.`;
    report(check, 'VERIFY_MESSAGE_UNREADABLE', displayPath(directory, name), text, uid);
  }
}

function verifyContent(check: Check, message: IndexedMessage, content: Buffer, where: string): void {
  const { totals, context } = check;
  const { uid } = message;
  totals.read += 1;
  totals.bytes += content.length;
  addKilobytes(context.progress, Math.round(content.length / 1024));
  let cache: Uint8Array | undefined;
  try {
    cache = message.cache();
  } catch {
    // checkIndex has reported this entry.
  }
  for (const { name, digest, crlfForm, parseMessage } of context.implementations) {
    const by = `(${name} implementation)`;
    if (Buffer.compare(digest(content), message.digest) !== 0) {
      report(check, 'VERIFY_CONTENT', where, `The content is not what the index was made from ${by}.`, uid);
      return;
    }
    if (crlfForm(content) !== content) {
      report(check, 'VERIFY_CRLF', where, `The message has line ends that are not CRLF ${by}.`, uid);
      return;
    }
    const parsed = parseMessage(content);
    if (parsed.headerBytes !== message.headerBytes) {
      const text = `Its header has ${parsed.headerBytes} bytes, the index says ${message.headerBytes} ${by}.`;
      report(check, 'VERIFY_STRUCTURE', where, text, uid);
      return;
    }
    if (cache === undefined || Buffer.compare(parsed.cache, cache) === 0) continue;
    const part = differingPart(parsed.cache, cache);
    report(check, 'VERIFY_STRUCTURE', where, `A fresh parse gives another ${part} than the index holds ${by}.`, uid);
    return;
  }
}

const CACHE_PARTS = ['envelope', 'body structure', 'list of part offsets', 'set of cached header fields'] as const;

/** Which of the four parts of a cache entry (store-idx.md) differs first. */
function differingPart(fresh: Uint8Array, stored: Uint8Array): string {
  const parts = (entry: Uint8Array): Uint8Array[] => {
    const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
    let at = 16;
    return CACHE_PARTS.map((_, i) => {
      const length = view.getUint32(i * 4, true);
      at += length;
      return entry.subarray(at - length, at);
    });
  };
  const [a, b] = [parts(fresh), parts(stored)];
  return CACHE_PARTS.find((_, i) => Buffer.compare(a[i]!, b[i]!) !== 0) ?? 'cache entry';
}

/** What a run that was killed leaves in a mailbox directory (docs/formats/partition.md, docs/operations.md). */
const LEFTOVER = /^(?:\.retry|\.new-.*|store\.idx\.new)$/s;
/** What a service leaves that is killed: a message on its way in, an index that was not whole yet (src/store/mailbox). */
const HALF_WRITTEN = /^(?:\.new-\d+|store\.idx\.new)$/;

/**
 * Names in the mailbox directory that are not the store's. Directories with `=` are tree.ts's.
 *
 * @param used a service has opened the mailbox: one that was killed may have left a file that is not in the index
 *   (src/store/mailbox/change.ts)
 */
export function verifyNoStrangers(check: Check, dir: Dir, index: MailboxIndex, used: boolean): void {
  try {
    verifyNames(check, dir, index, used);
  } catch (error) {
    unlisted(check, dir, error);
  }
}

function unlisted(check: Check, dir: Dir, error: unknown): void {
  rethrowDefect(error);
  report(check, 'VERIFY_DIRECTORY_MISSING', dir.path, `The directory cannot be listed: ${describeError(error)}.`);
}

function verifyNames(check: Check, dir: Dir, index: MailboxIndex, used: boolean): void {
  for (const entry of entries(dir)) {
    const name = entry.name.toString('latin1');
    if (name === INDEX_FILE || name === JOURNAL_FILE || name.startsWith('=')) continue;
    if (used && HALF_WRITTEN.test(name)) {
      report(check, 'VERIFY_STALE_FILE', displayPath(dir, entry.name), 'A service was stopped while it wrote this.');
    } else if (LEFTOVER.test(name)) {
      const text = 'A migration made it for a moment and should have taken it away.';
      report(check, 'VERIFY_LEFTOVER', displayPath(dir, entry.name), text);
    } else if (!isHashDirectory(name) || !verifyHashDirectory(check, dir, name, index, used)) {
      const text = 'This does not belong into a mailbox directory.';
      report(check, 'VERIFY_UNKNOWN_FILE', displayPath(dir, entry.name), text);
    }
    if (stopped(check.context)) return;
  }
}

/** False when it is no directory. */
function verifyHashDirectory(check: Check, dir: Dir, name: string, index: MailboxIndex, used: boolean): boolean {
  let directory: Dir;
  try {
    directory = openDir(dir, name);
  } catch (error) {
    rethrowLack(error);
    // One that may not be opened is reported with its messages.
    return hasErrno(error, 'EACCES', 'EIO', 'ENOENT');
  }
  try {
    for (const { name: file } of entries(directory)) {
      const text = file.toString('latin1');
      const uid = parseMessageFile(name, text);
      if (uid !== undefined && index.byUid(uid) !== undefined) continue;
      const where = displayPath(directory, file);
      if (LEFTOVER.test(text)) {
        report(check, 'VERIFY_LEFTOVER', where, 'A migration made it for a moment and should have taken it away.');
        continue;
      }
      const what = uid === undefined ? 'This is not a message file.' : 'The message file is not in the index.';
      report(check, used && uid !== undefined ? 'VERIFY_STALE_FILE' : 'VERIFY_UNKNOWN_FILE', where, what, uid);
    }
  } catch (error) {
    unlisted(check, directory, error);
  } finally {
    closeDir(directory);
  }
  return true;
}

/** IMAP names of FLAG bits for messages to people. */
export function flagText(flags: number): string {
  const names = (Object.keys(FLAG) as (keyof typeof FLAG)[]).filter((name) => (flags & FLAG[name]) !== 0);
  return names.length === 0 ? 'none' : names.join(' ');
}
