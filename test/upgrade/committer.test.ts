import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createBatcher, createCommitter } from '../../src/upgrade/committer.js';

describe('createCommitter', () => {
  it('commits everything once, in order, when drained', async () => {
    const seen: number[] = [];
    const committer = createCommitter<number>(async (group) => void seen.push(...group));
    await committer.add([1, 2]);
    await committer.add([3]);
    await committer.drain();
    expect(seen).toEqual([1, 2, 3]);
  });

  it('joins folders that come close together into one group', async () => {
    const groups: number[][] = [];
    const committer = createCommitter<number>(async (group) => void groups.push([...group]));
    await committer.add([1]);
    await committer.add([2]);
    await committer.drain();
    expect(groups).toEqual([[1, 2]]);
  });

  it('commits by itself after a moment, so that no lock is held long', async () => {
    const seen: number[] = [];
    const committer = createCommitter<number>(async (group) => void seen.push(...group));
    await committer.add([1]);
    for (let waited = 0; seen.length === 0 && waited < 5_000; waited += 50) await sleep(50);
    expect(seen).toEqual([1]);
    await committer.drain();
  });

  it('makes the one who fills a group wait for it', async () => {
    let committed = 0;
    const committer = createCommitter<number>(async (group) => {
      await sleep(20);
      committed += group.length;
    });
    await committer.add(Array.from({ length: 300 }, (_, i) => i));
    expect(committed).toBe(256);
    await committer.drain();
    expect(committed).toBe(300);
  });

  it('lets what comes during a commit gather for the next group', async () => {
    const groups: number[][] = [];
    const committer = createCommitter<number>(async (group) => {
      await sleep(100);
      groups.push([...group]);
    });
    await committer.add([1]);
    // The first group is under way after 250 ms, for 100 ms.
    await sleep(280);
    await committer.add([2]);
    await sleep(100);
    await committer.add([3]);
    await committer.drain();
    expect(groups).toEqual([[1], [2, 3]]);
  });

  it('goes on committing after its moment passed while nothing waited', async () => {
    const seen: number[] = [];
    const committer = createCommitter<number>(async (group) => {
      await sleep(100);
      seen.push(...group);
    });
    await committer.add([1]);
    await sleep(300);
    await committer.add([2]);
    await sleep(700);
    await committer.add([3]);
    await committer.drain();
    expect(seen).toEqual([1, 2, 3]);
  });

  it('never commits again after a failure, and says so to everybody', async () => {
    let calls = 0;
    const committer = createCommitter<number>(async () => {
      calls += 1;
      throw new Error('sync failed');
    });
    await committer.add([1]);
    await expect(committer.drain()).rejects.toThrow('sync failed');
    await expect(committer.add([2])).rejects.toThrow('sync failed');
    await expect(committer.drain()).rejects.toThrow('sync failed');
    expect(calls).toBe(1);
  });
});

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

describe('a committer that failed', () => {
  it('hands back what waited and what comes later, once each', async () => {
    const discarded: number[] = [];
    let fail: (error: Error) => void = () => {};
    const committer = createCommitter<number>(
      () => new Promise((_resolve, reject) => (fail = reject)),
      (items) => discarded.push(...items),
    );
    const group = Array.from({ length: 256 }, (_, i) => i);
    const filled = committer.add(group);
    await committer.add([1_000]);
    fail(new Error('the disk is full'));
    await expect(filled).rejects.toThrow('the disk is full');
    await expect(committer.add([1_001])).rejects.toThrow('the disk is full');
    await expect(committer.drain()).rejects.toThrow('the disk is full');
    expect(discarded).toEqual([1_000, 1_001]);
  });
});
