/**
 * Threads that come while a run goes on. A thread costs 63 ms of processor time to start, and most runs have no use for
 * more than there are processors: mail that is in memory keeps those busy. So further ones, up to `-t`, are started when
 *
 *     the schedule, or tasks beside it, could use them          (Schedule.threadsWanted, StartedPool.onWaiting)
 *     and those that are there wait for something else than a processor                          (waits.ts)
 *
 * The second one is what makes a difference: how many tasks a device does best is found by trying more (limit.ts), also
 * where no processor is left that could make more of it.
 *
 * One that cannot be started ends that for the run, and nothing else: it has never been given a task.
 */
import type { Crew } from './dispatch.js';
import type { StartedPool } from './pool.js';
import type { ThreadCode } from './thread-code.js';
import type { ThreadWaits } from './waits.js';

export interface CrewOptions {
  /** `-t`: threads in all. */
  readonly most: number;
  readonly code: Pick<ThreadCode, 'check'>;
  readonly waits: ThreadWaits;
  /** No further thread is tried. Called once at most. */
  failed(error: unknown): void;
}

export function createCrew(
  pool: Pick<StartedPool, 'size' | 'add' | 'onWaiting'>,
  { most, code, waits, failed }: CrewOptions,
): Crew {
  let coming = 0;
  let givenUp = false;
  const sizeAtMost = (): number => (givenUp ? Math.min(pool.size, most) : most);
  const start = async (came: () => void): Promise<void> => {
    coming += 1;
    try {
      // Before it loads, and again afterwards: what it has loaded is what was there all the time.
      code.check();
      if (await pool.add(() => code.check())) waits.restart();
    } catch (error) {
      if (!givenUp) failed(error);
      givenUp = true;
    } finally {
      coming -= 1;
      // Not from within `want`: who hears of it asks again.
      queueMicrotask(came);
    }
  };
  const want = (more: number, came: () => void): void => {
    const room = sizeAtMost() - pool.size - coming;
    if (room <= 0) return;
    if (more === 0) waits.pause();
    else if (waits.areLong(pool.size)) for (let i = Math.min(more - coming, room); i > 0; i--) void start(came);
  };
  pool.onWaiting = (tasks) => want(tasks, () => {});
  return {
    get size() {
      return Math.min(pool.size, most);
    },
    get most() {
      return sizeAtMost();
    },
    want,
  };
}
