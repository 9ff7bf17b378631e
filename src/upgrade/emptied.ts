/**
 * The last line of defence of a folder in TRANSITION whose mailbox directory holds what is nowhere else: databases that
 * were both restored from a backup made before the folder was published say nothing of it, and a 3.x disk may have lost
 * names, or not be mounted. To the engines the 4.x files would be leftovers of an attempt before, of messages that 3.x
 * has deleted since, and be swept.
 *
 *     a service has changed the mailbox, or a retry of it was stopped    MAILBOX_AHEAD
 *     no record, and messages: it is durable before the first link       MAILBOX_AHEAD
 *     a message on record that is not in 3.x, by name or as the very file:
 *       it is not in 4.x                                                 there is nothing to lose
 *       the index of 3.x has given it up (givenUpBy)                     it was deleted in 3.x
 *       else                                                             FOLDER_EMPTIED
 *
 * Other names of the 4.x file do not count: they may be another user's, or of the registry of shared copies. Nor does
 * the sweep of the engines ask for them: of a message that was deleted in 3.x, the 4.x name is the last one too.
 */
import type { DirectoryScan } from '../engine/types.js';
import { MailhaulError } from '../errors.js';
import { closeDir, type Dir, list, stat } from '../fs/dir.js';
import { walkIfThere } from '../fs/walk.js';
import type { FolderIndex } from '../source/types.js';
import { isChangedByServices } from '../store/changed.js';
import { HashDirectories } from '../store/hashDirectories.js';
import { hashDirectory, isHashDirectory, messageFile, parseMessageFile, RETRY_DIRECTORY } from '../store/layout.js';
import { nameTable } from './plan-names.js';
import { sameAs } from './plan-uids.js';
import type { PrepareFolder } from './tasks.js';
import type { MigrationRecord } from './types.js';

const RESTORE =
  'Nothing was removed. Restore store/mboxlist and __upfolder.db from the latest backups of one moment; if 3.x has all ' +
  'that is wanted, move the 4.x directory away.';

/** Failures of a folder that is not what its databases say; another process may have published it (batch.ts). */
export const EMPTIED_CODES: readonly string[] = ['MAILBOX_AHEAD', 'FOLDER_EMPTIED'];

/**
 * @param index undefined: there is none
 * @param mailbox the directory of a folder in TRANSITION, which was there before
 * @throws MailhaulError MAILBOX_AHEAD, FOLDER_EMPTIED; the file system's errors
 */
export function refuseEmptied(
  { previous }: Pick<PrepareFolder, 'previous'>,
  index: FolderIndex | undefined,
  scan: DirectoryScan,
  mailbox: Dir,
): void {
  const names = list(mailbox).map((name) => name.toString('latin1'));
  if (names.includes(RETRY_DIRECTORY) || isChangedByServices(mailbox, names)) {
    throw ahead('Its mailbox directory is that of a published mailbox, with changes that are nowhere else', mailbox);
  }
  if (previous === null) {
    if (names.some((name) => hasMessages(mailbox, name))) {
      throw ahead('No attempt of it is on record, and its mailbox directory holds messages', mailbox);
    }
    return;
  }
  const lost = firstIn4x(mailbox, previous, goneFrom3x(previous, index, scan));
  if (lost === undefined) return;
  throw new MailhaulError(
    'FOLDER_EMPTIED',
    '3.x files that an earlier attempt found are not there any more, and 3.x does not say that they were deleted; their ' +
      '4.x files may be the only ones. Nothing was removed. Is a disk not mounted, or repaired with losses, or were ' +
      'databases restored that are older than a migration with -r? Restore what is missing, in 3.x or of both databases; ' +
      'if the messages were deleted in 3.x on purpose, move their 4.x files away.',
    { where: `${mailbox.path}/${hashDirectory(lost)}/${messageFile(lost)}` },
  );
}

