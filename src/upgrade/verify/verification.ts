/**
 * Carries a verification out: hands batches of items to the threads, and believes a result only when nobody worked on
 * the folder meanwhile.
 *
 *     work ─▶ batch ─▶ thread ─▶ no errors: accepted
 *                              ├▶ the databases changed, or a lock is held: once more, later
 *                              └▶ a 3.x file of another account: once more, as root, at the end
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NameChange } from '../../store/types.js';
import type { Progress } from '../progress.js';
import type { Session } from '../session.js';
import { refreshed } from './again.js';
import type { VerifyCode } from './codes.js';
import { VERIFY_CODES } from './codes.js';
import type { Configuration } from './configuration.js';
import type { Findings, FoundInTask } from './findings.js';
import type { InodeTable } from './inodes.js';
import type { Runner } from './runner.js';
import type { Survey } from './survey.js';
import type { MailboxResult, MessageTotals, VerifyResult } from './tasks.js';
import { settle, type Work, workOf } from './work.js';

export interface Verification {
  readonly session: Session;
  readonly configuration: Configuration;
  readonly survey: Survey;
  readonly findings: Findings;
  readonly runner: Runner;
  readonly singles: InodeTable;
  readonly totals: MessageTotals & { mailboxes: number };
  readonly progress: () => Progress | undefined;
  /** Other processes that use the store now. */
  readonly otherProcesses: () => readonly number[];
  readonly stopped: () => boolean;
  readonly cancel: () => void;
  /** Deletes and renames whose directories have not followed. */
  readonly nameChanges: readonly NameChange[];
  /** Services have been at work, or a mailbox could not be read: not every name of a message file is known. */
  used: boolean;
  /** Folders of the mapping that belong to some user. */
  folders: number;
  /** Items that only root can finish; null: this process is root now, or cannot be. */
  forRoot: Work[] | null;
}

/** Weight of a batch: messages, and a few for each item. */
const BATCH_WEIGHT = 1_000;
const BATCH_ITEMS = 64;
const ITEM_WEIGHT = 10;

/** Times an item is done again, with a longer pause before each. */
const ATTEMPTS = 5;
const PAUSE_MS = 200;

export function verifyAll(verification: Verification): Promise<void> {
  return verifyWork(verification, workOf(verification));
}

/** As root: what needs it. */
export function verifyForRoot(verification: Verification, work: readonly Work[]): Promise<void> {
  // None of what was found as the server account counts; neither do the times it was tried.
  const anew = work.map((one) => ({ ...one, attempts: 0 }));
  return verifyWork(verification, refreshed(verification, anew));
}

/** Until every result was believed, or was not ATTEMPTS times. */
async function verifyWork(verification: Verification, work: AsyncGenerator<Work>): Promise<void> {
  let again = await runLanes(verification, work);
  for (let round = 1; again.length > 0 && !verification.stopped(); round++) {
    await sleep(PAUSE_MS * 2 ** (round - 1));
    again = await runLanes(verification, refreshed(verification, again));
  }
}

/** Returns what must be done again. */
async function runLanes(verification: Verification, work: AsyncGenerator<Work>): Promise<Work[]> {
  const again: Work[] = [];
  const batches = inBatches(work);
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    while (!verification.stopped()) {
      const next = await batches.next();
      if (next.done === true) return;
      const results = await verification.runner.run(next.value.map(({ item }) => item));
      for (const [i, result] of results.entries()) {
        const done = next.value[i]!;
        if (accept(verification, done, result) === 'again') again.push(done);
      }
    }
  };
  const guarded = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      // The first cause stops all lanes; nobody may use the databases after they are closed.
      failures.push(error);
      verification.cancel();
    });
  // One more than there are threads, so that a thread always finds its next batch waiting.
  await Promise.all(Array.from({ length: verification.runner.threads + 1 }, () => guarded(lane())));
  if (failures.length > 0) throw failures[0];
  return again;
}

async function* inBatches(work: AsyncGenerator<Work>): AsyncGenerator<Work[]> {
  let batch: Work[] = [];
  let weight = 0;
  for await (const one of work) {
    batch.push(one);
    weight += ITEM_WEIGHT + (one.item.kind === 'mailbox' ? (one.item.record.summary?.messages ?? 0) : 0);
    if (weight < BATCH_WEIGHT && batch.length < BATCH_ITEMS) continue;
    yield batch;
    batch = [];
    weight = 0;
  }
  if (batch.length > 0) yield batch;
}

