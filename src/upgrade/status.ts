/**
 * `upgrade --status`: what is done, what is left and what failed, by partition; with a rate and the time left
 * when a run is under way. A run is seen from outside, by looking at the databases twice: nothing has to be
 * written for it while it runs.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { storeHolders } from '../config/store-lock.js';
import type { LockHolder } from '../fs/holders.js';
import { isDue } from './selection.js';
import { openSession, type Session, type SessionOptions } from './session.js';
import { estimateMessages } from './worklist.js';

export interface PartitionStatus {
  readonly name: string;
  readonly path: string;
  readonly folders: { total: number; done: number; left: number; failed: number };
  readonly messages: { done: number; leftEstimate: number; failed: number };
  bytes: number;
}

export interface StatusReport {
  readonly partitions: readonly PartitionStatus[];
  readonly totals: Omit<PartitionStatus, 'name' | 'path'>;
  /** Processes that use the store now. */
  readonly running: readonly LockHolder[];
  /** Messages a second over the last moment; null when nothing runs. */
  readonly messagesPerSecond: number | null;
  readonly secondsLeft: number | null;
  readonly failures: readonly {
    readonly user: string;
    readonly folder: string;
    readonly file: string;
    readonly code: string;
    readonly message: string;
  }[];
  failuresNotListed: number;
}

const FAILURES_LISTED = 1_000;
/** How long the second look comes after the first. */
const SAMPLE_MS = 1_000;

/** Throws MailhaulError as openSession. Writes nothing. */
export async function upgradeStatus(options: SessionOptions): Promise<StatusReport> {
  const session = await openSession({ ...options, readOnly: true, pidIsStale: true }, 'upgrade --status');
  try {
    const first = count(session);
    const running = storeHolders(session.instance.lockDir);
    if (running.length === 0) return { ...first, running, messagesPerSecond: null, secondsLeft: null };
    const startedMs = performance.now();
    await sleep(SAMPLE_MS);
    session.mapping.refresh();
    session.mailboxes.refresh();
    const second = count(session);
    const seconds = (performance.now() - startedMs) / 1000;
    const rate = (second.totals.messages.done - first.totals.messages.done) / seconds;
    const secondsLeft = rate > 0 ? Math.round(second.totals.messages.leftEstimate / rate) : null;
    return { ...second, running, messagesPerSecond: Math.round(rate), secondsLeft };
  } finally {
    await session.close();
  }
}

type Counted = Omit<StatusReport, 'running' | 'messagesPerSecond' | 'secondsLeft'>;

function count(session: Session): Counted {
  const { mapping, mailboxes, instance } = session;
  const partitions = new Map<string, PartitionStatus>();
  const failures: StatusReport['failures'][number][] = [];
  let failuresNotListed = 0;
  for (const folder of mapping.folders()) {
    let entry = partitions.get(folder.partition);
    if (entry === undefined) {
      entry = {
        name: folder.partition,
        path: folder.root ?? instance.partitionPath(folder.partition) ?? '',
        ...zero(),
      };
      partitions.set(folder.partition, entry);
    }
    const failed = mapping.failures(folder.id);
    const due = isDue(mapping, mailboxes, folder);
    entry.folders.total += 1;
    entry.folders[due ? 'left' : 'done'] += 1;
    if (failed.length > 0) entry.folders.failed += 1;
    entry.messages.failed += failed.length;
    const summary = mailboxes.get(folder.mailbox)?.summary ?? null;
    entry.messages.done += summary?.messages ?? 0;
    entry.bytes += summary?.bytes ?? 0;
    if (due) entry.messages.leftEstimate += estimateMessages(folder);
    for (const { file, code, message } of failed) {
      if (failures.length < FAILURES_LISTED)
        failures.push({ user: folder.uid, folder: folder.legacyName, file, code, message });
      else failuresNotListed += 1;
    }
  }
  const list = [...partitions.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { partitions: list, totals: sum(list), failures, failuresNotListed };
}

function zero(): StatusReport['totals'] {
  return {
    folders: { total: 0, done: 0, left: 0, failed: 0 },
    messages: { done: 0, leftEstimate: 0, failed: 0 },
    bytes: 0,
  };
}

function sum(partitions: readonly PartitionStatus[]): StatusReport['totals'] {
  const totals = zero();
  for (const { folders, messages, bytes } of partitions) {
    totals.folders.total += folders.total;
    totals.folders.done += folders.done;
    totals.folders.left += folders.left;
    totals.folders.failed += folders.failed;
    totals.messages.done += messages.done;
    totals.messages.leftEstimate += messages.leftEstimate;
    totals.messages.failed += messages.failed;
    totals.bytes += bytes;
  }
  return totals;
}