function ahead(what: string, { path }: Dir): MailhaulError {
  const message = `The databases have this folder waiting. ${what}: they were restored from an older backup. ${RESTORE}`;
  return new MailhaulError('MAILBOX_AHEAD', message, { where: path });
}

function hasMessages(mailbox: Dir, name: string): boolean {
  const dir = isHashDirectory(name) ? openOurs(mailbox, name) : undefined;
  if (dir === undefined) return false;
  try {
    return list(dir).some((file) => parseMessageFile(name, file.toString('latin1')) !== undefined);
  } finally {
    closeDir(dir);
  }
}

/** Rows of the record whose file is not in 3.x, and which its index has not given up. */
function goneFrom3x(record: MigrationRecord, index: FolderIndex | undefined, scan: DirectoryScan): readonly number[] {
  const { count, names, nameOffsets } = record;
  const files = nameTable(scan);
  const unnamed: number[] = [];
  for (let row = 0; row < count; row++) {
    if (files.find(names, nameOffsets[row] ?? 0, nameOffsets[row + 1] ?? 0) < 0) unnamed.push(row);
  }
  if (unnamed.length === 0) return unnamed;
  const fileOf = new Map(Array.from(scan.inodes, (inode, file) => [inode, file]));
  const isSame = sameAs(scan, record);
  const gone = unnamed.filter((row) => {
    const file = fileOf.get(record.inodes[row] ?? 0n);
    // The number alone may be that of a newer file.
    return file === undefined || !isSame(file, row);
  });
  if (gone.length === 0 || index === undefined) return gone;
  const isGivenUp = givenUpBy(index, record);
  return gone.filter((row) => !isGivenUp(row));
}

/** Lines may be missing in it, or are there and cannot be told from those of other messages. */
const NOT_WHOLE: readonly string[] = ['INDEX_CUT', 'INDEX_LINE'];

/**
 * Whether 3.x has deleted the message of a row: its index, which is whole, has given the uid, and has neither a line of
 * the file nor one of the uid. Without a header nobody knows what it has given; under another uidvalidity its uids are
 * not those of the record. A uid that it has not given is that of a file that never had a line, or the index is older
 * than the record; so is one that another file has by now, since 3.x went on from there.
 */
function givenUpBy(index: FolderIndex, record: MigrationRecord): (row: number) => boolean {
  const { header, highestUid, warnings } = index;
  const isWhole = !warnings.some(({ code }) => NOT_WHOLE.includes(code));
  if (header?.uidvalidity !== record.uidvalidity || !isWhole) return () => false;
  const uidnext = Math.max(header.uidnext, highestUid + 1);
  const listed = new Set(index.uids);
  const lines = nameTable(index);
  return (row) => {
    const uid = record.uids[row] ?? 0;
    if (uid >= uidnext || listed.has(uid)) return false;
    const name = record.names.subarray(record.nameOffsets[row], record.nameOffsets[row + 1]);
    // A copy through another system adds a CR to names (plan.ts, matchLines).
    const copied = Uint8Array.of(...name, 0x0d);
    return lines.find(name, 0, name.length) < 0 && lines.find(copied, 0, copied.length) < 0;
  };
}

/** The first uid of these rows whose message file is in 4.x. */
function firstIn4x(mailbox: Dir, { uids }: MigrationRecord, rows: readonly number[]): number | undefined {
  const hashes = new HashDirectories(mailbox, openOurs);
  try {
    const found = rows.find((row) => {
      const uid = uids[row] ?? 0;
      const dir = hashes.of(uid);
      return dir !== undefined && stat(dir, messageFile(uid)) !== undefined;
    });
    return found === undefined ? undefined : uids[found];
  } finally {
    hashes.close();
  }
}

/** Where no directory of ours is, none of our files are: the engine tells what stands in the way. */
function openOurs(dir: Dir, name: string): Dir | undefined {
  return walkIfThere(dir, [name], 'ENOTDIR', 'ELOOP');
}
