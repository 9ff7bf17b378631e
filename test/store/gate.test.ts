/** The patience of a gate: a wait that ends, names who is inside, and is not repeated by a run that gives up. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { tryFlock, unlock } from '../../src/fs/flock.js';
import { makeGate } from '../../src/store/gate.js';

/** Unlocking that fails from now on: flock(1), which cannot be started (EMFILE). */
let broken = false;
vi.mock('../../src/fs/flock.js', async (load) => {
  const flock = await load<typeof import('../../src/fs/flock.js')>();
  return {
    ...flock,
    unlock(fd: number): void {
      if (broken) throw new Error('LOCK_UNAVAILABLE');
      flock.unlock(fd);
    },
  };
});

/** Longer than any test lasts: who waits for it has not given up. */
const FOR_EVER_MS = 1_000_000;

let file: string;
let descriptors: number[];
beforeEach(() => {
  file = path.join(fs.mkdtempSync(path.join(tmpdir(), 'mailhaul-gate-')), 'file');
  descriptors = [];
  broken = false;
});
afterEach(() => {
  for (const fd of descriptors) fs.closeSync(fd);
  fs.rmSync(path.dirname(file), { recursive: true });
});

/** A descriptor of its own, whose lock is not that of any other one. */
function open(): number {
  const fd = fs.openSync(file, 'a+');
  descriptors.push(fd);
  return fd;
}

const gateOf = (waitMs: number, others?: () => number[]) =>
  makeGate({ fd: open(), waitMs, what: 'The database could not be written', where: file, ...(others && { others }) });

const busy = (pid: number) =>
  expect.objectContaining({
    code: 'DB_BUSY',
    exit: 4,
    where: file,
    message: expect.stringMatching(new RegExp(`could not be written: for .* s it was in use by process ${pid} `)),
  });

describe('a gate', () => {
  it('ends its wait with the name of who holds it, and lets in when that one has left', async () => {
    const gate = gateOf(50);
    const holder = open();
    expect(tryFlock(holder, 'exclusive')).toBe(true);
    await expect(gate.enter()).rejects.toEqual(busy(process.pid));
    unlock(holder);
    const leave = await gate.enter();
    expect(tryFlock(holder, 'exclusive')).toBe(false);
    leave();
    expect(tryFlock(holder, 'exclusive')).toBe(true);
  });

  it('is waited for as long as its patience lasts', async () => {
    const gate = gateOf(FOR_EVER_MS);
    const holder = open();
    expect(tryFlock(holder, 'exclusive')).toBe(true);
    let inside = false;
    const entered = gate.enter().then((leave) => {
      inside = true;
      leave();
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(inside).toBe(false);
    unlock(holder);
    await entered;
    expect(inside).toBe(true);
  });

  it('names those who are inside without having passed it, and does not hold it against others meanwhile', async () => {
    let stranger: number[] = [process.ppid];
    const gate = gateOf(50, () => stranger);
    await expect(gate.enter()).rejects.toEqual(busy(process.ppid));
    const other = open();
    expect(tryFlock(other, 'exclusive')).toBe(true);
    unlock(other);
    stranger = [];
    (await gate.enter())();
  });

  it('lets those of this process in one after the other, in the order of their calls, also after a refusal', async () => {
    const gate = gateOf(50);
    const holder = open();
    expect(tryFlock(holder, 'exclusive')).toBe(true);
    const refused = [gate.enter(), gate.enter()];
    for (const result of await Promise.allSettled(refused)) expect(result.status).toBe('rejected');
    unlock(holder);
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3].map(async (n) => {
        const leave = await gate.enter();
        order.push(n);
        await new Promise((resolve) => setTimeout(resolve, 5));
        order.push(n);
        leave();
      }),
    );
    expect(order).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('that cannot be left lets in who comes next, and is left by it', async () => {
    const gate = gateOf(50);
    const other = open();
    const leave = await gate.enter();
    broken = true;
    leave();
    expect(tryFlock(other, 'exclusive')).toBe(false);
    broken = false;
    (await gate.enter())();
    expect(tryFlock(other, 'exclusive')).toBe(true);
  });

  it('that nobody waits for any more is not waited for', async () => {
    const gate = gateOf(FOR_EVER_MS);
    expect(tryFlock(open(), 'exclusive')).toBe(true);
    let tries = 0;
    const entered = gate.enter(() => {
      tries += 1;
      if (tries === 3) throw new Error('over');
    });
    await expect(entered).rejects.toThrow('over');
  });

  it('that was given up is tried once only until a try succeeds', async () => {
    let tries = 0;
    const gate = gateOf(500, () => {
      tries += 1;
      return [process.ppid];
    });
    await expect(gate.enter()).rejects.toEqual(busy(process.ppid));
    expect(tries).toBeGreaterThan(1);
    tries = 0;
    await expect(gate.enter()).rejects.toEqual(busy(process.ppid));
    expect(tries).toBe(1);
  });
});
