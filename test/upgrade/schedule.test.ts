import { describe, expect, it } from 'vitest';
import { Schedule } from '../../src/upgrade/schedule.js';
import { disk, simulate, spindle } from './schedule-support.js';

const evenly = (folders: number, messages: number): Uint32Array => new Uint32Array(folders).fill(messages);

/** 20,000 messages on each of two disks. */
const TWO_DISKS = [
  { source: 'fast', target: 'fast', folders: evenly(50, 400) },
  { source: 'slow', target: 'slow', folders: evenly(50, 400) },
];
const FAST = disk(20, 40);
/** A tenth of it, however many tasks ask. */
const THROTTLED = disk(4, 4);

describe('two disks, one a tenth as fast', () => {
  const alone = simulate({ disks: { slow: THROTTLED }, routes: TWO_DISKS.slice(1), threads: 2 });

  it.each([2, 3, 5, 8])('take no more than 1.1 times the slower one alone, with %i threads', (threads) => {
    const both = simulate({ disks: { fast: FAST, slow: THROTTLED }, routes: TWO_DISKS, threads, noise: 0.3 });
    expect(both.messages).toBe(40_000);
    expect(both.ms).toBeLessThan(1.1 * alone.ms);
  });

  it('the slow one has work from the first moment to the last', () => {
    const both = simulate({ disks: { fast: FAST, slow: THROTTLED }, routes: TWO_DISKS, threads: 2 });
    expect(both.idle.get('slow')).toBeLessThan(0.02 * both.ms);
  });

  it.each([2, 3, 5])('the fast one does not wait for the slow one, with %i threads', (threads) => {
    const both = simulate({ disks: { fast: FAST, slow: THROTTLED }, routes: TWO_DISKS, threads, recordMs: 30 });
    const fast = simulate({ disks: { fast: FAST }, routes: TWO_DISKS.slice(0, 1), threads: threads - 1, recordMs: 30 });
    expect(both.ended.get('fast')).toBeLessThan(1.3 * fast.ms);
  });

  it('share one thread in turn, and lose nothing', () => {
    const both = simulate({ disks: { fast: FAST, slow: THROTTLED }, routes: TWO_DISKS, threads: 1 });
    expect([both.messages, both.mostActive]).toEqual([40_000, 1]);
  });
});

describe('more disks than threads', () => {
  const NAMES = ['a', 'b', 'c', 'd', 'slow'];
  const routes = NAMES.map((name) => ({ source: name, target: name, folders: evenly(40, 250) }));
  const disks = Object.fromEntries(NAMES.map((name) => [name, name === 'slow' ? disk(2, 2) : disk(20, 20)]));

  it('end with the slowest, which has a thread all the time', () => {
    const result = simulate({ disks, routes, threads: 2 });
    expect(result.messages).toBe(50_000);
    expect(result.ms).toBeLessThan(1.1 * (10_000 / 2) * 1.15);
  });

  it('never have more tasks than threads', () => {
    expect(simulate({ disks, routes, threads: 3 }).mostActive).toBe(3);
  });
});

describe('folders that go from one device to another', () => {
  it('count on both, and leave threads to those that do not share them', () => {
    const routes = [
      { source: 'old1', target: 'slow', folders: evenly(30, 300) },
      { source: 'old2', target: 'slow', folders: evenly(30, 300) },
      { source: 'old1', target: 'old1', folders: evenly(30, 300) },
    ];
    const disks = { old1: disk(20, 40), old2: disk(20, 40), slow: disk(3, 3) };
    const result = simulate({ disks, routes, threads: 4 });
    expect(result.messages).toBe(27_000);
    expect(result.ms).toBeLessThan(1.1 * (18_000 / 3) * 1.15);
    expect(result.uses.get('slow')?.messages).toBe(18_000);
    expect(result.uses.get('old1')?.messages).toBe(18_000);
  });
});

