/** Plans in shared memory. */
import { expect, it } from 'vitest';
import type { MessageTable } from '../../src/engine/types.js';
import { openPlan, roomBehind, SharedRoom, sharePlan } from '../../src/upgrade/shared.js';
import type { FolderPlan } from '../../src/upgrade/types.js';

function planOf(count: number): FolderPlan {
  const rows = Array.from({ length: count }, (_, i) => i);
  const keywordOffsets = Uint32Array.from([0, ...rows.map((i) => 2 * (i + 1))]);
  const nameOffsets = Uint32Array.from([0, ...rows.map((i) => 3 * (i + 1))]);
  const messages: MessageTable = {
    count,
    inodes: BigUint64Array.from(rows, (i) => 2n ** 63n + BigInt(i)),
    mtimes: BigInt64Array.from(rows, (i) => -5n - BigInt(i)),
    sizes: Float64Array.from(rows, (i) => 2 ** 40 + i),
    internalDates: Float64Array.from(rows, (i) => -i - 1),
    uids: Uint32Array.from(rows, (i) => 10 + i),
    flags: Uint32Array.from(rows, (i) => i % 7),
    keywordOffsets,
    keywordRefs: Uint32Array.from({ length: 2 * count }, (_, i) => i % 2),
    nameOffsets,
    names: Uint8Array.from({ length: 3 * count }, (_, i) => 97 + (i % 26)),
    refused: Uint8Array.from(rows, (i) => i % 2),
  };
  const rest = { keywords: ['a', 'b'], errnos: new Map([[10, 5]]), warnings: [] };
  return { uidvalidity: 7, uidnext: 99, messages, ...rest };
}

it.each([0, 1, 2, 3, 10])('a plan of %i messages comes through a message to another thread as it was', (count) => {
  const plan = planOf(count);
  expect(openPlan(structuredClone(sharePlan(plan, null)))).toEqual(plan);
});

it('takes no more of a column than its offsets say', () => {
  const plan = planOf(2);
  const messages = { ...plan.messages, names: Uint8Array.of(...plan.messages.names, 1, 2, 3, 4, 5) };
  expect(openPlan(sharePlan({ ...plan, messages }, null))).toEqual(plan);
});

it('is written into memory that a plan before it had, where that is large enough', () => {
  const used = new SharedArrayBuffer(4096);
  new Uint8Array(used).fill(0xff);
  const plan = planOf(10);
  const shared = sharePlan(plan, used);
  expect(shared.messages).toMatchObject({ memory: used, isWhole: true });
  expect(openPlan(shared)).toEqual(plan);
  expect(sharePlan(plan, new SharedArrayBuffer(8)).messages.memory.byteLength).toBeGreaterThan(8);
});

it('leaves room behind its columns, for as many bytes as its memory has', () => {
  const shared = sharePlan(planOf(10), new SharedArrayBuffer(1024));
  const opened = openPlan(shared);
  // 10 × 41 + 11 × 8 + 20 × 4 + 30 bytes are taken.
  const room = roomBehind(shared.messages, opened.messages, 400);
  expect(room).toMatchObject({ byteOffset: 608, length: 400 });
  room?.fill(0xff);
  expect(openPlan(shared)).toEqual(planOf(10));
  expect(roomBehind(shared.messages, opened.messages, 416)).toHaveLength(416);
  expect(roomBehind(shared.messages, opened.messages, 417)).toBeUndefined();
});

it('leaves none where another folder comes behind it', () => {
  const room = new SharedRoom();
  room.free(1000, null);
  const table = room.take(0, 8);
  expect(table.isWhole).toBe(false);
  expect(roomBehind(table, openPlan({ ...sharePlan(planOf(0), null), messages: table }).messages, 8)).toBeUndefined();
});
