/**
 * The 3.x file of one message against the 4.x message, if it is still there. Content decides: a file that is not the
 * one on record but holds the same message (a store restored from a backup) is a note, for `-r` will not remove it.
 */
import type { BigIntStats } from 'node:fs';
import { describeError, hasErrno } from '../../errors.js';
import { type Dir, displayPath, stat } from '../../fs/dir.js';
import { recordedMtime } from '../../fs/times.js';
import type { IndexedMessage } from '../../store/index/mailboxIndex.js';
import type { MigrationRecord } from '../types.js';
import { withContent } from './content.js';
import { type Check, report, rethrowLack } from './context.js';
import type { Migrated } from './record.js';
import { isSampled } from './sample.js';

/** What lies under a message's 3.x name. */
export interface Looked {
  readonly inode: bigint;
  readonly device: bigint;
  readonly links: number;
}

/** undefined: nothing is there. */
export function verifyOriginal(
  check: Check,
  migrated: Migrated,
  dir: Dir,
  row: number,
  name: Uint8Array,
): Looked | undefined {
  const { record, index, folder, files } = migrated;
  const uid = record.uids[row] ?? 0;
  let found: BigIntStats | undefined;
  try {
    found = stat(dir, name);
  } catch (error) {
    unreadable(check, displayPath(dir, name), error, uid);
  }
  if (found === undefined) return undefined;
  const looked = { inode: found.ino, device: found.dev, links: Number(found.nlink) };
  const onRecord = isOnRecord(found, record, row);
  const message = index.byUid(uid);
  if (message === undefined || !found.isFile()) {
    if (!onRecord) report(check, 'VERIFY_SOURCE_CHANGED', displayPath(dir, name), CHANGED, uid);
    return looked;
  }
  if (onRecord && folder.sourcesRemoved) {
    const text = '`-r` is on record as done for this folder, but its 3.x file is there: no later `-r` looks for it.';
    report(check, 'VERIFY_SOURCE_LEFT', displayPath(dir, name), text, uid);
  }
  if (onRecord && !isSampled(check.context.sample, folder.id, uid)) return looked;
  // One inode: its content was compared with the index when the message file was read.
  const i = files.find(uid);
  if (onRecord && i >= 0 && files.inode(i) === found.ino && files.device(i) === found.dev) {
    check.totals.compared += 1;
    return looked;
  }
  compare(check, dir, name, found, message, onRecord);
  return looked;
}

function compare(
  check: Check,
  dir: Dir,
  name: Uint8Array,
  found: BigIntStats,
  message: IndexedMessage,
  onRecord: boolean,
): void {
  const { uid } = message;
  const where = (): string => displayPath(dir, name);
  try {
    const same = withContent(check.context, dir, name, found, (content) => holdsMessage(check, content, message));
    check.totals.compared += 1;
    if (onRecord && same) return;
    if (onRecord) {
      report(check, 'VERIFY_SOURCE_CONTENT', where(), 'The 3.x file and the 4.x message differ.', uid);
    } else if (same) {
      report(check, 'VERIFY_SOURCE_REPLACED', where(), REPLACED, uid);
    } else {
      report(check, 'VERIFY_SOURCE_CHANGED', where(), CHANGED, uid);
    }
  } catch (error) {
    if (hasErrno(error, 'EACCES', 'EPERM') && Number(found.uid) !== check.context.owner.uid) {
      const text = `It belongs to ${found.uid}:${found.gid} and may not be read; it was not compared.`;
      report(check, 'VERIFY_SOURCE_FOREIGN', where(), text, uid);
    } else unreadable(check, where(), error, uid);
  }
}

/** The CRLF form of the 3.x file is the message of the index, by both implementations. */
function holdsMessage(check: Check, content: Uint8Array, message: IndexedMessage): boolean {
  return check.context.implementations.every(
    ({ digest, crlfForm }) => Buffer.compare(digest(crlfForm(content)), message.digest) === 0,
  );
}

function unreadable(check: Check, where: string, error: unknown, uid: number): void {
  rethrowLack(error);
  report(check, 'VERIFY_SOURCE_UNREADABLE', where, `The 3.x file cannot be read: ${describeError(error)}.`, uid);
}

const CHANGED =
  'The 3.x file is not what was migrated: its inode, size or time has changed, and it is another message now.';
const REPLACED =
  'The 3.x file has another inode or time than the one that was migrated; its content is the same. `-r` keeps it.';

function isOnRecord(found: BigIntStats, record: MigrationRecord, row: number): boolean {
  return (
    found.isFile() &&
    found.ino === record.inodes[row] &&
    Number(found.size) === record.sizes[row] &&
    recordedMtime(found) === record.mtimes[row]
  );
}
