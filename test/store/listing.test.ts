import { expect, it } from 'vitest';
import { mailboxPattern } from '../../src/store/listing.js';

it.each([
  ['*', 'user/joe/INBOX', true],
  ['', '', true],
  ['', 'x', false],
  ['user/joe/*', 'user/joe/a/b', true],
  ['user/joe/%', 'user/joe/a', true],
  ['user/joe/%', 'user/joe/a/b', false],
  ['user/joe/%', 'user/joe/', true],
  ['user/%/INBOX', 'user/ann/INBOX', true],
  ['*a*b', 'xxaxxbxxb', true],
  ['*a*b', 'xxaxxbxxc', false],
  ['%/%', 'a/b', true],
  ['a.c', 'abc', false],
  ['[a]+', '[a]+', true],
  ['user/joe', 'user/joe/INBOX', false],
])('%s on %s: %s', (pattern, name, matches) => {
  expect(mailboxPattern(pattern)(name)).toBe(matches);
});

it('takes linear time on patterns that make back-tracking explode', () => {
  expect(mailboxPattern('*a'.repeat(50))(`${'a'.repeat(20_000)}b`)).toBe(false);
});
