/**
 * How moving one message can end badly. Inside the portable engine these are thrown; `migrate` turns them
 * into the columns of its output. Which errors end one message and which the run: the same table as in
 * native/src/engine/outcome.cc.
 */
import { constants as osConstants } from 'node:os';
import { MailhaulError } from '../../errors.js';
import { isTargetError, type MESSAGE_ERRORS } from '../types.js';

export type MessageErrorCode = Exclude<(typeof MESSAGE_ERRORS)[number], ''>;

/** This message fails, the folder goes on. */
export class MessageFailed extends Error {
  readonly code: MessageErrorCode;
  /** 0 for none. */
  readonly errno: number;

  constructor(code: MessageErrorCode, errno = 0) {
    super(code);
    this.code = code;
    this.errno = errno;
  }
}

/** The device or the process cannot go on: the folder ends here. */
export class Halted extends Error {
  readonly errno: number;
  /** The system call. */
  readonly call: string;
  /** Where the call was made. */
  readonly side: 'source' | 'target';

  constructor(errno: number, call: string, side: 'source' | 'target' = 'target') {
    super(`${call}: errno ${errno}`);
    this.errno = errno;
    this.call = call;
    this.side = side;
  }
}

const { EISDIR, ELOOP, EMFILE, ENFILE, ENOENT, ENOMEM, ENOTDIR, ENXIO, ENODEV } = osConstants.errno;

/** The process lacks something: the next message would meet it as well. */
const LACKING: readonly number[] = [EMFILE, ENFILE, ENOMEM];

/** A failed call on a source file: only what the process lacks ends the folder, anything else is this message's failure. */
export function sourceFailure(error: unknown): Error {
  if (error instanceof MailhaulError && error.code === 'FS_NOT_REGULAR') return new MessageFailed('MSG_NOT_REGULAR');
  const failed = systemError(error);
  if (failed === undefined) return asError(error);
  if (LACKING.includes(failed.errno)) return new Halted(failed.errno, failed.call, 'source');
  if (failed.errno === ENOENT) return new MessageFailed('MSG_VANISHED', failed.errno);
  if ([ELOOP, ENXIO, ENODEV, EISDIR, ENOTDIR].includes(failed.errno)) return new MessageFailed('MSG_NOT_REGULAR');
  return new MessageFailed('MSG_UNREADABLE', failed.errno);
}

/** A failed call on the target: a full, read-only, broken or lost device ends the folder too. */
export function targetFailure(error: unknown): Error {
  if (error instanceof MailhaulError && error.code === 'FS_NOT_REGULAR') return new MessageFailed('MSG_TARGET');
  const failed = systemError(error);
  if (failed === undefined) return asError(error);
  if (LACKING.includes(failed.errno) || isTargetError(failed.errno)) {
    return new Halted(failed.errno, failed.call);
  }
  return new MessageFailed('MSG_TARGET', failed.errno);
}

/** Runs calls on the target, turning what they throw into what it means. */
export function onTarget<T>(calls: () => T): T {
  try {
    return calls();
  } catch (error) {
    throw targetFailure(error);
  }
}

/**
 * Reads a file of the target. Undefined where it cannot be read: it is replaced, as one with another content, since what
 * it should hold is at hand. Throws what the process lacks, which says nothing about the file.
 */
export function unlessUnreadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const failed = systemError(error);
    if (failed !== undefined && LACKING.includes(failed.errno)) throw error;
    return undefined;
  }
}

/** Positive errno and call of an error of Node's file system calls, ENOMEM for memory; undefined for others. */
export function systemError(error: unknown): { errno: number; call: string } | undefined {
  if (!(error instanceof Error) || error instanceof MessageFailed || error instanceof Halted) return undefined;
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number') return { errno: Math.abs(errno), call: syscall ?? 'system call' };
  const noMemory = code === 'ERR_MEMORY_ALLOCATION_FAILED' || error.message === 'Array buffer allocation failed';
  return noMemory ? { errno: ENOMEM, call: 'malloc' } : undefined;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
