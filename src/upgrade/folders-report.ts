/**
 * What a run of `upgrade -s` found and did: the `--json` object and the exit code.
 *
 * A problem is about one user or one folder and never stops the others. `error`: something was left out, and
 * the exit code is 1. `warning`: a person should know, nothing is lost. Each goes to the log; the report keeps
 * the first `PROBLEMS_KEPT` of each kind and counts the rest.
 */
import { EXIT, type ExitCode } from '../errors.js';
import type { Log } from '../log/log.js';

export interface FolderProblem {
  /** uid, or the DN of an entry that has none; '' when it is about neither. */
  readonly user: string;
  /** 3.x folder path, UTF-8; '' when it is about the user. */
  readonly folder: string;
  readonly code: string;
  readonly message: string;
}

export interface PartitionReport {
  readonly name: string;
  /** 3.x store path. */
  readonly storePath: string;
  /** Where its mail will lie in 4.x. */
  readonly path: string;
  readonly users: number;
  folders: number;
  /** Bytes of the folders' indexes: an estimate of the work. */
  indexBytes: number;
  /** Why the path is not the default: it holds migrated mail, or `--keep-partition-paths`. */
  readonly kept: 'migrated' | 'option' | null;
  /** A path that was set with configutil and is back at its default now. */
  readonly resetFrom: string | null;
  /** Whether messages can be linked (one file system) or must be copied; null when it cannot be told yet. */
  readonly moves: 'link' | 'copy' | null;
}

/** Fields may be added, never removed or renamed (the `--json` promise). */
export interface FoldersReport {
  exitCode: ExitCode;
  readonly dryRun: boolean;
  /** Absolute paths. */
  readonly instance: string;
  readonly from: string;
  readonly mailboxDirectory: string;
  readonly workDir: string;
  /** The 4.x instance did not exist before. */
  readonly instanceCreated: boolean;
  readonly users: {
    /** Valid entries of the directory whose store path can be used, and users who left it with work undone. */
    found: number;
    /** Not in the mapping database before. */
    added: number;
    /** Reported and left out. */
    skipped: number;
    withoutMailbox: number;
  };
  readonly folders: {
    found: number;
    added: number;
    /** Known from an earlier run, still in TRANSITION. */
    waiting: number;
    /** Migrated by an earlier run, or deleted or renamed in 4.x since; left alone. */
    migrated: number;
    failed: number;
  };
  readonly partitions: PartitionReport[];
  /** Absolute paths of the files written. */
  readonly files: string[];
  readonly errors: FolderProblem[];
  readonly warnings: FolderProblem[];
  errorsNotListed: number;
  warningsNotListed: number;
  seconds: number;
}

export const PROBLEMS_KEPT = 10_000;

/** Takes problems; before the log is open, its lines are kept for it. */
export interface Recorder {
  error(problem: FolderProblem): void;
  warning(problem: FolderProblem): void;
  notice(message: string): void;
  /** From now on lines go to this log, those of before first. */
  attach(log: Log): void;
}

/** @param onProblem called for each problem as it is found, also for those the report has no room for */
export function createRecorder(
  report: FoldersReport,
  onProblem: (severity: 'error' | 'warning', problem: FolderProblem) => void = () => {},
): Recorder {
  let log: Log | undefined;
  const waiting: { level: 'Error' | 'Warning' | 'Notice'; text: string }[] = [];
  const write = (level: 'Error' | 'Warning' | 'Notice', text: string): void => {
    if (log === undefined) waiting.push({ level, text });
    else log.write('Store', level, text);
  };
  return {
    error(problem) {
      report.exitCode = EXIT.partial;
      if (report.errors.length < PROBLEMS_KEPT) report.errors.push(problem);
      else report.errorsNotListed += 1;
      write('Error', problemText(problem));
      onProblem('error', problem);
    },
    warning(problem) {
      if (report.warnings.length < PROBLEMS_KEPT) report.warnings.push(problem);
      else report.warningsNotListed += 1;
      write('Warning', problemText(problem));
      onProblem('warning', problem);
    },
    notice: (message) => write('Notice', message),
    attach(opened) {
      log = opened;
      for (const { level, text } of waiting.splice(0)) log.write('Store', level, text);
    },
  };
}

/** `fred, Projects/2024: CODE: what happened` */
function problemText({ user, folder, code, message }: FolderProblem): string {
  const where = [user, folder].filter((part) => part !== '').join(', ');
  return `${where === '' ? '' : `${where}: `}${code}: ${message}`;
}
