/**
 * What a mailbox holds now: its store.idx with the journal's changes applied. The index is not changed; in
 * memory are the changed messages only. Reading needs no lock: what was opened stays as it was.
 */
import { FLAG, type IndexSummary } from '../../engine/types.js';
import { hasErrno } from '../../errors.js';
import { statOpenExactly } from '../../fs/descriptor.js';
import { type Dir, displayPath, stat } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { check32 } from '../digest.js';
import { INDEX_FILE, JOURNAL_FILE } from '../layout.js';
import { type ByteSource, OpenFiles } from './io.js';
import {
  damagedInTheMiddle,
  type JournalChange,
  JournalReader,
  journalDamage,
  journalIndexOf,
  journalOfAnother,
} from './journal.js';
import { IndexReader } from './reader.js';
import type { IndexRecord, MessageFacts } from './record.js';

export interface IndexedMessage extends MessageFacts {
  readonly keywords: readonly string[];
  /** The cache entry (docs/formats/store-idx.md). Throws IDX_CACHE. */
  cache(): Uint8Array;
}

interface Appended {
  readonly facts: MessageFacts;
  readonly cache: Uint8Array;
}

interface FlagChange {
  readonly flags: number;
  readonly keywords: readonly string[];
}

/** Highest uidnext that fits: uids end at 4294967295 (3x-profile.md). */
const MAX_UIDNEXT = 0xffff_ffff;

const FLAG_NAMES = Object.keys(FLAG) as (keyof typeof FLAG)[];

/** Opens store.idx and store.jnl of a mailbox directory. Throws ENOENT without store.idx, IDX_ and JNL_ damage. */
export function openMailboxIndex(dir: Dir): MailboxIndex {
  for (;;) {
    const mailbox = tryOpen(dir);
    if (mailbox !== undefined) return mailbox;
  }
}

/**
 * The same for whoever changes the mailbox. Throws JNL_DAMAGED as well: what lies behind a damaged record was
 * acknowledged, and who does not see it gives its uids a second time, or removes it with the journal. And JNL_OTHER,
 * where that is so of the whole journal.
 */
export function openWholeMailboxIndex(dir: Dir): MailboxIndex {
  const mailbox = openMailboxIndex(dir);
  if (!mailbox.lostChanges && !mailbox.hasOtherJournal) return mailbox;
  mailbox.close();
  const where = displayPath(dir, JOURNAL_FILE);
  throw mailbox.hasOtherJournal ? journalOfAnother(where) : damagedInTheMiddle(where);
}

/** Undefined when the journal was folded between opening the index and opening the journal. */
function tryOpen(dir: Dir): MailboxIndex | undefined {
  const files = new OpenFiles();
  let mailbox: MailboxIndex | undefined;
  try {
    const indexFd = openFile(dir, INDEX_FILE);
    const index = files.add(indexFd);
    const journalFd = openIfThere(dir, JOURNAL_FILE);
    const journal = journalFd === undefined ? undefined : files.add(journalFd);
    // Folding renames the index first: if it is still this one, the journal was the right one, or there was none.
    if (stat(dir, INDEX_FILE)?.ino !== statOpenExactly(indexFd).ino) return undefined;
    mailbox = new MailboxIndex(new IndexReader(index), journal, files);
    return mailbox;
  } finally {
    if (mailbox === undefined) files.close();
  }
}

