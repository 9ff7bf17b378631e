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
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(named(error.code))
  );
}

/** `ENOSPC` for 28, and so on. */
export function errnoName(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

/** Node calls an errno that libuv does not know, EDQUOT among them, `Unknown system error -122`. */
function named(text: string): string {
  return text.replace(/Unknown system error -(\d+)(?:: Unknown system error -\1)?/g, (_, errno) =>
    errnoName(Number(errno)),
  );
}

/** Text of the failed system call behind an error, where the error's own message does not tell it; else ''. */
export function systemCause(error: Error): string {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (code !== undefined && syscall !== undefined) {
      return error.message.includes(named(code)) ? '' : ` (${messageOf(cause)})`;
    }
  }
  return '';
}

/** The message of anything that was thrown, without code, place and hint. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? named(error.message) : String(error);
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
