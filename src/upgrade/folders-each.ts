/** The users one by one: read from 3.x (folders-readers.ts), merged with what is known, counted, handed to the writer. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MailhaulError } from '../errors.js';
import type { Dir } from '../fs/dir.js';
import type { PartitionPlan } from '../store/partitions.js';
import type { Earlier, UserChanges } from './folders-changes.js';
import { mergeUser, namesChanging } from './folders-merge.js';
import type { FoldersOptions } from './folders-options.js';
import type { ChosenPath } from './folders-partitions.js';
import type { UserToRead } from './folders-reader.js';
import { readAhead, type UserReaders } from './folders-readers.js';
import type { FoldersReport, Recorder } from './folders-report.js';
import type { Site } from './folders-site.js';
import type { UserMailbox } from './folders-user.js';
import type { StorePlan, UserTable } from './folders-users.js';
import type { ChangeWriter } from './folders-write.js';

/** Users between two looks at the signal. */
const USERS_A_TURN = 100;

/** What the checks found out. */
export interface CheckedWork {
  readonly readers: UserReaders;
  readonly table: UserTable;
  readonly plan: StorePlan;
  readonly stores: ReadonlyMap<string, Dir>;
  readonly paths: readonly ChosenPath[];
  /** Only root can make files in the directory of the mapping database. */
  readonly workDirNeedsRoot: boolean;
  /** Directories of 4.x, those too that this run makes. */
  readonly notMail: readonly string[];
}

export interface Work extends Omit<CheckedWork, 'notMail'> {
  /** Ids of those directories and of all that they lie in. */
  readonly notMail: ReadonlySet<string>;
}

/** What is read, and what is told of it. */
export interface Reading {
  readonly options: FoldersOptions;
  readonly site: Site;
  readonly work: Work;
  readonly earlier: Earlier;
  readonly report: FoldersReport;
  readonly recorder: Recorder;
}

export async function eachUser(reading: Reading, writer: ChangeWriter): Promise<void> {
  try {
    await readUsers(reading, writer);
    await writer.flush();
  } catch (error) {
    await writer.settle();
    throw error;
  }
  const users = reading.work.table.uids.length;
  reading.options.onProgress?.(users, users, reading.report.folders.found);
}

async function readUsers(reading: Reading, writer: ChangeWriter): Promise<void> {
  const { work } = reading;
  const mailboxes = readAhead(work.readers, usersToRead(work), work.notMail);
  try {
    await mergeUsers(reading, mailboxes, writer);
  } finally {
    // Ends the reading: the store paths are closed next.
    await mailboxes.return(undefined);
  }
}

interface PlacedUser {
  readonly uid: string;
  readonly storePath: string;
  /** undefined: the store path is not used, the user is skipped. */
  readonly partition: PartitionPlan | undefined;
  readonly quota: UserTable['quotas'][number];
}

/** In the order of the directory: reading and merging go by it alike, so what is found next is of whom is merged next. */
function* placedUsers({ table, plan }: Work): Generator<PlacedUser, void, undefined> {
  for (const [i, uid] of table.uids.entries()) {
    const storePath = table.paths[table.pathOf[i]!]!;
    yield { uid, storePath, partition: plan.byPath.get(storePath), quota: table.quotas[i]! };
  }
}

function* usersToRead(work: Work): Generator<UserToRead, void, undefined> {
  for (const { uid, storePath, partition } of placedUsers(work)) {
    if (partition !== undefined) yield { uid, store: work.stores.get(storePath)! };
  }
}

/** @param mailboxes what was found for those of usersToRead */
async function mergeUsers(
  { options, work, earlier, report, recorder }: Reading,
  mailboxes: AsyncIterator<UserMailbox, undefined>,
  writer: ChangeWriter,
): Promise<void> {
  const users = work.table.uids.length;
  const now = options.now ?? Math.floor(Date.now() / 1000);
  let changing: ReadonlySet<string> = new Set();
  let seen = 0;
  for (const { uid, storePath, partition, quota } of placedUsers(work)) {
    if (seen % USERS_A_TURN === 0) {
      await nextTurn();
      options.signal?.throwIfAborted();
      options.onProgress?.(seen, users, report.folders.found);
      // A change that begins later is as one that begins between a look and the write, which may be a batch away.
      changing = namesChanging(earlier);
    }
    seen += 1;
    if (partition === undefined) {
      skip(report, recorder, uid, work.plan.refused.get(storePath));
      continue;
    }
    const { value: found } = await mailboxes.next();
    if (found === undefined) throw new Error('fewer users were read than there are');
    if (found.kind === 'unusable') {
      report.users.skipped += 1;
      recorder.error({ user: uid, folder: '', code: found.code, message: found.message });
      continue;
    }
    const changes = mergeUser({ uid, storePath, partition: partition.name, quota }, found, earlier, changing, now);
    count(report, recorder, changes, partition, found.kind === 'missing');
    await writer.add(changes);
  }
}

function skip(report: FoldersReport, recorder: Recorder, uid: string, why: MailhaulError | undefined): void {
  report.users.skipped += 1;
  const message = why === undefined ? 'The mail store path is not used.' : `${why.message} ${why.hint ?? ''}`.trim();
  recorder.error({ user: uid, folder: '', code: why?.code ?? 'STORE_PATH_UNUSED', message });
}

function count(
  report: FoldersReport,
  recorder: Recorder,
  changes: UserChanges,
  partition: PartitionPlan,
  withoutMailbox: boolean,
): void {
  report.users.found += 1;
  if (changes.newUser) report.users.added += 1;
  if (withoutMailbox) report.users.withoutMailbox += 1;
  report.folders.found += changes.counts.found;
  report.folders.added += changes.counts.added;
  report.folders.waiting += changes.counts.waiting;
  report.folders.migrated += changes.counts.migrated;
  report.folders.failed += changes.errors.filter(({ folder }) => folder !== '').length;
  const totals = report.partitions.find(({ name }) => name === partition.name);
  if (totals !== undefined) {
    totals.folders += changes.counts.found;
    totals.indexBytes += changes.indexBytes;
  }
  for (const problem of changes.errors) recorder.error(problem);
  for (const problem of changes.warnings) recorder.warning(problem);
}
