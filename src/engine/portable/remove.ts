/** Unlinks 3.x message files that still are what the migration record says (4x-store.md, promise 1). */
import { constants as osConstants } from 'node:os';
import { type Dir, type Name, stat, unlink } from '../../fs/dir.js';
import { settle } from '../../fs/pace.js';
import type { RemoveInput, RemoveOutput } from '../types.js';
import { systemError } from './outcome.js';
import { isFileName, isRecorded, namesOf } from './table.js';

export function removeSources(dir: Dir, input: RemoveInput): RemoveOutput {
  const { messages, remove } = input;
  const name = namesOf(messages);
  const kept: { index: number; errno: number }[] = [];
  const done = { removed: 0, bytes: 0, missing: 0 };
  for (let i = 0; i < messages.count; i++) {
    if (remove[i] !== 1) continue;
    settle();
    const result = removeOne(dir, name(i), input, i);
    if (typeof result === 'number') {
      done.removed++;
      done.bytes += result;
    } else if (result.errno === osConstants.errno.ENOENT) {
      done.missing++;
    } else {
      kept.push({ index: i, errno: result.errno });
    }
  }
  return { ...done, kept };
}

/** The size of the removed file, or why it was not removed: errno, 0 when it is not the recorded file. */
function removeOne(dir: Dir, name: Name, input: RemoveInput, i: number): number | { errno: number } {
  if (!isFileName(name)) return { errno: osConstants.errno.EINVAL };
  try {
    const seen = stat(dir, name);
    if (seen === undefined) return { errno: osConstants.errno.ENOENT };
    if (!seen.isFile() || !isRecorded(input.messages, i, seen)) return { errno: 0 };
    unlink(dir, name);
    return Number(seen.size);
  } catch (error) {
    const failed = systemError(error);
    if (failed === undefined) throw error;
    return { errno: failed.errno };
  }
}
