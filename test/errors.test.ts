import { getSystemErrorName } from 'node:util';
import { describe, expect, it } from 'vitest';
import { describeError, hasErrno, MailhaulError, systemCause } from '../src/errors.js';

const UNNAMED = getSystemErrorName(-122);

/** As Node's file calls throw it: libuv has no name for EDQUOT. */
function quotaExceeded(code: string, text: string): Error {
  return Object.assign(new Error(`${code}: ${text}, write '/disk/file'`), { code, errno: -122, syscall: 'write' });
}

describe.each([
  ['most calls', quotaExceeded(UNNAMED, UNNAMED)],
  ['read and write', quotaExceeded('UNKNOWN', 'unknown error')],
])('an errno that Node has no name for, as thrown by %s', (_, thrown) => {
  it('is recognised', () => {
    expect(hasErrno(thrown, 'ENOSPC', 'EDQUOT')).toBe(true);
    expect(hasErrno(thrown, 'ENOSPC')).toBe(false);
  });

  it('is told by its name', () => {
    expect(describeError(thrown)).toBe("EDQUOT, write '/disk/file'");
  });

  it('is told by its name as the cause of an error of ours', () => {
    const error = new MailhaulError('LOG_WRITE', 'The log cannot be written.', { cause: thrown });
    expect(systemCause(error)).toBe(" (EDQUOT, write '/disk/file')");
  });
});
