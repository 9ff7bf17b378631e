/**
 * Opening a file beside messages by its name, in a directory that its owner may write to: `.mailbox`, `.acl`,
 * `.subscriptions`, `.lock`, and `store.idx` of a mailbox that nobody has published.
 *
 * Invariant: root opens none that the directory's owner could not. Whoever may write there can give another name to any
 * file of the file system, and what its lines say would stand in the log; a service, or a run with `--take-foreign`, has
 * root's rights when it looks (4x-store.md, promise 6).
 */
import { type BigIntStats, closeSync, constants } from 'node:fs';
import { type Dir, displayPath, fstat, type Name, stat } from './dir.js';
import { type OpenedFile, openFile, openFileIfThere } from './file.js';
import { openError } from './links.js';

/** Mode bit: everybody may read it. */
const S_IROTH = 0o004n;

export interface OwnedFileRules {
  /** The server account: its files are the directory's, too. */
  readonly accountUid?: number | undefined;
  /** Open for writing as well, to lock it. */
  readonly write?: boolean;
}

/** Opens the regular file `name`. Errors: EACCES as the directory's owner would get it, FS_NOT_REGULAR, the system's. */
export function openOwnedFile(dir: Dir, name: Name, rules: OwnedFileRules = {}): number {
  // Where there is none, `openFile` says so.
  return openOwnedFileIfThere(dir, name, rules)?.fd ?? openFile(dir, name);
}

/** The same; undefined when there is nothing of that name. */
export function openOwnedFileIfThere(
  dir: Dir,
  name: Name,
  { accountUid, write = false }: OwnedFileRules,
): OpenedFile | undefined {
  const flags = write ? constants.O_RDWR : constants.O_RDONLY;
  if (process.geteuid?.() !== 0) return openFileIfThere(dir, name, flags);
  const owner = fstat(dir).uid;
  const check = ({ uid, mode }: BigIntStats): void => {
    if (uid === owner || Number(uid) === accountUid || (!write && (mode & S_IROTH) !== 0n)) return;
    throw denied(dir, name, uid);
  };
  // Looked at before it is opened, and again: another file may have the name meanwhile.
  const seen = stat(dir, name);
  if (seen?.isFile()) check(seen);
  const opened = openFileIfThere(dir, name, flags);
  if (opened === undefined) return undefined;
  try {
    check(opened.seen);
    return opened;
  } catch (error) {
    closeSync(opened.fd);
    throw error;
  }
}

/** What the system would say, with the reason. */
function denied(dir: Dir, name: Name, uid: bigint): Error {
  return openError('EACCES', `it belongs to uid ${uid}, who does not own the directory`, displayPath(dir, name));
}
