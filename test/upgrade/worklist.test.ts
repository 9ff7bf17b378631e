import { describe, expect, it } from 'vitest';
import type { MappingFolder } from '../../src/upgrade/types.js';
import { buildWorklist, partAt, partOf } from '../../src/upgrade/worklist.js';

function folder(id: number, indexBytes: number, isInbox = false): MappingFolder {
  return { id, indexBytes, isInbox } as MappingFolder;
}

describe('buildWorklist', () => {
  it('takes INBOXes first, then the largest first', () => {
    const list = buildWorklist(
      [folder(1, 100), folder(2, 9_000), folder(3, 50, true), folder(4, 800, true)],
      () => true,
    );
    expect([...list.ids]).toEqual([4, 3, 2, 1]);
  });

  it('leaves out what is not due', () => {
    const list = buildWorklist([folder(1, 100), folder(2, 100)], ({ id }) => id === 2);
    expect([...list.ids]).toEqual([2]);
  });
});

describe('partOf', () => {
  it('keeps order, estimates and places', () => {
    const all = buildWorklist(
      [folder(1, 400), folder(2, 800), folder(3, 1_200)],
      () => true,
      ({ id }) => id * 10,
    );
    const part = partOf(all, new Set([1, 3]));
    expect([[...part.ids], [...part.messages], [...part.places]]).toEqual([
      [3, 1],
      [30, 10],
      [30, 10],
    ]);
    expect(part.estimatedMessages).toBe(40);
  });
});

describe('partAt', () => {
  it('keeps what is at these places', () => {
    const all = buildWorklist(
      [folder(1, 400), folder(2, 800), folder(3, 1_200)],
      () => true,
      ({ id }) => id % 2,
    );
    const part = partAt(all, new Set([1]));
    expect([[...part.ids], [...part.messages], [...part.places]]).toEqual([
      [3, 1],
      [30, 10],
      [1, 1],
    ]);
    expect(part.estimatedMessages).toBe(40);
  });
});
