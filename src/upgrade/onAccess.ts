/**
 * Migrating one folder, by whoever opens it first (guide, "Using Dynamic Message Upgrade"): the steps, the
 * databases and the order of `upgrade -m`, in the caller's own process and thread, for one folder.
 */
import { selectEngine } from '../engine/engines.js';
import { MailhaulError } from '../errors.js';
import { nsms3 } from '../source/nsms3/source.js';
import { migrateFolders } from './messages.js';
import { perform } from './perform.js';
import type { TaskResults, WorkerPool } from './pool.js';
import { settleRemovals } from './removal.js';
import { emptyReport, type MessagesReport } from './report.js';
import { closeRoots, emptyRoots } from './roots.js';
import type { Run } from './run.js';
import type { Session } from './session.js';
import type { StepTools } from './steps.js';
import type { Task, WorkerContext } from './tasks.js';
import { noTroubles, settleTroubles } from './trouble.js';
import { worklistOf } from './worklist.js';

export interface OnAccessOptions {
  readonly engine?: 'native' | 'portable' | 'auto';
  /** `-r` */
  readonly remove?: boolean;
  /** Publish although some messages failed (4x-store.md, promise 4, when a service opens a folder). */
  readonly acceptFailures?: boolean;
  readonly takeForeign?: boolean;
  /** How long another process that migrates the folder is waited for, milliseconds. */
  readonly lockWaitMs?: number;
}

/** A pool without threads. */
function inlinePool(tools: StepTools): WorkerPool {
  return {
    async run<K extends Task['kind']>(task: Extract<Task, { kind: K }>): Promise<TaskResults[K]> {
      return perform(tools, task) as TaskResults[K];
    },
    close: () => Promise.resolve(),
  };
}

/**
 * Migrates one mailbox that is in TRANSITION; one that is not is left alone (`folders.skipped` is 1). Returns
 * when the folder is published and durable, or when the report says why it is not.
 *
 * @throws MailhaulError NO_MAILBOX when the mapping knows no such mailbox
 */
export async function migrateMailbox(
  session: Session,
  mailbox: string,
  options: OnAccessOptions = {},
): Promise<MessagesReport> {
  const folder = session.mapping.folderByMailbox(mailbox);
  if (folder === undefined)
    throw new MailhaulError('NO_MAILBOX', 'The mapping has no such mailbox.', { where: mailbox });
  const engine = await selectEngine(options.engine ?? 'auto');
  const report = emptyReport(engine.name);
  session.mailboxes.refresh();
  if (session.mailboxes.get(mailbox)?.state !== 'TRANSITION') {
    // Also a folder that lacks failed messages: from its publication on, only `upgrade` retries those.
    report.folders.skipped += 1;
    return report;
  }
  const { owner } = session.instance;
  const context: WorkerContext = {
    engine: engine.name,
    progress: new Int32Array(new SharedArrayBuffer(64)),
    // Somebody waits for the folder.
    pace: null,
    ownerUid: owner.uid,
    ownerGid: owner.gid,
    setOwner: process.geteuid?.() === 0,
    takeForeign: options.takeForeign === true,
    publishWithFailures: options.acceptFailures === true,
  };
  const roots = emptyRoots();
  try {
    const run: Run = {
      options: {
        threads: 1,
        queue: 1,
        remove: options.remove === true,
        acceptFailures: context.publishWithFailures,
        lockWaitMs: options.lockWaitMs ?? 60_000,
      },
      mapping: session.mapping,
      mailboxes: session.mailboxes,
      jobs: undefined,
      planMemory: [],
      pool: inlinePool({ engine, source: nsms3, context }),
      roots,
      log: session.log,
      report,
      progress: context.progress,
      swept: new Set(),
      removed: new Set(),
      troubles: noTroubles(),
      owner,
      partitionPath: (name) => session.instance.partitionPath(name) ?? '',
    };
    await migrateFolders(run, worklistOf([folder.id]));
    await settleRemovals(run);
    settleTroubles(run);
  } finally {
    closeRoots(roots);
  }
  return report;
}
