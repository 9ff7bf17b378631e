import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { dispatch } from '../../src/upgrade/dispatch.js';
import { Schedule } from '../../src/upgrade/schedule.js';
import type { Ticket } from '../../src/upgrade/schedule-types.js';

const NOTHING = { messages: 0, bytes: 0 };

function scheduleOf(devices: readonly string[], threads: number): Schedule {
  const works = devices.map((name) => ({ source: name, target: name, folders: 2, messages: 100_000 }));
  return new Schedule(works, { threads, queue: 50 });
}

/** A batch of a route that has its thread for the move. */
function moving(schedule: Schedule, route: number): Ticket {
  const ticket = schedule.begin(route, 1, 50_000);
  schedule.wait(ticket, 'move');
  expect(schedule.grant(0)).toBe(ticket);
  return ticket;
}

describe('a giant folder in the schedule', () => {
  it('is helped by the threads that are free, up to as many as it wants', () => {
    const schedule = scheduleOf(['a'], 4);
    const ticket = moving(schedule, 0);
    schedule.wantHelp(ticket, 1);
    expect(schedule.grantHelp(0)?.ticket).toBe(ticket);
    expect(schedule.grantHelp(0)).toBeUndefined();
  });

  it('has no more threads in all than there are', () => {
    const schedule = scheduleOf(['a'], 2);
    schedule.wantHelp(moving(schedule, 0), 7);
    expect(schedule.grantHelp(0)).toBeDefined();
    expect(schedule.grantHelp(0)).toBeUndefined();
    expect(schedule.grant(0)).toBeUndefined();
  });

  it('does not take the thread that another device wants', () => {
    const schedule = scheduleOf(['slow', 'fast'], 2);
    schedule.wantHelp(moving(schedule, 0), 1);
    expect(schedule.grantHelp(0)).toBeUndefined();
    schedule.exhausted(1);
    // Its device began with one task at a time, as there are as many devices as threads.
    expect(schedule.grantHelp(0)).toBeUndefined();
  });

  it('lets a device with one folder find out how much it can take', () => {
    const schedule = scheduleOf(['a'], 8);
    schedule.wantHelp(moving(schedule, 0), 7);
    let now = 0;
    for (let round = 0; round < 40; round++) {
      const helps = [];
      for (let help = schedule.grantHelp(now); help !== undefined; help = schedule.grantHelp(now)) helps.push(help);
      now += 100;
      for (const help of helps) schedule.releaseHelp(help, { messages: 4096, bytes: 0 }, now);
    }
    expect(schedule.devices(now)[0]?.limit).toBe(8);
  });

  it('keeps the schedule busy until the last helper is back', () => {
    const schedule = scheduleOf(['a'], 2);
    const ticket = moving(schedule, 0);
    schedule.wantHelp(ticket, 1);
    const help = schedule.grantHelp(0);
    schedule.wantHelp(ticket, 0);
    schedule.end(ticket, NOTHING, 1);
    expect(schedule.isIdle()).toBe(false);
    if (help !== undefined) schedule.releaseHelp(help, NOTHING, 2);
    expect(schedule.isIdle()).toBe(true);
  });
});

describe('dispatch of a giant folder', () => {
  /** One batch; its move ends when `pieces` were done, or at once. */
  async function run(threads: number, pieces: number, fails = false) {
    let [left, active, most] = [pieces, 0, 0];
    const batches = ['the giant'];
    await dispatch<string>(scheduleOf(['a'], threads), {
      take() {
        const batch = batches.pop();
        return batch === undefined ? undefined : { batch, folders: 1, messages: 50_000 };
      },
      async process(_batch, lane) {
        await lane.run(
          'move',
          async () => {
            for (let i = 0; i < 50 && left > 0; i++) await sleep(1);
          },
          {
            threads: threads - 1,
            async piece() {
              active += 1;
              most = Math.max(most, active);
              await sleep(1);
              active -= 1;
              if (fails) throw new Error('dead');
              left -= 1;
              return left < 0 ? undefined : { messages: 4096, bytes: 0 };
            },
          },
        );
        return NOTHING;
      },
      isStopped: () => false,
    });
    return { left, active, most };
  }

  it('gives helpers one piece after another until none is left', async () => {
    expect(await run(2, 5)).toEqual({ left: -1, active: 0, most: 1 });
  });

  it('asks nobody where there is one thread', async () => {
    expect(await run(1, 1)).toMatchObject({ left: 1, most: 0 });
  });

  it('goes on without a helper that failed', async () => {
    expect(await run(2, 1, true)).toMatchObject({ active: 0, most: 1 });
  });
});
