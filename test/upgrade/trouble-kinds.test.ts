/** Which failed calls are more than the failure of one folder. */
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { troubleOf } from '../../src/upgrade/trouble-kinds.js';

const { EACCES, EIO, EMFILE, ENOSPC, ENOTCONN, EROFS, ESTALE, ETIMEDOUT } = constants.errno;
/** Node has no name for it. */
const ESHUTDOWN = 108;

const failed = (errno: number): Error => Object.assign(new Error('failed'), { errno: -errno, syscall: 'mkdir' });

describe('troubleOf', () => {
  it.each([EIO, ESTALE, ENOTCONN, ETIMEDOUT, ESHUTDOWN])(
    'errno %i is trouble of the device, on either side',
    (errno) => {
      for (const side of ['source', 'target'] as const) {
        expect(troubleOf(failed(errno), side)).toEqual({ side, errno, call: 'mkdir' });
      }
    },
  );

  it.each([ENOSPC, EROFS])('errno %i is that of a target alone', (errno) => {
    expect(troubleOf(failed(errno), 'target')).toMatchObject({ side: 'target', errno });
    expect(troubleOf(failed(errno), 'source')).toBeUndefined();
  });

  it('another one is the folder’s, and a lack of descriptors the process’s', () => {
    expect(troubleOf(failed(EACCES), 'target')).toBeUndefined();
    expect(troubleOf(new Error('no descriptor', { cause: failed(EMFILE) }), 'source')).toMatchObject({ errno: EMFILE });
  });
});
