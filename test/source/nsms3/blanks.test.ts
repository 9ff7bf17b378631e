import { expect, test } from 'vitest';
import { trimBlanks } from '../../../src/source/nsms3/blanks.js';

test.each([
  ['\t a b \r', 'a b'],
  ['a', 'a'],
  ['\xa0a\xa0', '\xa0a\xa0'],
  [' \t\r', ''],
  ['', ''],
])('%j becomes %j', (text, trimmed) => {
  expect(trimBlanks(text)).toBe(trimmed);
});
