/** Reading the columns of a MessageTable (engine/types.ts) row by row. */
import { isAscii } from 'node:buffer';
import type { BigIntStats } from 'node:fs';
import type { Name } from '../../fs/dir.js';
import { recordedMtime } from '../../fs/times.js';
import type { MessageTable } from '../types.js';

/** Gives the 3.x file name of a row: text when the folder's names are ASCII (cheaper to open), else bytes. */
export function namesOf(messages: MessageTable): (i: number) => Name {
  const { names, nameOffsets } = messages;
  const bytes = Buffer.from(names.buffer, names.byteOffset, names.byteLength);
  const range = (i: number): [number, number] => [nameOffsets[i] ?? 0, nameOffsets[i + 1] ?? 0];
  if (isAscii(bytes)) return (i) => bytes.toString('latin1', ...range(i));
  return (i) => bytes.subarray(...range(i));
}

/** NAME_MAX of Linux file systems. */
const NAME_BYTES = 255;

/** A name that a message file can have (3x-profile.md, `.mailbox`): not empty, no `/`, no NUL, no leading `.`. */
export function isFileName(name: Name): boolean {
  if (name.length > NAME_BYTES) return false;
  if (typeof name === 'string') return name !== '' && !name.startsWith('.') && !/[/\0]/.test(name);
  return name.length > 0 && name[0] !== 0x2e && !name.includes(0x2f) && !name.includes(0);
}

/** The file is the one of the migration record: inode, size and modification time (ns) are equal. */
export function isRecorded(messages: MessageTable, i: number, stat: BigIntStats): boolean {
  return (
    stat.ino === messages.inodes[i] &&
    Number(stat.size) === messages.sizes[i] &&
    recordedMtime(stat) === messages.mtimes[i]
  );
}

/** Rows `from` … `to` (exclusive) in the order of their inodes, which is the order that disks like. */
export function inodeOrder(messages: MessageTable, from: number, to: number): Uint32Array {
  const order = Uint32Array.from({ length: to - from }, (_, k) => from + k);
  // Only an order of reading: inodes above 2^53 may be rounded.
  const inodes = Float64Array.from({ length: to - from }, (_, k) => Number(messages.inodes[from + k]));
  return order.sort((a, b) => (inodes[a - from] ?? 0) - (inodes[b - from] ?? 0) || a - b);
}
