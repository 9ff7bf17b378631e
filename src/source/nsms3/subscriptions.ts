/** Reader of `.subscriptions`: names of folders, one a line, `/` between levels, raw bytes. */
import type { Dir } from '../../fs/dir.js';
import type { SourceSubscriptions } from '../types.js';
import { quoteBytes, warningList } from '../warnings.js';
import { readTextLines, type TextFile } from './textlist.js';

const FILE: TextFile = {
  name: '.subscriptions',
  fileBytes: 8 << 20,
  lineBytes: 64 << 10,
  lines: 100_000,
  warning: 'SUBSCRIPTIONS_FILE',
  unreadable: 'SUBSCRIPTIONS_UNREADABLE',
};

/** Levels of all lines together: each becomes an array of its own, some hundred bytes for the two of its line. */
const LEVELS = 500_000;

/**
 * A user's subscriptions in file order, each once; empty when there is no file. Whether the folder exists is
 * for the caller to see. Names that no folder can have are left out with a warning.
 *
 * @throws MailhaulError SUBSCRIPTIONS_UNREADABLE; EMFILE and its like. Never for content
 */
export function readSubscriptions(mailbox: Dir): SourceSubscriptions {
  const warnings = warningList();
  const folders: Uint8Array[][] = [];
  const seen = new Set<string>();
  let levels = 0;
  for (const { bytes, number } of readTextLines(mailbox, FILE, warnings)) {
    const path = splitPath(bytes);
    if (path === undefined) {
      const message = `The line of .subscriptions names no folder: ${quoteBytes(bytes)}`;
      warnings.add('SUBSCRIPTION_LINE', number, message);
      continue;
    }
    const key = Buffer.from(bytes).toString('latin1');
    if (seen.has(key)) continue;
    seen.add(key);
    levels += path.length;
    if (levels > LEVELS) {
      warnings.add('SUBSCRIPTIONS_FILE', number, `Only lines of ${LEVELS} levels together are used.`);
      break;
    }
    folders.push(path);
  }
  return { folders, warnings: warnings.finish() };
}

/** Components of a folder path; undefined when one is empty, begins with a dot, holds NUL or is too long for a name. */
function splitPath(line: Buffer): Uint8Array[] | undefined {
  if (line.includes(0)) return undefined;
  const path: Uint8Array[] = [];
  for (let start = 0; start <= line.length; ) {
    const slash = line.indexOf(0x2f, start);
    const end = slash === -1 ? line.length : slash;
    if (end === start || end - start > 255 || line[start] === 0x2e) return undefined;
    path.push(new Uint8Array(line.subarray(start, end)));
    start = end + 1;
  }
  return path;
}