describe('one device', () => {
  it('keeps every thread at work to the end', () => {
    const folders = Uint32Array.from({ length: 300 }, (_, i) => 3_000 - i * 9);
    const result = simulate({
      disks: { one: disk(10, 40) },
      routes: [{ source: 'one', target: 'one', folders }],
      threads: 4,
    });
    expect(result.tailBusy).toBeGreaterThan(0.9);
  });

  it('is not slowed down by the time that records take', () => {
    const routes = [{ source: 'one', target: 'one', folders: evenly(2_000, 10) }];
    const quick = simulate({ disks: { one: disk(10, 20) }, routes, threads: 2, recordMs: 0 });
    const slow = simulate({ disks: { one: disk(10, 20) }, routes, threads: 2, recordMs: 30 });
    expect(slow.ms).toBeLessThan(1.2 * quick.ms);
  });

  it('is not slowed down by records that take long, where folders are few and large', () => {
    const routes = [{ source: 'one', target: 'one', folders: evenly(60, 2_000) }];
    const quick = simulate({ disks: { one: disk(10, 20) }, routes, threads: 2, recordMs: 0 });
    const slow = simulate({ disks: { one: disk(10, 20) }, routes, threads: 2, recordMs: 500 });
    expect(slow.ms).toBeLessThan(1.12 * quick.ms);
  });

  it('does its largest folders first, its last ones in small batches', () => {
    const routes = [{ source: 'one', target: 'one', folders: evenly(1_000, 10) }];
    const { batches } = simulate({ disks: { one: disk(10, 20) }, routes, threads: 2 });
    expect(batches[0]).toBe(50);
    expect(batches.at(-1)).toBe(1);
  });

  it('has few folders under way with -q 1', () => {
    const routes = [{ source: 'one', target: 'one', folders: evenly(200, 10) }];
    const { mostFoldersHeld, messages } = simulate({ disks: { one: disk(10, 20) }, routes, threads: 1, queue: 1 });
    expect(messages).toBe(2_000);
    expect(mostFoldersHeld).toBeLessThanOrEqual(4);
  });
});

describe('limits', () => {
  const many = (name: string) => [{ source: name, target: name, folders: evenly(2_000, 300) }];

  it('grow to what the device answers at once', () => {
    const { uses, ms } = simulate({ disks: { flash: disk(5, 60) }, routes: many('flash'), threads: 32, noise: 0.2 });
    expect(uses.get('flash')?.limit).toBeGreaterThanOrEqual(8);
    expect(ms).toBeLessThan(1.2 * (690_000 / 60));
  });

  it('stay low where more tasks make a disk slower', () => {
    const { uses, ms } = simulate({ disks: { old: spindle(10) }, routes: many('old'), threads: 32, noise: 0.2 });
    expect(uses.get('old')?.limit).toBeLessThanOrEqual(3);
    expect(ms).toBeLessThan(1.35 * (690_000 / 10));
  });

  it('follow a disk that becomes slower with every further task', () => {
    const change = { atMs: 20_000, disks: { one: spindle(5) } };
    const { uses } = simulate({ disks: { one: disk(5, 20) }, routes: many('one'), threads: 16, noise: 0.2, change });
    expect(uses.get('one')?.limit).toBeLessThanOrEqual(4);
  });

  it('are never above the threads, nor below one', () => {
    const { uses, mostActive } = simulate({ disks: { one: disk(5, 500) }, routes: many('one'), threads: 3 });
    expect([uses.get('one')?.limit, mostActive]).toEqual([3, 3]);
    const single = simulate({ disks: { old: spindle(10) }, routes: many('old'), threads: 1 });
    expect(single.uses.get('old')?.limit).toBe(1);
  });
});

