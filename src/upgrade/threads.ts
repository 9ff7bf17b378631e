/**
 * Threads that do tasks (piscina), and what becomes of tasks whose thread dies: of memory that ran out (a thread has a
 * limit of its own), or of a defect.
 *
 * - The task of a thread that died fails with THREAD_DIED. Others go on: nobody may take back the descriptors that a
 *   running task works with before it has ended.
 * - piscina starts another thread in its place. That may fail, because the process has become an account that cannot
 *   read the code; when no thread is left, tasks that wait fail too, instead of waiting for ever.
 * - Descriptors that a thread opened are the process's: a folder that a thread has locked stays locked when the thread
 *   ends. (Node would close them with the thread, under numbers that may long be somebody else's.)
 */
import { Piscina } from 'piscina';
import { describeError, EXIT, MailhaulError } from '../errors.js';

export interface Threads {
  /** Rejects with what the task throws, THREAD_DIED, and a plain error after `close`, which is a defect. */
  run(task: unknown, options?: { readonly transferList: ArrayBuffer[] }): Promise<unknown>;
  close(): Promise<void>;
}

/** Starts all threads at once. `filename` exports the function that does a task; it finds `data` as `workerData`. */
export function startThreads(filename: string, threads: number, data: unknown): Threads {
  const pool = new Piscina({
    filename,
    minThreads: threads,
    maxThreads: threads,
    maxQueue: Number.POSITIVE_INFINITY,
    workerData: data,
    trackUnmanagedFds: false,
  });
  let closing = false;
  let deaths = 0;
  /** Set when no thread is left. */
  let abandoned: MailhaulError | undefined;
  /** What fails the tasks under way. A race with one promise for all would keep every result until the end of the run. */
  const underWay = new Set<(error: MailhaulError) => void>();
  const unlessAbandoned = (task: Promise<unknown>): Promise<unknown> =>
    new Promise((resolve, reject) => {
      underWay.add(reject);
      task.then(resolve, reject).finally(() => underWay.delete(reject));
      if (abandoned !== undefined) reject(abandoned);
    });
  pool.on('workerDestroy', () => {
    if (closing) return;
    deaths += 1;
    // After piscina has started another one, where it does.
    setImmediate(() => {
      if (pool.threads.length > 0) return;
      abandoned = threadDied('it could not be started again');
      for (const reject of underWay) reject(abandoned);
    });
  });
  // A thread that died without a task, such as one that could not be started again.
  pool.on('error', () => {});
  return {
    async run(task, options) {
      // piscina would start a thread for it.
      if (closing) throw new Error('a task came after the threads were closed');
      const deathsBefore = deaths;
      try {
        return await unlessAbandoned(pool.run(task, options));
      } catch (error) {
        if (deaths === deathsBefore || error instanceof MailhaulError) throw error;
        throw threadDied(describeError(error), error);
      }
    },
    close() {
      closing = true;
      return pool.destroy();
    },
  };
}

function threadDied(why: string, cause?: unknown): MailhaulError {
  return new MailhaulError('THREAD_DIED', `A thread ended by itself: ${why}.`, {
    hint: 'Nothing was lost: run the same command again, with fewer threads (-t) if memory was short.',
    exit: EXIT.halted,
    cause,
  });
}
