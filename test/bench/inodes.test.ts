import { expect, it } from 'vitest';
import { DistinctFiles } from '../../bench/inodes.js';

const DEV = 7;

it('counts a file once for all of its names that are met', () => {
  const files = new DistinctFiles();
  for (const ino of [1, 2, 1, 1]) files.add({ dev: DEV, ino, nlink: 3, size: 100 * ino });
  files.add({ dev: DEV + 1, ino: 1, nlink: 3, size: 5 });
  expect(files.count()).toBe(3);
  expect(files.bytes()).toBe(305);
});

it('counts a file whose other names lie elsewhere whole', () => {
  const files = new DistinctFiles();
  files.add({ dev: DEV, ino: 1, nlink: 3, size: 300 });
  files.add({ dev: DEV, ino: 2, nlink: 1, size: 7 });
  expect(files.count()).toBe(2);
  expect(files.bytes()).toBe(307);
});

it('estimates what is too much to keep', () => {
  const files = new DistinctFiles(1000);
  for (let name = 0; name < 3; name++) {
    for (let ino = 1; ino <= 100_000; ino++) files.add({ dev: DEV, ino, nlink: 3, size: 10 });
  }
  for (let ino = 1; ino <= 1000; ino++) files.add({ dev: DEV, ino, nlink: 1, size: 10 });
  expect(files.count() / 101_000).toBeGreaterThan(0.85);
  expect(files.count() / 101_000).toBeLessThan(1.15);
  expect(files.bytes()).toBe(files.count() * 10);
});
