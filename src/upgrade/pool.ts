/**
 * The transfer threads (threads.ts) run compiled JavaScript. Each calls its engine synchronously,
 * so a worker is busy with exactly one task; progress and the cancel flag travel in shared memory.
 */
import type { SharedPiece } from '../engine/types.js';
import { builtFile } from '../package.js';
import { meet } from './barrier.js';
import type {
  AppendResult,
  FinishResult,
  MoveResult,
  PrepareResult,
  RemoveResult,
  SurveyResult,
  Task,
  ThreadStart,
  ThreadTask,
  WorkerContext,
} from './tasks.js';
import { startThreads, type Threads } from './threads.js';

/** What each kind of task resolves to. */
export interface TaskResults {
  readonly prepare: PrepareResult[];
  readonly move: MoveResult[];
  readonly append: AppendResult[];
  readonly help: SharedPiece | null;
  readonly finish: FinishResult[];
  readonly remove: RemoveResult[];
  readonly survey: SurveyResult[];
}

export interface WorkerPool {
  run<K extends Task['kind']>(task: Extract<Task, { kind: K }>): Promise<TaskResults[K]>;
  /** Once all have loaded: Node 20 ends the process when a thread is stopped meanwhile. */
  close(): Promise<void>;
}

/** Threads that load while the caller goes on. */
export interface StartedPool extends WorkerPool {
  /** Starts what is missing of so many threads. */
  growTo(threads: number): void;
  /** Resolves when every thread has loaded its code and its engine. Errors: THREAD_DIED, or why one cannot load. */
  ready(): Promise<void>;
  /**
   * `ready`, and gives every thread what its tasks need; with `additions` it loads what a retry of published folders
   * needs as well. After this nothing has to be loaded from disk any more.
   */
  begin(context: WorkerContext, additions: boolean): Promise<void>;
}

/** Threads that were started at the same time. */
interface Team {
  readonly threads: Threads;
  readonly size: number;
  /** Tasks under way. */
  busy: number;
}

/** Starts so many threads at once. */
export function startPool(threads: number, start: ThreadStart): StartedPool {
  const teams: Team[] = [];
  /** One of them may be loading. */
  let loading = false;
  let closed: Promise<void> | undefined;
  const growTo = (wanted: number): void => {
    const size = wanted - teams.reduce((sum, team) => sum + team.size, 0);
    if (size <= 0) return;
    teams.push({ threads: startThreads(builtFile('upgrade/worker'), size, start), size, busy: 0 });
    loading = true;
  };
  const runIn = async (team: Team, task: ThreadTask): Promise<unknown> => {
    team.busy += 1;
    try {
      return await team.threads.run(task);
    } finally {
      team.busy -= 1;
    }
  };
  const begin = async (context: WorkerContext | null, additions: boolean): Promise<void> => {
    const begun = teams.flatMap((team) =>
      meet(team.size, (barrier) => runIn(team, { kind: 'begin', ...barrier, context, additions })),
    );
    const ended = await Promise.allSettled(begun);
    loading = false;
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  };
  const stop = async (): Promise<void> => {
    if (loading) await begin(null, false).catch(() => {});
    await Promise.all(teams.map((team) => team.threads.close()));
  };
  growTo(threads);
  return {
    run<K extends Task['kind']>(task: Extract<Task, { kind: K }>) {
      const team = teams.reduce((free, other) => (other.busy / other.size < free.busy / free.size ? other : free));
      return runIn(team, task) as Promise<TaskResults[K]>;
    },
    growTo,
    ready: () => begin(null, false),
    begin,
    close() {
      closed ??= stop();
      return closed;
    },
  };
}
