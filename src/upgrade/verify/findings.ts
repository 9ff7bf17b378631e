/** What `upgrade --verify` finds, and where findings go. */

/**
 * Codes are part of the `--json` promise: added, never renamed. An `error` means that something is not as it
 * must be (exit 1); a `note` is worth knowing and changes nothing.
 */
export const VERIFY_CODES = {
  /** A folder of the mapping is not in the mailbox database, and was never migrated. */
  VERIFY_FOLDER_MISSING: 'error',
  /** A 3.x folder that `-s` has not seen. */
  VERIFY_FOLDER_UNKNOWN: 'error',
  /** Mapping and mailbox database disagree about a folder. */
  VERIFY_DATABASES: 'error',
  /** A record, in either database, cannot be read. */
  VERIFY_RECORD: 'error',
  VERIFY_QUOTA: 'error',
  /** Not migrated yet: the folder is in TRANSITION. */
  VERIFY_WAITING: 'note',
  /** A message that failed; it is in 3.x still. */
  VERIFY_NOT_MIGRATED: 'error',
  VERIFY_DIRECTORY_MISSING: 'error',
  VERIFY_INDEX: 'error',
  /** The mailbox database's copy of the counts is not what the index says. */
  VERIFY_SUMMARY: 'error',
  VERIFY_UIDVALIDITY: 'error',
  VERIFY_UIDNEXT: 'error',
  VERIFY_MESSAGE_MISSING: 'error',
  VERIFY_MESSAGE_UNREADABLE: 'error',
  VERIFY_SIZE: 'error',
  /** The message file is not what the index was made from. */
  VERIFY_CONTENT: 'error',
  VERIFY_CRLF: 'error',
  /** A fresh parse gives another cache entry than the index holds. */
  VERIFY_STRUCTURE: 'error',
  VERIFY_OWNER: 'error',
  VERIFY_MODE: 'error',
  VERIFY_UNKNOWN_FILE: 'error',
  /** A message of the migration record is not in the index, or the other way round. */
  VERIFY_COUNT: 'error',
  VERIFY_UID: 'error',
  VERIFY_FLAGS: 'error',
  VERIFY_DATE: 'error',
  /** The 3.x file and the 4.x message differ. */
  VERIFY_SOURCE_CONTENT: 'error',
  /** The 3.x file is not what was migrated any more, and holds something else. */
  VERIFY_SOURCE_CHANGED: 'error',
  /** Another 3.x file than the one that was migrated, with the same content. */
  VERIFY_SOURCE_REPLACED: 'note',
  /** A 3.x message that nobody has migrated. */
  VERIFY_SOURCE_NEW: 'error',
  VERIFY_SOURCE_UNREADABLE: 'error',
  /** The 3.x folder, or its store path, is not there any more. */
  VERIFY_SOURCE_GONE: 'note',
  /** Messages that shared one file in 3.x take space more than once. */
  VERIFY_SINGLE_COPY: 'error',
  /** The registry of shared copies was not emptied. */
  VERIFY_SINGLE_LEFT: 'note',
  /** A mailbox was deleted or renamed since it was migrated. */
  VERIFY_MAILBOX_GONE: 'note',
} as const;

export type VerifyCode = keyof typeof VERIFY_CODES;

export interface Finding {
  readonly code: VerifyCode;
  readonly severity: 'error' | 'note';
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

export interface Findings {
  add(subject: Subject, code: VerifyCode, where: string, message: string, uid?: number): void;
  /** The first findings, errors and notes, up to a limit. */
  readonly listed: readonly Finding[];
  readonly notListed: number;
  readonly errors: number;
  readonly notes: number;
  /** How many of each code. */
  readonly byCode: Readonly<Record<string, number>>;
}

/** Findings kept in memory; more are counted, and given to `onFinding`. */
const LISTED = 10_000;

export function collectFindings(onFinding?: (finding: Finding) => void): Findings {
  const listed: Finding[] = [];
  const byCode: Record<string, number> = {};
  const counts = { error: 0, note: 0 };
  return {
    add(subject, code, where, message, uid) {
      const severity = VERIFY_CODES[code];
      const { user, mailbox, folder } = subject;
      const finding: Finding = { code, severity, user, mailbox, folder, uid: uid ?? null, where, message };
      counts[severity] += 1;
      byCode[code] = (byCode[code] ?? 0) + 1;
      if (listed.length < LISTED) listed.push(finding);
      onFinding?.(finding);
    },
    listed,
    byCode,
    get notListed() {
      return counts.error + counts.note - listed.length;
    },
    get errors() {
      return counts.error;
    },
    get notes() {
      return counts.note;
    },
  };
}
