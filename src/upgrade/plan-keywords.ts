/**
 * The keyword table of a plan, and the references of its messages into it.
 *
 * Keywords that differ only in case are one. The table is in the order of first appearance, spelled as there: in
 * ascending uid (docs/formats/store-idx.md). In a retry of a published folder uids are no order: what an attempt has
 * numbered anew, at the end of a mailbox in use, has other uids in the next attempt, which must write the same. There
 * it is the order of the lines in `.mailbox`.
 */
import type { FolderIndex } from '../source/types.js';
import { sortByKey } from './plan-order.js';

export interface Keywords {
  readonly table: string[];
  /** By message: its first reference; one more than there are messages. */
  readonly offsets: Uint32Array;
  /** Ascending for each message. */
  readonly refs: Uint32Array;
}

/**
 * @param files files of the scan, in the order of the plan
 * @param lineOf by file: its line in `index`, or -1
 */
export function collectKeywords(
  index: FolderIndex,
  files: Uint32Array,
  lineOf: Int32Array,
  order: 'uids' | 'lines',
): Keywords {
  const table: string[] = [];
  const offsets = new Uint32Array(files.length + 1);
  if (index.keywords.length === 0) return { table, offsets, refs: new Uint32Array(0) };
  const { foldOf, folds } = withoutCase(index.keywords);
  /** By folded keyword: place in the table plus one. */
  const placeOf = new Uint32Array(folds);
  const refsOf = (file: number): Uint32Array => {
    const line = lineOf[file] ?? -1;
    return line < 0 ? NONE : index.keywordRefs.subarray(index.keywordOffsets[line], index.keywordOffsets[line + 1]);
  };
  for (const file of order === 'uids' ? files : sortByKey(files, Uint32Array.from(lineOf))) {
    for (const keyword of refsOf(file)) {
      const fold = foldOf[keyword] ?? 0;
      if (placeOf[fold] === 0) placeOf[fold] = table.push(index.keywords[keyword] ?? '');
    }
  }
  /** By folded keyword: the message that named it last, plus one. */
  const namedBy = new Uint32Array(folds);
  const refs = new Uint32Array(index.keywordRefs.length);
  let used = 0;
  for (let i = 0; i < files.length; i++) {
    const start = used;
    for (const keyword of refsOf(files[i] ?? 0)) {
      const fold = foldOf[keyword] ?? 0;
      if (namedBy[fold] === i + 1) continue;
      namedBy[fold] = i + 1;
      refs[used++] = (placeOf[fold] ?? 0) - 1;
    }
    if (used - start > 1) refs.subarray(start, used).sort();
    offsets[i + 1] = used;
  }
  return { table, offsets, refs: refs.slice(0, used) };
}

const NONE = new Uint32Array(0);

/** For each spelling the number of its keyword, and how many of those there are. */
function withoutCase(spellings: readonly string[]): { readonly foldOf: number[]; readonly folds: number } {
  const byFold = new Map<string, number>();
  const foldOf = spellings.map((spelling) => {
    const folded = spelling.toLowerCase();
    const fold = byFold.get(folded) ?? byFold.size;
    byFold.set(folded, fold);
    return fold;
  });
  return { foldOf, folds: byFold.size };
}
