import { describe, expect, it } from 'vitest';
import { isShort, sharedInodes, spaceNeeded } from '../../src/upgrade/space.js';

describe('sharedInodes', () => {
  it('counts an inode of a device once, and none that is copied already', () => {
    const shared = sharedInodes();
    expect([shared.bytesOf(1n, 7n, 4096, 3), shared.bytesOf(1n, 7n, 4096, 3)]).toEqual([4096, 0]);
    expect(shared.bytesOf(2n, 7n, 4096, 3)).toBe(4096);
    shared.present(1n, 8n);
    expect(shared.bytesOf(1n, 8n, 4096, 2)).toBe(0);
  });
});

describe('a device', () => {
  const device = { path: '/p', partitions: ['primary'], bytesNeeded: 10, bytesFree: 10, filesNeeded: 5, filesFree: 5 };

  it('is short of bytes or of inodes, not of what its file system does not count', () => {
    expect(isShort(device)).toBe(false);
    expect(isShort({ ...device, bytesNeeded: 11 })).toBe(true);
    expect(isShort({ ...device, filesNeeded: 6 })).toBe(true);
    expect(isShort({ ...device, filesNeeded: 6, filesFree: null })).toBe(false);
  });

  it('is told with what is missing, and is exit 4', () => {
    const error = spaceNeeded([{ ...device, bytesNeeded: 25, filesNeeded: 6 }]);
    expect([error.code, error.exit]).toEqual(['SPACE_NEEDED', 4]);
    expect(error.message).toContain('25 bytes needed, 10 free, 15 missing; 6 inodes needed, 5 free, 1 missing');
  });
});
