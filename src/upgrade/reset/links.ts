/** Links of a reset: of what was looked at, and not of what somebody has put in its place before the link was made. */
import { hasErrno } from '../../errors.js';
import { type Dir, type Name, stat, unlinkIfThere } from '../../fs/dir.js';

/** Errors with which a link cannot be made here at all: the message is copied, or not shared. */
const NO_LINK = ['EXDEV', 'EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP'] as const;

export function cannotBeLinked(error: unknown): boolean {
  return hasErrno(error, ...NO_LINK);
}

/** Whether a link that was just made leads to `inode`; one that does not is taken away. */
export function keepIfOf(inode: bigint, dir: Dir, name: Name): boolean {
  if (stat(dir, name)?.ino === inode) return true;
  unlinkIfThere(dir, name);
  return false;
}
