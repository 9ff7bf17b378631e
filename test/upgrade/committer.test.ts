import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createCommitter } from '../../src/upgrade/committer.js';

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

  it('makes the one wait who brings more while a group is under way and the next one is full', async () => {
    let committed = 0;
    const committer = createCommitter<number>(async (group) => {
      await sleep(20);
      committed += group.length;
    });
    const folders = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
    await committer.add(folders(1_100));
    expect(committed).toBe(0);
    await committer.add(folders(1_100));
    expect(committed).toBeGreaterThanOrEqual(1_024);
    await committer.drain();
    expect(committed).toBe(2_200);
  });

  it('makes the one wait who brings more messages than may be in memory, of however few folders', async () => {
    let committed = 0;
    const committer = createCommitter<number>(
      async (group) => {
        await sleep(20);
        committed += group.length;
      },
      { messagesOf: (messages) => messages },
    );
    await committer.add([300_000]);
    expect(committed).toBe(0);
    await committer.add([300_000]);
    expect(committed).toBeGreaterThan(0);
    await committer.drain();
    expect(committed).toBe(2);
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

  it('keeps a group open for longer where commits are slow', async () => {
    const began: number[] = [];
    const committer = createCommitter<number>(async () => {
      began.push(performance.now());
      await sleep(100);
    });
    await committer.add([1]);
    for (let waited = 0; began.length === 0 && waited < 5_000; waited += 10) await sleep(10);
    await sleep(150);
    await committer.add([2]);
    for (let waited = 0; began.length === 1 && waited < 5_000; waited += 10) await sleep(10);
    // An eighth of the time is for commits: 800 ms after its first folder, not 250.
    expect((began[1] ?? 0) - (began[0] ?? 0)).toBeGreaterThan(900);
    await committer.drain();
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

describe('a committer of several devices', () => {
  /** Commits of device 1 end when `end` is called, those of others at once. */
  function twoDevices() {
    const committed: number[] = [];
    let end: () => void = () => {};
    let fail: (error: Error) => void = () => {};
    let underWay = 0;
    let mostUnderWay = 0;
    const discarded: number[] = [];
    const committer = createCommitter<number>(
      async (group) => {
        underWay += 1;
        mostUnderWay = Math.max(mostUnderWay, underWay);
        if (group[0] !== undefined && group[0] < 1_000) {
          await new Promise<void>((resolve, reject) => {
            end = resolve;
            fail = reject;
          });
        }
        underWay -= 1;
        committed.push(...group);
      },
      { deviceOf: (folder) => (folder < 10_000 ? 1n : 2n), discard: (items) => void discarded.push(...items) },
    );
    const full = (first: number): number[] => Array.from({ length: 1_024 }, (_, i) => first + i);
    return {
      committer,
      committed,
      discarded,
      full,
      end: () => end(),
      fail: (error: Error) => fail(error),
      mostUnderWay: () => mostUnderWay,
    };
  }

  it('commits those of one while the sync of another one goes on', async () => {
    const { committer, committed, full, end } = twoDevices();
    await committer.add(full(0));
    for (let batch = 0; batch < 12; batch++) await committer.add(full(10_000 + batch * 1_024));
    await sleep(0);
    expect(committed.length).toBeGreaterThanOrEqual(10 * 1_024);
    expect(committed.every((folder) => folder >= 10_000)).toBe(true);
    end();
    await committer.drain();
    expect(committed).toHaveLength(13 * 1_024);
  });

  it('has one group of a device under way at a time', async () => {
    const { committer, full, end, mostUnderWay } = twoDevices();
    await committer.add(full(0));
    const second = committer.add(full(1_024));
    await sleep(1);
    expect(mostUnderWay()).toBe(1);
    end();
    await second;
    await sleep(1);
    end();
    await committer.drain();
    expect(mostUnderWay()).toBe(1);
  });

  it('never has folders of two devices in one group', async () => {
    const groups: number[][] = [];
    const committer = createCommitter<number>(async (group) => void groups.push([...group]), {
      deviceOf: (folder) => BigInt(folder % 2),
    });
    await committer.add([1, 2, 3, 4]);
    await committer.drain();
    expect(groups.sort()).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it('commits nothing more of any device after a failure, and lets go of what waits everywhere', async () => {
    const { committer, committed, discarded, full, fail } = twoDevices();
    await committer.add(full(0));
    await committer.add([10_000, 10_001]);
    fail(new Error('the disk is full'));
    await sleep(0);
    await expect(committer.drain()).rejects.toThrow('the disk is full');
    await expect(committer.add([10_002])).rejects.toThrow('the disk is full');
    expect(committed).toEqual([]);
    expect(discarded).toEqual([10_000, 10_001, 10_002]);
  });
});

describe('a committer that failed', () => {
  it('hands back what waited and what comes later, once each', async () => {
    const discarded: number[] = [];
    let fail: (error: Error) => void = () => {};
    const committer = createCommitter<number>(() => new Promise((_resolve, reject) => (fail = reject)), {
      discard: (items) => void discarded.push(...items),
    });
    const group = Array.from({ length: 1_024 }, (_, i) => i);
    await committer.add(group);
    await committer.add([2_000]);
    fail(new Error('the disk is full'));
    await sleep(0);
    await expect(committer.add([2_001])).rejects.toThrow('the disk is full');
    await expect(committer.drain()).rejects.toThrow('the disk is full');
    expect(discarded).toEqual([2_000, 2_001]);
  });
});
