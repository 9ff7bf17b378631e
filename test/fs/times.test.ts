import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { setModificationTime } from '../../src/fs/times.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-times-'));
const fd = fs.openSync(path.join(root, 'file'), 'w');

afterAll(() => {
  fs.closeSync(fd);
  fs.rmSync(root, { recursive: true });
});

const time = () => fs.fstatSync(fd, { bigint: true }).mtimeNs;

it.each([946_684_800_123_456_789n, 0n, 1n, -1n, -5_000_000_123n, 1_700_000_000_999_999_999n])(
  'sets %d exactly',
  (wanted) => {
    setModificationTime(fd, wanted, true);
    expect(time()).toBe(wanted);
  },
);

it('is within two micro-seconds when it need not be exact', () => {
  setModificationTime(fd, 1_700_000_000_999_999_999n, false);
  expect(Math.abs(Number(time() - 1_700_000_000_999_999_999n))).toBeLessThan(2000);
});
