/**
 * The transfer threads (threads.ts) run compiled JavaScript. Each calls its engine synchronously,
 * so a worker is busy with exactly one task; progress and the cancel flag travel in shared memory.
 */
import type { SharedPiece } from '../engine/types.js';
import { builtFile } from '../package.js';
import type {
  AppendResult,
  BeginTask,
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
  let loading = true;
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
  const meet = async (context: WorkerContext | null, additions: boolean): Promise<void> => {
    const ended = await Promise.allSettled(teams.flatMap((team) => meetTeam(team, runIn, context, additions)));
    loading = false;
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  };
  const stop = async (): Promise<void> => {
    if (loading) await meet(null, false).catch(() => {});
    await Promise.all(teams.map((team) => team.threads.close()));
  };
  growTo(threads);
  return {
    run<K extends Task['kind']>(task: Extract<Task, { kind: K }>) {
      const team = teams.reduce((free, other) => (other.busy / other.size < free.busy / free.size ? other : free));
      return runIn(team, task) as Promise<TaskResults[K]>;
    },
    growTo,
    ready: () => meet(null, false),
    begin: meet,
    close() {
      closed ??= stop();
      return closed;
    },
  };
}

/**
 * A barrier: no thread leaves its task before all of its team have come, so each has one, and is loaded. One that dies on
 * the way lets the others go.
 */
function meetTeam(
  team: Team,
  runIn: (team: Team, task: ThreadTask) => Promise<unknown>,
  context: WorkerContext | null,
  additions: boolean,
): Promise<unknown>[] {
  const arrived = new Int32Array(new SharedArrayBuffer(4));
  const task: BeginTask = { kind: 'begin', arrived, threads: team.size, context, additions };
  return Array.from({ length: team.size }, () =>
    runIn(team, task).catch((error: unknown) => {
      Atomics.add(arrived, 0, team.size);
      Atomics.notify(arrived, 0);
      throw error;
    }),
  );
}
