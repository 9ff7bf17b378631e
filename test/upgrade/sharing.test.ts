import { describe, expect, it } from 'vitest';
import type { SharedJobs } from '../../src/engine/types.js';
import type { Lane } from '../../src/upgrade/dispatch.js';
import type { WorkerPool } from '../../src/upgrade/pool.js';
import { runShared } from '../../src/upgrade/sharing.js';
import type { Task } from '../../src/upgrade/tasks.js';

/** Writes down what happens; every helper is asked for one piece before the work is begun. */
function sharing(threads: number) {
  const events: string[] = [];
  const jobs: SharedJobs = {
    announce: () => {
      events.push('announce 7');
      return 7;
    },
    forget: (job) => void events.push(`forget ${job}`),
    help: () => null,
  };
  const run = async (task: Task): Promise<unknown> => {
    events.push(task.kind === 'help' ? `help ${task.job}` : task.kind);
    return { messages: 4096, bytes: 1 };
  };
  const lane: Lane = {
    async run(step, task, helpers) {
      events.push(step);
      for (let i = 0; i < (helpers?.threads ?? 0); i++)
        expect(await helpers?.piece()).toMatchObject({ messages: 4096 });
      return await task();
    },
  };
  const pool = { run } as unknown as Pick<WorkerPool, 'run'>;
  return { events, lane, run: { jobs, pool, options: { threads } } };
}

describe('a giant folder on several threads', () => {
  it('lets all other threads help, and ends the job with the step', async () => {
    const { events, lane, run } = sharing(4);
    const result = await runShared(run, lane, 'move', 1_000_000, async (job) => `done ${job}`);
    expect(result).toBe('done 7');
    expect(events).toEqual(['announce 7', 'move', 'help 7', 'help 7', 'help 7', 'forget 7']);
  });

  it('lets only as many help as there is work for', async () => {
    const { events, lane, run } = sharing(8);
    await runShared(run, lane, 'prepare', 3 * 8192, async () => undefined);
    expect(events.filter((event) => event === 'help 7')).toHaveLength(2);
  });

  it.each([
    ['a small folder', 4, 8191, true],
    ['one thread', 1, 1_000_000, true],
    ['an engine that cannot share', 4, 1_000_000, false],
  ])('lets nobody help for %s', async (_, threads, messages, canShare) => {
    const { events, lane, run } = sharing(threads);
    const sharer = canShare ? run : { ...run, jobs: undefined };
    expect(await runShared(sharer, lane, 'move', messages, async (job) => job)).toBe(0);
    expect(events).toEqual(['move']);
  });

  it('ends the job when the work failed', async () => {
    const { events, lane, run } = sharing(2);
    const failing = runShared(run, lane, 'move', 100_000, () => Promise.reject(new Error('no disk')));
    await expect(failing).rejects.toThrow('no disk');
    expect(events.at(-1)).toBe('forget 7');
  });
});
