/**
 * One giant folder on several threads: the thread that has it works on it as always, and others that are idle help
 * (SharedJobs of engine/types.ts). The tasks of the helpers stand behind those that wait already; one that comes when
 * nothing is left ends at once.
 */
import type { SharedJobs } from '../engine/types.js';
import type { WorkerPool } from './pool.js';

/** So many messages for each thread at least: two slices of the engine. */
const MESSAGES_A_THREAD = 8192;

/** Of a Run. */
export interface Sharing {
  readonly jobs: SharedJobs | undefined;
  readonly pool: Pick<WorkerPool, 'run'>;
  readonly options: { readonly threads: number };
}

/** Does `work` for a folder of about so many messages; it is given the number of its job, 0 when nobody helps. */
export async function withHelp<T>(
  { jobs, pool, options: { threads } }: Sharing,
  messages: number,
  work: (job: number) => Promise<T>,
): Promise<T> {
  const helpers = Math.min(threads, Math.floor(messages / MESSAGES_A_THREAD)) - 1;
  if (jobs === undefined || helpers < 1) return await work(0);
  const job = jobs.announce();
  try {
    const done = work(job);
    for (let i = 0; i < helpers; i++) {
      // A helper that fails has left nothing undone: what it took is in the result of the one who has the folder.
      pool.run({ kind: 'help', job }).catch(() => undefined);
    }
    return await done;
  } finally {
    jobs.forget(job);
  }
}
