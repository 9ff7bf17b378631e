/**
 * A batch of folders on its way to the committer: prepare, still TRANSITION?, record durable, move
 * (design.md, "One folder, in order", steps 1 to 4). Whatever happens, a folder ends in exactly one place:
 * handed to the committer, set aside, reported as failed, skipped, or let go because the run halts.
 */
import { MailhaulError } from '../errors.js';
import { encodeAdminRecord } from '../store/adminRecord.js';
import { mailboxPathComponents } from '../store/names.js';
import type { MailboxRecord } from '../store/types.js';
import { planAdditions } from './additions-plan.js';
import type { Committer } from './committer.js';
import type { Postponed } from './messages.js';
import { recordOf } from './plan.js';
import { partitionRoot, storeRoot } from './roots.js';
import {
  errnoName,
  failureOf,
  folderFailed,
  folderSkipped,
  halt,
  type MovedFolder,
  type ReadyFolder,
  type Run,
  release,
} from './run.js';
import { isDue } from './selection.js';
import type { MoveFolder, Place, PrepareFolder } from './tasks.js';
import type { MappingDatabase, MappingFolder, MigrationRecord } from './types.js';

/** Makes migration records durable; many batches share one transaction. */
export type RecordWriter = (items: readonly { folder: MappingFolder; record: MigrationRecord }[]) => Promise<void>;

/** Where a folder comes from and goes to. */
export interface FolderPlaces {
  readonly source: Place;
  readonly target: Place;
  readonly singleFd: number;
  /** Absolute path of the partition. */
  readonly rootPath: string;
}

interface PreparedFolder {
  readonly folder: MappingFolder;
  readonly ready: ReadyFolder;
  readonly move: MoveFolder;
  readonly rootPath: string;
}

export function placesOf(run: Run, folder: MappingFolder): FolderPlaces {
  const user = run.mapping.user(folder.uid);
  if (user === undefined) {
    throw new MailhaulError('MAP_USER', 'The mapping names a folder of an unknown user.', { where: folder.uid });
  }
  // A folder keeps the root of its first attempt (4x-store.md, Layout).
  const rootPath = folder.root ?? run.partitionPath(folder.partition);
  const root = partitionRoot(run.roots, folder.partition, rootPath, run.owner);
  const store = storeRoot(run.roots, user.storePath);
  return {
    source: { rootFd: store.fd, rootPath: store.path, components: [folder.uid, ...folder.path] },
    target: {
      rootFd: root.dir.fd,
      rootPath: root.dir.path,
      components: mailboxPathComponents(folder.uid, folder.mailbox),
    },
    singleFd: root.single.fd,
    rootPath,
  };
}

export function prepareTaskOf(
  mapping: MappingDatabase,
  folder: MappingFolder,
  { source, target }: Pick<FolderPlaces, 'source' | 'target'>,
): PrepareFolder {
  return {
    id: folder.id,
    source,
    target,
    uidvalidity: folder.uidvalidity,
    uidvalidityChosen: folder.uidvalidityChosen === true,
    missing: folder.missing,
    previous: mapping.record(folder.id) ?? null,
    now: Math.floor(Date.now() / 1000),
  };
}

export async function processBatch(
  run: Run,
  batch: readonly MappingFolder[],
  postponed: Postponed,
  records: RecordWriter,
  committer: Committer<MovedFolder>,
): Promise<void> {
  const prepared = await prepare(run, batch, postponed);
  if (prepared.length === 0) return;
  const held = new Set(prepared);
  try {
    await records(prepared.map(({ folder, ready }) => ({ folder, record: recordOf(ready.plan) })));
    const results = await run.pool.run({ kind: 'move', folders: prepared.map((entry) => entry.move) });
    const byId = new Map(prepared.map((entry) => [entry.folder.id, entry]));
    const moved: MovedFolder[] = [];
    for (const result of results) {
      const entry = byId.get(result.id);
      if (entry === undefined) continue;
      if (result.kind === 'failed') {
        if (result.halt) halt(run, result.failure.code, `${result.failure.message} [${result.failure.where}]`);
        else folderFailed(run, entry.folder, result.failure);
      } else if (result.output.halt !== null) {
        const { errno, call } = result.output.halt;
        halt(run, 'DEVICE_HALT', deviceMessage(errno, call, entry.rootPath));
      } else if (!result.output.stopped) {
        held.delete(entry);
        moved.push({ folder: entry.folder, ready: entry.ready, rootPath: entry.rootPath, output: result.output });
      }
    }
    await committer.add(moved);
  } finally {
    for (const entry of held) release(entry.ready);
  }
}

