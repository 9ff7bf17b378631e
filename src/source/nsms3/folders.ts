/**
 * The folders below a user's mailbox directory: every directory whose name does not begin with a dot, at any
 * depth (3x-profile.md, "Mail store").
 *
 * The walk goes through held directories, so no path is ever too long and no link is followed. It is a stack,
 * not a recursion, and holds few descriptors however deep the tree is:
 *
 *     level   0 · · · · · · 64 · · · · · · 128 · · · · · 170 … 233
 *             held          held           held          held (the deepest 64)
 *
 * A level in between is opened again, from the nearest held one above, when its next sub-folder is due. Memory
 * is one list of sub-folder names a level; message names pass by without being kept.
 */
import type { Dirent } from 'node:fs';
import { hasErrno, isOutOfResources, messageOf } from '../../errors.js';
import { closeDir, type Dir, entries, fstat, openDir } from '../../fs/dir.js';
import { ASK, type Glance, glance, type SmallFiles } from '../../fs/glance.js';
import { walk } from '../../fs/walk.js';
import type { FolderItem } from '../types.js';

/** Deepest levels held open, and the distance of held levels above those. */
const HELD = 64;

interface Level {
  /** Raw name; empty for the mailbox directory itself. */
  readonly name: Uint8Array;
  /** Closed and undefined when it is not one of the held levels. */
  dir: Dir | undefined;
  readonly device: bigint;
  readonly inode: bigint;
  /** Sub-folder names still to visit as ISO-8859-1, descending by bytes: the next one is popped. */
  readonly pending: string[];
}

type Path = readonly Uint8Array[];

/**
 * Yields parents before children, names ascending by bytes. A folder's `dir` is open until the next step.
 * What cannot be read becomes a `problem` and the walk goes on. Throws only where the process lacks descriptors or memory,
 * which says nothing of a folder; closes what it opened also when the caller stops early.
 */
export function* listFolders(mailbox: Dir): Generator<FolderItem, void, undefined> {
  const stack: Level[] = [];
  try {
    const seen = glance(mailbox);
    const { dev, ino } = seen === ASK ? fstat(mailbox) : { dev: seen.device, ino: seen.inode };
    // What is reported by its name is looked at one by one.
    const top = seen === ASK || seen.strays ? scan(mailbox, [], true) : { folders: descending(seen), problems: [] };
    yield* top.problems;
    stack.push({ name: new Uint8Array(), dir: mailbox, device: dev, inode: ino, pending: top.folders });
    while (stack.length > 0) {
      const level = stack[stack.length - 1] as Level;
      const next = level.pending.pop();
      if (next === undefined) {
        leave(stack, mailbox);
        continue;
      }
      const name = new Uint8Array(Buffer.from(next, 'latin1'));
      const path = [...stack.slice(1).map((above) => above.name), name];
      const opened = enter(stack, name, path);
      if ('kind' in opened) {
        yield opened;
        continue;
      }
      const { level: below, files } = opened;
      stack.push(below);
      yield { kind: 'folder', path, dir: below.dir, inode: below.inode, files };
      if (files === undefined) {
        const found = scan(below.dir, path, false);
        yield* found.problems;
        for (const folder of found.folders) below.pending.push(folder);
      }
      release(stack, mailbox);
    }
  } finally {
    while (stack.length > 0) leave(stack, mailbox);
  }
}

function leave(stack: Level[], mailbox: Dir): void {
  const level = stack.pop();
  if (level?.dir !== undefined && level.dir !== mailbox) closeDir(level.dir);
}

/** Closes the level that has just become too far from the deepest one, unless it is one of the held distances. */
function release(stack: readonly Level[], mailbox: Dir): void {
  const depth = stack.length - 1 - HELD;
  const level = stack[depth];
  if (level?.dir === undefined || level.dir === mailbox || depth % HELD === 0) return;
  closeDir(level.dir);
  level.dir = undefined;
}

type OpenLevel = Level & { dir: Dir };

interface Entered {
  readonly level: OpenLevel;
  /** undefined: it is not listed yet. */
  readonly files: SmallFiles | undefined;
}

