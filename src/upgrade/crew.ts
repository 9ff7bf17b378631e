/**
 * Threads that come while a run goes on. A thread costs 63 ms of processor time to start, and most runs have no use for
 * more than there are processors: mail that is in memory keeps those busy. So further ones, up to `-t`, are started when
 *
 *     the schedule, which has all tasks of a run, could use them                           (Schedule.threadsWanted)
 *     and those that are there wait for something else than a processor                          (waits.ts)
 *
 * The second one is what makes a difference: how many tasks a device does best is found by trying more (limit.ts), also
 * where no processor is left that could make more of it.
 *
 * Who wants one may hear of nothing more until it comes, where the tasks under way are those of a disk that does not
 * answer: while threads are wanted the wait is looked at by the clock.
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

/** Milliseconds. */
const LOOK_AGAIN_MS = 50;

export function createCrew(pool: Pick<StartedPool, 'size' | 'add'>, { most, code, waits, failed }: CrewOptions): Crew {
  let coming = 0;
  let givenUp = false;
  /** What the schedule said last, and how it hears of a thread. */
  let wanted = 0;
  let tell = (): void => {};
  let next: NodeJS.Timeout | undefined;
  const sizeAtMost = (): number => (givenUp ? Math.min(pool.size, most) : most);
  const start = async (): Promise<void> => {
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
      queueMicrotask(() => tell());
    }
  };
  const look = (): void => {
    clearTimeout(next);
    next = undefined;
    const room = sizeAtMost() - pool.size - coming;
    if (room <= 0) return;
    if (wanted === 0) waits.pause();
    else if (waits.areLong(pool.size)) for (let i = Math.min(wanted - coming, room); i > 0; i--) void start();
    else next = setTimeout(look, LOOK_AGAIN_MS).unref();
  };
  return {
    get size() {
      return Math.min(pool.size, most);
    },
    get most() {
      return sizeAtMost();
    },
    want(more, came) {
      wanted = more;
      tell = came;
      look();
    },
  };
}
