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
  const of = (key: number, text: string): string | undefined => {
    const now = Buffer.from(text);
    const table = { get: () => now, holds: (_: Uint8Array, bytes: Buffer) => bytes.equals(now) };
    return values.read(table, Buffer.of(key), key)?.text;
  };
  return { decoded, of, values };
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

it('takes for known what was put there', () => {
  const { decoded, of, values } = counted(2);
  values.keep(1, Buffer.from('a'), { text: 'from outside' });
  expect([of(1, 'a'), of(1, 'b'), of(1, 'a')]).toEqual(['from outside', 'b', 'a']);
  expect(decoded).toEqual(['1 b', '1 a']);
});

it('nothing is nothing', () => {
  const { values } = counted(2);
  values.keep(1, Buffer.from('a'), { text: 'a' });
  expect(values.read({ get: () => undefined, holds: () => false }, Buffer.of(1), 1)).toBeUndefined();
});

it('keeps the bytes of a value in memory of their own, not the piece that they were made in', () => {
  const { values } = counted(4);
  const made = Buffer.from('in a piece of 8 KB, with others');
  expect(made.buffer.byteLength).toBeGreaterThan(made.length);
  values.keep(1, made, { text: 'a' });
  const kept: Buffer[] = [];
  const table = { get: () => undefined, holds: (_: Uint8Array, bytes: Buffer) => kept.push(bytes) > 0 };
  values.read(table, Buffer.of(1), 1);
  expect(kept.map(({ buffer }) => buffer.byteLength)).toEqual([made.length]);
});