function openIfThere(dir: Dir, name: string): number | undefined {
  try {
    return openFile(dir, name);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export class MailboxIndex {
  readonly reader: IndexReader;
  /** Records of the journal that were applied. */
  readonly changes: number;
  private readonly journal: JournalReader | undefined;
  private readonly files: OpenFiles;
  private readonly flagChanges = new Map<number, FlagChange>();
  private readonly expunged = new Set<number>();
  /** In ascending uid, which is the order of their coming. */
  private readonly appended = new Map<number, Appended>();
  private next: number;

  /** Applies `journal` to the index. The files are closed with the mailbox. Throws JNL_ damage. */
  constructor(reader: IndexReader, journal?: ByteSource, files: OpenFiles = new OpenFiles()) {
    this.reader = reader;
    this.files = files;
    this.next = reader.header.uidnext;
    let changes = 0;
    this.journal = journal === undefined ? undefined : new JournalReader(journal, journalIndexOf(reader));
    for (const change of this.journal?.changes() ?? []) {
      this.apply(change);
      changes++;
    }
    this.changes = changes;
  }

  /** Acknowledged changes of the journal could not be applied, because one before them is damaged. */
  get lostChanges(): boolean {
    return this.journal?.hasRecordsBehindEnd() ?? false;
  }

  /** The journal beside it is another index's, and was not folded into this one. */
  get hasOtherJournal(): boolean {
    return this.journal?.isOfAnother ?? false;
  }

  get uidvalidity(): number {
    return this.reader.header.uidvalidity;
  }

  get uidnext(): number {
    return this.next;
  }

  /** Messages now. */
  get count(): number {
    return this.reader.count + this.appended.size - this.expunged.size;
  }

  /** What the mailbox database keeps of it: the counts of the index, and what the journal changed. */
  summary(): IndexSummary {
    const { messages, bytesUsed, lastAppend, seen, answered, flagged, deleted, draft } = this.reader.header;
    const counts = { messages, bytes: bytesUsed, lastAppend, seen, answered, flagged, deleted, draft };
    const count = ({ flags, size }: Pick<MessageFacts, 'flags' | 'size'>, by: 1 | -1): void => {
      counts.messages += by;
      counts.bytes += by * size;
      for (const name of FLAG_NAMES) if ((flags & FLAG[name]) !== 0) counts[name] += by;
    };
    // Those of the index whose flags changed or that are gone: out with what the header counted, in with what is.
    for (const uid of new Set([...this.flagChanges.keys(), ...this.expunged])) {
      const before = this.reader.byUid(uid);
      if (before === undefined) continue;
      count(before, -1);
      const now = this.byUid(uid);
      if (now !== undefined) count(now, 1);
    }
    for (const { facts } of this.appended.values()) {
      counts.lastAppend = counts.messages === 0 ? facts.internalDate : Math.max(counts.lastAppend, facts.internalDate);
      const now = this.byUid(facts.uid);
      if (now !== undefined) count(now, 1);
    }
    return counts;
  }

  /** All messages in ascending uid. */
  *messages(): Generator<IndexedMessage> {
    for (const record of this.reader.records()) {
      if (!this.expunged.has(record.uid)) yield this.indexed(record);
    }
    for (const appended of this.appended.values()) {
      if (!this.expunged.has(appended.facts.uid)) yield this.added(appended);
    }
  }

  /** The message with this uid, undefined if there is none. */
  byUid(uid: number): IndexedMessage | undefined {
    if (this.expunged.has(uid)) return undefined;
    const appended = this.appended.get(uid);
    if (appended !== undefined) return this.added(appended);
    const record = this.reader.byUid(uid);
    return record === undefined ? undefined : this.indexed(record);
  }

  /** The cache entry of a message that is there, and its check, not held against each other: what folding takes over. */
  storedCache({ uid }: IndexedMessage): { readonly bytes: Uint8Array; readonly check: number } {
    const bytes = this.appended.get(uid)?.cache;
    if (bytes !== undefined) return { bytes, check: check32(bytes) };
    const record = this.reader.record(this.reader.find(uid));
    return { bytes: this.reader.storedCache(record), check: record.cacheCheck };
  }

  /** From here on the files are not read any more (OpenFiles). */
  close(): void {
    this.files.close();
  }

  private indexed(record: IndexRecord): IndexedMessage {
    const { uid, internalDate, size, headerBytes, digest } = record;
    const change = this.flagChanges.get(uid);
    const { flags, keywords } = change ?? { flags: record.flags, keywords: this.reader.keywordsOf(record) };
    const cache = () => this.reader.cache(record);
    return { uid, internalDate, size, headerBytes, digest, flags, keywords, cache };
  }

  private added({ facts, cache }: Appended): IndexedMessage {
    const { flags, keywords } = this.flagChanges.get(facts.uid) ?? { flags: facts.flags, keywords: [] };
    return { ...facts, flags, keywords, cache: () => cache };
  }

  /** Applies one more change, which is in the journal by now. Throws JNL_RECORD for one that makes no sense. */
  apply(change: JournalChange): void {
    switch (change.type) {
      case 'flags':
        this.mustExist(change.uid);
        this.flagChanges.set(change.uid, { flags: change.flags, keywords: change.keywords });
        return;
      case 'expunge':
        this.mustExist(change.uid);
        this.expunged.add(change.uid);
        return;
      case 'uidnext':
        this.raise(change.uidnext);
        return;
      case 'append': {
        const { facts, keywords, cache } = change;
        // The highest uid of all is never below uidnext, so that it alone could come back after it was expunged.
        if (facts.uid < this.next || this.wasUsed(facts.uid)) {
          throw journalDamage('JNL_RECORD', `A message is appended below uidnext, ${this.next}.`, `uid ${facts.uid}`);
        }
        this.appended.set(facts.uid, { facts, cache });
        this.flagChanges.set(facts.uid, { flags: facts.flags, keywords });
        this.raise(Math.min(facts.uid + 1, MAX_UIDNEXT));
        return;
      }
    }
  }

  private has(uid: number): boolean {
    return !this.expunged.has(uid) && this.wasUsed(uid);
  }

  private wasUsed(uid: number): boolean {
    return this.appended.has(uid) || this.reader.find(uid) >= 0;
  }

  private mustExist(uid: number): void {
    if (!this.has(uid)) throw journalDamage('JNL_RECORD', 'A message that is not there is changed.', `uid ${uid}`);
  }

  /** uidnext never falls, so that no uid is used twice (3x-profile.md, "Damage"). */
  private raise(uidnext: number): void {
    if (uidnext < this.next) {
      throw journalDamage('JNL_RECORD', `uidnext would fall from ${this.next} to ${uidnext}.`);
    }
    this.next = uidnext;
  }
}
