import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { dispatch, type Errand, type Lane } from '../../src/upgrade/dispatch.js';
import { Schedule } from '../../src/upgrade/schedule.js';

const NOTHING = { messages: 0, bytes: 0 };

function scheduleOf(devices: readonly string[], threads: number): Schedule {
  const works = devices.map((name) => ({ source: name, target: name, folders: 10, messages: 100 }));
  return new Schedule(works, { threads, queue: 50 });
}

/** Ten batches of one folder on each route. */
function lists(routes: number): (route: number) => { batch: string; folders: number; messages: number } | undefined {
  const taken = Array.from({ length: routes }, () => 0);
  return (route) => {
    const number = taken[route] ?? 0;
    taken[route] = number + 1;
    return number < 10 ? { batch: `${route}/${number}`, folders: 1, messages: 10 } : undefined;
  };
}

async function bothSteps(lane: Lane, task: () => Promise<void>): Promise<void> {
  await lane.run('prepare', task);
  await lane.run('move', task);
}

describe('dispatch', () => {
  it('carries every batch of every list through its steps, once', async () => {
    const done: string[] = [];
    await dispatch<string>(scheduleOf(['a', 'b'], 2), {
      take: lists(2),
      async process(batch, lane) {
        await bothSteps(lane, () => sleep(0));
        done.push(batch);
        return NOTHING;
      },
      isStopped: () => false,
    });
    expect(done).toHaveLength(20);
    expect(new Set(done).size).toBe(20);
  });

  it('never has more tasks than threads', async () => {
    let [active, most] = [0, 0];
    await dispatch<string>(scheduleOf(['a', 'b', 'c'], 2), {
      take: lists(3),
      async process(_batch, lane) {
        await bothSteps(lane, async () => {
          active += 1;
          most = Math.max(most, active);
          await sleep(0);
          active -= 1;
        });
        return NOTHING;
      },
      isStopped: () => false,
    });
    expect(most).toBe(2);
  });

  it('gives a thread its next task before the result of the last one is looked at', async () => {
    const events: string[] = [];
    await dispatch<string>(scheduleOf(['a'], 1), {
      take: lists(1),
      async process(batch, lane) {
        await lane.run('prepare', async () => void events.push(`task ${batch}`));
        events.push(`result ${batch}`);
        return NOTHING;
      },
      isStopped: () => false,
    });
    expect(events.indexOf('task 0/1')).toBeLessThan(events.indexOf('result 0/0'));
  });

  it('ends what is under way, and begins nothing new, when it is stopped', async () => {
    const begun: string[] = [];
    const ended: string[] = [];
    await dispatch<string>(scheduleOf(['a'], 1), {
      take: lists(1),
      async process(batch, lane) {
        begun.push(batch);
        await bothSteps(lane, () => sleep(0));
        ended.push(batch);
        return NOTHING;
      },
      isStopped: () => ended.length > 0,
    });
    expect(ended.sort()).toEqual(begun.sort());
    expect(ended.length).toBeLessThan(10);
  });

  it('gives back the thread of a task that fails', async () => {
    let failed = 0;
    await dispatch<string>(scheduleOf(['a'], 1), {
      take: lists(1),
      async process(_batch, lane) {
        await lane
          .run('prepare', () => Promise.reject(new Error('dead')))
          .catch(() => {
            failed += 1;
          });
        return NOTHING;
      },
      isStopped: () => false,
    });
    expect(failed).toBe(10);
  });

  it('gives an errand the next thread that its device may have, before the batches that wait', async () => {
    const events: string[] = [];
    let errand: Errand = () => Promise.reject(new Error('not begun'));
    let sent: Promise<void> | undefined;
    await dispatch<string>(scheduleOf(['a'], 1), {
      take: lists(1),
      begun: (given) => {
        errand = given;
      },
      async process(batch, lane) {
        await lane.run('prepare', async () => {
          events.push(batch);
          sent ??= errand('a', async () => void events.push('errand'));
          await sleep(0);
        });
        return NOTHING;
      },
      isStopped: () => false,
    });
    expect(events.slice(0, 3)).toEqual(['0/0', 'errand', '0/1']);
    await sent;
  });

  it('waits for errands, and does one that comes when all else is done or stopped', async () => {
    let errand: Errand = () => Promise.reject(new Error('not begun'));
    let done = 0;
    const one = async () => {
      await sleep(5);
      done += 1;
    };
    await dispatch<string>(scheduleOf(['a'], 1), {
      take: lists(1),
      begun(given) {
        errand = given;
        void errand('a', one);
      },
      process: () => Promise.resolve(NOTHING),
      isStopped: () => true,
    });
    expect(done).toBe(1);
    await errand('a', one);
    await errand('not on any list', one);
    expect(done).toBe(3);
    await expect(errand('a', () => Promise.reject(new Error('dead')))).rejects.toThrow('dead');
    await errand('a', one);
    expect(done).toBe(4);
  });

  it('ends at once when there is nothing to do', async () => {
    const work = { take: () => undefined, process: () => Promise.resolve(NOTHING), isStopped: () => false };
    await expect(dispatch<string>(scheduleOf([], 1), work)).resolves.toBeUndefined();
    await expect(dispatch<string>(scheduleOf(['a'], 1), work)).resolves.toBeUndefined();
  });
});

