/**
 * One giant folder on several threads: the thread that has it works on it as always, and those that are free and have
 * nothing more urgent do a piece of it each (SharedJobs of engine/types.ts, Schedule.grantHelp).
 */
import type { SharedJobs } from '../engine/types.js';
import type { Lane } from './dispatch.js';
import type { WorkerPool } from './pool.js';
import type { Step } from './schedule-types.js';

/** So many messages for each thread at least: two slices of the engine. */
const MESSAGES_A_THREAD = 8192;
/** More of them would wait for the slice that the index needs next (kAhead of native/src/engine/migrate.cc). */
const MOST_THREADS = 16;

/** Of a Run. */
export interface Sharing {
  readonly jobs: SharedJobs | undefined;
  readonly pool: Pick<WorkerPool, 'run'>;
  readonly options: { readonly threads: number };
}

/** Threads that a folder of about so many messages can use, at least one. */
export function threadsFor(messages: number): number {
  return Math.max(1, Math.min(MOST_THREADS, Math.floor(messages / MESSAGES_A_THREAD)));
}

/**
 * Does a step of a batch of about so many messages when it has its thread. `work` is given the number of its job, 0 when
 * nobody helps.
 */
export async function runShared<T>(
  { jobs, pool, options: { threads } }: Sharing,
  lane: Lane,
  step: Step,
  messages: number,
  work: (job: number) => Promise<T>,
): Promise<T> {
  const helpers = Math.min(threads, threadsFor(messages)) - 1;
  if (jobs === undefined || helpers < 1) return await lane.run(step, () => work(0));
  const job = jobs.announce();
  try {
    return await lane.run(step, () => work(job), {
      threads: helpers,
      piece: async () => (await pool.run({ kind: 'help', job })) ?? undefined,
    });
  } finally {
    jobs.forget(job);
  }
}
