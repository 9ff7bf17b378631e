/** What the main thread does with the sizes of each folder leaves nothing of each message to V8. */
import { getHeapStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { bytesOf } from '../../src/upgrade/plan.js';

const COUNT = 20_000;

/** Bytes of the heap that a call takes, in the middle of several: a collection may come between. */
function garbageOf(call: () => void): number {
  const each = Array.from({ length: 9 }, () => {
    const before = getHeapStatistics().used_heap_size;
    call();
    return getHeapStatistics().used_heap_size - before;
  });
  return each.sort((a, b) => a - b)[4]!;
}

it('the bytes of a folder are their sum, made of numbers alone', () => {
  const record = { count: COUNT, sizes: new Float64Array(COUNT).fill(8000.5) };
  expect(bytesOf(record)).toBe(COUNT * 8000.5);
  expect(bytesOf({ count: 0, sizes: new Float64Array(0) })).toBe(0);
  expect(garbageOf(() => bytesOf(record))).toBeLessThan(2 * COUNT);
});
