/** What a failed call on the target means for the folder. */
import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { Halted, MessageFailed, targetFailure } from '../../../src/engine/portable/outcome.js';
import { EUCLEAN, errnoName } from '../../../src/errors.js';

const failed = (errno: number): Error =>
  targetFailure(Object.assign(new Error('failed'), { errno: -errno, code: errnoName(errno), syscall: 'link' }));

it.each(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'ESTALE', 'ENOTCONN', 'ETIMEDOUT'] as const)(
  '%s ends the folder',
  (name) => {
    expect(failed(constants.errno[name])).toBeInstanceOf(Halted);
  },
);

it('so does a file system that says that it is damaged, and the report names the errno', () => {
  expect(failed(EUCLEAN)).toBeInstanceOf(Halted);
  expect(errnoName(EUCLEAN)).toBe('EUCLEAN');
});

it('another errno fails the message alone', () => {
  expect(failed(constants.errno.EACCES)).toBeInstanceOf(MessageFailed);
});
