/**
 * The plan of a retry: a folder that was published although some messages failed only ever gets messages added
 * (4x-store.md, promise 4). What 4.x has of it is the authority from then on: its messages keep their uid and
 * their identity on record, whatever became of the 3.x files since, so that nothing takes them out of the index
 * and a late `-r` removes no file but the one that was migrated.
 *
 *     on record, not failed     row of the record
 *     on record, failed         to be added: row of the plan; none when it was given up (plan-vanished.ts)
 *     not on record             to be added: the file is new
 *
 * Where a service has been, uids below the mailbox's uidnext are its own: what is added gets new ones at the end, in
 * the order of the plan, above every uid that 3.x has given as well. One that an attempt before this gave, and that
 * nobody has used since, stays: however often a run is stopped, the result is the same.
 */
import type { MessageTable } from '../engine/types.js';
import { MailhaulError } from '../errors.js';
import { MAX_UID } from './plan-uids.js';
import { pickRows, tableOf } from './rows.js';
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
  const rows: Row[] = [];
  let i = 0;
  const newFile = (): void => {
    const uid = messages.uids[i] ?? 0;
    rows.push({ pick: i++, uid, recorded: 0 });
  };
  for (let k = 0; k < record.count; k++) {
    const uid = record.uids[k] ?? 0;
    while (i < messages.count && (messages.uids[i] ?? 0) < uid) newFile();
    const planned = i < messages.count && messages.uids[i] === uid;
    if (!failed.has(uid) || settled.has(uid)) rows.push({ pick: -1 - k, uid, recorded: null });
    else if (planned) rows.push({ pick: i, uid, recorded: uid });
    if (planned) i++;
  }
  while (i < messages.count) newFile();
  let uidnext = Math.max(plan.uidnext, record.uidnext);
  if (appendFrom !== null) uidnext = numberAtTheEnd(rows, messages, appendFrom, Math.max(uidnext, appendFrom));

  const table = pickRows(
    messages,
    tableOf(record),
    rows.map(({ pick }) => pick),
  );
  rows.forEach(({ uid }, row) => {
    table.uids[row] = uid;
  });
  const added = rows.flatMap(({ recorded }, row) => (recorded === null ? [] : [{ recorded, row }]));
  return {
    plan: { ...plan, uidnext, messages: table },
    rows: Uint32Array.from(added, ({ row }) => row),
    recordedUids: Uint32Array.from(added, ({ recorded }) => recorded),
  };
}

interface Row {
  /** As pickRows takes it. */
  readonly pick: number;
  uid: number;
  /** uid on record of a message that is to be added, 0 for a new file; null for one that is in 4.x. */
  readonly recorded: number | null;
}

/**
 * Gives those that are to be added uids from `next` up, and brings the rows back in order; returns the uidnext after
 * them. A message that the plan refuses keeps its uid: it will not come in this time.
 */
function numberAtTheEnd(rows: Row[], { refused }: MessageTable, appendFrom: number, next: number): number {
  let uidnext = next;
  for (const row of rows) {
    if (row.recorded === null || row.recorded >= appendFrom || refused[row.pick] !== 0) continue;
    row.uid = uidnext++;
  }
  if (uidnext > MAX_UID) {
    throw new MailhaulError('UIDS_EXHAUSTED', 'The mailbox has no uids left for the messages that failed.', {
      hint: 'They stay in 3.x, on record.',
    });
  }
  rows.sort((a, b) => a.uid - b.uid);
  return uidnext;
}
