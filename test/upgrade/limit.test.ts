import { describe, expect, it } from 'vitest';
import { InFlightLimit } from '../../src/upgrade/limit.js';

/**
 * Feeds a limit with windows of batches of a device that does `rate(tasks)` units a millisecond; `tasks` are the threads
 * that there are, for each batch.
 */
function feed(
  limit: InFlightLimit,
  batches: number,
  rate: (tasks: number) => number,
  tasks: number | ((batch: number) => number) = Number.POSITIVE_INFINITY,
): number[] {
  const seen: number[] = [];
  let now = 0;
  limit.activeNow(0, now);
  for (let i = 0; i < batches; i++) {
    const active = Math.min(typeof tasks === 'number' ? tasks : tasks(i), limit.value);
    limit.activeNow(active, now);
    const { version } = limit;
    const ms = (100 * active) / rate(active);
    now += ms / active;
    limit.batchDone(version, 100, ms, now);
    seen.push(limit.value);
  }
  return seen;
}

describe('InFlightLimit', () => {
  it('doubles while that pays, and takes back the step that does not', () => {
    const limit = new InFlightLimit(2, 64);
    const seen = feed(limit, 60, (tasks) => Math.min(8, tasks));
    expect(seen).toContain(16);
    expect(limit.found).toBe(8);
  });

  it('goes back to fewer tasks when fewer were as good', () => {
    const limit = new InFlightLimit(2, 4);
    feed(limit, 4, () => 1, 1);
    feed(limit, 8, () => 1);
    expect(limit.found).toBe(1);
  });

  it('learns nothing about itself while other devices have the threads', () => {
    const limit = new InFlightLimit(4, 8);
    expect(new Set(feed(limit, 100, (tasks) => tasks, 2))).toEqual(new Set([4]));
  });

  it('does not count batches that began under another limit', () => {
    const limit = new InFlightLimit(2, 8);
    const { version } = limit;
    feed(limit, 4, (tasks) => tasks);
    expect(limit.value).toBe(4);
    for (let i = 0; i < 100; i++) limit.batchDone(version, 1, 1_000, i);
    expect(limit.value).toBe(4);
  });

  it('tries less and less often where more does not pay', () => {
    const limit = new InFlightLimit(1, 8);
    const seen = feed(limit, 400, () => 1);
    const steps = seen.filter((value, i) => value > (seen[i - 1] ?? 1)).length;
    expect(limit.found).toBe(1);
    expect(steps).toBeLessThan(12);
  });

  it('is never below 1 nor above what it may be', () => {
    expect([new InFlightLimit(0, 0).value, new InFlightLimit(5, 3).value]).toEqual([1, 3]);
  });

  it('keeps an attempt for which there are no threads, and judges it when they have come', () => {
    const limit = new InFlightLimit(2, 8);
    const seen = feed(
      limit,
      200,
      (tasks) => Math.min(4, tasks),
      (batch) => (batch < 100 ? 2 : 8),
    );
    expect(new Set(seen.slice(3, 100))).toEqual(new Set([4]));
    // With 4 it paid, with 8 it did not.
    expect(Math.max(...seen.slice(100))).toBe(8);
    expect(limit.found).toBe(4);
  });

  it('comes down to what there may be at most, and stays there', () => {
    const limit = new InFlightLimit(8, 64);
    const { version } = limit;
    limit.capAt(3);
    expect([limit.value, limit.version]).toEqual([3, version + 1]);
    expect(Math.max(...feed(limit, 200, (tasks) => tasks))).toBe(3);
    limit.capAt(5);
    expect(Math.max(...feed(limit, 200, (tasks) => tasks))).toBe(3);
    const attempting = new InFlightLimit(4, 64);
    expect(feed(attempting, 8, (tasks) => tasks).at(-1)).toBe(8);
    attempting.capAt(3);
    expect(Math.max(...feed(attempting, 200, () => 1))).toBe(3);
  });
});
