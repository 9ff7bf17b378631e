/**
 * Transactions of a run: changes that batches and groups bring while one is under way are joined into the next. So there
 * is one under way and one that waits, for each database, however many devices have groups: each costs a sync of the
 * database's disk, and other processes want a turn at its gate (store/gate.ts).
 *
 * All of a transaction is durable when its changes resolve. When it fails, all of them do, and the run halts.
 */
import type { MailboxWrites } from '../store/types.js';
import { createBatcher } from './joined.js';
import { timed } from './report.js';
import type { Run } from './run.js';
import type { MappingWrites } from './types.js';

export interface Transactions {
  mapping(change: (writes: MappingWrites) => void): Promise<void>;
  mailboxes(change: (writes: MailboxWrites) => void): Promise<void>;
}

export function joinTransactions({
  mapping,
  mailboxes,
  report,
}: Pick<Run, 'mapping' | 'mailboxes' | 'report'>): Transactions {
  const inMapping = joined<MappingWrites>((all) => timed(report.times, 'database', () => mapping.update(all)));
  const inMailboxes = joined<MailboxWrites>((all) => timed(report.times, 'database', () => mailboxes.update(all)));
  return { mapping: inMapping, mailboxes: inMailboxes };
}

function joined<W>(
  update: (change: (writes: W) => void) => Promise<void>,
): (change: (writes: W) => void) => Promise<void> {
  const batcher = createBatcher<(writes: W) => void>((changes) =>
    update((writes) => {
      for (const change of changes) change(writes);
    }),
  );
  return (change) => batcher([change]);
}
