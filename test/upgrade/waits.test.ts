import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type ThreadWaits, threadWaits } from '../../src/upgrade/waits.js';

/** Threads of which a share of the time is waiting, and a clock that `pass` moves. */
function threads(
  count: number,
  isHeldBack?: () => boolean,
): { waits: ThreadWaits; pass(ms: number, waiting: number): void; asked(): number } {
  let [now, busy, asked] = [0, 0, 0];
  const waits = threadWaits(isHeldBack, {
    now: () => now,
    busy: () => {
      asked += 1;
      return busy;
    },
  });
  return {
    waits,
    pass(ms, waiting) {
      now += ms;
      busy += count * ms * (1 - waiting);
    },
    asked: () => asked,
  };
}

it('waits are long when a fifth of a tenth of a second is waiting', () => {
  for (const [waiting, long] of [
    [0.5, true],
    [0.25, true],
    [0.15, false],
    [0, false],
  ] as const) {
    const { waits, pass } = threads(2);
    expect(waits.areLong(2)).toBe(false);
    pass(50, waiting);
    expect(waits.areLong(2)).toBe(false);
    pass(50, waiting);
    expect(waits.areLong(2), `${waiting}`).toBe(long);
  }
});

it('each look is at the time since the last one', () => {
  const { waits, pass } = threads(2);
  waits.areLong(2);
  pass(10_000, 0);
  expect(waits.areLong(2)).toBe(false);
  pass(200, 0.5);
  expect(waits.areLong(2)).toBe(true);
});

it('looks less and less often while threads do not wait', () => {
  const { waits, pass, asked } = threads(2);
  for (let ms = 0; ms < 60_000; ms += 10) {
    waits.areLong(2);
    pass(10, 0);
  }
  expect(asked()).toBeLessThan(40);
});

it('a pause is no wait', () => {
  const { waits, pass } = threads(2);
  waits.areLong(2);
  // Short ones, half of the time.
  for (let i = 0; i < 20; i++) {
    pass(10, 0);
    expect(waits.areLong(2)).toBe(false);
    waits.pause();
    pass(10, 1);
  }
  // A long one, after which all begins anew.
  waits.pause();
  pass(5_000, 1);
  expect(waits.areLong(2)).toBe(false);
  pass(100, 0);
  expect(waits.areLong(2)).toBe(false);
});

it('waiting for the limit of the run is none, and what was seen till then does not count', () => {
  let heldBack = false;
  const { waits, pass } = threads(2, () => heldBack);
  waits.areLong(2);
  pass(1_000, 1);
  heldBack = true;
  for (let i = 0; i < 100; i++) {
    expect(waits.areLong(2)).toBe(false);
    pass(50, 1);
  }
  heldBack = false;
  expect(waits.areLong(2)).toBe(false);
  pass(100, 0);
  expect(waits.areLong(2)).toBe(false);
  pass(200, 0.5);
  expect(waits.areLong(2)).toBe(true);
});

it('what was seen before a thread came does not count', () => {
  const { waits, pass } = threads(2);
  waits.areLong(2);
  pass(1_000, 1);
  waits.restart();
  expect(waits.areLong(3)).toBe(false);
});

it('asks the kernel: a thread that sleeps waits, one that computes does not', async () => {
  const sleeping = threadWaits();
  sleeping.areLong(1);
  await sleep(150);
  expect(sleeping.areLong(1)).toBe(true);
  const computing = threadWaits();
  computing.areLong(1);
  for (const end = performance.now() + 150; performance.now() < end; );
  expect(computing.areLong(1)).toBe(false);
});
