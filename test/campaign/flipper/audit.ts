/** What the campaign looks at: the canary's inodes, the content of 4.x, and the program's system calls. */
import * as fs from 'node:fs';
import { type Ground, join, MARKER, names } from './ground.js';

/** Every inode of the canary with all that an access would change, by path (latin1). */
export type CanaryState = ReadonlyMap<string, string>;

/** To list a directory is to read it, so all are listed first and looked at afterwards. */
export function canaryState(ground: Ground): CanaryState {
  const paths: Buffer[] = [];
  const visit = (at: Buffer): void => {
    paths.push(at);
    if (fs.lstatSync(at).isDirectory()) for (const name of names(at)) visit(join(at, name));
  };
  visit(Buffer.from(ground.canary));
  return new Map(paths.map((at) => [at.toString('latin1'), stateOf(at)]));
}

/** What changed since, one line a path. */
export function canaryChanges(before: CanaryState): string[] {
  const changes: string[] = [];
  for (const [at, was] of before) {
    const now = stateOf(Buffer.from(at, 'latin1'));
    if (now !== was) changes.push(`${at} was ${was}, is ${now}`);
  }
  return changes;
}

function stateOf(at: Buffer): string {
  const found = fs.lstatSync(at, { bigint: true, throwIfNoEntry: false });
  if (found === undefined) return 'not there';
  const { mode, uid, gid, nlink, size, atimeNs, mtimeNs, ctimeNs } = found;
  // A secret has a second name in the site: the flipper's own renames change its ctime, and that name may be removed
  // as the message would be that it stands for.
  const links = at.includes('/secret/') ? '' : `${nlink} links, changed ${ctimeNs}, `;
  return `mode ${mode.toString(8)}, ${uid}:${gid}, ${size} bytes, ${links}written ${mtimeNs}, read ${atimeNs}`;
}

/** 4.x files that hold content of the canary. */
export function leaks(partitions: readonly string[]): string[] {
  const found: string[] = [];
  const visit = (at: Buffer): void => {
    const status = fs.lstatSync(at);
    if (status.isDirectory()) {
      for (const name of names(at)) {
        if (!name.toString('latin1').startsWith('.decoy-')) visit(join(at, name));
      }
    } else if (status.isFile() && fs.readFileSync(at).includes(MARKER)) found.push(at.toString('latin1'));
  };
  for (const partition of partitions) if (fs.existsSync(partition)) visit(Buffer.from(partition));
  return found;
}

const CHANGING =
  /^(unlink|unlinkat|rename|renameat|renameat2|link|linkat|mkdir|mkdirat|rmdir|symlink|symlinkat|mknod|mknodat|chmod|fchmodat|fchmodat2|chown|lchown|fchownat|truncate|utimensat|setxattr|lsetxattr)$/;

/**
 * Judges the lines of `strace -f -yy -e trace=%file`: nothing of the canary is ever named or reached; what is opened
 * for writing lies in the site; what is changed by name is one name in a held directory.
 */
export function judgeTrace(lines: Iterable<string>, site: string, canary: string): string[] {
  const problems: string[] = [];
  for (const line of lines) {
    const call = /^\d+\s+(?:<\.\.\. )?(\w+)/.exec(line)?.[1];
    if (call === undefined) continue;
    if (line.includes(canary)) problems.push(line);
    else if (/ = -1 E/.test(line)) continue;
    else if (/^open(at2?)?$/.test(call)) {
      const reached = / = \d+<(.*)>$/.exec(line)?.[1];
      const writes = /O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE/.test(line);
      if (writes && reached !== undefined && !isWritable(reached, site)) problems.push(line);
    } else if (CHANGING.test(call) && !isOneName(line, site)) problems.push(line);
  }
  return problems;
}

function isWritable(reached: string, site: string): boolean {
  return reached.startsWith(`${site}/`) || /^\/(proc|dev)\//.test(reached);
}

/** Every path argument is one name below a held directory of the site, or a held descriptor itself. */
function isOneName(line: string, site: string): boolean {
  const inSite = [...line.matchAll(/(\d+|AT_FDCWD)<([^>]*)>, "((?:[^"\\]|\\.)*)"/g)];
  for (const [, , directory, name] of inSite) {
    if (name?.startsWith('/')) continue;
    if (!directory?.startsWith(`${site}/`) || name?.includes('/')) return false;
  }
  const absolute = [...line.matchAll(/"(\/(?:[^"\\]|\\.)*)"/g)];
  return absolute.every(([, name]) => /^\/proc\/self\/fd\/\d+(\/[^/]+)?$/.test(name ?? ''));
}
