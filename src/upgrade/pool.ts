/**
 * The transfer threads (threads.ts) run compiled JavaScript. Each calls its engine synchronously,
 * so a worker is busy with exactly one task; progress and the cancel flag travel in shared memory.
 *
 * Threads come in teams, which were started together. A task waits here, not in a team, until one of all the threads is
 * free: so none waits while another thread has nothing to do. A thread that is started later (`add`) is a team that gets
 * its first task when it has loaded; one that cannot load was never there.
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
  /** Threads that take tasks, whether they have one or not. */
  readonly size: number;
  /** Starts what is missing of so many threads, before `begin`. */
  growTo(threads: number): void;
  /**
   * Resolves when every thread has loaded its code and its engine, to the files of code that a thread has loaded.
   * Errors: THREAD_DIED, or why one cannot load.
   */
  ready(): Promise<readonly string[]>;
  /**
   * `ready`, and gives every thread what its tasks need; with `additions` it loads what a retry of published folders
   * needs as well. After this nothing has to be loaded from disk any more.
   */
  begin(context: WorkerContext, additions: boolean): Promise<void>;
  /**
   * Starts one more thread, after `begin`; it is one of the others when it has loaded and `approve` does not throw.
   * Resolves to false when the threads are closed before that. Errors: why it cannot be started, which harms nobody else.
   */
  add(approve: () => void): Promise<boolean>;
}

/** Threads that were started at the same time. */
interface Team {
  readonly threads: Threads;
  readonly size: number;
  /** Tasks under way. */
  busy: number;
}

interface Waiting {
  readonly task: ThreadTask;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** Starts so many threads at once. */
export function startPool(threads: number, start: ThreadStart): StartedPool {
  const teams: Team[] = [];
  const waiting: Waiting[] = [];
  /** One of the teams may be loading. */
  let loading = false;
  /** Threads that were started later and are no team yet. */
  const coming = new Set<Promise<unknown>>();
  let begun: { readonly context: WorkerContext; readonly additions: boolean } | undefined;
  let closed: Promise<void> | undefined;

  const startTeam = (size: number): Team => ({
    threads: startThreads(builtFile('upgrade/worker.cjs'), size, start),
    size,
    busy: 0,
  });
  const sizeOfAll = (): number => teams.reduce((sum, { size }) => sum + size, 0);
  const growTo = (wanted: number): void => {
    const size = wanted - sizeOfAll();
    if (size <= 0) return;
    teams.push(startTeam(size));
    loading = true;
  };

  const runIn = async (team: Team, task: ThreadTask): Promise<unknown> => {
    team.busy += 1;
    try {
      return await team.threads.run(task);
    } finally {
      team.busy -= 1;
      giveTasks();
    }
  };
  const giveTasks = (): void => {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const team = teams.find(({ busy, size }) => busy < size);
      if (team === undefined) return;
      waiting.shift();
      runIn(team, next.task).then(next.resolve, next.reject);
    }
  };

  const beginTeam = (team: Team, context: WorkerContext | null, additions: boolean): Promise<unknown>[] =>
    meet(team.size, (barrier) => runIn(team, { kind: 'begin', ...barrier, context, additions }));
  const begin = async (context: WorkerContext | null, additions: boolean): Promise<readonly string[]> => {
    const ended = await Promise.allSettled(teams.flatMap((team) => beginTeam(team, context, additions)));
    loading = false;
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
    if (context !== null) begun = { context, additions };
    return ended.flatMap((end) => (end.status === 'fulfilled' ? (end.value as string[]) : []));
  };

  const add = async (approve: () => void): Promise<boolean> => {
    if (begun === undefined) throw new Error('a thread was added before the others had begun');
    if (closed !== undefined) return false;
    const { context, additions } = begun;
    const team = startTeam(1);
    const beginOne = (): Promise<unknown> => Promise.all(beginTeam(team, context, additions));
    try {
      await beginOne().catch(async (error: unknown) => {
        // piscina starts another one in the place of one that ended as it loaded: it may do; or has to end, too, before it
        // may be stopped.
        await beginOne().catch(() => {
          throw error;
        });
      });
      approve();
    } catch (error) {
      await team.threads.close();
      throw error;
    }
    if (closed !== undefined) {
      await team.threads.close();
      return false;
    }
    teams.push(team);
    giveTasks();
    return true;
  };

  const stop = async (): Promise<void> => {
    if (loading) await begin(null, false).catch(() => {});
    await Promise.allSettled(coming);
    await Promise.all(teams.map((team) => team.threads.close()));
  };

  const pool: StartedPool = {
    get size() {
      return sizeOfAll();
    },
    run<K extends Task['kind']>(task: Extract<Task, { kind: K }>) {
      const result = new Promise<unknown>((resolve, reject) => {
        waiting.push({ task, resolve, reject });
      });
      giveTasks();
      return result as Promise<TaskResults[K]>;
    },
    growTo,
    ready: () => begin(null, false),
    async begin(context, additions) {
      await begin(context, additions);
    },
    async add(approve) {
      const added = add(approve);
      coming.add(added);
      try {
        return await added;
      } finally {
        coming.delete(added);
      }
    },
    close() {
      closed ??= stop();
      return closed;
    },
  };
  growTo(threads);
  return pool;
}