/** Locks, reads and plans the batch; returns the folders that go on, each holding its lock. */
async function prepare(run: Run, batch: readonly MappingFolder[], postponed: Postponed): Promise<PreparedFolder[]> {
  const known = new Map<number, { folder: MappingFolder; places: FolderPlaces }>();
  const tasks: PrepareFolder[] = [];
  for (const folder of batch) {
    try {
      const places = placesOf(run, folder);
      tasks.push(prepareTaskOf(run.mapping, folder, places));
      known.set(folder.id, { folder, places });
    } catch (error) {
      folderFailed(run, folder, failureOf(error, folder.mailbox));
    }
  }
  const results = await run.pool.run({ kind: 'prepare', folders: tasks });
  const held = new Set(results.filter((result) => result.kind === 'ready'));
  const passedOn: ReadyFolder[] = [];
  const prepared: PreparedFolder[] = [];
  try {
    // The locks are ours now: what another process published before it let go must be seen.
    run.mailboxes.refresh();
    run.mapping.refresh();
    for (const result of results) {
      const entry = known.get(result.id);
      if (entry === undefined) continue;
      const { folder, places } = entry;
      if (result.kind === 'busy') {
        postponed.set(folder.id, result.holders);
      } else if (result.kind === 'failed') {
        if (result.halt === true) halt(run, result.failure.code, `${result.failure.message} [${result.failure.where}]`);
        else folderFailed(run, folder, result.failure);
      } else {
        const accepted = accept(run, folder, places, result);
        if (accepted === 'failed') continue;
        if (accepted === 'skipped') folderSkipped(run, folder);
        else if (accepted === 'stale') postponed.set(folder.id, []);
        else {
          prepared.push(accepted);
          passedOn.push(result);
        }
      }
    }
    for (const ready of passedOn) held.delete(ready);
    return prepared;
  } finally {
    for (const ready of held) release(ready);
  }
}

/**
 * What becomes of a folder that holds its lock. `stale`: another process had it between our look at the record and
 * the lock, so the plan rests on an old record; it is planned again.
 */
function accept(
  run: Run,
  folder: MappingFolder,
  places: FolderPlaces,
  ready: ReadyFolder,
): PreparedFolder | 'skipped' | 'stale' | 'failed' {
  let admin: Uint8Array;
  let published: boolean;
  let plan = ready.plan;
  try {
    const mailbox = run.mailboxes.get(folder.mailbox);
    if (mailbox === undefined || !isDue(run.mapping, run.mailboxes, folder)) return 'skipped';
    if (run.mapping.folder(folder.id)?.attempts !== folder.attempts) return 'stale';
    published = mailbox.state === 'NON-TRANSITION';
    const record = published ? run.mapping.record(folder.id) : undefined;
    if (record !== undefined) {
      plan = planAdditions(plan, record, new Set(run.mapping.failures(folder.id).map(({ uid }) => uid)));
    }
    admin = adminOf(run, folder, mailbox);
  } catch (error) {
    folderFailed(run, folder, failureOf(error, folder.mailbox));
    return 'failed';
  }
  for (const warning of plan.warnings) {
    run.report.warnings += 1;
    run.log.write('Store', 'Warning', `${folder.mailbox}: ${warning.code}: ${warning.message} [${warning.where}]`);
  }
  return {
    // The root and the attempt are part of what is made durable before the first link.
    folder: { ...folder, root: places.rootPath, attempts: folder.attempts + 1 },
    ready: { ...ready, plan },
    rootPath: places.rootPath,
    move: {
      id: folder.id,
      sourceFd: ready.sourceFd,
      target: places.target,
      singleFd: places.singleFd,
      plan,
      admin,
      resumed: folder.attempts > 0,
      published,
    },
  };
}

function adminOf(run: Run, folder: MappingFolder, mailbox: MailboxRecord): Uint8Array {
  const { name, legacyName, owner, partition, acl } = mailbox;
  const quota = run.mapping.user(folder.uid)?.quota ?? null;
  return encodeAdminRecord({ mailbox: name, legacyName, owner, partition, acl, quota });
}

function deviceMessage(errno: number, call: string, where: string): string {
  const name = errnoName(errno);
  const advice = name === 'ENOSPC' || name === 'EDQUOT' ? 'Make space' : 'Repair it';
  return `${call} failed with ${name} below ${where}. Nothing was lost. ${advice} and run the same command again.`;
}
