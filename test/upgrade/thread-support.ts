/** What a transfer thread works with, and what a run does, in the process of a test. */
import { selectEngine } from '../../src/engine/engines.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import { perform } from '../../src/upgrade/perform.js';
import type { TaskResults, WorkerPool } from '../../src/upgrade/pool.js';
import { emptyReport } from '../../src/upgrade/report.js';
import { emptyRoots } from '../../src/upgrade/roots.js';
import type { Run } from '../../src/upgrade/run.js';
import type { Session } from '../../src/upgrade/session.js';
import type { StepTools } from '../../src/upgrade/steps.js';
import type { Task, WorkerContext } from '../../src/upgrade/tasks.js';
import { noTroubles } from '../../src/upgrade/trouble.js';
import { ACCOUNT } from './small-store.js';

/** `more`: what is not as in an ordinary run. */
export async function threadTools(more: Partial<WorkerContext> = {}): Promise<StepTools> {
  const engine = await selectEngine('auto');
  const context: WorkerContext = {
    engine: engine.name,
    progress: new Int32Array(new SharedArrayBuffer(64)),
    pace: null,
    ownerUid: ACCOUNT.uid,
    ownerGid: ACCOUNT.gid,
    setOwner: process.geteuid?.() === 0,
    takeForeign: false,
    publishWithFailures: false,
    ...more,
  };
  return { engine, source: nsms3, context };
}

/** A run whose tasks are done here and now, as if one thread had each; `before` and `after` see each task. */
export async function runHere(
  session: Session,
  after: (task: Task) => Promise<void> = async () => {},
  before: (task: Task) => Promise<void> = async () => {},
): Promise<Run> {
  const tools = await threadTools();
  const pool: WorkerPool = {
    async run<K extends Task['kind']>(task: Extract<Task, { kind: K }>): Promise<TaskResults[K]> {
      await before(task);
      const result = (await perform(tools, task)) as TaskResults[K];
      await after(task);
      return result;
    },
    close: () => Promise.resolve(),
  };
  return {
    options: { threads: 1, queue: 1, remove: false, acceptFailures: false, lockWaitMs: 1_000 },
    mapping: session.mapping,
    mailboxes: session.mailboxes,
    jobs: undefined,
    planMemory: [],
    pool,
    roots: emptyRoots(),
    log: session.log,
    report: emptyReport(tools.context.engine),
    progress: tools.context.progress,
    swept: new Set(),
    removed: new Set(),
    troubles: noTroubles(),
    owner: { uid: ACCOUNT.uid, gid: ACCOUNT.gid },
    partitionPath: (name) => session.instance.partitionPath(name) ?? '',
  };
}
