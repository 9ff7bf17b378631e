/** Collects what a reset refuses and what is worth knowing; memory is bounded however much there is. */
import { describeError, MailhaulError } from '../../errors.js';
import type { MappingFolder } from '../types.js';
import type { RefusalCode, ResetReport } from './types.js';

const LISTED = 5_000;
const NOTES_LISTED = 1_000;

/** What a refusal is about. */
export interface Subject {
  readonly user: string;
  readonly mailbox: string;
}

export const NOBODY: Subject = { user: '', mailbox: '' };

export const ofUser = (user: string): Subject => ({ user, mailbox: '' });

export function ofFolder({ uid, mailbox }: MappingFolder): Subject {
  return { user: uid, mailbox };
}

export interface Refusals {
  add(subject: Subject, code: RefusalCode, where: string, message: string, uid?: number): void;
  note(text: string): void;
  /** All there were, listed or not. */
  readonly count: number;
}

/** Adds to the lists of `report`. */
export function collectRefusals(report: ResetReport): Refusals {
  return {
    add({ user, mailbox }, code, where, message, uid) {
      if (report.refusals.length >= LISTED) report.refusalsNotListed += 1;
      else report.refusals.push({ code, user, mailbox, uid: uid ?? null, where, message });
    },
    note(text) {
      if (report.notes.length >= NOTES_LISTED) report.notesNotListed += 1;
      else report.notes.push(text);
    },
    get count() {
      return report.refusals.length + report.refusalsNotListed;
    },
  };
}

/** Runs one check: a value of a database that cannot be read is a refusal, a defect of this program is not. */
export function attempt(refusals: Refusals, subject: Subject, where: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    refuse(refusals, subject, where, error);
  }
}

/** `attempt` for a check that lets signals be answered. */
export async function attemptInTurns(
  refusals: Refusals,
  subject: Subject,
  where: string,
  check: () => Promise<void>,
): Promise<void> {
  try {
    await check();
  } catch (error) {
    refuse(refusals, subject, where, error);
  }
}

function refuse(refusals: Refusals, subject: Subject, where: string, error: unknown): void {
  if (error instanceof MailhaulError) refusals.add(subject, 'RESET_RECORD', error.where ?? where, sentence(error));
  else if (error instanceof Error && 'syscall' in error)
    refusals.add(subject, 'RESET_UNREADABLE', where, `It cannot be read: ${describeError(error)}.`);
  else throw error;
}

function sentence(error: MailhaulError): string {
  return `${error.code}: ${error.message}${error.hint === undefined ? '' : ` ${error.hint}`}`;
}
