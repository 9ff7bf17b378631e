/**
 * The 4.x side of one published mailbox: its index against its message files, by a fresh parse with the
 * TypeScript parser; the mailbox database against the index; unknown files; ownership and modes.
 */
import { crlfForm, parseMessage } from '../../engine/message/parse.js';
import { FLAG, type IndexSummary } from '../../engine/types.js';
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, list, openDir, stat } from '../../fs/dir.js';
import { digest } from '../../store/digest.js';
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
import type { MailboxRecord } from '../../store/types.js';
import { checkDirectory, checkOwnership, isSampled, type VerifyContext, withFile } from './context.js';
import type { Subject } from './findings.js';

/** All damage of the index file itself. False: it cannot be used at all. */
export function verifyIndexFile(context: VerifyContext, subject: Subject, dir: Dir): boolean {
  const where = displayPath(dir, INDEX_FILE);
  let sound = true;
  try {
    withFile(dir, INDEX_FILE, (fd, stats) => {
      checkOwnership(context, subject, stats, where);
      for (const damage of checkIndex(fd)) {
        sound = false;
        const about = damage.where === undefined ? '' : ` (${damage.where})`;
        context.findings.add(subject, 'VERIFY_INDEX', where, `${damage.code}: ${damage.message}${about}`);
      }
    });
    const journal = stat(dir, JOURNAL_FILE);
    if (journal !== undefined) checkOwnership(context, subject, journal, displayPath(dir, JOURNAL_FILE));
  } catch (error) {
    context.findings.add(subject, 'VERIFY_INDEX', where, `It cannot be read: ${describeError(error)}.`);
    return false;
  }
  return sound;
}

/** The mailbox database's copy of what the index says. Changes in the journal are the services' to copy. */
export function verifySummary(
  context: VerifyContext,
  subject: Subject,
  record: MailboxRecord,
  index: MailboxIndex,
): void {
  const where = record.name;
  const { findings } = context;
  if (record.uidvalidity !== index.uidvalidity) {
    const text = `The mailbox database has uidvalidity ${record.uidvalidity}, the index ${index.uidvalidity}.`;
    findings.add(subject, 'VERIFY_UIDVALIDITY', where, text);
  }
  if (index.changes > 0) return;
  if (record.uidnext !== index.uidnext) {
    const text = `The mailbox database has uidnext ${record.uidnext}, the index ${index.uidnext}.`;
    findings.add(subject, 'VERIFY_UIDNEXT', where, text);
  }
  const { header } = index.reader;
  const counted: IndexSummary = {
    messages: header.messages,
    bytes: header.bytesUsed,
    lastAppend: header.lastAppend,
    seen: header.seen,
    answered: header.answered,
    flagged: header.flagged,
    deleted: header.deleted,
    draft: header.draft,
  };
  for (const name of Object.keys(counted) as (keyof IndexSummary)[]) {
    const said = record.summary?.[name];
    if (said === counted[name]) continue;
    findings.add(
      subject,
      'VERIFY_SUMMARY',
      where,
      `${name}: the mailbox database has ${said}, the index ${counted[name]}.`,
    );
  }
}

/** Device and inode of a message file, and how many names it has. */
export interface MessageFileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: bigint;
  readonly where: string;
}

/** Every message of the index against its file. `onFile` learns of each file that is there. */
export function verifyMessages(
  context: VerifyContext,
  subject: Subject,
  folderId: number,
  dir: Dir,
  index: MailboxIndex,
  onFile: (uid: number, file: MessageFileIdentity) => void,
): void {
  let held: { readonly name: string; readonly dir: Dir | undefined } | undefined;
  try {
    for (const message of index.messages()) {
      const name = hashDirectory(message.uid);
      if (held?.name !== name) {
        if (held?.dir !== undefined) closeDir(held.dir);
        held = { name, dir: undefined };
        held = { name, dir: openHashDirectory(context, subject, dir, name) };
      }
      context.totals.messages += 1;
      if (held.dir === undefined) missing(context, subject, `${dir.path}/${name}`, message.uid);
      else verifyMessage(context, subject, folderId, held.dir, message, onFile);
    }
  } finally {
    if (held?.dir !== undefined) closeDir(held.dir);
  }
}

