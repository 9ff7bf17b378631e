import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import {
  armPace,
  BURST_NS,
  book,
  dueAfter,
  isUsedUp,
  makePace,
  numbersOf,
  pacedOf,
  pieceOf,
  setLimits,
  settle,
  spent,
} from '../../src/fs/pace.js';
import { INSIDE } from '../support/process.js';

const SECOND = 1_000_000_000n;
const NOW = 1_000n * SECOND;
const cancelled = Int32Array.of(1);

afterEach(() => armPace(null, cancelled));

describe('dueAfter', () => {
  it('books behind what is booked already', () => {
    expect(dueAfter(NOW + SECOND, NOW, 500, 1_000)).toBe(NOW + SECOND + SECOND / 2n);
  });

  it('makes up for a short pause, and for no long one', () => {
    expect(dueAfter(NOW - BURST_NS / 2n, NOW, 1_000, 1_000)).toBe(NOW - BURST_NS / 2n + SECOND);
    expect(dueAfter(0n, NOW, 1_000, 1_000)).toBe(NOW - BURST_NS + SECOND);
  });

  it('stays a number that 64 bits hold, whatever is booked', () => {
    const due = dueAfter(2n ** 62n, NOW, 2 ** 53, 1);
    expect(due).toBe(NOW + 10n ** 18n);
    expect(dueAfter(due, NOW, 2 ** 53, 1)).toBe(due);
  });
});

describe('isUsedUp', () => {
  it.each([
    { bytes: 1_000, operations: 0 },
    { bytes: 0, operations: 1_000 },
  ])('while more is booked than is due, and until half of the burst is saved up again: %j', (limits) => {
    const pace = makePace();
    setLimits(pace, limits);
    // Due is what was booked, a second from now.
    const due = book(numbersOf(pace), { bytes: 1_000, operations: 1_000 }, process.hrtime.bigint());
    const half = due + BURST_NS / 2n;
    expect([due - SECOND, due, half - 1n, half, due + SECOND].map((now) => isUsedUp(pace, now))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  it('never without a limit', () => {
    const pace = makePace();
    expect(isUsedUp(pace)).toBe(false);
    setLimits(pace, { bytes: 1_000, operations: 1_000 });
    expect(isUsedUp(pace)).toBe(true);
    setLimits(pace, { bytes: 0, operations: 0 });
    expect(isUsedUp(pace)).toBe(false);
  });

  it('not by work that keeps below the limit', () => {
    const pace = makePace();
    setLimits(pace, { bytes: 1_000, operations: 0 });
    let now = process.hrtime.bigint();
    // 10 bytes take 10 ms, and come every 20.
    for (let i = 0; i < 20; i++) {
      now += SECOND / 50n;
      book(numbersOf(pace), { bytes: 10, operations: 0 }, now);
    }
    expect(isUsedUp(pace, now)).toBe(false);
    for (let i = 0; i < 20; i++) {
      now += SECOND / 200n;
      book(numbersOf(pace), { bytes: 10, operations: 0 }, now);
    }
    expect(isUsedUp(pace, now)).toBe(true);
  });
});

describe('book', () => {
  it('keeps all threads together to the rate', () => {
    const pace = makePace();
    setLimits(pace, { bytes: 1_000, operations: 0 });
    const now = process.hrtime.bigint();
    const first = book(numbersOf(pace), { bytes: 2_000, operations: 9 }, now);
    const second = book(numbersOf(pace), { bytes: 3_000, operations: 9 }, now);
    expect(second - first).toBe(3n * SECOND);
    expect(pacedOf(pace)).toEqual({ bytes: 5_000, operations: 18, waitedSeconds: 0 });
  });

  it('takes the later of the two limits', () => {
    const pace = makePace();
    setLimits(pace, { bytes: 1_000, operations: 2 });
    const now = process.hrtime.bigint();
    const due = book(numbersOf(pace), { bytes: 1_000, operations: 20 }, now);
    expect(due - now).toBeGreaterThan(9n * SECOND);
  });
});

describe('settle', () => {
  it('waits for nothing without a limit, and counts nothing', () => {
    const pace = makePace();
    armPace(pace, new Int32Array(new SharedArrayBuffer(4)));
    spent.bytes = 1e12;
    settle();
    expect(pieceOf(1e12)).toBe(1 << 30);
    expect(pacedOf(pace)).toEqual({ bytes: 0, operations: 0, waitedSeconds: 0 });
  });

  it('does not wait once the run is cancelled', () => {
    const pace = makePace();
    setLimits(pace, { bytes: 1, operations: 0 });
    armPace(pace, new Int32Array(new SharedArrayBuffer(4)).fill(1));
    spent.bytes = 1e12;
    settle();
    expect(pacedOf(pace).bytes).toBe(1e12);
    expect(spent.bytes).toBe(0);
  });

  it('forgives what was done before a change of the limits', () => {
    const pace = makePace();
    armPace(pace, new Int32Array(new SharedArrayBuffer(4)));
    spent.bytes = 1e12;
    setLimits(pace, { bytes: 1, operations: 1 });
    settle();
    expect(pacedOf(pace).bytes).toBe(0);
  });

  it('reads and writes in pieces under a limit, and settles between them', () => {
    const pace = makePace();
    setLimits(pace, { bytes: 1, operations: 0 });
    armPace(pace, new Int32Array(new SharedArrayBuffer(4)).fill(1));
    expect(pieceOf(1e9)).toBe(256 * 1024);
    spent.bytes = 256 * 1024;
    pieceOf(1);
    expect(pacedOf(pace).bytes).toBe(256 * 1024);
  });
});

it('a thread that waits goes on when the limits change', async () => {
  const pace = makePace();
  setLimits(pace, { bytes: 1, operations: 0 });
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { armPace, settle, spent } = await import(${INSIDE});
    armPace(workerData, new Int32Array(new SharedArrayBuffer(4)));
    spent.bytes = 1e9;
    settle();
    parentPort.postMessage('on');`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: pace });
  try {
    const message = new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    while (pacedOf(pace).bytes === 0) await sleep(5);
    // It has counted, and is about to wait.
    expect(await Promise.race([message, sleep(100, 'waits')])).toBe('waits');
    setLimits(pace, { bytes: 0, operations: 0 });
    expect(await message).toBe('on');
    expect(pacedOf(pace).waitedSeconds).toBeGreaterThan(0);
  } finally {
    await worker.terminate();
  }
});
