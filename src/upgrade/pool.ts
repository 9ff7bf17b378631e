/**
 * The transfer threads (threads.ts) run compiled JavaScript. Each calls its engine synchronously,
 * so a worker is busy with exactly one task; progress and the cancel flag travel in shared memory.
 */
import type { SharedPiece } from '../engine/types.js';
import { builtFile } from '../package.js';
import type {
  AppendResult,
  FinishResult,
  MoveResult,
  PrepareResult,
  RemoveResult,
  SurveyResult,
  Task,
  WorkerContext,
} from './tasks.js';
import { startThreads } from './threads.js';

/** What each kind of task resolves to. */
export interface TaskResults {
  readonly prepare: PrepareResult[];
  readonly move: MoveResult[];
  readonly append: AppendResult[];
  readonly help: SharedPiece | null;
  readonly warm: null;
  readonly finish: FinishResult[];
  readonly remove: RemoveResult[];
  readonly survey: SurveyResult[];
}

export interface WorkerPool {
  run<K extends Task['kind']>(task: Extract<Task, { kind: K }>): Promise<TaskResults[K]>;
  /** Resolves when every thread has loaded its code and its engine. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

/** Starts all threads at once: after this nothing has to be loaded from disk any more. */
export function startPool(threads: number, context: WorkerContext): WorkerPool {
  const pool = startThreads(builtFile('upgrade/worker'), threads, context);
  return {
    run: <K extends Task['kind']>(task: Extract<Task, { kind: K }>) => pool.run(task) as Promise<TaskResults[K]>,
    async ready() {
      // A barrier: no thread leaves its task before all have come, so each has one, and is loaded.
      const arrived = new Int32Array(new SharedArrayBuffer(4));
      await Promise.all(
        Array.from({ length: threads }, () => pool.run({ kind: 'warm', arrived, threads } satisfies Task)),
      );
    },
    close: () => pool.close(),
  };
}
