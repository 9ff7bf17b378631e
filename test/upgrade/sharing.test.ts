import { describe, expect, it } from 'vitest';
import type { SharedJobs } from '../../src/engine/types.js';
import type { WorkerPool } from '../../src/upgrade/pool.js';
import { withHelp } from '../../src/upgrade/sharing.js';
import type { Task } from '../../src/upgrade/tasks.js';

/** Writes down what happens; helpers fail when `fails`. */
function sharing(threads: number, fails = false) {
  const events: string[] = [];
  const jobs: SharedJobs = {
    announce: () => {
      events.push('announce 7');
      return 7;
    },
    forget: (job) => void events.push(`forget ${job}`),
    help: () => undefined,
  };
  const run = (task: Task): Promise<never> => {
    events.push(task.kind === 'help' ? `help ${task.job}` : task.kind);
    return fails ? Promise.reject(new Error('dead')) : new Promise(() => undefined);
  };
  return { events, jobs, pool: { run } as unknown as Pick<WorkerPool, 'run'>, options: { threads } };
}

describe('a giant folder on several threads', () => {
  it('asks all other threads to help, after it was begun', async () => {
    const shared = sharing(4);
    const result = await withHelp(shared, 1_000_000, async (job) => {
      shared.events.push(`begin ${job}`);
      return 'done';
    });
    expect(result).toBe('done');
    expect(shared.events).toEqual(['announce 7', 'begin 7', 'help 7', 'help 7', 'help 7', 'forget 7']);
  });

  it('asks only as many as there is work for', async () => {
    const shared = sharing(8);
    await withHelp(shared, 3 * 8192, async () => undefined);
    expect(shared.events.filter((event) => event === 'help 7')).toHaveLength(2);
  });

  it.each([
    ['a small folder', sharing(4), 8191],
    ['one thread', sharing(1), 1_000_000],
    ['an engine that cannot share', { ...sharing(4), jobs: undefined }, 1_000_000],
  ])('asks nobody for %s', async (_, shared, messages) => {
    expect(await withHelp(shared, messages, async (job) => job)).toBe(0);
    expect(shared.events).toEqual([]);
  });

  it('lets the helpers go when the work failed', async () => {
    const shared = sharing(2);
    const failing = withHelp(shared, 100_000, () => Promise.reject(new Error('no disk')));
    await expect(failing).rejects.toThrow('no disk');
    expect(shared.events.at(-1)).toBe('forget 7');
  });

  it('goes on without a helper that failed', async () => {
    expect(await withHelp(sharing(2, true), 100_000, async (job) => job)).toBe(7);
  });
});
