/**
 * Has anything changed a mailbox since it was migrated? Services write a journal beside the index, and folding it
 * counts the index's generation up (docs/formats/store-idx.md).
 */
import { closeSync } from 'node:fs';
import { hasErrno } from '../errors.js';
import { readOpen } from '../fs/descriptor.js';
import { type Dir, fstat, stat } from '../fs/dir.js';
import { openFile } from '../fs/file.js';
import { openOwnedFile } from '../fs/ownedFile.js';
import { INDEX_FILE, JOURNAL_FILE } from './layout.js';

/** Offsets in the index header. */
const UIDNEXT_AT = 28;
const GENERATION_AT = 80;
const HEAD_BYTES = 84;

/** False also for a mailbox without an index: nothing was published there. */
export function changedSinceMigration(mailbox: Dir): boolean {
  return stat(mailbox, JOURNAL_FILE) !== undefined || (headOf(mailbox)?.generation ?? 0) !== 0;
}

/**
 * The same of a directory that no database has as a mailbox, by its names. A createMailbox that was killed before it
 * entered the mailbox leaves an index of generation 1 that never had a message: it says nothing. Nor does one that is
 * neither the server account's nor for it to read: no service has made that.
 */
export function isChangedByServices(mailbox: Dir, names: readonly string[]): boolean {
  if (names.includes(JOURNAL_FILE)) return true;
  const found = names.includes(INDEX_FILE) ? stat(mailbox, INDEX_FILE) : undefined;
  if (found?.isFile() !== true) return false;
  try {
    const head = headOf(mailbox, openOwnedFile);
    return head !== undefined && head.generation !== 0 && head.uidnext > 1;
  } catch (error) {
    if (hasErrno(error, 'EACCES') && found.uid !== fstat(mailbox).uid) return false;
    throw error;
  }
}

/** Undefined without an index, and of one that is too short to have a head. */
function headOf(
  mailbox: Dir,
  open: (dir: Dir, name: string) => number = openFile,
): { readonly uidnext: number; readonly generation: number } | undefined {
  let fd: number;
  try {
    fd = open(mailbox, INDEX_FILE);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    if (readOpen(fd, head, 0) !== HEAD_BYTES) return undefined;
    return { uidnext: head.readUInt32LE(UIDNEXT_AT), generation: head.readUInt32LE(GENERATION_AT) };
  } finally {
    closeSync(fd);
  }
}
