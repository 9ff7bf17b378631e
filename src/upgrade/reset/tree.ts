/**
 * The directories of one user in one partition, as the mapping has them: what may be there, so that everything else
 * is found before anything goes, and so that nothing else goes.
 *
 *     =<uid>/  store.idx  store.jnl  <nn>/<uid>.msg  .retry/  =<folder>/ …       docs/formats/partition.md
 */

import { rowOfUid } from '../../engine/rows.js';
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, entries, openDir } from '../../fs/dir.js';
import { walk } from '../../fs/walk.js';
import { INDEX_FILE, isHashDirectory, JOURNAL_FILE, parseMessageFile, RETRY_DIRECTORY } from '../../store/layout.js';
import { mailboxPathComponents, userPathComponents } from '../../store/names.js';
import type { MappingFolder, MigrationRecord } from '../types.js';
import { isAttempted, isGoneIn4x, type ResetContext, rootPathOf } from './context.js';
import { attempt, ofUser } from './refusals.js';

/** A directory of a user that is a mailbox, or leads to one. */
export interface Node {
  readonly children: Map<string, Node>;
  /** The folder whose message files may lie here: attempted, and still the mailbox of this name. */
  folder: MappingFolder | undefined;
}

/** Directories of a user by absolute path of the partition, the user's own at the top. */
export function userTrees(context: ResetContext, uid: string, folders: readonly MappingFolder[]): Map<string, Node> {
  const depth = userPathComponents(uid).length;
  const trees = new Map<string, Node>();
  for (const folder of folders) {
    const rootPath = rootPathOf(context, folder);
    if (rootPath === undefined) continue;
    let node = trees.get(rootPath) ?? { children: new Map(), folder: undefined };
    trees.set(rootPath, node);
    for (const component of mailboxPathComponents(uid, folder.mailbox).slice(depth)) {
      const child: Node = node.children.get(component) ?? { children: new Map(), folder: undefined };
      node.children.set(component, child);
      node = child;
    }
    if (isAttempted(context, folder) && !isGoneIn4x(context, folder)) node.folder = folder;
  }
  return trees;
}

/** Opens a directory of the tree; undefined when there is none. */
export function openNode(root: Dir, components: readonly string[]): Dir | undefined {
  try {
    return walk(root, components);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Refuses whatever lies in a user's directories that no migration put there. Writes nothing. */
export function checkTree(
  context: ResetContext,
  uid: string,
  root: Dir,
  components: readonly string[],
  node: Node,
): void {
  const { refusals } = context;
  const present: string[] = [];
  let dir: Dir | undefined;
  try {
    dir = openNode(root, components);
  } catch (error) {
    const text = `The directory cannot be opened: ${describeError(error)}.`;
    refusals.add(ofUser(uid), 'RESET_UNKNOWN_FILE', `${root.path}/${components.join('/')}`, text);
    return;
  }
  if (dir === undefined) return;
  const opened = dir;
  attempt(refusals, ofUser(uid), opened.path, () => {
    try {
      const record = node.folder === undefined ? undefined : context.mapping?.record(node.folder.id);
      for (const { name } of entries(opened)) {
        const text = name.toString('latin1');
        if (node.children.has(text)) present.push(text);
        else if (record === undefined) stranger(context, uid, opened, name);
        else checkEntry(context, uid, opened, name, record, 'mailbox');
      }
    } finally {
      closeDir(opened);
    }
  });
  for (const name of present) checkTree(context, uid, root, [...components, name], node.children.get(name)!);
}

/** Names in a mailbox directory that a migration gives, hash directories and sub-folders aside. */
export function isOwnFile(name: string): boolean {
  return (
    name === INDEX_FILE ||
    name === JOURNAL_FILE ||
    name === `${INDEX_FILE}.new` ||
    name === `.${JOURNAL_FILE}.new` ||
    name.startsWith('.new-')
  );
}

/** Uids that a retry has brought in (store/mailbox/retry.ts). */
export function isRetryNote(name: string): boolean {
  return name === 'done' || name === '.done.new';
}

function checkEntry(
  context: ResetContext,
  uid: string,
  dir: Dir,
  name: Buffer,
  record: MigrationRecord,
  place: 'mailbox' | 'retry',
): void {
  const text = name.toString('latin1');
  const isRetry = place === 'mailbox' && text === RETRY_DIRECTORY;
  if (!isRetry && !isHashDirectory(text)) {
    if (!isOwnFile(text) && !(place === 'retry' && isRetryNote(text))) stranger(context, uid, dir, name);
    return;
  }
  let inner: Dir;
  try {
    inner = openDir(dir, text);
  } catch (error) {
    if (!hasErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
    stranger(context, uid, dir, name);
    return;
  }
  try {
    for (const entry of entries(inner)) {
      if (isRetry) checkEntry(context, uid, inner, entry.name, record, 'retry');
      else if (!isMessageOnRecord(text, entry.name.toString('latin1'), record))
        stranger(context, uid, inner, entry.name);
    }
  } finally {
    closeDir(inner);
  }
}

/** `<uid>.msg` of a message on record in its hash directory, or a file that was being written. */
function isMessageOnRecord(hashDirectory: string, name: string, record: MigrationRecord): boolean {
  if (name.startsWith('.new-')) return true;
  const uid = parseMessageFile(hashDirectory, name);
  return uid !== undefined && rowOfUid(record.uids, uid) >= 0;
}

function stranger({ refusals }: ResetContext, uid: string, dir: Dir, name: Buffer): void {
  const text = 'No migration put this here. Look at it, and move it away or remove it.';
  refusals.add(ofUser(uid), 'RESET_UNKNOWN_FILE', displayPath(dir, name), text);
}
