/** What all checks of one thread share, and of one task. Nothing here writes to disk. */
import type { BigIntStats } from 'node:fs';
import { PROGRESS } from '../../engine/types.js';
import { describeError, EXIT, isOutOfResources, MailhaulError } from '../../errors.js';
import { DIRECTORY_MODE, type Dir, displayPath, fstat, stat } from '../../fs/dir.js';
import { FILE_MODE } from '../../store/layout.js';
import type { VerifyCode } from './codes.js';
import type { Findings, Subject } from './findings.js';
import { type Implementation, implementations } from './implementations.js';
import type { MessageTotals, ThreadContext } from './tasks.js';

export interface VerifyContext extends ThreadContext {
  /** Both where both are there: what one of them wrote, the other reads. */
  readonly implementations: readonly Implementation[];
}

/** One mailbox or one user being checked. */
export interface Check {
  readonly context: VerifyContext;
  readonly subject: Subject;
  readonly findings: Findings;
  readonly totals: MessageTotals;
}

export async function makeContext(thread: ThreadContext): Promise<VerifyContext> {
  return { ...thread, implementations: await implementations() };
}

export function report(check: Check, code: VerifyCode, where: string, message: string, uid?: number): void {
  check.findings.add(check.subject, code, where, message, uid);
}

/** The run was told to stop. */
export function stopped(context: ThreadContext): boolean {
  return Atomics.load(context.progress, PROGRESS.cancel) !== 0;
}

/**
 * An error of the process, not of the store: every further file would fail as well, so the run halts (exit 4). So does
 * one that says that the run has halted already.
 */
export function rethrowLack(error: unknown): void {
  if (error instanceof MailhaulError && error.exit === EXIT.halted) throw error;
  if (!isOutOfResources(error)) return;
  throw new MailhaulError('VERIFY_HALTED', `The process lacks what it needs to go on: ${describeError(error)}.`, {
    hint: 'Raise the limit (ulimit -n), or give fewer threads with -t.',
    exit: EXIT.halted,
    cause: error,
  });
}

/**
 * For what reads a store: an error of the file system, or one with a code, is a finding, and the rest goes on; what the
 * process lacks halts it, and a defect of this program is told as one.
 */
export function rethrowDefect(error: unknown): void {
  rethrowLack(error);
  if (!(error instanceof MailhaulError) && !isSystemError(error)) throw error;
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

/** Owner and mode of a file or directory of the 4.x store. */
export function checkOwnership(check: Check, stats: BigIntStats, where: string, uid?: number): void {
  for (const { code, text } of ownershipProblems(stats, check.context.owner)) report(check, code, where, text, uid);
}

export function ownershipProblems(
  stats: BigIntStats,
  owner: ThreadContext['owner'],
): { readonly code: VerifyCode; readonly text: string }[] {
  const problems: { code: VerifyCode; text: string }[] = [];
  if (Number(stats.uid) !== owner.uid || Number(stats.gid) !== owner.gid) {
    const text = `It belongs to ${stats.uid}:${stats.gid}, not to the server account ${owner.uid}:${owner.gid}.`;
    problems.push({ code: 'VERIFY_OWNER', text });
  }
  const wanted = stats.isDirectory() ? DIRECTORY_MODE : FILE_MODE;
  const mode = Number(stats.mode) & 0o7777;
  if (mode !== wanted) {
    problems.push({ code: 'VERIFY_MODE', text: `Its mode is ${mode.toString(8)}, not ${wanted.toString(8)}.` });
  }
  return problems;
}

/** The same for a directory that cannot be opened, which is the likely cause. */
export function checkUnopened(check: Check, parent: Dir, name: string): void {
  try {
    const seen = stat(parent, name);
    if (seen?.isDirectory() === true) checkOwnership(check, seen, displayPath(parent, name));
  } catch (error) {
    rethrowDefect(error);
  }
}

export function checkDirectory(check: Check, dir: Dir): void {
  checkOwnership(check, fstat(dir), dir.path);
}
