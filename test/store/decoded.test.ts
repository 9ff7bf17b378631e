/** Records that are decoded once for the same bytes. */
import { expect, it } from 'vitest';
import { DecodedValues } from '../../src/store/decoded.js';

function counted(limit: number) {
  const decoded: string[] = [];
  const values = new DecodedValues<number, { readonly text: string }>((bytes, key) => {
    const text = bytes.toString();
    if (text === 'damaged') throw new Error('damaged');
    decoded.push(`${key} ${text}`);
    return { text };
  }, limit);
  return { decoded, of: (key: number, text: string) => values.of(key, Buffer.from(text)).text };
}

it('decodes a value once, and again when its bytes are others', () => {
  const { decoded, of } = counted(4);
  expect([of(1, 'a'), of(1, 'a'), of(1, 'b'), of(1, 'a'), of(2, 'a')]).toEqual(['a', 'a', 'b', 'a', 'a']);
  expect(decoded).toEqual(['1 a', '1 b', '1 a', '2 a']);
});

it('keeps as many as it may, the latest', () => {
  const { decoded, of } = counted(2);
  for (const key of [1, 2, 3, 3, 2, 1]) of(key, 'a');
  expect(decoded).toEqual(['1 a', '2 a', '3 a', '1 a']);
});

it('refuses a damaged value each time', () => {
  const { of } = counted(2);
  of(1, 'a');
  expect(() => of(1, 'damaged')).toThrow('damaged');
  expect(() => of(1, 'damaged')).toThrow('damaged');
});
