import * as fs from 'node:fs';
import { basename } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { loadAddon } from '../../src/fs/addon.js';
import { type StartedPool, startPool } from '../../src/upgrade/pool.js';
import type { WorkerContext } from '../../src/upgrade/tasks.js';
import { threadTools } from './thread-support.js';

const start = (threads: number): StartedPool => startPool(threads, { engine: 'portable', faults: null });

const ADDON = process.env.MAILHAUL_ADDON;
afterEach(() => {
  if (ADDON === undefined) delete process.env.MAILHAUL_ADDON;
  else process.env.MAILHAUL_ADDON = ADDON;
});

const contextOf = async (engine: 'native' | 'portable'): Promise<WorkerContext> => ({
  ...(await threadTools()).context,
  engine,
});
const approved = (): void => {};
/** A task that needs what `begin` gives. */
const ordinary = { kind: 'move', folders: [] } as const;

/** A thread that is started now has no addon. */
function withoutAddon(): void {
  process.env.MAILHAUL_ADDON = '/nonexistent';
}

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

it('a task waits for whichever thread is free first', async () => {
  const pool = start(1);
  pool.growTo(2);
  await pool.begin(await contextOf('portable'), false);
  const others = new Int32Array(new SharedArrayBuffer(4));
  const blocked = { kind: 'begin', arrived: others, threads: 2, context: null, additions: false };
  // One thread waits in a task; three tasks need no more than the other one.
  const first = pool.run(blocked as never);
  await Promise.all([pool.run(ordinary), pool.run(ordinary), pool.run(ordinary)]);
  Atomics.add(others, 0, 1);
  Atomics.notify(others, 0);
  await first;
  await pool.close();
});

it('a thread that is added is one of the others, with what they were given', async () => {
  const pool = start(1);
  await pool.begin(await contextOf('portable'), true);
  expect(await pool.add(approved)).toBe(true);
  expect(pool.size).toBe(2);
  expect(await meet(pool, 2)).toBe(2);
  expect(await Promise.all([pool.run(ordinary), pool.run(ordinary)])).toEqual([[], []]);
  await pool.close();
});

it('a task that waits is given to the thread that comes', async () => {
  const pool = start(1);
  await pool.begin(await contextOf('portable'), false);
  // Each waits for the other one.
  const both = meet(pool, 2);
  expect(await pool.add(approved)).toBe(true);
  expect(await both).toBe(2);
  await pool.close();
});

it.skipIf(loadAddon() === undefined)('a thread that cannot load harms nobody, and has no task', async () => {
  const pool = startPool(1, { engine: 'native', faults: null });
  await pool.begin(await contextOf('native'), false);
  withoutAddon();
  await expect(pool.add(approved)).rejects.toThrow('native addon');
  expect(pool.size).toBe(1);
  expect(await Promise.all([pool.run(ordinary), pool.run(ordinary)])).toEqual([[], []]);
  await pool.close();
});

it('a thread that is not approved when it has loaded does not come', async () => {
  const pool = start(1);
  await pool.begin(await contextOf('portable'), false);
  const refuse = (): never => {
    throw new Error('it is another one');
  };
  await expect(pool.add(refuse)).rejects.toThrow('it is another one');
  expect(pool.size).toBe(1);
  await pool.close();
});

it('a thread that loads while the others are closed loads first, and does not come', async () => {
  const pool = start(1);
  await pool.begin(await contextOf('portable'), false);
  const added = pool.add(approved);
  await pool.close();
  expect(await added).toBe(false);
  expect(pool.size).toBe(1);
  expect(await pool.add(approved)).toBe(false);
});

it('a thread tells which files of code it has loaded', async () => {
  const pool = startPool(2, { engine: 'auto', faults: null });
  const files = await pool.ready();
  await pool.close();
  for (const file of files) expect(fs.existsSync(file), file).toBe(true);
  const names = files.map((file) => basename(file));
  for (const name of ['worker.cjs', 'worker.code.cjs', 'worker.code.cache'])
    expect(files.filter((file) => file.endsWith(`dist/upgrade/${name}`))).toHaveLength(2);
  expect(files.filter((file) => file.endsWith('piscina/dist/worker.js'))).toHaveLength(2);
  expect(names.includes('mailhaul.node')).toBe(loadAddon() !== undefined);
});
