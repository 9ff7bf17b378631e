import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { armPace, makePace, pacedOf, setLimits, spent } from '../../../src/fs/pace.js';
import { openFileSource, readLines } from '../../../src/source/nsms3/lines.js';

/** Ends every wait. */
const cancelled = new Int32Array(new SharedArrayBuffer(4)).fill(1);
afterEach(() => armPace(null, cancelled));

it('a large index is read in pieces under a limit, each of which is paid for before the next', () => {
  const directory = fs.mkdtempSync(join(tmpdir(), 'lines-'));
  const fd = fs.openSync(join(directory, '.mailbox'), 'w+');
  try {
    const bytes = 3 << 20;
    fs.writeSync(fd, '0123456789abcde\n'.repeat(bytes / 16), 0);
    const pace = makePace();
    setLimits(pace, { bytes: 1, operations: 0 });
    armPace(pace, cancelled);
    const limits = { lineBytes: 100, fileBytes: 2 * bytes };
    let mostUnpaid = 0;
    const read = readLines(
      openFileSource(fd),
      limits,
      () => {
        mostUnpaid = Math.max(mostUnpaid, spent.bytes);
      },
      () => expect.unreachable(),
    );
    expect(mostUnpaid).toBe(256 * 1024);
    expect(read).toMatchObject({ lines: bytes / 16, cut: false });
    expect(pacedOf(pace).bytes + spent.bytes).toBe(bytes);
  } finally {
    fs.closeSync(fd);
    fs.rmSync(directory, { recursive: true });
  }
});