describe('dispatch with threads that come later', () => {
  /** Threads that come when `come` is called; what was wanted. */
  function crewOf(size: number, most: number) {
    let waiting: (() => void) | undefined;
    const wanted: number[] = [];
    const crew = {
      size,
      most,
      want(more: number, came: () => void) {
        wanted.push(more);
        if (more > 0) waiting = came;
      },
    };
    const come = (): void => {
      const came = waiting;
      waiting = undefined;
      if (came === undefined || crew.size >= most) return;
      crew.size += 1;
      came();
    };
    return { crew, wanted, come };
  }

  /** Ten folders on one device; the most tasks at a time, with and without `come` before each task ends. */
  async function most(threads: ReturnType<typeof crewOf>, comes: boolean): Promise<number> {
    let [active, highest, done] = [0, 0, 0];
    await dispatch<string>(scheduleOf(['a'], threads.crew.most), {
      crew: threads.crew,
      take: lists(1),
      async process(_batch, lane) {
        await bothSteps(lane, async () => {
          active += 1;
          highest = Math.max(highest, active);
          await sleep(1);
          if (comes) threads.come();
          active -= 1;
        });
        done += 1;
        return { messages: 10, bytes: 0 };
      },
      isStopped: () => false,
    });
    expect(done).toBe(10);
    return highest;
  }

  it('does all with those that are there when no other comes', async () => {
    const threads = crewOf(1, 8);
    expect(await most(threads, false)).toBe(1);
    // The device began with two tasks at a time.
    expect(Math.max(...threads.wanted)).toBeGreaterThanOrEqual(1);
  });

  it('gives one that comes a task at once', async () => {
    expect(await most(crewOf(1, 2), true)).toBe(2);
  });

  it('goes on when it hears that there will be no further one', async () => {
    const threads = crewOf(1, 8);
    const end = (): void => {
      threads.crew.most = 1;
      threads.come();
    };
    const want = threads.crew.want.bind(threads.crew);
    threads.crew.want = (more, came) => {
      want(more, came);
      if (more > 0) setImmediate(end);
    };
    expect(await most(threads, false)).toBe(1);
    expect(threads.wanted.at(-1)).toBe(0);
  });

  it('wants none when the last thread has nothing to wait for', async () => {
    const threads = crewOf(2, 2);
    expect(await most(threads, false)).toBe(2);
    expect(new Set(threads.wanted)).toEqual(new Set([0]));
  });
});
