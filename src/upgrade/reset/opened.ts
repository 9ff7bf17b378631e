/**
 * One folder with everything open that says what it is: its record, its 3.x directory, its 4.x directory, its
 * index; and the places where a 4.x message file may lie.
 *
 *     <mailbox>/<nn>/<uid>.msg
 *     <mailbox>/.retry/<nn>/<uid>.msg     a retry that was killed (additions.ts)
 */
import type { BigIntStats } from 'node:fs';
import { describeError, hasErrno, MailhaulError } from '../../errors.js';
import { closeDir, type Dir, fstat, openDir, stat } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { recordedMtime } from '../../fs/times.js';
import { walkIfThere } from '../../fs/walk.js';
import { HashDirectories } from '../../store/hashDirectories.js';
import { OpenFiles } from '../../store/index/io.js';
import { MailboxIndex } from '../../store/index/mailboxIndex.js';
import { IndexReader } from '../../store/index/reader.js';
import { INDEX_FILE, JOURNAL_FILE, messageFile, openMailboxDirectory, RETRY_DIRECTORY } from '../../store/layout.js';
import type { MappingFolder, MappingUser, MigrationRecord } from '../types.js';
import { heldRoot, isGoneIn4x, isPublished, type ResetContext, rootPathOf } from './context.js';
import { ofFolder, type Subject } from './refusals.js';

export interface OpenFolder {
  readonly folder: MappingFolder;
  readonly subject: Subject;
  readonly user: MappingUser;
  readonly record: MigrationRecord;
  readonly published: boolean;
  /** The mailbox was deleted in 4.x since. */
  readonly deleted: boolean;
  /** The 3.x directory; undefined: it is not there. */
  readonly source: Dir | undefined;
  readonly sourceDevice: bigint | undefined;
  /** The 4.x mailbox directory; undefined: it is not there. */
  readonly target: Dir | undefined;
  /** With the changes in the journal. undefined: there is none, or it is damaged (reported unless unfinished). */
  readonly index: MailboxIndex | undefined;
  /** Why the journal, whose changes `index` lacks then, cannot be read. */
  readonly journalDamage: string | undefined;
  /** uids with a failure on record. */
  readonly failed: ReadonlySet<number>;
}

const NO_RECORD: MigrationRecord = {
  uidvalidity: 0,
  uidnext: 0,
  count: 0,
  uids: new Uint32Array(0),
  names: new Uint8Array(0),
  nameOffsets: new Uint32Array(1),
  inodes: new BigUint64Array(0),
  sizes: new Float64Array(0),
  mtimes: new BigInt64Array(0),
};

/** Opens an attempted folder for `use`; what cannot be opened is refused, and `use` not called. */
export async function withFolder<T>(
  context: ResetContext,
  folder: MappingFolder,
  use: (open: OpenFolder) => Promise<T>,
): Promise<T | undefined> {
  const opened = openFolder(context, folder);
  if (opened === undefined) return undefined;
  try {
    return await use(opened.folder);
  } finally {
    opened.close();
  }
}

/** Opens an attempted folder; undefined: something cannot be opened, and was refused. */
function openFolder(
  context: ResetContext,
  folder: MappingFolder,
): { readonly folder: OpenFolder; close(): void } | undefined {
  const { mapping, refusals } = context;
  const subject = ofFolder(folder);
  const user = mapping?.user(folder.uid);
  if (mapping === undefined || user === undefined) {
    refusals.add(subject, 'RESET_RECORD', folder.mailbox, 'The mapping names a folder of an unknown user.');
    return undefined;
  }
  const places = openPlaces(context, folder, user, subject);
  if (places === undefined) return undefined;
  const { source, target } = places;
  let found: FoundIndex | undefined;
  const close = (): void => {
    found?.index.close();
    if (source !== undefined) closeDir(source);
    if (target !== undefined) closeDir(target);
  };
  try {
    const published = isPublished(context, folder);
    found = target === undefined ? undefined : openIndexFiles(context, target, subject, published);
    const opened: OpenFolder = {
      folder,
      subject,
      user,
      record: mapping.record(folder.id) ?? NO_RECORD,
      published,
      deleted: isGoneIn4x(context, folder),
      source,
      sourceDevice: source === undefined ? undefined : fstat(source).dev,
      target,
      index: found?.index,
      journalDamage: found?.journalDamage,
      failed: new Set(mapping.failures(folder.id).map(({ uid }) => uid)),
    };
    return { folder: opened, close };
  } catch (error) {
    close();
    throw error;
  }
}

