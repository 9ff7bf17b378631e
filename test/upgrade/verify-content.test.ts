/** Reading message files for `--verify`. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { PROGRESS } from '../../src/engine/types.js';
import { openRoot, stat } from '../../src/fs/dir.js';
import { withContent } from '../../src/upgrade/verify/content.js';
import { makeContext, rethrowLack } from '../../src/upgrade/verify/context.js';
import { makeSample } from '../../src/upgrade/verify/sample.js';
import { ACCOUNT, codeOf } from './small-store.js';

it('a thread that waits for a large message ends with the run, when the one that has its turn has died', async () => {
  const root = fs.mkdtempSync(path.join(fs.realpathSync('/tmp'), 'mailhaul-giant-'));
  try {
    fs.closeSync(fs.openSync(path.join(root, 'giant'), 'w'));
    fs.truncateSync(path.join(root, 'giant'), 65 << 20);
    const progress = new Int32Array(new SharedArrayBuffer(64));
    const giant = new Int32Array(new SharedArrayBuffer(4)).fill(1);
    Atomics.store(progress, PROGRESS.cancel, 1);
    const context = await makeContext({ owner: ACCOUNT, sample: makeSample(100, '1'), progress, giant });
    const dir = openRoot(root);
    const read = () => withContent(context, dir, 'giant', stat(dir, 'giant')!, ({ length }) => length);
    expect(codeOf(read)).toBe('VERIFY_HALTED');
    // Not a finding about the message.
    expect(
      codeOf(() => {
        try {
          read();
        } catch (error) {
          rethrowLack(error);
        }
      }),
    ).toBe('VERIFY_HALTED');
    Atomics.store(giant, 0, 0);
    expect(read()).toBe(65 << 20);
    fs.closeSync(dir.fd);
  } finally {
    fs.rmSync(root, { recursive: true });
  }
});
