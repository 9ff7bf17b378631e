import { expect, it } from 'vitest';
import { grouped } from '../../src/upgrade/numbers.js';

it('numbers are grouped as Intl does', () => {
  for (const value of [0, 7, 12, 999, 1000, 12_345, 999_999, 1_000_000, 4_294_967_296, Number.MAX_SAFE_INTEGER]) {
    expect(grouped(value)).toBe(value.toLocaleString('en-US'));
  }
});
