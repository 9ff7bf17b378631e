/**
 * Opening what a folder has beside its messages: `.mailbox`, `.acl`, `.subscriptions`, `.lock`.
 *
 * Invariant: root opens none that the folder's owner could not. Whoever may write in the folder can give another name
 * to any file of the file system there, and what its lines say would stand in the log; a service, or a run with
 * `--take-foreign`, has root's rights when it looks (4x-store.md, promise 6).
 */
import { type BigIntStats, closeSync, constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { statOpenExactly } from '../../fs/descriptor.js';
import { type Dir, displayPath, fstat, type Name, stat } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';

/** Mode bit: everybody may read it. */
const S_IROTH = 0o004n;

export interface FolderFileRules {
  /** The server account: its files are the folder's, too. */
  readonly accountUid?: number | undefined;
  /** Open for writing as well, to lock it. */
  readonly write?: boolean;
}

/** Opens the regular file `name`. Errors: EACCES as the folder's owner would get it, FS_NOT_REGULAR, the system's. */
export function openFolderFile(folder: Dir, name: Name, { accountUid, write = false }: FolderFileRules = {}): number {
  const flags = write ? constants.O_RDWR : constants.O_RDONLY;
  if (process.geteuid?.() !== 0) return openFile(folder, name, flags);
  const owner = fstat(folder).uid;
  const check = ({ uid, mode }: BigIntStats): void => {
    if (uid === owner || Number(uid) === accountUid || (!write && (mode & S_IROTH) !== 0n)) return;
    throw denied(folder, name, uid);
  };
  // Looked at before it is opened, and again: another file may have the name meanwhile.
  const seen = stat(folder, name);
  if (seen?.isFile()) check(seen);
  const fd = openFile(folder, name, flags);
  try {
    check(statOpenExactly(fd));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What the system would say, with the reason. */
function denied(folder: Dir, name: Name, uid: bigint): Error {
  const path = displayPath(folder, name);
  const text = `EACCES: it belongs to uid ${uid}, who does not own the folder, open '${path}'`;
  return Object.assign(new Error(text), { code: 'EACCES', errno: -osConstants.errno.EACCES, syscall: 'open', path });
}