describe('a site of 400,000 folders', () => {
  it('holds a bounded number of them at a time', () => {
    const routes = ['a', 'b'].map((name) => ({ source: name, target: name, folders: evenly(200_000, 10) }));
    const disks = { a: disk(20, 40), b: disk(4, 4) };
    const { mostFoldersHeld, messages } = simulate({ disks, routes, threads: 8 });
    expect(messages).toBe(4_000_000);
    expect(mostFoldersHeld).toBeLessThan(1_000);
  });

  it('holds few giant folders at a time', () => {
    const routes = [{ source: 'a', target: 'a', folders: evenly(100, 1_000_000) }];
    const { mostFoldersHeld } = simulate({ disks: { a: disk(20, 40) }, routes, threads: 2 });
    expect(mostFoldersHeld).toBeLessThanOrEqual(4);
  });
});

describe('a schedule', () => {
  it('lets a batch go on before it reads another one, and the longest way to go first', () => {
    const schedule = new Schedule(
      [
        { source: 'short', target: 'short', folders: 10, messages: 100 },
        { source: 'long', target: 'long', folders: 10, messages: 1_000 },
      ],
      { threads: 1, queue: 50 },
    );
    expect(schedule.open()).toBe(1);
    const first = schedule.begin(1, 1, 10);
    schedule.wait(first, 'prepare');
    expect(schedule.open()).toBe(0);
    const second = schedule.begin(0, 1, 10);
    schedule.wait(second, 'prepare');
    expect(schedule.grant(0)).toBe(first);
    expect(schedule.grant(0)).toBeUndefined();
    schedule.release(first, 5);
    const third = schedule.begin(1, 1, 10);
    schedule.wait(third, 'prepare');
    schedule.wait(first, 'move');
    expect(schedule.grant(5)).toBe(first);
    schedule.end(first, { messages: 10, bytes: 0 }, 9);
    expect(schedule.devices(9)).toEqual([
      { device: 'short', limit: 1, messages: 0, bytes: 0, busyMs: 0 },
      { device: 'long', limit: 1, messages: 10, bytes: 0, busyMs: 9 },
    ]);
  });

  it('is idle when what it was given has ended', () => {
    const schedule = new Schedule([{ source: 'a', target: 'a', folders: 1, messages: 1 }], { threads: 1, queue: 1 });
    const ticket = schedule.begin(0, 1, 1);
    expect(schedule.isIdle()).toBe(false);
    schedule.end(ticket, { messages: 0, bytes: 0 }, 1);
    schedule.exhausted(0);
    expect([schedule.isIdle(), schedule.open()]).toEqual([true, undefined]);
  });
});

describe('errands', () => {
  const two = (threads: number) =>
    new Schedule(
      ['a', 'b'].map((name) => ({ source: name, target: name, folders: 10, messages: 100 })),
      { threads, queue: 50 },
    );

  it('keep to the limit of their device, and leave the others theirs', () => {
    const schedule = two(2);
    const [first, second] = [schedule.beginErrand('a'), schedule.beginErrand('a')];
    for (const ticket of [first, second]) schedule.wait(ticket, 'move');
    expect(schedule.grant(0)).toBe(first);
    expect(schedule.grant(0)).toBeUndefined();
    const batch = schedule.begin(1, 1, 10);
    schedule.wait(batch, 'prepare');
    expect(schedule.grant(0)).toBe(batch);
    schedule.end(first, { messages: 0, bytes: 0 }, 1);
    expect(schedule.grant(1)).toBe(second);
    for (const ticket of [second, batch]) schedule.end(ticket, { messages: 0, bytes: 0 }, 2);
    expect(schedule.isIdle()).toBe(true);
  });

  it('say nothing about how fast moves are', () => {
    const schedule = two(8);
    for (let now = 0; now < 1_000; now += 10) {
      const ticket = schedule.beginErrand('a');
      schedule.wait(ticket, 'move');
      expect(schedule.grant(now)).toBe(ticket);
      schedule.end(ticket, { messages: 0, bytes: 0 }, now + 10);
    }
    const [use] = schedule.devices(1_000);
    expect(use).toMatchObject({ device: 'a', limit: 2, messages: 0, busyMs: 1_000 });
  });
});

