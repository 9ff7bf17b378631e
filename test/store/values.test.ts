/** Values of the databases: what a reader believes. */
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue } from '../../src/store/values.js';

const SHAPE = { storePath: '/mail/disk1', quota: null, uids: [1, 2] };
const read = (bytes: Uint8Array): unknown => decodeValue(bytes, 'a table, a key', (value) => value);

describe('a value', () => {
  it('comes back as it was', () => {
    expect(read(encodeValue(SHAPE))).toEqual(SHAPE);
  });

  it('is refused with any of its bits changed', () => {
    const value = encodeValue(SHAPE);
    for (let bit = 0; bit < value.length * 8; bit++) {
      const damaged = Buffer.from(value);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const code = expect.stringMatching(/^DB_(?:VALUE|VERSION)$/);
      expect(() => read(damaged), `bit ${bit}`).toThrow(expect.objectContaining({ code, where: 'a table, a key' }));
    }
  });

  it('is refused when it was cut anywhere', () => {
    const value = encodeValue(SHAPE);
    for (let length = 0; length < value.length; length++) {
      expect(() => read(value.subarray(0, length))).toThrow(expect.objectContaining({ code: 'DB_VALUE' }));
    }
  });

  it('of the version without a check is read', () => {
    expect(read(Buffer.from(`\u0001${JSON.stringify(SHAPE)}`))).toEqual(SHAPE);
  });
});
