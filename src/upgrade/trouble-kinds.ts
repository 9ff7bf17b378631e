/** Which failed calls are more than the failure of one folder (trouble.ts says what becomes of them). */
import { constants as osConstants } from 'node:os';
import { isDeviceError, isTargetError } from '../engine/types.js';
import { describeError } from '../errors.js';
import type { Trouble } from './tasks.js';

const { EIO, EMFILE, ENFILE, ENOMEM } = osConstants.errno;

/** Whether `errno` is the process's own trouble: the next folder would meet it wherever it goes. */
export function isProcessTrouble(errno: number): boolean {
  return errno === EMFILE || errno === ENFILE || errno === ENOMEM;
}

/**
 * The trouble behind an error, looking at its causes too; undefined when it concerns one folder only.
 *
 * @param side where the failed call was made
 */
export function troubleOf(error: unknown, side: Trouble['side']): Trouble | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { errno, syscall } = cause as NodeJS.ErrnoException;
    if (typeof errno !== 'number') continue;
    const positive = Math.abs(errno);
    const known = isProcessTrouble(positive) || (side === 'target' ? isTargetError(positive) : isDeviceError(positive));
    return known ? { side, errno: positive, call: syscall ?? 'system call' } : undefined;
  }
  return undefined;
}

/** A failed sync as the trouble of its device. */
export function syncTrouble(error: unknown, side: Trouble['side']): Trouble {
  const known = troubleOf(error, side);
  // Whatever the reason, what was written may not be on the disk.
  return known ?? { side, errno: EIO, call: `syncfs (${describeError(error)})` };
}
