/**
 * `upgrade -m` and `upgrade -u`: the messages of every folder that is in TRANSITION.
 *
 * Batches of folders go through the steps of design.md, "One folder, in order", in the order that the schedule
 * (schedule.ts) finds best, the heavy ones in transfer threads (tasks.ts) and every database call in this one:
 *
 *     batch  prepare ─▶ still TRANSITION? ─▶ record durable ─▶ move ─▶ committer        (batch.ts)
 *     group  sync ─▶ unchanged? ─▶ publish ─▶ -r ─▶ unlock                              (publish.ts)
 *
 * A folder that another process holds is set aside and tried again when all else is done.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, MailhaulError } from '../errors.js';
import { describeHolder, holdersText } from '../fs/holders.js';
import { openFileLimit } from '../fs/openFiles.js';
import { processBatch, type RecordItem, type RecordWriter } from './batch.js';
import { type Committer, createCommitter } from './committer.js';
import { dispatch } from './dispatch.js';
import { createGatherer } from './gather.js';
import { type HeldFolders, heldFolders } from './held.js';
import { commitGroup, heldPartition, type Turns } from './publish.js';
import { addDiskUse } from './report.js';
import { routesOf } from './routes.js';
import { folderBusy, halt, halted, type MovedFolder, type Run, release } from './run.js';
import { Schedule } from './schedule.js';
import { joinTransactions } from './transactions.js';
import { isStopped } from './trouble.js';
import type { MappingFolder } from './types.js';
import { partOf, type Worklist } from './worklist.js';

/** Folders set aside because another process or thread holds them, with the pids that do. */
export type Postponed = Map<number, readonly number[]>;

/** Migrates the folders of a list. Errors of folders are in the report; it throws only when halted. */
export async function migrateFolders(run: Run, list: Worklist): Promise<void> {
  const transactions = joinTransactions(run);
  /** A folder that is published gets messages: not only of those that were when the run began. */
  let adds = false;
  const records: RecordWriter = (items) => {
    adds ||= items.some(({ failures }) => failures !== null);
    return transactions.mapping((writes) => {
      for (const { folder, record, failures } of items) {
        writes.putFolder(folder);
        writes.putRecord(folder.id, record);
        if (failures !== null) writes.setFailures(folder.id, failures);
      }
    });
  };
  // Of the lanes under way: nothing comes to the committer but from them, and they end when it is empty.
  let turns!: Turns;
  const lanes: Lanes = {
    begun(now) {
      turns = now;
    },
    ended(postponed) {
      // The last commit has tasks for the threads where originals go, and where journals get entries.
      if (postponed.size === 0 && !run.options.remove && !adds) run.onMoved?.();
    },
  };
  // At once: what is under way meanwhile would only be thrown away.
  const commit = (group: readonly MovedFolder[]): Promise<void> =>
    commitGroup(run, group, transactions, turns).catch((error: unknown) => {
      haltFor(run, error);
      throw error;
    });
  const held = heldFolders(openFileLimit(), run);
  const committer = createCommitter<MovedFolder>(commit, {
    discard(folders) {
      for (const { ready } of folders) release(run, ready);
    },
    // By partition: a file system mounted below it is synced as its own, but its groups are not (there may be one for
    // each user, and as many folders held as there are of them).
    deviceOf: ({ rootPath }) => heldPartition(run, rootPath).dev,
    messagesOf: ({ output }) => output.methods.length,
    heldFolders: held.moved,
  });
  let postponed = await runLanes(run, list, records, committer, held, lanes);
  let waitedMs = 0;
  let told = false;
  for (let pauseMs = 20; postponed.size > 0 && !halted(run); pauseMs = Math.min(pauseMs * 2, 1_000)) {
    if (waitedMs >= run.options.lockWaitMs) {
      reportBusy(run, postponed);
      return;
    }
    if (waitedMs >= TOLD_AFTER_MS && !told) {
      told = true;
      tellWaiting(run, postponed);
    }
    await sleep(pauseMs);
    const again = await runLanes(run, partOf(list, postponed), records, committer, held, lanes);
    if (again.size < postponed.size) told = false;
    waitedMs = again.size < postponed.size ? 0 : waitedMs + pauseMs;
    postponed = again;
  }
}

/** A wait of seconds is nothing unusual beside other runs. */
const TOLD_AFTER_MS = 5_000;
const HOLDERS_TOLD = 10;

interface Lanes {
  begun(turns: Turns): void;
  /** Those that are not postponed are with the committer. */
  ended(postponed: Postponed): void;
}

/** Takes every folder of a list once, in the order of the schedule. */
async function runLanes(
  run: Run,
  list: Worklist,
  records: RecordWriter,
  committer: Committer<MovedFolder>,
  held: HeldFolders,
  lanes: Lanes,
): Promise<Postponed> {
  const postponed: Postponed = new Map();
  const routes = routesOf(run, run.troubles.work.values(), list);
  const schedule = new Schedule(routes.works, { ...run.options, foldersUnderWay: held.underWay });
  const load = (id: number): MappingFolder | undefined => {
    const folder = run.mapping.folder(id);
    return folder === undefined || isStopped(run, folder) ? undefined : folder;
  };
  const halts = (error: unknown): void => haltFor(run, error);
  const gathered = createGatherer<RecordItem>(records, () => schedule.hasFreeThread());
  await dispatch<readonly MappingFolder[]>(schedule, {
    crew: run.crew,
    take(route, maxFolders) {
      try {
        return routes.take(route, maxFolders, load);
      } catch (error) {
        halts(error);
        return undefined;
      }
    },
    async process(batch, lane) {
      try {
        return await processBatch(run, batch, lane, postponed, gathered.add, committer);
      } catch (error) {
        halts(error);
        return NOTHING;
      }
    },
    isStopped: () => halted(run),
    begun: (errand) => lanes.begun({ deviceOf: routes.deviceOf, errand }),
    threadFree: () => gathered.flush(),
  });
  lanes.ended(postponed);
  await committer.drain().catch(halts);
  for (const use of schedule.devices(performance.now())) {
    if (use.device !== '') addDiskUse(run.report, routes.paths.get(use.device), use);
  }
  return postponed;
}

const NOTHING = { messages: 0, bytes: 0 };

/** The first cause stops all lanes; folders in flight finish or are let go (exit 4, run again). */
function haltFor(run: Run, error: unknown): void {
  halt(run, error instanceof MailhaulError ? error.code : 'RUN_HALTED', describeError(error));
}

/** Who keeps the run waiting, when nothing else is left to do. */
function tellWaiting(run: Run, postponed: Postponed): void {
  const pids = [...new Set([...postponed.values()].flat())].slice(0, HOLDERS_TOLD);
  const folders = postponed.size === 1 ? 'a folder that is' : `${postponed.size} folders that are`;
  const line = `Waiting for ${folders} locked by ${holdersText(pids.map(describeHolder))}; all others are done.`;
  run.log.write('Store', 'Warning', line);
  run.notice?.(line);
}

function reportBusy(run: Run, postponed: Postponed): void {
  for (const [id, holders] of postponed) {
    const folder = run.mapping.folder(id);
    if (folder === undefined) continue;
    folderBusy(run, folder, holders, `did not become free in ${run.options.lockWaitMs / 1000} s`);
  }
}
