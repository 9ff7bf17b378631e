/**
 * Puts the messages of one folder back under their 3.x names, under the folder's lock:
 *
 *     the 4.x file is the original     link
 *     another inode, same file system  its time becomes the original's, link
 *     another file system, or owner    copy: temporary name, content compared, time, sync, link
 *
 * A name that is there is never replaced: link(2) refuses. One that leads to the message already is done. Nothing is
 * taken from 4.x here.
 */
import * as fs from 'node:fs';
import { EXIT, hasErrno, MailhaulError } from '../../errors.js';
import { statOpenExactly } from '../../fs/descriptor.js';
import {
  createOver,
  type Dir,
  entries,
  link,
  type Name,
  own,
  stat,
  unlink,
  unlinkIfThere,
  writeAll,
} from '../../fs/dir.js';
import { openFile, withFile } from '../../fs/file.js';
import { syncFileSystem, syncWritten } from '../../fs/syncfs.js';
import { setModificationTime } from '../../fs/times.js';
import type { FolderLock } from '../../source/types.js';
import { digestOf } from '../../store/digest.js';
import { rawKey } from '../../store/names.js';
import { fileDigest, pieces, sameDigest } from './content.js';
import { lockHoldersText, type ResetContext } from './context.js';
import { examineFolder } from './folder.js';
import { missingLines, writeLines } from './lines.js';
import { cannotBeLinked, keepIfOf } from './links.js';
import { isLinkable, isOnRecord, type Located, MessageFinder, nameOf, type OpenFolder } from './opened.js';
import type { SharedOriginals } from './shared.js';
import { isTurnDue, takeTurn } from './turns.js';

/** Begins the name of a message that is being copied; a leading dot is no message (3x-profile.md). */
const TEMPORARY = '.__up.reset-';

/** What a reset that was killed leaves in a 3.x folder; the second is lines.ts's. */
const LEFT_BEHIND = /^\.__up\.(reset-\d{1,10}|mailbox)$/;

/** Messages and bytes that one sync makes durable. */
const GROUP = { messages: 256, bytes: 64 << 20 } as const;

/** A copy that has no message's name yet. */
interface Copy {
  readonly row: number;
  readonly temporary: string;
  readonly inode: bigint;
  readonly shared: boolean;
}

/**
 * Puts back what the folder lacks. Returns how many messages.
 *
 * @throws MailhaulError RESET_FOLDER_BUSY, RESET_FOLDER_CHANGED (exit 4), and the file system's errors
 */
export async function restoreFolder(
  context: ResetContext,
  open: OpenFolder,
  registry: SharedOriginals | undefined,
): Promise<number> {
  const { source } = open;
  if (source === undefined) return 0;
  const lock = lockFolder(context, source);
  try {
    if (context.stage !== undefined) sweep(source);
    const refused = context.refusals.count;
    const { rows } = await examineFolder(context, open, false);
    const lines = missingLines(context, open, rows);
    if (lines === undefined || context.refusals.count > refused) throw changed(open);
    if (rows.length === 0) return 0;
    writeLines(context, open, lines);
    const dated = new Set([...lines.dated, ...lines.rows.map((row) => rawKey(nameOf(open.record, row)))]);
    await restoreRows(context, { ...open, source }, rows, dated, registry);
    return rows.length;
  } finally {
    lock.release();
  }
}

type FolderWithSource = OpenFolder & { readonly source: Dir };

async function restoreRows(
  context: ResetContext,
  open: FolderWithSource,
  rows: readonly number[],
  dated: ReadonlySet<string>,
  registry: SharedOriginals | undefined,
): Promise<void> {
  const { done } = context.report;
  const finder = new MessageFinder(open.target);
  let copies: Copy[] = [];
  let bytes = 0;
  /** Inodes on record of the shared ones among `copies`. */
  const shared = new Set<bigint>();
  const flush = async (): Promise<void> => {
    if (copies.length === 0) return;
    await syncFileSystem(open.source.fd);
    for (const copy of copies) {
      placeCopy(open, copy, registry);
      done.restored += 1;
    }
    copies = [];
    bytes = 0;
    shared.clear();
  };
  try {
    for (const row of rows) {
      // Nothing but a second signal stops it here: what it leaves is swept by the next reset.
      if (isTurnDue()) await takeTurn();
      const uid = open.record.uids[row] ?? 0;
      const file = finder.find(uid);
      if (file === undefined) throw changed(open);
      const inode = open.record.inodes[row] ?? 0n;
      // The next name of a shared message finds it in the registry only once it is there.
      if (shared.has(inode)) await flush();
      const exact = !dated.has(rawKey(nameOf(open.record, row)));
      const copy = restoreMessage(context, open, row, file, exact, registry);
      if (copy === undefined) {
        done.restored += 1;
        continue;
      }
      copies.push(copy);
      bytes += Number(file.stats.size);
      if (copy.shared) shared.add(inode);
      if (copies.length >= GROUP.messages || bytes >= GROUP.bytes) await flush();
    }
    await flush();
  } finally {
    finder.close();
  }
}

