/** Reader of `.acl`: `<identifier> <rights>` a line, rights as letters of RFC 2086 section 3. */
import type { Dir } from '../../fs/dir.js';
import type { SmallFiles } from '../../fs/glance.js';
import type { AclEntry } from '../../store/types.js';
import type { SourceAcl } from '../types.js';
import { quoteBytes, warningList } from '../warnings.js';
import { trimBlanks } from './blanks.js';
import { readTextLines, type TextFile } from './textlist.js';

const FILE: TextFile = {
  name: '.acl',
  fileBytes: 1 << 20,
  lineBytes: 4096,
  lines: 10_000,
  warning: 'ACL_FILE',
  unreadable: 'ACL_UNREADABLE',
};

/** RFC 2086: lookup, read, seen, write, insert, post, create, delete, administer; digits are the server's own. */
const RIGHTS = 'lrswipcda0123456789';

/**
 * A folder's ACL in file order; empty when there is none. A line that cannot be used, letters that are no
 * rights and an identifier's later lines are left out with a warning.
 *
 * @throws MailhaulError ACL_UNREADABLE; EMFILE and its like. Never for content
 */
export function readAcl(folder: Dir, files?: SmallFiles): SourceAcl {
  const warnings = warningList();
  const entries: AclEntry[] = [];
  const seen = new Set<string>();
  for (const { bytes, number } of readTextLines(folder, FILE, warnings, files)) {
    const entry = parseEntry(decode(bytes));
    if (entry === undefined) {
      warnings.add('ACL_LINE', number, `The line of .acl cannot be used: ${quoteBytes(bytes)}`);
      continue;
    }
    const rights = [...new Set(entry.rights)].filter((letter) => RIGHTS.includes(letter)).join('');
    if (rights !== entry.rights) {
      warnings.add('ACL_RIGHTS', number, `Letters that are no rights, or repeated, were dropped: ${quoteBytes(bytes)}`);
    }
    if (seen.has(entry.identifier)) {
      warnings.add('ACL_TWICE', number, `A second line for an identifier is ignored: ${quoteBytes(bytes)}`);
    } else if (rights === '') {
      warnings.add('ACL_LINE', number, `The line of .acl gives no rights and is ignored: ${quoteBytes(bytes)}`);
    } else {
      seen.add(entry.identifier);
      entries.push({ identifier: entry.identifier, rights });
    }
  }
  return { entries, warnings: warnings.finish() };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 where it decodes, ISO-8859-1 otherwise, as for folder names. */
function decode(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

/** The rights are what follows the last blank, so that an identifier may hold one. */
function parseEntry(line: string): AclEntry | undefined {
  const text = trimBlanks(line);
  const blank = Math.max(text.lastIndexOf(' '), text.lastIndexOf('\t'));
  if (blank <= 0) return undefined;
  const identifier = trimBlanks(text.slice(0, blank));
  return /[\x00-\x1f\x7f]/.test(identifier) ? undefined : { identifier, rights: text.slice(blank + 1) };
}
