/**
 * A 3.x folder on its way to disk: the messages with the `.mailbox` line that each gets, and what a correct
 * migration makes of it. Damage (damage.ts) edits a draft and its expectation together.
 */

/** What a directory entry is; all but `regular` and `empty` are damage. */
export type FileKind = 'regular' | 'empty' | 'absent' | 'symlink' | 'fifo' | 'socket' | 'device' | 'directory';

/** The fields of a `.mailbox` line as they will be written, right or wrong. */
export interface IndexLine {
  uid: number;
  date: string;
  flags: string;
  /** Added to the true size. */
  sizeError: number;
}

export interface Item {
  readonly name: Buffer;
  kind: FileKind;
  /** null: no line names the file. */
  line: IndexLine | null;
  /** Permissions of the file. */
  mode: number;
  /** The file belongs to another account. */
  foreign: boolean;
  /** Must be an inode of its own: damage to it must not reach other folders. */
  own: boolean;
  /** Modification time, seconds. */
  mtime: number;
  /** The line's uid stands on an earlier line as well. */
  repeated: boolean;

  /** Expected: flag letters out of SAFDT, in that order, and keywords as first written. */
  flags: string;
  keywords: readonly string[];
  /** Expected: seconds, or `mtime` when the line has no usable date. */
  date: number | 'mtime';
  /** `either`: depends on whether the migrator still is root when it reads. */
  outcome: 'migrated' | 'error' | 'either' | 'nothing';
  /** Stable error code when the outcome is an error. */
  code: string | null;
  damage: string | null;
}

export interface FolderDraft {
  readonly items: Item[];
  uidvalidity: number;
  uidnext: number;
  /** How the file `.mailbox` is written. */
  index: 'whole' | 'missing' | 'empty' | 'headerless' | 'cut';
  /** With `cut`: the first item whose line does not survive. */
  cutAt: number;
  /** Lines that belong to no item, written before the line of item `before`. */
  readonly extraLines: { readonly before: number; readonly text: Buffer }[];
  /** Order of the items' lines; undefined: as they are. */
  lineOrder: number[] | undefined;
  /** Permissions of the folder directory at the end. */
  mode: number;
  damage: string | null;
}

/** What a migration must make of a folder's uids. */
export interface UidExpectation {
  /** null: chosen by the migrator (header lost, or no uids left). */
  readonly uidvalidity: number | null;
  readonly uidnext: number | null;
  /** By item; null where the migrator chooses or nothing is migrated. */
  readonly uids: readonly (number | null)[];
}

const HIGHEST_UID = 0xffff_ffff;

/**
 * The uids of the profile: a usable line keeps its uid; then repeated uids in the order of their lines and files
 * without a line in the order of (modification time, name bytes) get new ones from max(uidnext, highest + 1) on.
 */
export function expectUids(draft: FolderDraft): UidExpectation {
  const headerLost = draft.index !== 'whole' && draft.index !== 'cut';
  const listed = (item: Item) => item.line !== null && !item.repeated;
  const highest = draft.items.reduce((high, item) => Math.max(high, item.line?.uid ?? 0), 0);
  let next = Math.max(headerLost ? 1 : draft.uidnext, highest + 1);

  const unlisted = draft.items.filter((item) => item.line === null && item.kind !== 'absent');
  unlisted.sort((a, b) => a.mtime - b.mtime || Buffer.compare(a.name, b.name));
  const given = new Map<Item, number>();
  for (const item of [...draft.items.filter((item) => item.repeated), ...unlisted]) given.set(item, next++);

  if (next - 1 > HIGHEST_UID) return { uidvalidity: null, uidnext: null, uids: draft.items.map(() => null) };
  return {
    uidvalidity: headerLost ? null : draft.uidvalidity,
    uidnext: next > HIGHEST_UID ? null : next,
    uids: draft.items.map((item) =>
      item.kind === 'absent' ? null : listed(item) ? item.line!.uid : (given.get(item) ?? null),
    ),
  };
}