/** Links the message; undefined when it has its name, else the copy that was made of it. */
function restoreMessage(
  context: ResetContext,
  open: FolderWithSource,
  row: number,
  file: Located,
  exact: boolean,
  registry: SharedOriginals | undefined,
): Copy | undefined {
  const { record, source, index } = open;
  const name = nameOf(record, row);
  const inode = record.inodes[row] ?? 0n;
  const linkable = isLinkable(context, open, file.stats);
  if (linkable) setOwner(context, file);
  const original = linkable && isOnRecord(record, row, file.stats);
  const digest = index?.byUid(record.uids[row] ?? 0)?.digest;
  if (original && tryLink(open, file, name, digest)) return undefined;
  const shared = file.stats.nlink > 1n && registry !== undefined;
  if (shared && registry.use(inode, digest, source, name)) return undefined;
  if (!original && linkable) {
    const fd = openFile(file.dir, file.name);
    try {
      setModificationTime(fd, record.mtimes[row] ?? 0n, exact);
    } finally {
      fs.closeSync(fd);
    }
    if (tryLink(open, file, name, digest)) {
      if (shared) registry.add(inode, source, name);
      return undefined;
    }
  }
  return { row, ...copyMessage(context, open, row, file, digest, exact), shared };
}

/** Group and mode, which `-m` asks of a message file; they are as they must be unless somebody has changed them. */
function setOwner({ owner }: ResetContext, { dir, name, stats }: Located): void {
  if (stats.gid === BigInt(owner.gid) && (stats.mode & 0o7777n) === 0o600n) return;
  withFile(dir, name, (fd) => own(fd, 0o600, owner));
}

/**
 * Links the message, and not what somebody has put in its place since it was looked at.
 *
 * @throws MailhaulError RESET_FOLDER_CHANGED: it was something else, which has no 3.x name now
 */
function tryLink(open: FolderWithSource, file: Located, name: Uint8Array, digest: Uint8Array | undefined): boolean {
  const { source } = open;
  try {
    if (linkUnlessThere(file.dir, file.name, source, name, digest)) mustBe(open, name, file.stats.ino);
    return true;
  } catch (error) {
    if (cannotBeLinked(error)) return false;
    throw error;
  }
}

function mustBe(open: FolderWithSource, name: Uint8Array, inode: bigint): void {
  if (!keepIfOf(inode, open.source, name)) throw changed(open);
}

/** Links the message as `name`; false: it was given to it, or to the same content, since it was looked at. */
function linkUnlessThere(
  from: Dir,
  fromName: Name,
  source: Dir,
  name: Uint8Array,
  digest: Uint8Array | undefined,
): boolean {
  try {
    link(from, fromName, source, name);
    return true;
  } catch (error) {
    if (!hasErrno(error, 'EEXIST')) throw error;
    const [there, message] = [stat(source, name), stat(from, fromName)];
    const same = there?.ino === message?.ino && there?.dev === message?.dev;
    if (there?.isFile() !== true || message === undefined) throw error;
    if (!same && !sameDigest(fileDigest(source, name, 'crlf'), digest ?? fileDigest(from, fromName, 'crlf')))
      throw error;
    return false;
  }
}

/** A whole copy under a temporary name; what was read is what the index says. */
function copyMessage(
  context: ResetContext,
  open: FolderWithSource,
  row: number,
  file: Located,
  digest: Uint8Array | undefined,
  exact: boolean,
): Pick<Copy, 'temporary' | 'inode'> {
  const { record, source } = open;
  const temporary = `${TEMPORARY}${record.uids[row]}`;
  const from = openFile(file.dir, file.name);
  try {
    const to = createOver(source, temporary, context.owner);
    try {
      const copied = digestOf(passingOn(pieces(from), to));
      if (digest !== undefined && !sameDigest(copied, digest)) throw changed(open);
      setModificationTime(to, record.mtimes[row] ?? 0n, exact);
      syncWritten(to);
      return { temporary, inode: statOpenExactly(to).ino };
    } catch (error) {
      unlinkIfThere(source, temporary);
      throw error;
    } finally {
      fs.closeSync(to);
    }
  } finally {
    fs.closeSync(from);
  }
}

function* passingOn(content: Iterable<Buffer>, to: number): Generator<Buffer> {
  for (const piece of content) {
    writeAll(to, piece);
    yield piece;
  }
}

/** Gives a durable copy its name, and nothing that somebody has put in place of it meanwhile. */
function placeCopy(open: FolderWithSource, copy: Copy, registry: SharedOriginals | undefined): void {
  const { record, source, index } = open;
  const name = nameOf(record, copy.row);
  // Registered first: killed in between, the next name still finds this copy.
  if (copy.shared) registry?.add(record.inodes[copy.row] ?? 0n, source, copy.temporary);
  const digest = index?.byUid(record.uids[copy.row] ?? 0)?.digest;
  if (linkUnlessThere(source, copy.temporary, source, name, digest)) mustBe(open, name, copy.inode);
  unlink(source, copy.temporary);
}

/** Takes away what a reset that was stopped left in a 3.x folder. */
function sweep(source: Dir): void {
  const left: Buffer[] = [];
  for (const { name } of entries(source)) if (LEFT_BEHIND.test(name.toString('latin1'))) left.push(name);
  for (const name of left) unlinkIfThere(source, name);
}

function lockFolder(context: ResetContext, source: Dir): FolderLock {
  const lock = context.source.tryLockFolder(source, context.owner);
  if (lock !== 'busy') return lock;
  const text = `The 3.x folder is locked by ${lockHoldersText(context, source)}.`;
  throw new MailhaulError('RESET_FOLDER_BUSY', text, {
    where: source.path,
    hint: 'Wait until it has ended or stop it, then run `upgrade --reset` again: it goes on where it stopped.',
    exit: EXIT.halted,
  });
}

function changed({ folder }: OpenFolder): MailhaulError {
  return new MailhaulError('RESET_FOLDER_CHANGED', 'The folder changed while the reset was under way.', {
    where: folder.mailbox,
    hint: 'Run `upgrade --reset` again: it looks at everything anew and says what it finds.',
    exit: EXIT.halted,
  });
}
