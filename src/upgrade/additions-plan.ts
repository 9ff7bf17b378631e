/**
 * The plan of a retry: a folder that was published although some messages failed only ever gets messages added
 * (4x-store.md, promise 4). What 4.x has of it is the authority from then on: its messages keep their uid and
 * their identity on record, whatever became of the 3.x files since, so that nothing takes them out of the index
 * and a late `-r` removes no file but the one that was migrated.
 *
 *     on record, not failed     row of the record
 *     on record, failed         to be added: row of the plan; none when the file is gone
 *     not on record             to be added: the file is new
 *
 * Where a service has been, uids below the mailbox's uidnext are its own: what is added gets new ones at the end, in
 * the order of the plan.
 */
import { MailhaulError } from '../errors.js';
import { pickRows, tableOf } from './rows.js';
import { shareTable } from './shared.js';
import type { FolderPlan, MigrationRecord } from './types.js';

/** What 4.x has of the folder. */
export interface PublishedState {
  /** uids with a failure on record. */
  readonly failed: ReadonlySet<number>;
  /** uids of those that came in all the same: a run was killed before it could tell. */
  readonly settled: ReadonlySet<number>;
  /** uidnext of the mailbox when a service has been there; null: the recorded uids are free. */
  readonly appendFrom: number | null;
}

export interface Additions {
  /** All rows of the record that are in 4.x, and the rows to be added; ascending uid. */
  readonly plan: FolderPlan;
  /** Numbers of the rows to be added. */
  readonly rows: Uint32Array;
  /** For each of `rows` the uid that it had on record, 0 for a new file. */
  readonly recordedUids: Uint32Array;
}

/** Highest uid and uidnext (3x-profile.md). */
const MAX_UID = 0xffffffff;

/**
 * `plan` of the 3.x folder as it is now, brought together with `record` of the attempt that was published.
 *
 * @throws MailhaulError FOLDER_RENUMBERED when 3.x needs another uidvalidity by now, UIDS_EXHAUSTED
 */
export function planAdditions(plan: FolderPlan, record: MigrationRecord, published: PublishedState): Additions {
  if (plan.uidvalidity !== record.uidvalidity) {
    throw new MailhaulError('FOLDER_RENUMBERED', 'The uids of the 3.x folder ran out since it was published.', {
      hint: 'Its failed messages stay in 3.x, on record.',
    });
  }
  const { failed, settled, appendFrom } = published;
  const { messages } = plan;
  /** As pickRows takes them, with the recorded uid of those that are to be added (-1: not one of them). */
  const kept: number[] = [];
  const due: { pick: number; recorded: number }[] = [];
  const merged: { pick: number; recorded: number }[] = [];
  const add = (pick: number, recorded: number): void => {
    merged.push({ pick, recorded });
    if (recorded < 0) kept.push(pick);
    else due.push({ pick, recorded });
  };
  let i = 0;
  for (let k = 0; k < record.count; k++) {
    const uid = record.uids[k] ?? 0;
    while (i < messages.count && (messages.uids[i] ?? 0) < uid) add(i++, 0);
    const planned = i < messages.count && messages.uids[i] === uid;
    if (!failed.has(uid) || settled.has(uid)) add(-1 - k, -1);
    else if (planned) add(i, uid);
    if (planned) i++;
  }
  while (i < messages.count) add(i++, 0);

  const order = appendFrom === null ? merged : [...kept.map((pick) => ({ pick, recorded: -1 })), ...due];
  const table = pickRows(
    messages,
    tableOf(record),
    order.map(({ pick }) => pick),
  );
  const rows = Uint32Array.from(order.flatMap(({ recorded }, row) => (recorded < 0 ? [] : [row])));
  let uidnext = Math.max(plan.uidnext, record.uidnext);
  if (appendFrom !== null) {
    uidnext = appendFrom + due.length;
    if (uidnext > MAX_UID) {
      throw new MailhaulError('UIDS_EXHAUSTED', 'The mailbox has no uids left for the messages that failed.', {
        hint: 'They stay in 3.x, on record.',
      });
    }
    rows.forEach((row, n) => {
      table.uids[row] = appendFrom + n;
    });
  }
  return {
    plan: { ...plan, uidnext, messages: shareTable(table) },
    rows,
    recordedUids: Uint32Array.from(due, ({ recorded }) => recorded),
  };
}
