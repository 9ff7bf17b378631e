import { expect, it } from 'vitest';
import { type StartedPool, startPool } from '../../src/upgrade/pool.js';

const start = (threads: number): StartedPool => startPool(threads, { engine: 'portable', faults: null });

/** Resolves when so many threads are in a task at the same time, and never with fewer. */
async function meet(pool: StartedPool, threads: number): Promise<number> {
  const arrived = new Int32Array(new SharedArrayBuffer(4));
  const task = { kind: 'begin', arrived, threads, context: null, additions: false } as const;
  // No task of the pool's callers; its threads know it.
  await Promise.all(Array.from({ length: threads }, () => pool.run(task as never)));
  return Atomics.load(arrived, 0);
}

it('a pool that has grown gives each of its threads a task', async () => {
  const pool = start(1);
  pool.growTo(3);
  await pool.ready();
  expect(await meet(pool, 3)).toBe(3);
  await pool.close();
});

it('a pool does not shrink', async () => {
  const pool = start(2);
  pool.growTo(1);
  await pool.ready();
  expect(await meet(pool, 2)).toBe(2);
  await pool.close();
});

it('threads that are loading can be closed: each loads first, or Node would end the process', async () => {
  const pool = start(2);
  await pool.close();
  await expect(pool.run({ kind: 'move', folders: [] })).rejects.toThrow('closed');
});
