import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createBatcher } from '../../src/upgrade/joined.js';

describe('createBatcher', () => {
  it('writes what comes during a write in one go', async () => {
    const writes: number[][] = [];
    const batch = createBatcher<number>(async (items) => {
      writes.push([...items]);
      await sleep(10);
    });
    const first = batch([1]);
    await sleep(1);
    const rest = Promise.all([batch([2]), batch([3]), batch([4])]);
    await Promise.all([first, rest]);
    expect(writes).toEqual([[1], [2, 3, 4]]);
  });

  it('resolves only after the items are written', async () => {
    let written = 0;
    const batch = createBatcher<number>(async (items) => {
      await sleep(10);
      written += items.length;
    });
    await batch([1, 2]);
    expect(written).toBe(2);
  });

  it('hands a failure to those whose items failed, and goes on for others', async () => {
    let fail = true;
    const batch = createBatcher<number>(async () => {
      if (fail) throw new Error('full');
    });
    await expect(batch([1])).rejects.toThrow('full');
    fail = false;
    await expect(batch([2])).resolves.toBeUndefined();
  });
});
