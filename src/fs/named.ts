/** Files that the administrator names: a list, an export, a password file. Links on the way are followed, as for a root. */
import * as fs from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { MailhaulError } from '../errors.js';
import { at, closeDir, type Dir, openFile, openRoot, stat } from './dir.js';

/** Symbolic links in one path before it counts as a loop (the kernel's own limit). */
const MAX_LINKS = 40;

/**
 * Opens a regular file for reading. The file's own name may be a link that the administrator made: root follows only
 * links of root. Lists lie in a directory of the server account, which could otherwise have root read what it may not.
 *
 * @throws MailhaulError FS_NOT_REGULAR, FS_FOREIGN_LINK; the file system's errors
 */
export function openNamedFile(path: string): number {
  let named = resolve(path);
  for (let links = 0; links <= MAX_LINKS; links++) {
    // A link that begins with no slash counts from where it really is.
    const directory = openRoot(fs.realpathSync(dirname(named)));
    try {
      const name = basename(named);
      const target = ownLink(directory, name);
      if (target === undefined) return openFile(directory, name);
      named = target.startsWith('/') ? target : `${directory.path}/${target}`;
    } finally {
      closeDir(directory);
    }
  }
  throw new MailhaulError('FS_FOREIGN_LINK', 'Too many symbolic links lead to the file.', { where: path });
}

/** Where a link leads; undefined when the name is none. */
function ownLink(directory: Dir, name: string): string | undefined {
  const seen = stat(directory, name);
  if (seen?.isSymbolicLink() !== true) return undefined;
  const target = fs.readlinkSync(at(directory, name));
  const still = stat(directory, name);
  const isSame = still?.ino === seen.ino && still.ctimeNs === seen.ctimeNs;
  if (isSame && (process.geteuid?.() !== 0 || seen.uid === 0n)) return target;
  throw new MailhaulError('FS_FOREIGN_LINK', 'A symbolic link of another account is not followed.', {
    where: `${directory.path}/${name}`,
    hint: 'Name the file that it leads to.',
  });
}
