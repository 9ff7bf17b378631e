/** Files that the administrator names: a list, an export, a password file. Links on the way are followed, as for a root. */
import * as fs from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { MailhaulError } from '../errors.js';
import { closeDir, type Dir, openRoot } from './dir.js';
import { openFile } from './file.js';
import { mindsLinks, walkTo } from './links.js';

/**
 * Opens a regular file for reading. The file's own name may be a link, too. Lists lie in a directory of the server
 * account, which could otherwise have root read what that account may not: root follows only links of root.
 *
 * @throws MailhaulError FS_NOT_REGULAR, FS_FOREIGN_LINK, FS_LINK_LOOP; the file system's errors
 */
export function openNamedFile(path: string): number {
  const { directory, file } = mindsLinks() ? walked(resolve(path)) : resolved(resolve(path));
  try {
    return openFile(directory, file);
  } finally {
    closeDir(directory);
  }
}

interface Named {
  readonly directory: Dir;
  readonly file: string;
}

function walked(path: string): Named {
  const { fd, file } = walkTo(path);
  if (file !== undefined) return { directory: { fd, path: dirname(path) }, file };
  fs.closeSync(fd);
  throw new MailhaulError('FS_NOT_REGULAR', 'A regular file was expected.', { where: path });
}

function resolved(path: string): Named {
  const real = fs.realpathSync(path);
  return { directory: openRoot(dirname(real)), file: basename(real) };
}
