/** What an engine reported about single messages, in words. */
import { type EngineOutput, MESSAGE_ERRORS, type MessageTable } from '../engine/types.js';
import { errnoName } from '../errors.js';
import type { AddedRows } from './tasks.js';
import type { FolderPlan, MessageFailure } from './types.js';

/** Index 1 … of MESSAGE_ERRORS: what was found, and what to do. */
const EXPLANATIONS: Readonly<Record<(typeof MESSAGE_ERRORS)[number], string>> = {
  '': '',
  MSG_NOT_REGULAR:
    'A link, fifo, socket, device or directory stands where a message is expected; it was not opened. Replace it by the message, or remove it.',
  MSG_FOREIGN_OWNER:
    'The file belongs to another account than the mail server. Give it to the server account, or use --take-foreign to copy it.',
  MSG_WRITABLE_BY_OTHERS: 'Others may write to the file. Correct its mode, or use --take-foreign to copy it.',
  MSG_UNREADABLE: 'The file cannot be read.',
  MSG_VANISHED: 'The file went away. Put it back; to give the message up, delete its line in .mailbox too.',
  MSG_CHANGED: 'The file changed while the folder was migrated. Is a 3.x server running?',
  MSG_TARGET: 'The 4.x message file cannot be made.',
};

/** The failed messages of a folder, ascending uid. They are where they were, in 3.x. */
export function messageFailures(
  messages: MessageTable,
  output: Pick<EngineOutput, 'errors' | 'errnos'>,
): MessageFailure[] {
  const failures: MessageFailure[] = [];
  for (let i = 0; i < messages.count; i++) {
    const code = MESSAGE_ERRORS[output.errors[i] ?? 0];
    if (code === undefined || code === '') continue;
    const errno = output.errnos[i] ?? 0;
    failures.push({
      uid: messages.uids[i] ?? 0,
      file: fileName(messages, i),
      code,
      message: errno === 0 ? EXPLANATIONS[code] : `${EXPLANATIONS[code]} (${errnoName(errno)})`,
    });
  }
  return failures;
}

/** 1 for every message that did not fail: its 3.x file may go (`-r`). */
export function exceptFailed(uids: Uint32Array, failed: Uint32Array): Uint8Array {
  const may = new Uint8Array(uids.length).fill(1);
  if (failed.length === 0) return may;
  const stays = new Set(failed);
  uids.forEach((uid, i) => {
    if (stays.has(uid)) may[i] = 0;
  });
  return may;
}

/** The 3.x file name of row `index`, for people. */
export function fileName(messages: MessageTable, index: number): string {
  const name = messages.names.subarray(messages.nameOffsets[index], messages.nameOffsets[index + 1]);
  return Buffer.from(name).toString('utf8');
}

/** Whether a folder's failures are still those that a plan rests on. */
export function sameUids(recorded: readonly MessageFailure[], failed: Uint32Array | null): boolean {
  return recorded.length === failed?.length && recorded.every(({ uid }, i) => uid === failed[i]);
}

/**
 * The failures on record while a retry runs: everything it is about to add, under the uids given now, so that a run
 * that is stopped leaves no message that nobody looks for.
 */
export function failuresToAdd(
  plan: FolderPlan,
  additions: AddedRows,
  recorded: readonly MessageFailure[],
): MessageFailure[] {
  const byUid = new Map(recorded.map((failure) => [failure.uid, failure]));
  return [...additions.rows].map((row, k): MessageFailure => {
    const uid = plan.messages.uids[row] ?? 0;
    const earlier = byUid.get(additions.recordedUids[k] ?? 0);
    if (earlier !== undefined) return { ...earlier, uid };
    const message = 'A new file that a retry was about to add; the next run adds it.';
    return { uid, file: fileName(plan.messages, row), code: 'MSG_ADDING', message };
  });
}
