/**
 * Has anything changed a mailbox since it was migrated? Services write a journal beside the index, and folding it
 * counts the index's generation up (docs/formats/store-idx.md).
 */
import { closeSync } from 'node:fs';
import { hasErrno } from '../errors.js';
import { readOpen } from '../fs/descriptor.js';
import { type Dir, openFile, stat } from '../fs/dir.js';
import { INDEX_FILE, JOURNAL_FILE } from './layout.js';

/** Offset of the generation in the index header. */
const GENERATION_AT = 80;

/** False also for a mailbox without an index: nothing was published there. */
export function changedSinceMigration(mailbox: Dir): boolean {
  if (stat(mailbox, JOURNAL_FILE) !== undefined) return true;
  let fd: number;
  try {
    fd = openFile(mailbox, INDEX_FILE);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
  try {
    const generation = Buffer.alloc(4);
    return readOpen(fd, generation, GENERATION_AT) === 4 && generation.readUInt32LE() !== 0;
  } finally {
    closeSync(fd);
  }
}
