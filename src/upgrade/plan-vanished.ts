/**
 * Failed messages of a published folder whose 3.x file is not there now: somebody may have taken it away to repair it.
 * From its publication on such a folder is looked at only for its failures, so a message that is left out of the plan
 * is never looked for again. It stays in it, refused, until the index gives it up as well (4x-store.md, promise 4).
 *
 *     failed, no file, its line is there     refused: MSG_VANISHED
 *     failed, no file, no line               given up, with a warning
 *     failed because it was no message       given up: removing it is the repair (MSG_NOT_REGULAR)
 *
 * Of a folder without any line and without a header the index is what is gone: it gives up nothing.
 */
import { rowOfUid } from '../engine/rows.js';
import { MESSAGE_ERRORS, type MessageTable } from '../engine/types.js';
import type { FolderIndex } from '../source/types.js';
import { quoteBytes, warningList } from '../source/warnings.js';
import { nameTable, sameName } from './plan-names.js';
import { pickRows, tableOf } from './rows.js';
import type { FolderPlan, MigrationRecord } from './types.js';

const VANISHED = MESSAGE_ERRORS.indexOf('MSG_VANISHED');

export interface FailedMessages {
  /** uids. */
  readonly failed: Uint32Array;
  /** Those of `failed` that end with their file: it was no message. */
  readonly endWithFile: Uint32Array;
}

/** `plan` with a row for every message of `failed` that is on `record` and was not given up. */
export function withVanished(
  plan: FolderPlan,
  index: FolderIndex | undefined,
  record: MigrationRecord,
  { failed, endWithFile }: FailedMessages,
): FolderPlan {
  const { messages } = plan;
  // Numbered anew, the plan has other uids than the record, and nothing comes of it (additions-plan.ts).
  if (plan.uidvalidity !== record.uidvalidity) return plan;
  const gone = new Set(failed.filter((uid) => rowOfUid(messages.uids, uid) < 0));
  for (const uid of endWithFile) gone.delete(uid);
  if (gone.size === 0) return plan;
  const rows = rowsOf(record, gone);
  const listed = index === undefined || isLost(index) ? () => true : listedBy(index, messages, record, rows);
  const warnings = warningList();
  const kept = rows.filter((row, k) => {
    if (listed(k)) return true;
    const name = () => quoteBytes(record.names.subarray(record.nameOffsets[row], record.nameOffsets[row + 1]));
    warnings.add('FAILED_GIVEN_UP', name, 'The message had failed; now it has neither file nor line, and is given up.');
    return false;
  });
  const table = pickRows(messages, tableOf(record), inOrder(messages.uids, record.uids, kept));
  for (const row of kept) table.refused[rowOfUid(table.uids, record.uids[row] ?? 0)] = VANISHED;
  return { ...plan, messages: table, warnings: [...plan.warnings, ...warnings.finish()] };
}

function rowsOf({ uids }: MigrationRecord, wanted: ReadonlySet<number>): number[] {
  const rows: number[] = [];
  uids.forEach((uid, row) => {
    if (wanted.has(uid)) rows.push(row);
  });
  return rows;
}

function isLost({ header, count }: FolderIndex): boolean {
  return header === undefined && count === 0;
}

/** Whether the message of `rows[k]` has a line: one of its name that is not the line of another message. */
function listedBy(
  index: FolderIndex,
  messages: MessageTable,
  record: MigrationRecord,
  rows: readonly number[],
): (k: number) => boolean {
  const picked = pickRows(tableOf(record), tableOf(record), rows);
  const table = nameTable(picked);
  const byName = new Uint8Array(picked.count);
  for (let line = 0; line < index.count; line++) {
    const [start, end] = [index.nameOffsets[line] ?? 0, index.nameOffsets[line + 1] ?? 0];
    let k = table.find(index.names, start, end);
    // As the plan reads lines (plan.ts, matchLines).
    if (k < 0 && index.names[end - 1] === 0x0d) k = table.find(index.names, start, end - 1);
    if (k < 0) continue;
    const other = rowOfUid(messages.uids, index.uids[line] ?? 0);
    if (other < 0 || !sameName(messages, other, picked, k)) byName[k] = 1;
  }
  // Of rows with one name the table finds the first.
  return (k) => byName[table.find(picked.names, picked.nameOffsets[k] ?? 0, picked.nameOffsets[k + 1] ?? 0)] === 1;
}

/** Picks of both tables (rows.ts), ascending uid. */
function inOrder(uids: Uint32Array, recorded: Uint32Array, rows: readonly number[]): number[] {
  const picks: number[] = [];
  let i = 0;
  for (const row of rows) {
    while (i < uids.length && (uids[i] ?? 0) < (recorded[row] ?? 0)) picks.push(i++);
    picks.push(-1 - row);
  }
  while (i < uids.length) picks.push(i++);
  return picks;
}
