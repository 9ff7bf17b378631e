import { describe, expect, it } from 'vitest';
import { limitsText, NO_LIMITS, parseIops, parseRate, rateText } from '../../src/upgrade/limits.js';

describe('parseRate', () => {
  it.each([
    ['0', 0],
    ['1', 1],
    ['20000', 20_000],
    ['512K', 512 * 1024],
    ['20M', 20 * 1024 ** 2],
    ['1g', 1024 ** 3],
    ['1.5m', 1.5 * 1024 ** 2],
    ['20MB', 20e6],
    ['3kb', 3_000],
    ['0.0001', 1],
  ])('%s is %i bytes a second', (text, rate) => {
    expect(parseRate(text)).toBe(rate);
  });

  it.each(['', 'M', '-1', '1e3', '5 M', '5T', '5MiB', '0x10', '.5M', '5.M', '99999999999999999', '2000000G', ' 5M'])(
    '%j is none',
    (text) => {
      expect(parseRate(text)).toBeUndefined();
    },
  );
});

it('parseIops takes whole numbers only', () => {
  expect(['0', '500', '1000000000'].map(parseIops)).toEqual([0, 500, 1e9]);
  expect(['', '-1', '1.5', '500K', '1000000001', '10000000000'].map(parseIops)).toEqual(Array(6).fill(undefined));
});

it.each([
  [999, '999 bytes/s'],
  [512 * 1024, '512K/s'],
  [20e6, '19.1M/s'],
  [1024 ** 3, '1G/s'],
])('rateText(%i) is %s', (rate, text) => {
  expect(rateText(rate)).toBe(text);
});

it('limitsText names what is in force', () => {
  expect(limitsText(NO_LIMITS)).toBe('');
  expect(limitsText({ bwlimit: 1024, iops: 5, nice: true })).toBe('limit 1K/s, 5 operations/s, nice');
});