describe('threads that are not there yet', () => {
  const works = (devices: readonly string[]) =>
    devices.map((name) => ({ source: name, target: name, folders: 100, messages: 10_000 }));
  /** Ten batches of a route wait for a thread. */
  const waiting = (schedule: Schedule, route: number): void => {
    for (let i = 0; i < 10; i++) schedule.wait(schedule.begin(route, 1, 100), 'move');
  };
  const granted = (schedule: Schedule): number => {
    let count = 0;
    while (schedule.grant(0) !== undefined) count += 1;
    return count;
  };

  it('have no task; the schedule wants as many as the devices may have tasks', () => {
    const schedule = new Schedule(works(['a']), { threads: 8, queue: 50 });
    schedule.threadsAre(1, 8);
    waiting(schedule, 0);
    expect([granted(schedule), schedule.hasFreeThread(), schedule.threadsWanted()]).toEqual([1, false, 1]);
    schedule.threadsAre(2, 8);
    expect([granted(schedule), schedule.hasFreeThread(), schedule.threadsWanted()]).toEqual([1, false, 0]);
  });

  it('are wanted for each device, and no more than there may be', () => {
    const schedule = new Schedule(works(['a', 'b', 'c']), { threads: 6, queue: 50 });
    schedule.threadsAre(1, 6);
    for (const route of [0, 1, 2]) waiting(schedule, route);
    expect([granted(schedule), schedule.threadsWanted()]).toEqual([1, 5]);
    schedule.threadsAre(1, 3);
    expect(schedule.threadsWanted()).toBe(2);
  });

  it('are counted once for two routes of one device', () => {
    const routes = ['a', 'b'].map((target) => ({ source: 's', target, folders: 100, messages: 10_000 }));
    const schedule = new Schedule(routes, { threads: 8, queue: 50 });
    schedule.threadsAre(1, 8);
    for (const route of [0, 1]) waiting(schedule, route);
    expect([granted(schedule), schedule.threadsWanted()]).toEqual([1, 1]);
  });

  it('are wanted for a giant folder that could be helped', () => {
    const schedule = new Schedule(works(['a']), { threads: 8, queue: 50 });
    schedule.threadsAre(1, 8);
    const ticket = schedule.begin(0, 1, 10_000);
    schedule.wait(ticket, 'move');
    expect([granted(schedule), schedule.threadsWanted()]).toEqual([1, 0]);
    schedule.wantHelp(ticket, 7);
    expect(schedule.threadsWanted()).toBe(1);
  });

  it('are not wanted while one that is there has nothing to do', () => {
    const schedule = new Schedule(works(['a']), { threads: 8, queue: 50 });
    schedule.threadsAre(2, 8);
    schedule.wait(schedule.begin(0, 1, 100), 'move');
    expect([granted(schedule), schedule.threadsWanted()]).toEqual([1, 0]);
  });

  it('are wanted where the one without a task is kept for another device, whose next one is long in coming', () => {
    const schedule = new Schedule(works(['a', 'b']), { threads: 8, queue: 50 });
    schedule.threadsAre(2, 8);
    waiting(schedule, 0);
    expect([granted(schedule), schedule.hasFreeThread(), schedule.threadsWanted()]).toEqual([1, true, 1]);
  });

  it('do not keep a device from having its batches ahead', () => {
    const [few, all] = [2, 8].map((there) => {
      const schedule = new Schedule(works(['a']), { threads: 8, queue: 1 });
      schedule.threadsAre(there, 8);
      let batches = 0;
      for (; schedule.open() !== undefined && batches < 100; batches++) schedule.begin(0, 1, 100);
      return batches;
    });
    expect([few, all]).toEqual([6, 6]);
  });
});
