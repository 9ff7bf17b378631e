/**
 * The code that a thread loads when it starts: files that another thread has told of, and package.json of their packages,
 * which says what kind of modules they are. A thread that starts after the process has become the server account reads
 * them with the rights of that account; and the package may have been exchanged since then, by an update say, whose
 * threads would not understand this process's tasks.
 */
import { asAccount, type Identity } from '../config/privileges.js';
import { fileStamp, manifestOf, readFrom } from '../fs/code.js';

export interface ThreadCode {
  /** Throws when it is not what it was at first. */
  check(): void;
}

/**
 * What a thread loads that is started later, when the process is `account`. undefined: it is not certain that it can.
 *
 * @param files what a thread has loaded
 * @param account undefined: this process stays what it is
 */
export function codeForLater(files: readonly string[], account: Identity | undefined): ThreadCode | undefined {
  if (files.length === 0) return undefined;
  // Node may have been told to load more, in each thread.
  if (account !== undefined && (process.execArgv.length > 0 || (process.env.NODE_OPTIONS ?? '') !== ''))
    return undefined;
  const stamps = new Map<string, string>();
  try {
    for (const file of new Set(files.flatMap((file) => [file, ...manifestOf(file)]))) stamps.set(file, fileStamp(file));
    if (account !== undefined) asAccount(account, () => [...stamps.keys()].forEach(readFrom));
  } catch {
    return undefined;
  }
  return {
    check() {
      for (const [file, stamp] of stamps) {
        if (fileStamp(file) !== stamp) throw new Error(`${file} was changed since this command began`);
      }
    },
  };
}