function accept(verification: Verification, work: Work, result: VerifyResult): 'accepted' | 'again' {
  const { findings, totals, survey, forRoot } = verification;
  const { item, progress } = work;
  if (forRoot !== null && result.found.byCode.VERIFY_SOURCE_FOREIGN !== undefined) {
    forRoot.push(work);
    return 'accepted';
  }
  let found = result.found;
  if (hasErrors(found) && isInFlight(verification, work, result)) {
    work.attempts += 1;
    if (work.attempts < ATTEMPTS) return 'again';
    found = inFlight(work, result);
  }
  findings.merge(found);
  if (item.kind === 'mailbox' && result.kind === 'mailbox') {
    const partition = survey.partition(item.record);
    partition.errors += errorsOf(found);
    for (const name of ['checked', 'read', 'compared', 'bytes'] as const) {
      partition[name] += result.messages[name];
      totals[name] += result.messages[name];
    }
    if (!result.complete) return 'accepted';
    totals.mailboxes += 1;
    if (result.used === null) verification.used = true;
    const used = result.used ?? item.record.summary;
    progress.bytes += used?.bytes ?? 0;
    progress.messages += used?.messages ?? 0;
    // Copies onto several partitions, or file systems below one, are several groups.
    const { storePath } = item.origin ?? { storePath: '' };
    const space = verification.singles.space(`${storePath}\n${item.record.root ?? ''}\n${result.device}`);
    verification.singles.add(space, item.record.mappingId ?? 0, result.candidates);
    verification.progress()?.folderDone(item.record.partition);
  }
  settle(verification, progress);
  return 'accepted';
}

function errorsOf({ byCode }: FoundInTask): number {
  let errors = 0;
  for (const [code, count] of Object.entries(byCode) as [VerifyCode, number][]) {
    if (VERIFY_CODES[code].severity === 'error') errors += count;
  }
  return errors;
}

function hasErrors(found: FoundInTask): boolean {
  return errorsOf(found) > 0;
}

/** Whether somebody worked on it while it was looked at. */
function isInFlight(verification: Verification, { item, progress }: Work, result: VerifyResult): boolean {
  const { mailboxes, mapping } = verification.session;
  mailboxes.refresh();
  mapping.refresh();
  if (item.kind === 'user') {
    const now = [...mailboxes.list(`user/${item.uid}/`, () => {})];
    return JSON.stringify(now) !== JSON.stringify(progress.known.records) || verification.otherProcesses().length > 0;
  }
  const { changed, lockedBy } = result as MailboxResult;
  if (changed || others(lockedBy).length > 0) return true;
  const { record, origin } = item;
  try {
    if (JSON.stringify(mailboxes.get(record.name)) !== JSON.stringify(record)) return true;
    // Renamed, and its directory is on its way.
    for (const { to } of mailboxes.nameChanges()) {
      if (to !== null && `${record.name}/`.startsWith(`${to}/`)) return true;
    }
    if (origin === null) return false;
    const folder = mapping.folder(origin.folder.id);
    return (
      folder?.attempts !== origin.folder.attempts ||
      folder.migrated !== origin.folder.migrated ||
      folder.sourcesRemoved !== origin.folder.sourcesRemoved ||
      mapping.failures(folder.id).length !== origin.failures.length
    );
  } catch {
    // Damage of a database is no sign of work; it is reported on its own.
    return false;
  }
}

export function others(pids: readonly number[]): number[] {
  return pids.filter((pid) => pid !== process.pid);
}

/** What is said of an item that could not be judged: its errors may be another process's work. */
function inFlight({ item }: Work, result: VerifyResult): FoundInTask {
  if (item.kind === 'user') return result.found;
  const pids = others((result as MailboxResult).lockedBy);
  const who = pids.length === 0 ? 'Another process' : `Process ${pids.join(', ')}`;
  const message = `${who} works on the folder; ${errorsOf(result.found)} findings of it are not counted.`;
  const { user, mailbox, folder } = item.subject;
  const finding = { code: 'VERIFY_IN_FLIGHT', severity: 'open', user, mailbox, folder, uid: null } as const;
  return { listed: [{ ...finding, where: item.record.name, message }], byCode: { VERIFY_IN_FLIGHT: 1 } };
}
