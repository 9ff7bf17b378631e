import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { type CrewOptions, createCrew } from '../../src/upgrade/crew.js';

/** A pool of two threads whose further ones load until `load` or `fail` is called. */
function loadingPool() {
  const loading: { approve(): void; come(came: boolean): void; fail(error: Error): void }[] = [];
  return {
    size: 2,
    loading,
    add(approve: () => void): Promise<boolean> {
      return new Promise((come, fail) => loading.push({ approve, come, fail }));
    },
    /** The next one has loaded. */
    async load(): Promise<void> {
      const next = loading.shift()!;
      try {
        next.approve();
        this.size += 1;
        next.come(true);
      } catch (error) {
        next.fail(error as Error);
      }
      await nextTurn();
    },
    async fail(error: Error): Promise<void> {
      loading.shift()!.fail(error);
      await nextTurn();
    },
  };
}

const ALWAYS = { areLong: () => true, pause: () => {}, restart: () => {} };

function crewOf(options: Partial<CrewOptions> = {}) {
  const pool = loadingPool();
  const failures: unknown[] = [];
  const crew = createCrew(pool, {
    most: 8,
    code: { check: () => {} },
    waits: ALWAYS,
    failed: (error) => failures.push(error),
    ...options,
  });
  let came = 0;
  return { pool, crew, failures, want: (more: number) => crew.want(more, () => (came += 1)), came: () => came };
}

describe('further threads', () => {
  it('are as many as are wanted, beside those that are coming', async () => {
    const { pool, crew, want, came } = crewOf();
    want(2);
    want(2);
    want(3);
    expect(pool.loading).toHaveLength(3);
    expect(crew.size).toBe(2);
    await pool.load();
    expect([crew.size, came()]).toEqual([3, 1]);
  });

  it('are never more than there may be', async () => {
    const { pool, crew, want } = crewOf({ most: 4 });
    want(100);
    expect(pool.loading).toHaveLength(2);
    await pool.load();
    await pool.load();
    want(100);
    expect([pool.loading.length, crew.size, crew.most]).toEqual([0, 4, 4]);
    expect(crewOf({ most: 1 }).crew).toMatchObject({ size: 1, most: 1 });
  });

  it('do not come while the others have no wait that they could use', () => {
    const asked: string[] = [];
    const waits = {
      areLong: (threads: number) => asked.push(`of ${threads}`) === 3,
      pause: () => void asked.push('pause'),
      restart: () => {},
    };
    const { pool, want } = crewOf({ waits });
    want(1);
    want(0);
    expect(pool.loading).toHaveLength(0);
    want(1);
    expect(pool.loading).toHaveLength(1);
    expect(asked).toEqual(['of 2', 'pause', 'of 2']);
  });

  it('come although nobody asks again: the tasks under way may never end', () => {
    vi.useFakeTimers();
    try {
      let long = false;
      const waits = { areLong: () => long, pause: () => {}, restart: () => {} };
      const { pool, want } = crewOf({ waits });
      want(1);
      vi.advanceTimersByTime(200);
      expect(pool.loading).toHaveLength(0);
      long = true;
      vi.advanceTimersByTime(200);
      expect(pool.loading).toHaveLength(1);
      // It is coming, and none is wanted beside it.
      vi.advanceTimersByTime(1_000);
      expect(pool.loading).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('do not come when they are wanted no more', () => {
    vi.useFakeTimers();
    try {
      let long = false;
      const { pool, want } = crewOf({ waits: { areLong: () => long, pause: () => {}, restart: () => {} } });
      want(1);
      want(0);
      long = true;
      vi.advanceTimersByTime(1_000);
      expect(pool.loading).toHaveLength(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a further thread that cannot be started', () => {
  it('is told of once, is the last one that is tried, and lowers what there may be', async () => {
    const { pool, crew, failures, want, came } = crewOf();
    want(3);
    await pool.load();
    await pool.fail(new Error('no memory'));
    await pool.fail(new Error('no memory, either'));
    expect(failures).toEqual([new Error('no memory')]);
    expect([crew.size, crew.most]).toEqual([3, 3]);
    // The schedule hears of it.
    expect(came()).toBe(3);
    want(5);
    expect(pool.loading).toHaveLength(0);
  });

  it('is one whose code has changed: before it is loaded, or meanwhile', async () => {
    let changed = false;
    const code = {
      check() {
        if (changed) throw new Error('changed');
      },
    };
    const meanwhile = crewOf({ code });
    meanwhile.want(1);
    changed = true;
    await meanwhile.pool.load();
    expect(meanwhile.failures).toEqual([new Error('changed')]);
    expect(meanwhile.crew.size).toBe(2);
    const before = crewOf({ code });
    before.want(1);
    await nextTurn();
    expect(before.pool.loading).toHaveLength(0);
    expect(before.failures).toEqual([new Error('changed')]);
  });
});
