/** Memory of plans that are over is used for those that come. */
import { expect, it } from 'vitest';
import { keepMemory, takeMemory } from '../../src/upgrade/plan-memory.js';
import { PIECE, SharedRoom } from '../../src/upgrade/shared.js';

const MIB = 1 << 20;

function whole(bytes: number) {
  return { count: 1, memory: new SharedArrayBuffer(bytes), at: 0, isWhole: true };
}

it('gives the smallest piece that is large enough, and each once', () => {
  const kept: SharedArrayBuffer[] = [];
  const [large, small, medium] = [whole(4 * MIB), whole(2 * PIECE), whole(MIB)];
  for (const table of [large, small, medium]) keepMemory(kept, table);
  expect(takeMemory(kept, 3 * PIECE)).toBe(medium.memory);
  expect(takeMemory(kept, 3 * PIECE)).toBe(large.memory);
  expect(takeMemory(kept, 3 * PIECE)).toBeNull();
  expect(takeMemory(kept, 2 * PIECE)).toBe(small.memory);
});

it('keeps nothing that other folders may be in, nothing small, and no more than 32 MiB', () => {
  const kept: SharedArrayBuffer[] = [];
  keepMemory(kept, { ...whole(MIB), isWhole: false });
  keepMemory(kept, whole(PIECE));
  keepMemory(kept, whole(33 * MIB));
  expect(kept).toEqual([]);
  for (let i = 0; i < 40; i++) keepMemory(kept, whole(MIB));
  expect(kept).toHaveLength(32);
});

it('leaves what is kept alone for a small folder', () => {
  const kept = [new SharedArrayBuffer(MIB)];
  expect(takeMemory(kept, PIECE)).toBeNull();
  expect(kept).toHaveLength(1);
});

it('a room has small folders in one piece, and each large one in its own, given or new', () => {
  const room = new SharedRoom();
  const small = [room, room].map((each) => {
    expect(each.free(100, null).byteLength).toBeGreaterThanOrEqual(100);
    return each.take(1, 100);
  });
  expect(small.map(({ at, isWhole }) => [at, isWhole])).toEqual([
    [0, false],
    [104, false],
  ]);
  expect(small[1]!.memory).toBe(small[0]!.memory);
  const given = new SharedArrayBuffer(MIB);
  expect(room.free(2 * PIECE, given).buffer).toBe(given);
  expect(room.take(5, 200)).toEqual({ count: 5, memory: given, at: 0, isWhole: true });
  // Too small for the next one, which must not go on in it either.
  const next = room.free(2 * MIB, given);
  expect(next.byteLength).toBeGreaterThanOrEqual(2 * MIB);
  expect(next.buffer).not.toBe(given);
  room.take(5, 200);
  expect(room.free(100, null).buffer).not.toBe(next.buffer);
  expect(room.take(1, 100).isWhole).toBe(false);
});
