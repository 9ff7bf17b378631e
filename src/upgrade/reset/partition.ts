/**
 * The top of a partition: only users of the mapping, and the registry of shared copies, may be there. Whose directory is
 * not in what this lists has none, and need not be looked for (survey.ts).
 */
import { hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, entries, openDir } from '../../fs/dir.js';
import { SINGLE_DIRECTORY, USER_DIRECTORY } from '../../store/layout.js';
import { escapeComponent, unescapeComponent, userHash } from '../../store/names.js';
import type { ResetContext } from './context.js';
import { NOBODY } from './refusals.js';

/**
 * Refuses what no migration put into the partition. User directories themselves are tree.ts's. Writes nothing. Returns
 * the names of those that are there; a name tells the user, and so the hash directories that it lies in.
 */
export function checkPartition(context: ResetContext, root: Dir): ReadonlySet<string> {
  const homes = new Set<string>();
  for (const { name } of entries(root)) {
    const text = name.toString('latin1');
    if (text === USER_DIRECTORY) within(context, root, name, (dir) => checkUsers(context, dir, [], homes));
    else if (text === SINGLE_DIRECTORY) within(context, root, name, (dir) => checkSingle(context, dir));
    // The root of a file system of its own has this one.
    else if (text !== 'lost+found') stranger(context, root, name);
  }
  return homes;
}

/** A registered copy (docs/formats/partition.md), or one that was being registered. */
export function isRegistered(name: string): boolean {
  return /^\d+-\d+-\d+-[0-9a-f]{32}$/.test(name) || name.startsWith('.new-');
}

function checkSingle(context: ResetContext, dir: Dir): void {
  for (const { name } of entries(dir)) if (!isRegistered(name.toString('latin1'))) stranger(context, dir, name);
}

/** `=user`, then the two hash levels. */
function checkUsers(context: ResetContext, dir: Dir, hashes: readonly string[], homes: Set<string>): void {
  for (const { name } of entries(dir)) {
    const text = name.toString('latin1');
    if (hashes.length === 2) {
      if (isUserHome(context, text, hashes)) homes.add(text);
      else stranger(context, dir, name);
    } else if (isHash(text)) within(context, dir, name, (next) => checkUsers(context, next, [...hashes, text], homes));
    else stranger(context, dir, name);
  }
}

export function isHash(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}

function isUserHome(context: ResetContext, name: string, hashes: readonly string[]): boolean {
  const { mapping } = context;
  const unescaped = unescapeComponent(name);
  if (mapping === undefined || unescaped === undefined) return false;
  if (unescaped.kind === 'name') {
    return mapping.user(unescaped.component) !== undefined && userHash(unescaped.component).join() === hashes.join();
  }
  // A cut name is complete in the mapping only. 255 bytes of escapes take a uid of odd letters: there are few.
  for (const { uid } of mapping.users()) {
    if (escapeComponent(uid) === name) return userHash(uid).join() === hashes.join();
  }
  return false;
}

function within(context: ResetContext, parent: Dir, name: Buffer, use: (dir: Dir) => void): void {
  let dir: Dir;
  try {
    dir = openDir(parent, name);
  } catch (error) {
    if (!hasErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
    stranger(context, parent, name);
    return;
  }
  try {
    use(dir);
  } finally {
    closeDir(dir);
  }
}

function stranger({ refusals }: ResetContext, dir: Dir, name: Buffer): void {
  const text = 'No migration put this into the partition. Look at it, and move it away or remove it.';
  refusals.add(NOBODY, 'RESET_UNKNOWN_FILE', displayPath(dir, name), text);
}
