/**
 * The last line of defence of a folder in TRANSITION whose messages are in 4.x alone. That is what `-r` leaves, or a
 * 3.x disk that is not mounted below the store path; databases that were both restored from a backup made while the
 * folder was migrated, before it was published, say nothing of it. To the engines the 4.x files would be leftovers of
 * an attempt before, of messages that 3.x has deleted since, and be swept.
 *
 *     a file of the record is in 3.x, under its name or as its inode     go on
 *     3.x has an index, and no line of the record's files in it          they were deleted in 3.x: go on
 *     no file of the record is in 4.x                                    go on: there is nothing to lose
 *     else                                                               FOLDER_EMPTIED
 */
import type { DirectoryScan } from '../engine/types.js';
import { describeError, MailhaulError } from '../errors.js';
import { closeDir, type Dir, stat, walkIfThere } from '../fs/dir.js';
import type { FolderIndex } from '../source/types.js';
import { HashDirectories } from '../store/hashDirectories.js';
import { messageFile } from '../store/layout.js';
import { placePath, rootOf } from './places.js';
import { type NameTable, nameTable } from './plan-names.js';
import type { Place, PrepareFolder } from './tasks.js';
import type { MigrationRecord } from './types.js';

/** @throws MailhaulError FOLDER_EMPTIED, FOLDER_TARGET: a failure of the folder */
export function refuseEmptied(task: PrepareFolder, index: FolderIndex | undefined, scan: DirectoryScan): void {
  const { previous, failed, target } = task;
  // Of a published folder nothing is swept (additions.ts).
  if (previous === null || previous.count === 0 || failed !== null || target.rootFd < 0) return;
  if (isAnyIn(previous, scan) || isDeleted(previous, index) || !hasMessages(target, previous)) return;
  throw new MailhaulError(
    'FOLDER_EMPTIED',
    'None of the 3.x files that an earlier attempt found is there any more, and their 4.x files are. Nothing was ' +
      'removed. Is a disk not mounted, or were databases restored that are older than a migration with -r? Restore both ' +
      'to what they were; if the messages were deleted in 3.x on purpose, move the 4.x files away.',
    { where: placePath(target) },
  );
}

function isAnyIn(record: MigrationRecord, scan: DirectoryScan): boolean {
  if (isAnyNamed(record, nameTable(scan))) return true;
  const inodes = new Set(scan.inodes);
  return record.inodes.some((inode) => inodes.has(inode));
}

function isAnyNamed({ count, names, nameOffsets }: MigrationRecord, table: NameTable): boolean {
  for (let row = 0; row < count; row++) {
    if (table.find(names, nameOffsets[row] ?? 0, nameOffsets[row + 1] ?? 0) >= 0) return true;
  }
  return false;
}

/** An index without header and lines is lost, and tells nothing (plan-vanished.ts). */
function isDeleted(record: MigrationRecord, index: FolderIndex | undefined): boolean {
  if (index === undefined || (index.header === undefined && index.count === 0)) return false;
  if (isAnyNamed(record, nameTable(index))) return false;
  // A copy through another system adds a CR to names (plan.ts, matchLines).
  const table = nameTable(record);
  for (let line = 0; line < index.count; line++) {
    const [start, end] = [index.nameOffsets[line] ?? 0, index.nameOffsets[line + 1] ?? 0];
    if (index.names[end - 1] === 0x0d && table.find(index.names, start, end - 1) >= 0) return false;
  }
  return true;
}

/** Whether 4.x has a message file under a uid of the record. */
function hasMessages(target: Place, { uids }: MigrationRecord): boolean {
  let mailbox: Dir | undefined;
  let hashes: HashDirectories | undefined;
  try {
    mailbox = openOurs(rootOf(target), target.components);
    if (mailbox === undefined) return false;
    hashes = new HashDirectories(mailbox, (dir, name) => openOurs(dir, [name]));
    for (const uid of uids) {
      const dir = hashes.of(uid);
      if (dir !== undefined && stat(dir, messageFile(uid)) !== undefined) return true;
    }
    return false;
  } catch (error) {
    // Without its cause: the caller takes causes for trouble of the 3.x disk.
    throw new MailhaulError('FOLDER_TARGET', `${describeError(error)}.`, { where: placePath(target) });
  } finally {
    hashes?.close();
    if (mailbox !== undefined) closeDir(mailbox);
  }
}

/**
 * Where no directory of ours is, none of our files are: prepareFolder and the engine tell what stands in the way.
 */
function openOurs(dir: Dir, names: Place['components']): Dir | undefined {
  return walkIfThere(dir, names, 'ENOTDIR', 'ELOOP');
}
