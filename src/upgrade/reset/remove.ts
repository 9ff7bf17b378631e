/**
 * Takes the 4.x side away: message files, index, directories; only what the mapping names, only below held
 * directories, and a message file only while its 3.x name holds the message. What is left in the way keeps its
 * directory, and is counted.
 */

import { rowOfUid } from '../../engine/rows.js';
import { EXIT, hasErrno, MailhaulError } from '../../errors.js';
import {
  closeDir,
  type Dir,
  displayPath,
  entries,
  type Name,
  openDir,
  removeDir,
  stat,
  unlinkIfThere,
} from '../../fs/dir.js';
import {
  isHashDirectory,
  parseMessageFile,
  RETRY_DIRECTORY,
  SINGLE_DIRECTORY,
  USER_DIRECTORY,
} from '../../store/layout.js';
import { userPathComponents } from '../../store/names.js';
import type { MappingFolder } from '../types.js';
import { fileDigest, sameDigest } from './content.js';
import { heldRoot, type ResetContext } from './context.js';
import { isOnRecord, nameOf, type OpenFolder, withFolder } from './opened.js';
import { isHash, isRegistered } from './partition.js';
import { isOwnFile, isRetryNote, type Node, openNode, userTrees } from './tree.js';
import { betweenFolders, isTurnDue, takeTurn } from './turns.js';

export interface Removal {
  /** Message files that went are counted here. */
  readonly done: { removed: number };
  /** Names that stay: they appeared, or lost their 3.x name, since the survey. */
  left: number;
}

/** Removes the mailboxes of one user from all partitions. */
export async function removeUser(
  context: ResetContext,
  uid: string,
  folders: readonly MappingFolder[],
  removal: Removal,
): Promise<void> {
  for (const [path, tree] of userTrees(context, uid, folders)) {
    const root = heldRoot(context.roots, path);
    if (root !== null) await removeNode(context, root, userPathComponents(uid), tree, removal);
  }
}

/** Children first. */
async function removeNode(
  context: ResetContext,
  root: Dir,
  components: readonly string[],
  node: Node,
  removal: Removal,
): Promise<void> {
  await betweenFolders(context);
  for (const [name, child] of node.children) await removeNode(context, root, [...components, name], child, removal);
  if (node.folder !== undefined) {
    await withFolder(context, node.folder, async (open) => {
      if (open.target !== undefined) await removeMailbox(open, open.target, removal);
    });
    context.progress.folders += 1;
  }
  const parent = openNode(root, components.slice(0, -1));
  if (parent === undefined) return;
  try {
    removeEmpty(parent, components.at(-1)!, removal);
  } finally {
    closeDir(parent);
  }
}

type Place = 'mailbox' | 'retry';

/** Messages go first: as long as one is there, the index says what it is. */
async function removeMailbox(
  open: OpenFolder,
  mailbox: Dir,
  removal: Removal,
  place: Place = 'mailbox',
): Promise<void> {
  const left = removal.left;
  const own: Buffer[] = [];
  const directories: string[] = [];
  for (const { name } of entries(mailbox)) {
    const text = name.toString('latin1');
    if (isHashDirectory(text)) directories.push(text);
    else if (isOwnFile(text) || (place === 'retry' && isRetryNote(text))) own.push(name);
  }
  if (place === 'mailbox' && stat(mailbox, RETRY_DIRECTORY)?.isDirectory()) await removeRetry(open, mailbox, removal);
  for (const name of directories) await removeHashDirectory(open, mailbox, name, removal, place);
  if (removal.left > left) return;
  for (const name of own) unlinkIfThere(mailbox, name);
}

async function removeRetry(open: OpenFolder, mailbox: Dir, removal: Removal): Promise<void> {
  const retry = openDir(mailbox, RETRY_DIRECTORY);
  try {
    await removeMailbox(open, retry, removal, 'retry');
  } finally {
    closeDir(retry);
  }
  removeEmpty(mailbox, RETRY_DIRECTORY, removal);
}