/** Opens sub-folder `name` of the deepest level, or says why not. */
function enter(stack: readonly Level[], name: Uint8Array, path: Path): Entered | FolderItem {
  let dir: Dir | undefined;
  try {
    const above = reopen(stack);
    const seen = glance(above, name);
    if (seen !== ASK) {
      const { device, inode, files } = seen;
      return { level: { name, dir: seen.dir, device, inode, pending: descending(seen) }, files };
    }
    dir = openDir(above, name);
    const { dev, ino } = fstat(dir);
    return { level: { name, dir, device: dev, inode: ino, pending: [] }, files: undefined };
  } catch (error) {
    if (dir !== undefined) closeDir(dir);
    return problemOf(error, path);
  }
}

/** A character is a byte: the order of the strings is that of the names. */
function descending({ directories }: Glance): string[] {
  return directories.sort().reverse();
}

/** The deepest level's directory, opened again from the nearest held level above when it was let go. */
function reopen(stack: readonly Level[]): Dir {
  const level = stack[stack.length - 1] as Level;
  if (level.dir !== undefined) return level.dir;
  let held = stack.length - 1;
  while (stack[held]?.dir === undefined) held--;
  const dir = walk(
    (stack[held] as OpenLevel).dir,
    stack.slice(held + 1).map((below) => below.name),
  );
  const { dev, ino } = fstat(dir);
  if (dev !== level.device || ino !== level.inode) {
    closeDir(dir);
    throw new Error('a directory above it was moved away while folders were listed');
  }
  level.dir = dir;
  return dir;
}

interface Scanned {
  /** Names of sub-directories as ISO-8859-1, descending by bytes. */
  readonly folders: string[];
  readonly problems: FolderItem[];
}

/** Sub-directories of an open directory; at the top also what has no business there. */
function scan(dir: Dir, path: Path, top: boolean): Scanned {
  const folders: string[] = [];
  const problems: FolderItem[] = [];
  try {
    for (const entry of entries(dir)) {
      if (entry.name[0] === 0x2e) continue;
      if (entry.isDirectory()) folders.push(entry.name.toString('latin1'));
      else if (top && problems.length < MAX_STRAYS) problems.push(stray(entry, path));
    }
  } catch (error) {
    problems.push(problemOf(error, path));
  }
  folders.sort().reverse();
  problems.sort((a, b) => Buffer.compare(lastName(a), lastName(b)));
  return { folders, problems };
}

/** Things reported one by one that lie beside the folders; a full directory of them is not worth a line each. */
const MAX_STRAYS = 1000;

const lastName = (item: FolderItem): Uint8Array => item.path.at(-1) ?? new Uint8Array();

/** Inside a folder everything that is no directory is a message's affair; beside the folders nothing owns it. */
function stray(entry: Dirent<Buffer>, path: Path): FolderItem {
  const link = entry.isSymbolicLink();
  return {
    kind: 'problem',
    severity: link ? 'error' : 'warning',
    path: [...path, entry.name],
    code: link ? 'FOLDER_LINK' : 'FOLDER_STRAY',
    message: link
      ? 'A symbolic link where a folder is expected; it is never followed.'
      : 'It is not a directory, so it is no folder; it is left where it is.',
  };
}

function problemOf(error: unknown, path: Path): FolderItem {
  if (isOutOfResources(error)) throw error;
  if (hasErrno(error, 'ENOENT')) {
    const message = 'The folder went away while folders were listed.';
    return { kind: 'problem', severity: 'warning', path, code: 'FOLDER_VANISHED', message };
  }
  if (hasErrno(error, 'ELOOP', 'ENOTDIR')) {
    const message = 'It was a directory, and is none any more; it is never followed.';
    return { kind: 'problem', severity: 'error', path, code: 'FOLDER_LINK', message };
  }
  const what = messageOf(error);
  const message = `The folder, or what lies below it, cannot be read: ${what}`;
  return { kind: 'problem', severity: 'error', path, code: 'FOLDER_UNREADABLE', message };
}
