/**
 * `--take-foreign` keeps the process root, so a directory or lock file is root's for the moment between making it and
 * giving it away. A run that is killed in that moment would leave it root's, where no run of the server account gets
 * on. So such a run leaves a note in the mapping first, and every later run that is started as root looks, while it
 * still is root, over the folders it is about to do. The note stays: another such run may be killed later.
 */
import { closeSync } from 'node:fs';
import { hasErrno, isNotThere } from '../errors.js';
import { statOpen } from '../fs/descriptor.js';
import { adoptDir, closeDir, type Dir, list, type Name, openDir, own, stat } from '../fs/dir.js';
import { openFile } from '../fs/file.js';
import { isHashDirectory, RETRY_DIRECTORY } from '../store/layout.js';
import { mailboxPathComponents } from '../store/names.js';
import type { Roots } from './roots.js';
import { mailboxOf, storePathOf } from './selection.js';
import type { Session } from './session.js';
import type { MappingFolder } from './types.js';

const LOCK_FILE = '.lock';

/**
 * Call it as root, with the roots open, before the process becomes the server account. Does nothing for others.
 *
 * @param ids folders that are due
 */
export async function settleOwners(
  session: Session,
  roots: Roots,
  ids: Iterable<number>,
  options: { readonly takeForeign: boolean; partitionPath(name: string): string },
): Promise<void> {
  const { mapping, instance } = session;
  if (process.geteuid?.() !== 0 || instance.owner.uid === 0) return;
  if (mapping.takesForeign()) {
    for (const id of ids) {
      const folder = mapping.folder(id);
      if (folder !== undefined) settleFolder(session, roots, folder, options.partitionPath);
    }
  } else if (options.takeForeign) {
    await mapping.update((writes) => writes.noteTakesForeign());
  }
}

function settleFolder(
  { mapping, mailboxes, instance: { owner } }: Session,
  roots: Roots,
  folder: MappingFolder,
  partitionPath: (name: string) => string,
): void {
  const store = roots.stores.get(storePathOf(mapping, folder));
  const source = store && descend(store, [folder.uid, ...folder.path]);
  if (source !== undefined) {
    settleLock(source, owner);
    closeDir(source);
  }
  const partition = roots.partitions.get(folder.root ?? partitionPath(folder.partition));
  const name = mailboxOf(mailboxes, folder)?.name ?? folder.mailbox;
  const mailbox = partition && descend(partition.dir, mailboxPathComponents(folder.uid, name), owner);
  if (mailbox === undefined) return;
  try {
    settleInside(mailbox, owner);
    const retry = descend(mailbox, [RETRY_DIRECTORY], owner);
    if (retry === undefined) return;
    settleInside(retry, owner);
    closeDir(retry);
  } finally {
    closeDir(mailbox);
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Walks down as far as it goes, giving root's directories to `owner` where one is given. */
function descend(root: Dir, names: readonly Name[], owner?: Owner): Dir | undefined {
  let current: Dir | undefined;
  for (const name of names) {
    const parent: Dir = current ?? root;
    try {
      current = openDir(parent, name);
      if (owner !== undefined) adoptDir(current, owner);
    } catch (error) {
      // What is in the way is reported by the run itself.
      if (!isNotThere(error) && !hasErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
      return undefined;
    } finally {
      if (parent !== root) closeDir(parent);
    }
  }
  return current;
}

function settleInside(mailbox: Dir, owner: Owner): void {
  for (const entry of list(mailbox)) {
    const name = entry.toString('latin1');
    const found = isHashDirectory(name) ? descend(mailbox, [name], owner) : undefined;
    if (found !== undefined) closeDir(found);
  }
}

/** An empty file of root's with one name, in a directory that its user may write to: nothing else is given away. */
function settleLock(folder: Dir, owner: Owner): void {
  const seen = stat(folder, LOCK_FILE);
  if (seen === undefined || !seen.isFile() || seen.uid !== 0n) return;
  const fd = openFile(folder, LOCK_FILE);
  try {
    const now = statOpen(fd);
    if (now.uid === 0 && now.nlink === 1 && now.size === 0) own(fd, 0o600, owner);
  } finally {
    closeSync(fd);
  }
}
