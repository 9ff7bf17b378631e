/**
 * The plan of a retry: a folder that was published although some messages failed only ever gets messages added
 * (4x-store.md, promise 4). What 4.x has of it is the authority from then on: its messages keep their uid and
 * their identity on record, whatever became of the 3.x files since, so that nothing takes them out of the index
 * and a late `-r` removes no file but the one that was migrated.
 */
import { MailhaulError } from '../errors.js';
import { pickRows, tableOf } from './rows.js';
import { shareTable } from './shared.js';
import type { FolderPlan, MigrationRecord } from './types.js';

/**
 * `plan` of the 3.x folder as it is now, brought together with `record` of the attempt that was published.
 *
 *     on record, not failed     row of the record
 *     on record, failed         row of the plan; none when the file is gone
 *     not on record             row of the plan: the file is new
 *
 * @param failed uids of the messages with a failure on record
 * @throws MailhaulError FOLDER_RENUMBERED when 3.x needs another uidvalidity by now
 */
export function planAdditions(plan: FolderPlan, record: MigrationRecord, failed: ReadonlySet<number>): FolderPlan {
  if (plan.uidvalidity !== record.uidvalidity) {
    throw new MailhaulError('FOLDER_RENUMBERED', 'The uids of the 3.x folder ran out since it was published.', {
      hint: 'Its failed messages stay in 3.x, on record.',
    });
  }
  const { messages } = plan;
  const picks: number[] = [];
  let i = 0;
  for (let k = 0; k < record.count; k++) {
    const uid = record.uids[k] ?? 0;
    while (i < messages.count && (messages.uids[i] ?? 0) < uid) picks.push(i++);
    const planned = i < messages.count && messages.uids[i] === uid;
    if (!failed.has(uid)) picks.push(-1 - k);
    else if (planned) picks.push(i);
    if (planned) i++;
  }
  while (i < messages.count) picks.push(i++);
  return {
    ...plan,
    uidnext: Math.max(plan.uidnext, record.uidnext),
    messages: shareTable(pickRows(messages, tableOf(record), picks)),
  };
}
