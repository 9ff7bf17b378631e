import { expect, it } from 'vitest';
import { median, spread } from '../../bench/statistics.js';

it('takes the middle one, or the mean of the two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([1, 9, 3, 5])).toBe(4);
});

it('says the lowest and the highest beside the median', () => {
  expect(spread([3, 1, 10])).toEqual({ median: 3, min: 1, max: 10 });
});

it('has no median of nothing', () => {
  expect(() => median([])).toThrow();
});
