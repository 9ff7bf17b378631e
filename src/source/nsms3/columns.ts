/** The columns of FolderIndex while they are being filled: typed arrays that double. */
import { MailhaulError } from '../../errors.js';
import { type Dir, displayPath } from '../../fs/dir.js';
import type { FolderIndex, IndexHeader, SourceWarning } from '../types.js';

/** What one `.mailbox` may hold; beyond it the folder is an error, because nothing may be left out silently. */
export const LIMITS = {
  fileBytes: 2 ** 30,
  /** A line with thousands of keywords is far below. */
  lineBytes: 2 ** 20,
  messages: 2 ** 24,
  /** Different spellings of keywords. */
  keywords: 2 ** 20,
} as const;

export const INDEX_NAME = '.mailbox';

export function tooLarge(folder: Dir): MailhaulError {
  const { fileBytes, messages, keywords } = LIMITS;
  return new MailhaulError(
    'FOLDER_INDEX_SIZE',
    `The folder's index is beyond ${fileBytes} bytes, ${messages} lines or ${keywords} keywords.`,
    { where: displayPath(folder, INDEX_NAME), hint: 'Split the folder, or repair its index.' },
  );
}

type Column = Uint8Array | Uint32Array | Float64Array;

/** `column` with room for `length` elements, at least doubled when it has to grow. */
function room<T extends Column>(column: T, length: number): T {
  if (length <= column.length) return column;
  const larger = new (column.constructor as new (length: number) => T)(Math.max(length, column.length * 2));
  larger.set(column as never);
  return larger;
}

export class IndexColumns {
  readonly #folder: Dir;
  #count = 0;
  #uids = new Uint32Array(64);
  #dates = new Float64Array(64);
  #flags = new Uint8Array(64);
  #sizes = new Float64Array(64);
  #lines = new Uint32Array(64);
  #names = new Uint8Array(2048);
  #nameOffsets = new Uint32Array(64);
  #keywordOffsets = new Uint32Array(64);
  #keywordRefs = new Uint32Array(16);
  #references = 0;
  #highestUid = 0;
  readonly #keywords: string[] = [];
  readonly #keywordIds = new Map<string, number>();
  /** By keyword: count of lines when a line last used it, so that a line names it once. */
  readonly #lastUse: number[] = [];

  constructor(folder: Dir) {
    this.#folder = folder;
  }

  /** Adds a line; its name is copied. */
  add(uid: number, date: number, size: number, line: number, bytes: Buffer, nameStart: number, nameEnd: number): void {
    const i = this.#count;
    if (i === LIMITS.messages) throw tooLarge(this.#folder);
    if (i + 1 >= this.#uids.length) this.#grow(i + 2);
    this.#uids[i] = uid;
    this.#dates[i] = date;
    this.#sizes[i] = size;
    this.#lines[i] = line;
    const offset = this.#nameOffsets[i] ?? 0;
    const end = offset + nameEnd - nameStart;
    this.#names = room(this.#names, end);
    bytes.copy(this.#names, offset, nameStart, nameEnd);
    this.#nameOffsets[i + 1] = end;
    this.#keywordOffsets[i + 1] = this.#references;
    if (uid > this.#highestUid) this.#highestUid = uid;
    this.#count = i + 1;
  }

  /** FLAG bits of the line added last. */
  setFlags(flags: number): void {
    this.#flags[this.#count - 1] = flags;
  }

  /** One more keyword, an atom, of the line added last. */
  addKeyword(bytes: Buffer, start: number, end: number): void {
    const text = bytes.toString('latin1', start, end);
    let id = this.#keywordIds.get(text);
    if (id === undefined) {
      id = this.#keywords.length;
      if (id === LIMITS.keywords) throw tooLarge(this.#folder);
      this.#keywords.push(text);
      this.#keywordIds.set(text, id);
    }
    if (this.#lastUse[id] === this.#count) return;
    this.#lastUse[id] = this.#count;
    this.#keywordRefs = room(this.#keywordRefs, this.#references + 1);
    this.#keywordRefs[this.#references++] = id;
    this.#keywordOffsets[this.#count] = this.#references;
  }

  finish(header: IndexHeader | undefined, warnings: readonly SourceWarning[]): FolderIndex {
    const count = this.#count;
    return {
      header,
      count,
      uids: this.#uids.slice(0, count),
      internalDates: this.#dates.slice(0, count),
      flags: this.#flags.slice(0, count),
      sizes: this.#sizes.slice(0, count),
      lines: this.#lines.slice(0, count),
      names: this.#names.subarray(0, this.#nameOffsets[count]),
      nameOffsets: this.#nameOffsets.slice(0, count + 1),
      keywords: this.#keywords,
      keywordOffsets: this.#keywordOffsets.slice(0, count + 1),
      keywordRefs: this.#keywordRefs.slice(0, this.#references),
      highestUid: this.#highestUid,
      warnings,
    };
  }

  #grow(length: number): void {
    this.#uids = room(this.#uids, length);
    this.#dates = room(this.#dates, length);
    this.#flags = room(this.#flags, length);
    this.#sizes = room(this.#sizes, length);
    this.#lines = room(this.#lines, length);
    this.#nameOffsets = room(this.#nameOffsets, length);
    this.#keywordOffsets = room(this.#keywordOffsets, length);
  }
}