function openHashDirectory(context: VerifyContext, subject: Subject, dir: Dir, name: string): Dir | undefined {
  try {
    const opened = openDir(dir, name);
    checkDirectory(context, subject, opened);
    return opened;
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) {
      const text = `The directory cannot be opened: ${describeError(error)}.`;
      context.findings.add(subject, 'VERIFY_MESSAGE_UNREADABLE', displayPath(dir, name), text);
    }
    return undefined;
  }
}

function missing(context: VerifyContext, subject: Subject, where: string, uid: number): void {
  context.findings.add(subject, 'VERIFY_MESSAGE_MISSING', where, 'The message is in the index but has no file.', uid);
}

function verifyMessage(
  context: VerifyContext,
  subject: Subject,
  folderId: number,
  directory: Dir,
  message: IndexedMessage,
  onFile: (uid: number, file: MessageFileIdentity) => void,
): void {
  const { uid } = message;
  const name = messageFile(uid);
  try {
    withFile(directory, name, (fd, stats, where) => {
      checkOwnership(context, subject, stats, where, uid);
      onFile(uid, { device: stats.dev, inode: stats.ino, links: stats.nlink, where });
      if (Number(stats.size) !== message.size) {
        const text = `The file has ${stats.size} bytes, the index says ${message.size}.`;
        context.findings.add(subject, 'VERIFY_SIZE', where, text, uid);
      } else if (isSampled(context, folderId, uid)) {
        verifyContent(context, subject, message, context.buffer.read(fd, message.size), where);
      }
    });
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) {
      missing(context, subject, displayPath(directory, name), uid);
      return;
    }
    const text = `The message file cannot be read: ${describeError(error)}.`;
    context.findings.add(subject, 'VERIFY_MESSAGE_UNREADABLE', displayPath(directory, name), text, uid);
  }
}

function verifyContent(
  context: VerifyContext,
  subject: Subject,
  message: IndexedMessage,
  content: Buffer,
  where: string,
): void {
  const { findings, totals } = context;
  const { uid } = message;
  totals.read += 1;
  totals.bytes += content.length;
  if (Buffer.compare(digest(content), message.digest) !== 0) {
    findings.add(subject, 'VERIFY_CONTENT', where, 'The content is not what the index was made from.', uid);
    return;
  }
  if (crlfForm(content) !== content) {
    findings.add(subject, 'VERIFY_CRLF', where, 'The message has line ends that are not CRLF.', uid);
  }
  const parsed = parseMessage(content);
  let cache: Uint8Array;
  try {
    cache = message.cache();
  } catch {
    // checkIndex has reported this entry.
    return;
  }
  if (parsed.headerBytes !== message.headerBytes || Buffer.compare(parsed.cache, cache) !== 0) {
    findings.add(
      subject,
      'VERIFY_STRUCTURE',
      where,
      'A fresh parse gives another cache entry than the index holds.',
      uid,
    );
  }
}

/** Names in the mailbox directory that are not the store's. Directories with `=` are tree.ts's. */
export function verifyNoStrangers(context: VerifyContext, subject: Subject, dir: Dir, index: MailboxIndex): void {
  for (const bytes of list(dir)) {
    const name = bytes.toString();
    if (name === INDEX_FILE || name === JOURNAL_FILE || name.startsWith('=')) continue;
    const where = displayPath(dir, bytes);
    let directory: Dir | undefined;
    if (isHashDirectory(name)) {
      try {
        directory = openDir(dir, bytes);
      } catch {
        // Not a directory: a stranger like any other.
      }
    }
    if (directory === undefined) {
      context.findings.add(subject, 'VERIFY_UNKNOWN_FILE', where, 'This does not belong into a mailbox directory.');
      continue;
    }
    try {
      for (const file of list(directory)) {
        const uid = parseMessageFile(name, file.toString());
        if (uid !== undefined && index.byUid(uid) !== undefined) continue;
        const text = uid === undefined ? 'This is not a message file.' : 'The message file is not in the index.';
        context.findings.add(subject, 'VERIFY_UNKNOWN_FILE', displayPath(directory, file), text, uid);
      }
    } finally {
      closeDir(directory);
    }
  }
}

/** IMAP names of FLAG bits for messages to people. */
export function flagText(flags: number): string {
  const names = (Object.keys(FLAG) as (keyof typeof FLAG)[]).filter((name) => (flags & FLAG[name]) !== 0);
  return names.length === 0 ? 'none' : names.join(' ');
}
