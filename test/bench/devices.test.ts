import * as os from 'node:os';
import { expect, it } from 'vitest';
import { mountOf, readCounts } from '../../bench/devices.js';

it('reads what devices have done', () => {
  const counts = readCounts(
    '   7       1 loop1 221 38 2018 69 99 17 43144 60 0 64 13 0 0 0 0 36 90\n\n 8 0 sda 1 2 3\n',
  );
  expect([...counts.keys()]).toEqual(['loop1']);
  expect(counts.get('loop1')).toEqual({
    name: 'loop1',
    major: 7,
    minor: 1,
    reads: 221,
    readBytes: 2018 * 512,
    writes: 99,
    writtenBytes: 43144 * 512,
  });
});

it('finds what is mounted at a path', () => {
  expect(mountOf('/proc/self').type).toBe('proc');
  expect(mountOf(os.tmpdir()).type).not.toBe('unknown');
});
