import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { sync, writeAll } from '../../src/fs/dir.js';
import { armFaults, parseFaultPlan } from '../../src/fs/seam.js';

it.each([
  ['write', (fd: number) => writeAll(fd, Buffer.from('x'))],
  ['sync', (fd: number) => sync(fd)],
])('a failed %s of a descriptor names the file', (_what, call) => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-fd-')), 'upgrade4x.conf');
  const fd = fs.openSync(file, 'w');
  try {
    armFaults(parseFaultPlan('fail:1:EDQUOT'));
    expect(() => call(fd)).toThrow(file);
  } finally {
    armFaults(undefined);
    fs.closeSync(fd);
    fs.rmSync(path.dirname(file), { recursive: true });
  }
});

it('writes 2 GiB, which Node refuses to write at once', () => {
  // Neither takes memory or time: pages of zeros that nobody touches, and a device that does not read them.
  const fd = fs.openSync('/dev/null', 'w');
  try {
    expect(() => writeAll(fd, new Uint8Array(2 ** 31))).not.toThrow();
  } finally {
    fs.closeSync(fd);
  }
});
