import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createGatherer } from '../../src/upgrade/gather.js';

/** A disk that takes so long, and what was written to it, in order. */
function slowDisk(ms: number) {
  const writes: number[][] = [];
  const write = async (items: readonly number[]): Promise<void> => {
    await sleep(ms);
    writes.push([...items]);
  };
  return { writes, write };
}

const never = (): boolean => false;

describe('createGatherer', () => {
  it('writes what comes within four times as long as the last write took in one go', async () => {
    const { writes, write } = slowDisk(20);
    const gatherer = createGatherer(write, never);
    await gatherer.add([1]);
    const rest = [gatherer.add([2])];
    await sleep(25);
    rest.push(gatherer.add([3, 4]));
    await sleep(25);
    rest.push(gatherer.add([5]));
    await Promise.all(rest);
    expect(writes).toEqual([[1], [2, 3, 4, 5]]);
  });

  it('waits no longer than a tenth of a second, however slow the disk is', async () => {
    const { writes, write } = slowDisk(300);
    const gatherer = createGatherer(write, never);
    await gatherer.add([1]);
    const beganMs = performance.now();
    await gatherer.add([2]);
    expect(performance.now() - beganMs).toBeLessThan(1_000);
    expect(writes).toEqual([[1], [2]]);
  });

  it('writes at once when somebody has nothing else to do, then or later', async () => {
    const { writes, write } = slowDisk(50);
    let urgent = false;
    const gatherer = createGatherer(write, () => urgent);
    await gatherer.add([1]);
    urgent = true;
    const second = gatherer.add([2]);
    await sleep(0);
    urgent = false;
    const third = gatherer.add([3]);
    gatherer.flush();
    await sleep(0);
    const fourth = gatherer.add([4]);
    await Promise.all([second, third, fourth]);
    expect(writes).toEqual([[1], [2], [3], [4]]);
  });

  it('resolves when the items are written, and fails with what failed them', async () => {
    const { writes, write } = slowDisk(10);
    let full = false;
    const gatherer = createGatherer<number>(
      (items) => (full ? Promise.reject(new Error('full')) : write(items)),
      never,
    );
    await gatherer.add([1, 2]);
    expect(writes).toEqual([[1, 2]]);
    full = true;
    const failing = [gatherer.add([3]), gatherer.add([4])];
    for (const one of failing) await expect(one).rejects.toThrow('full');
    full = false;
    await gatherer.add([5]);
    expect(writes).toEqual([[1, 2], [5]]);
  });

  it('does nothing about nothing', async () => {
    const { writes, write } = slowDisk(0);
    const gatherer = createGatherer(write, never);
    gatherer.flush();
    await gatherer.add([]);
    expect(writes).toEqual([]);
  });
});
