import { getSystemErrorName } from 'node:util';
import { describe, expect, it } from 'vitest';
import { describeError, hasErrno, MailhaulError, systemCause } from '../src/errors.js';

/** As Node's file calls throw it: libuv has no name for EDQUOT. */
function quotaExceeded(): Error {
  const code = getSystemErrorName(-122);
  return Object.assign(new Error(`${code}: ${code}, write`), { code, errno: -122, syscall: 'write' });
}

describe('an errno that Node has no name for', () => {
  it('is recognised', () => {
    expect(hasErrno(quotaExceeded(), 'ENOSPC', 'EDQUOT')).toBe(true);
    expect(hasErrno(quotaExceeded(), 'ENOSPC')).toBe(false);
  });

  it('is told by its name', () => {
    expect(describeError(quotaExceeded())).toBe('EDQUOT, write');
  });

  it('is told by its name as the cause of an error of ours', () => {
    const error = new MailhaulError('LOG_WRITE', 'The log cannot be written.', { cause: quotaExceeded() });
    expect(systemCause(error)).toBe(' (EDQUOT, write)');
  });
});
