import { beforeAll, describe, expect, it } from 'vitest';
import { check32, check64, digest, loadDigest } from '../../src/store/digest.js';

/** Computed with libxxhash (XXH128_canonicalFromHash, XXH64_canonicalFromHash); byte i of the input is 31 i + 7 mod 256. */
const VECTORS: readonly (readonly [number, string, string])[] = [
  [0, '99aa06d3014798d86001c324468d497f', '2d06800538d394c2'],
  [1, '495b62073ef70ca44c5cca45d0f4811f', '4c5cca45d0f4811f'],
  [3, '46f66cb93538156515f7093b173d005c', '15f7093b173d005c'],
  [4, '7fefeeffb4d0eab3b987ca5d9241572a', 'dca012f95811b6b9'],
  [8, '803c675a846cc6c256bb836ceb6d4baa', 'dec6a9a43575982e'],
  [9, 'd46556872d230f224376673580310154', 'cbe393399f17ffbd'],
  [16, '650fe308c566747df853dd94614dfa07', '7e484c18d74895d0'],
  [17, '18217300b5132d5a78c349fe81b2f26c', '208bde5ee2bed407'],
  [128, 'b4f87b99d2db8a511e04fad9f0cacb4d', 'f92b70eaa21a6288'],
  [129, '6881633650cd8924c51bc887976aef63', 'f8f76713f2bb60fa'],
  [240, 'de57aab31e77a2ff93e173833f75ab66', 'ccc7375172c41f03'],
  [241, '92b991a7192f3f080b3b630948ce4a00', '0b3b630948ce4a00'],
  [256, '24ee30633ca52c6aec85b75bafe6ca74', 'ec85b75bafe6ca74'],
  [1000, 'f534f51e82a81d29989765d0ea7a5ecd', '989765d0ea7a5ecd'],
  [1024, '4c17271c906df79223bc880ebf0d29c6', '23bc880ebf0d29c6'],
  [4096, '49d3842b33d51e8aa3c19f8174cde0bb', 'a3c19f8174cde0bb'],
  [100000, '8ce7a24d31cd94b1ccf90df7e7e37036', 'ccf90df7e7e37036'],
];

function input(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + 7) & 0xff);
}

describe('digest', () => {
  beforeAll(loadDigest);

  it.each(VECTORS)('equals the C library for %i bytes', (length, wide, narrow) => {
    const data = input(length);
    expect(Buffer.from(digest(data)).toString('hex')).toBe(wide);
    expect(check64(data)).toBe(BigInt(`0x${narrow}`));
    expect(check32(data)).toBe(Number.parseInt(narrow.slice(8), 16));
  });

  it('hashes a view into a larger buffer, not the buffer', () => {
    const data = input(1000);
    expect(digest(data.subarray(100, 117))).toEqual(digest(data.slice(100, 117)));
  });

  it('returns bytes that a later call does not change', () => {
    const first = digest(input(5));
    const copy = Uint8Array.from(first);
    digest(input(4096));
    expect(first).toEqual(copy);
  });
});
