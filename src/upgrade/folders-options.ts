/** Options of `upgrade -s`: what the command line says, and what a library caller may want besides. */
import type { LogLevel } from '../log/log.js';
import type { MailSource } from '../source/types.js';
import type { FolderProblem } from './folders-report.js';

export interface FoldersOptions {
  /** 4.x instance directory; made with the defaults when it is missing and `from` is given. */
  readonly instance: string;
  /** 3.x instance directory; else the one that the instance remembers. */
  readonly from?: string | undefined;
  /** LDAP URL or LDIF file; else the configuration's LDAP settings. */
  readonly directory?: string | undefined;
  readonly directoryTls?: { readonly startTls?: boolean; readonly caFile?: string } | undefined;
  /** Entries a page, and seconds to wait for the directory; the directory's defaults unless given. */
  readonly pageSize?: number | undefined;
  readonly directoryTimeoutSeconds?: number | undefined;
  /** Store paths that are used whoever owns them (`--store-path`). */
  readonly storePaths?: readonly string[] | undefined;
  readonly pidIsStale?: boolean | undefined;
  /** For mapping database and lists, instead of the 3.x default mailbox directory; remembered. */
  readonly workDir?: string | undefined;
  readonly keepPartitionPaths?: boolean | undefined;
  /** Every check, nothing written. */
  readonly dryRun?: boolean | undefined;
  /** As root: become the server account for good once directories are made. For commands, not for libraries. */
  readonly becomeServerAccount?: boolean | undefined;
  /** Threshold of the log; `logfile.default.loglevel` unless given. */
  readonly logLevel?: LogLevel | undefined;
  /** Aborted by a signal: the run stops between two users (exit 4). */
  readonly signal?: AbortSignal | undefined;
  readonly source?: MailSource | undefined;
  /** Threads that read users' directories, 0 for none; by the number of users and of file systems unless given. */
  readonly readers?: number | undefined;
  /** Seconds since 1970; the uidvalidity of folders whose header is lost. */
  readonly now?: number | undefined;
  readonly onProblem?: ((severity: 'error' | 'warning', problem: FolderProblem) => void) | undefined;
  /** Called now and then with the users done so far, all users, and folders found. */
  readonly onProgress?: ((done: number, users: number, folders: number) => void) | undefined;
}
