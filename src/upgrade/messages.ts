/**
 * `upgrade -m` and `upgrade -u`: the messages of every folder that is in TRANSITION.
 *
 * One producer hands batches of folders to lanes; a lane takes a batch through the steps of design.md, "One
 * folder, in order", with the heavy ones in transfer threads (tasks.ts) and every database call in this one:
 *
 *     lane   prepare ─▶ still TRANSITION? ─▶ record durable ─▶ move ─▶ committer        (batch.ts)
 *     group  sync ─▶ unchanged? ─▶ publish ─▶ -r ─▶ unlock                              (publish.ts)
 *
 * A folder that another process holds is set aside and tried again when all else is done.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, MailhaulError } from '../errors.js';
import { describeHolder, holdersText } from '../fs/holders.js';
import { processBatch, type RecordItem, type RecordWriter } from './batch.js';
import { type Committer, createBatcher, createCommitter } from './committer.js';
import { commitGroup } from './publish.js';
import { folderBusy, halt, halted, type MovedFolder, type Run, release } from './run.js';
import { isStopped } from './trouble.js';
import { batches, folderLoader } from './worklist.js';

/** Folders set aside because another process or thread holds them, with the pids that do. */
export type Postponed = Map<number, readonly number[]>;

/** Migrates the folders of `ids`, in that order. Errors of folders are in the report; it throws only when halted. */
export async function migrateFolders(run: Run, ids: Iterable<number>): Promise<void> {
  const records = createBatcher((items: readonly RecordItem[]) =>
    run.mapping.update((writes) => {
      for (const { folder, record, failures } of items) {
        writes.putFolder(folder);
        writes.putRecord(folder.id, record);
        if (failures !== null) writes.setFailures(folder.id, failures);
      }
    }),
  );
  const committer = createCommitter<MovedFolder>(
    (group) => commitGroup(run, group),
    (folders) => {
      for (const { ready } of folders) release(ready);
    },
  );
  let postponed = await runLanes(run, ids, records, committer);
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
    const again = await runLanes(run, postponed.keys(), records, committer);
    if (again.size < postponed.size) told = false;
    waitedMs = again.size < postponed.size ? 0 : waitedMs + pauseMs;
    postponed = again;
  }
}

/** A wait of seconds is nothing unusual beside other runs. */
const TOLD_AFTER_MS = 5_000;
const HOLDERS_TOLD = 10;

/** Folders of a batch at most: each holds two descriptors until it is published. */
const BATCH_FOLDERS = 64;

/** Lanes: one more than there are threads, so that a thread always finds its next task waiting. */
async function runLanes(
  run: Run,
  ids: Iterable<number>,
  records: RecordWriter,
  committer: Committer<MovedFolder>,
): Promise<Postponed> {
  const postponed: Postponed = new Map();
  const lanes = Math.max(1, Math.min(run.options.threads + 1, run.options.queue));
  const share = Math.max(1, Math.floor(run.options.queue / lanes));
  const load = folderLoader(run.mapping);
  const loadUnlessStopped: typeof load = (id) => {
    const loaded = load(id);
    return loaded !== undefined && isStopped(run, loaded.item) ? undefined : loaded;
  };
  const source = batches(ids, loadUnlessStopped, Math.min(share, BATCH_FOLDERS));
  const lane = async (): Promise<void> => {
    while (!halted(run)) {
      const next = source.next();
      if (next.done === true) return;
      await processBatch(run, next.value, postponed, records, committer);
    }
  };
  const guarded = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      // The first cause stops all lanes; folders in flight finish or are let go (exit 4, run again).
      halt(run, error instanceof MailhaulError ? error.code : 'RUN_HALTED', describeError(error));
    });
  await Promise.all(Array.from({ length: lanes }, () => guarded(lane())));
  await guarded(committer.drain());
  return postponed;
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