function openPlaces(
  context: ResetContext,
  folder: MappingFolder,
  user: MappingUser,
  subject: Subject,
): { source: Dir | undefined; target: Dir | undefined } | undefined {
  const { refusals, roots } = context;
  const rootPath = rootPathOf(context, folder);
  const root = rootPath === undefined ? null : heldRoot(roots, rootPath);
  const store = heldRoot(roots, user.storePath);
  // Both are reported once, for all their folders (survey.ts).
  if (root === null || store === null) return undefined;
  let source: Dir | undefined;
  try {
    // Whatever `-s` found: one that came later may have been migrated all the same.
    source = walkIfThere(store, [folder.uid, ...folder.path]);
    const target = openMailboxDirectory(root, folder.uid, folder.mailbox);
    return { source, target };
  } catch (error) {
    if (source !== undefined) closeDir(source);
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    const text = `A directory of the folder cannot be opened: ${describeError(error)}.`;
    refusals.add(subject, 'RESET_UNREADABLE', `${user.storePath}/${folder.uid}/${folder.legacyName}`, text);
    return undefined;
  }
}

interface FoundIndex {
  readonly index: MailboxIndex;
  readonly journalDamage: string | undefined;
}

function openIndexFiles(
  context: ResetContext,
  target: Dir,
  subject: Subject,
  published: boolean,
): FoundIndex | undefined {
  const files = new OpenFiles();
  try {
    const reader = new IndexReader(files.add(openFile(target, INDEX_FILE)));
    reader.verify('records');
    if (stat(target, JOURNAL_FILE) === undefined)
      return { index: new MailboxIndex(reader, undefined, files), journalDamage: undefined };
    try {
      const journal = files.add(openFile(target, JOURNAL_FILE));
      return { index: new MailboxIndex(reader, journal, files), journalDamage: undefined };
    } catch (error) {
      if (!(error instanceof MailhaulError) && !hasErrno(error, 'EIO', 'EACCES', 'EPERM')) throw error;
      return { index: new MailboxIndex(reader, undefined, files), journalDamage: describeError(error) };
    }
  } catch (error) {
    files.close();
    if (hasErrno(error, 'ENOENT') || isUnfinished(error, target, published)) return undefined;
    if (!(error instanceof MailhaulError) && !hasErrno(error, 'EIO', 'EACCES', 'EPERM')) throw error;
    const text = `The index of the mailbox cannot be read: ${describeError(error)}.`;
    context.refusals.add(subject, 'RESET_INDEX', `${target.path}/${INDEX_FILE}`, text);
    return undefined;
  }
}

/**
 * What a power loss leaves of an index that was being written: its name without its bytes. No reader ever saw it, and
 * the next `-m` would replace it, so it says nothing. A journal is a service's: then the index was in use.
 */
function isUnfinished(error: unknown, target: Dir, published: boolean): boolean {
  const damaged = error instanceof MailhaulError && error.code.startsWith('IDX_');
  return damaged && !published && stat(target, JOURNAL_FILE) === undefined;
}

/** 3.x file name of row `i`, raw. */
export function nameOf({ names, nameOffsets }: MigrationRecord, i: number): Uint8Array {
  return names.subarray(nameOffsets[i], nameOffsets[i + 1]);
}

/** The file is the one on record: inode, size, time. Its device is the caller's to compare. */
export function isOnRecord(record: MigrationRecord, i: number, found: BigIntStats): boolean {
  return (
    found.isFile() &&
    found.ino === record.inodes[i] &&
    Number(found.size) === record.sizes[i] &&
    recordedMtime(found) === record.mtimes[i]
  );
}

/**
 * The 4.x file can have its 3.x name by a link. Somebody else's file is copied: the copy is the server account's
 * (4x-store.md, promise 5), and nobody's file is given away because of a name.
 */
export function isLinkable({ owner }: ResetContext, { sourceDevice }: OpenFolder, found: BigIntStats): boolean {
  return found.dev === sourceDevice && found.uid === BigInt(owner.uid);
}

/** A 4.x message file. */
export interface Located {
  /** Held by the finder until its next call. */
  readonly dir: Dir;
  readonly name: string;
  readonly stats: BigIntStats;
}

/** Finds message files of a mailbox; asked in ascending uid, it opens each hash directory once. Close it. */
export class MessageFinder {
  private readonly places: HashDirectories[] = [];
  private readonly retry: Dir | undefined;

  constructor(target: Dir | undefined) {
    if (target === undefined) return;
    this.places.push(new HashDirectories(target));
    this.retry = stat(target, RETRY_DIRECTORY)?.isDirectory() ? openDir(target, RETRY_DIRECTORY) : undefined;
    if (this.retry !== undefined) this.places.push(new HashDirectories(this.retry));
  }

  find(uid: number): Located | undefined {
    const name = messageFile(uid);
    for (const place of this.places) {
      const dir = place.of(uid);
      const stats = dir === undefined ? undefined : stat(dir, name);
      if (dir !== undefined && stats !== undefined) return { dir, name, stats };
    }
    return undefined;
  }

  close(): void {
    for (const place of this.places) place.close();
    if (this.retry !== undefined) closeDir(this.retry);
  }
}
