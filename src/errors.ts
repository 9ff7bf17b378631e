/**
 * The one error type of the package, and the stable codes.
 *
 * Every failure that a caller can act on carries a stable `code` (part of the `--json` promise: codes are
 * added, never renamed), says what failed and where, and what to do about it (`hint`). The exit code of a
 * command follows from `exit` (commands.md, "Exit codes").
 */
import { constants } from 'node:os';

/** Exit codes of every command (commands.md). */
export const EXIT = {
  ok: 0,
  /** Done, with errors on some messages, folders or users. */
  partial: 1,
  usage: 2,
  /** Refused or could not start. */
  refused: 3,
  /** Halted (signal, disk full); safe to run again. */
  halted: 4,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface ErrorDetails {
  /** Path, DN, option or line the failure is about. */
  readonly where?: string;
  /** What the administrator can do. */
  readonly hint?: string;
  /** Exit code when nothing handles it; 3 unless given. */
  readonly exit?: ExitCode;
  readonly cause?: unknown;
}

/** A failure with a stable code. `message` is whole sentences, without the code. */
export class MailhaulError extends Error {
  readonly code: string;
  readonly where: string | undefined;
  readonly hint: string | undefined;
  readonly exit: ExitCode;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'MailhaulError';
    this.code = code;
    this.where = details.where;
    this.hint = details.hint;
    this.exit = details.exit ?? EXIT.refused;
  }
}

/** True for an error of Node's file or network calls with this `code` (`ENOENT` …). */
export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  const code = error instanceof Error ? systemCode(error) : undefined;
  return code !== undefined && codes.includes(code);
}

/**
 * There is nothing of that name. A uid may be longer than the names of the file system are: then nothing can have it
 * for a name, and ENAMETOOLONG says no more than ENOENT.
 */
export function isNotThere(error: unknown): boolean {
  return hasErrno(error, 'ENOENT', 'ENAMETOOLONG');
}

/** The process has no descriptor or memory left, as the error or its cause says: trouble of its own, whatever the file. */
export function isOutOfResources(error: unknown): boolean {
  for (let now = error; now instanceof Error; now = now.cause) {
    if (hasErrno(now, 'EMFILE', 'ENFILE', 'ENOMEM')) return true;
  }
  return false;
}

/** A file system says that it is damaged (Linux; libuv has no name for it). */
export const EUCLEAN = 117;

/** `ENOSPC` for 28, and so on. */
export function errnoName(errno: number): string {
  if (errno === EUCLEAN) return 'EUCLEAN';
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

/**
 * The code of a failed system call. For an errno that libuv has no name for, EDQUOT among them, Node says
 * `Unknown system error -122`, or `UNKNOWN` where the call has its fast way (read, write).
 */
function systemCode(error: Error): string | undefined {
  const { code, errno } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string') return undefined;
  const unnamed = code === 'UNKNOWN' || code.startsWith('Unknown system error');
  return unnamed && typeof errno === 'number' ? errnoName(Math.abs(errno)) : code;
}

/** Text of the failed system call behind an error, where the error's own message does not tell it; else ''. */
export function systemCause(error: Error): string {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    const code = systemCode(cause);
    if (code !== undefined && (cause as NodeJS.ErrnoException).syscall !== undefined) {
      return error.message.includes(code) ? '' : ` (${messageOf(cause)})`;
    }
  }
  return '';
}

/** The message of anything that was thrown, without code, place and hint. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  const name = systemCode(error);
  if (typeof code !== 'string' || name === undefined || name === code) return error.message;
  // `<code>: <text of libuv>, <call>`
  return error.message.replace(`${code}: ${code === 'UNKNOWN' ? 'unknown error' : code}`, name);
}

/** The message of anything that was thrown, with its code in front when it has one. */
export function describeError(error: unknown): string {
  if (error instanceof MailhaulError) {
    const where = error.where === undefined ? '' : ` [${error.where}]`;
    const hint = error.hint === undefined ? '' : ` ${error.hint}`;
    return `${error.code}: ${error.message}${systemCause(error)}${where}${hint}`;
  }
  return messageOf(error);
}