async function removeHashDirectory(
  open: OpenFolder,
  mailbox: Dir,
  name: string,
  removal: Removal,
  place: Place,
): Promise<void> {
  const dir = openDir(mailbox, name);
  try {
    const files: Buffer[] = [];
    for (const entry of entries(dir)) files.push(entry.name);
    for (const file of files) {
      if (isTurnDue()) await takeTurn();
      const text = file.toString('latin1');
      const uid = parseMessageFile(name, text);
      if (uid === undefined) {
        if (text.startsWith('.new-')) unlinkIfThere(dir, file);
      } else if (isInSource(open, uid, dir, file, place)) {
        unlinkIfThere(dir, file);
        removal.done.removed += 1;
      }
    }
  } finally {
    closeDir(dir);
  }
  removeEmpty(mailbox, name, removal);
}

/**
 * The 3.x name holds the message of the 4.x file `file` at this moment: the survey, and what was put back, are some
 * time ago, and the 4.x file may be the only copy (4x-store.md, promise 1). Read is only what has neither the inode
 * on record nor that of the 4.x file: copies, and what somebody restored from a backup.
 */
function isInSource(open: OpenFolder, uid: number, dir: Dir, file: Name, place: Place): boolean {
  const { record, source, index, published } = open;
  const row = rowOfUid(record.uids, uid);
  if (row < 0 || source === undefined) return false;
  const name = nameOf(record, row);
  const original = stat(source, name);
  if (original?.isFile() !== true) return false;
  // Of a folder that was never published 3.x is the authority (folder.ts).
  if (!published || isOnRecord(record, row, original)) return true;
  const migrated = stat(dir, file);
  if (migrated === undefined) return false;
  if (migrated.ino === original.ino && migrated.dev === original.dev) return true;
  const indexed = place === 'mailbox' ? index?.byUid(uid)?.digest : undefined;
  return sameDigest(fileDigest(source, name, 'crlf'), indexed ?? fileDigest(dir, file));
}

/**
 * Removes a directory; one that is not empty stays and counts.
 *
 * @throws MailhaulError RESET_MOUNTED (exit 4): another file system is mounted there. Unmounting it syncs it.
 */
function removeEmpty(parent: Dir, name: string, removal: Removal): void {
  if (stat(parent, name) === undefined) return;
  try {
    removeDir(parent, name);
  } catch (error) {
    if (hasErrno(error, 'EBUSY')) {
      throw new MailhaulError('RESET_MOUNTED', 'A file system is mounted below the partition. Its mail is in 3.x.', {
        where: displayPath(parent, name),
        hint: 'Unmount it with umount(8), and run `upgrade --reset` again: it goes on where it stopped.',
        exit: EXIT.halted,
        cause: error,
      });
    }
    if (!hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw error;
    removal.left += 1;
  }
}

/** What is left of a partition when its mailboxes are gone: hash levels and the registry of shared copies. */
export async function removePartition(context: ResetContext, path: string, removal: Removal): Promise<void> {
  const root = heldRoot(context.roots, path);
  if (root === null) return;
  const single = openNode(root, [SINGLE_DIRECTORY]);
  if (single !== undefined) {
    try {
      for (const name of namesIn(single)) {
        if (isTurnDue()) await takeTurn();
        if (isRegistered(name)) unlinkIfThere(single, name);
      }
    } finally {
      closeDir(single);
    }
    removeEmpty(root, SINGLE_DIRECTORY, removal);
  }
  const users = openNode(root, [USER_DIRECTORY]);
  if (users === undefined) return;
  try {
    for (const first of namesIn(users)) if (isHash(first)) removeLevel(users, first, removal);
  } finally {
    closeDir(users);
  }
  removeEmpty(root, USER_DIRECTORY, removal);
}

function removeLevel(users: Dir, name: string, removal: Removal): void {
  const dir = openDir(users, name);
  try {
    for (const second of namesIn(dir)) if (isHash(second)) removeEmpty(dir, second, removal);
  } finally {
    closeDir(dir);
  }
  removeEmpty(users, name, removal);
}

function namesIn(dir: Dir): string[] {
  return Array.from(entries(dir), ({ name }) => name.toString('latin1'));
}
