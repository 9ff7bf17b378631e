/**
 * `.mailbox` brought together with the messages of a migration record, anew (3x-profile.md, "Damage"; 3x-reading.md,
 * "The plan"): which line is a message's, and whether that line's uid is its own. What planned the migration is not
 * asked; the reader of the lines is shared with it.
 *
 * Memory: 4 bytes a message, 1 to 8 bytes a line. Time n log n for the uids, else linear, whatever names and uids are.
 */
import type { FolderIndex } from '../../source/types.js';
import type { MigrationRecord } from '../types.js';
import type { RecordNames } from './recordNames.js';

const CR = 0x0d;

export interface Lines {
  readonly index: FolderIndex;
  /** By row of the record: its line, -1 for a message without one. */
  readonly lineOf: Int32Array;
  /** By line: 1 when it is the first with its uid. */
  readonly holdsUid: Uint8Array;
}

export function matchLines(index: FolderIndex, record: MigrationRecord, names: RecordNames): Lines {
  const lineOf = new Int32Array(record.count).fill(-1);
  /** Second lines of a file: their uids do not count. */
  const ignored = new Uint8Array(index.count);
  const claim = (line: number, end: number): boolean => {
    const row = names.find(index.names, index.nameOffsets[line] ?? 0, end);
    if (row < 0) return false;
    if (lineOf[row] === -1) lineOf[row] = line;
    else ignored[line] = 1;
    return true;
  };
  const unmatched: number[] = [];
  for (let line = 0; line < index.count; line++) {
    if (!claim(line, index.nameOffsets[line + 1] ?? 0)) unmatched.push(line);
  }
  // A copy through another system puts a CR at the end of the line; a name that is there as written goes first.
  for (const line of unmatched) {
    const end = index.nameOffsets[line + 1] ?? 0;
    if (index.names[end - 1] === CR) claim(line, end - 1);
  }
  return { index, lineOf, holdsUid: firstOfUid(index, ignored) };
}

/** Lines that are the first, in file order, of those with their uid. */
function firstOfUid(index: FolderIndex, ignored: Uint8Array): Uint8Array {
  const keys = new BigUint64Array(index.count);
  // uid above, line below: sorted, the first line of a uid comes first. Little-endian, as all supported machines are.
  const halves = new Uint32Array(keys.buffer);
  let counted = 0;
  for (let line = 0; line < index.count; line++) {
    if (ignored[line] === 1) continue;
    halves[counted * 2] = line;
    halves[counted * 2 + 1] = index.uids[line] ?? 0;
    counted++;
  }
  keys.subarray(0, counted).sort();
  const holds = new Uint8Array(index.count);
  let before = 0;
  for (let i = 0; i < counted; i++) {
    const uid = halves[i * 2 + 1] ?? 0;
    if (uid !== before) holds[halves[i * 2] ?? 0] = 1;
    before = uid;
  }
  return holds;
}

export interface LineFacts {
  readonly uid: number;
  readonly flags: number;
  /** NaN: the file's modification time counts. */
  readonly date: number;
  readonly keywords: readonly string[];
}

const WITHOUT_LINE: LineFacts = { uid: 0, flags: 0, date: Number.NaN, keywords: [] };

/** What `.mailbox` says about the message in a row of the record. */
export function factsOf({ index, lineOf }: Lines, row: number): LineFacts {
  const line = lineOf[row] ?? -1;
  if (line < 0) return WITHOUT_LINE;
  const refs = index.keywordRefs.subarray(index.keywordOffsets[line], index.keywordOffsets[line + 1]);
  return {
    uid: index.uids[line] ?? 0,
    flags: index.flags[line] ?? 0,
    date: index.internalDates[line] ?? Number.NaN,
    keywords: refs.length === 0 ? [] : Array.from(refs, (ref) => index.keywords[ref] ?? ''),
  };
}
