/**
 * Where findings go. A thread collects those of one task, the main thread those of the run; either keeps a bounded
 * number of each code and counts the rest, so that a million damaged messages neither fill memory nor hide the one
 * finding of another kind.
 */
import { type Severity, VERIFY_CODES, type VerifyCode } from './codes.js';

export interface Finding {
  readonly code: VerifyCode;
  readonly severity: Severity;
  readonly user: string;
  /** 4.x name; '' for what belongs to no mailbox. */
  readonly mailbox: string;
  /** 3.x folder path. */
  readonly folder: string;
  /** Message uid; null for what belongs to no message. */
  readonly uid: number | null;
  /** Path or database. */
  readonly where: string;
  readonly message: string;
}

/** What a finding is about; the rest is filled in. */
export interface Subject {
  readonly user: string;
  readonly mailbox: string;
  readonly folder: string;
}

export const NO_SUBJECT: Subject = { user: '', mailbox: '', folder: '' };

/** Findings on their way from a thread. */
export interface FoundInTask {
  readonly listed: readonly Finding[];
  readonly byCode: Readonly<Partial<Record<VerifyCode, number>>>;
}

export interface Findings {
  add(subject: Subject, code: VerifyCode, where: string, message: string, uid?: number): void;
  merge(found: FoundInTask): void;
  /** The first of each code, up to a limit. */
  readonly listed: readonly Finding[];
  /** How many of each code. */
  readonly byCode: Readonly<Partial<Record<VerifyCode, number>>>;
  count(severity: Severity): number;
}

/** Findings of one code that are kept. */
const LISTED_OF_A_CODE = 1_000;

/** @param onFinding told of every finding that is kept, at once */
export function collectFindings(onFinding?: (finding: Finding) => void): Findings {
  const listed: Finding[] = [];
  const byCode: Partial<Record<VerifyCode, number>> = {};
  const counts = { error: 0, open: 0, note: 0 };
  const keep = (finding: Finding): void => {
    listed.push(finding);
    onFinding?.(finding);
  };
  const kept: Partial<Record<VerifyCode, number>> = {};
  const mayKeep = (code: VerifyCode): boolean => {
    const before = kept[code] ?? 0;
    if (before >= LISTED_OF_A_CODE) return false;
    kept[code] = before + 1;
    return true;
  };
  return {
    add(subject, code, where, message, uid) {
      const { severity } = VERIFY_CODES[code];
      counts[severity] += 1;
      byCode[code] = (byCode[code] ?? 0) + 1;
      if (!mayKeep(code)) return;
      const { user, mailbox, folder } = subject;
      keep({ code, severity, user, mailbox, folder, uid: uid ?? null, where, message });
    },
    merge(found) {
      for (const finding of found.listed) if (mayKeep(finding.code)) keep(finding);
      for (const [code, count] of Object.entries(found.byCode) as [VerifyCode, number][]) {
        byCode[code] = (byCode[code] ?? 0) + count;
        counts[VERIFY_CODES[code].severity] += count;
      }
    },
    listed,
    byCode,
    count: (severity) => counts[severity],
  };
}
