/**
 * One look over the mailbox database before the work begins: how much there is, and which roots it needs. All roots
 * are opened here, once, while the process may still be root.
 */
import { describeError, hasErrno, MailhaulError } from '../../errors.js';
import { closeDir, type Dir, openRoot, openRootOr } from '../../fs/dir.js';
import type { MailboxDatabase, MailboxRecord } from '../../store/types.js';
import type { ProgressTotals } from '../progress.js';
import type { MappingDatabase } from '../types.js';
import { type Findings, NO_SUBJECT } from './findings.js';
import type { VerifyPartition } from './report.js';
import type { HeldRoot } from './tasks.js';

export interface Survey {
  readonly totals: ProgressTotals;
  /** By partition name and path. */
  partition(record: MailboxRecord): VerifyPartition;
  readonly partitions: ReadonlyMap<string, VerifyPartition>;
  /** Paths of partitions that hold, or held, a mailbox; true: one of them still waits for messages. */
  readonly used: ReadonlyMap<string, boolean>;
  rootOf(record: MailboxRecord): string | undefined;
  /** A partition or 3.x store path; null: it cannot be opened. */
  held(path: string): Dir | null;
  /** A 3.x store path that is there, or may be, and cannot be opened; that is reported already. */
  isUnreadable(storePath: string): boolean;
  close(): void;
}

export function surveyStore(
  findings: Findings,
  mailboxes: MailboxDatabase,
  mapping: MappingDatabase,
  partitionPath: (name: string) => string | undefined,
): Survey {
  const roots = new Map<string, Dir | null>();
  const used = new Map<string, boolean>();
  const partitions = new Map<string, VerifyPartition>();
  const folderCountByPartition = new Map<string, number>();
  let folders = 0;
  let messages = 0;
  const rootOf = (record: MailboxRecord): string | undefined => record.root ?? partitionPath(record.partition);
  const partition = (record: MailboxRecord): VerifyPartition => {
    const path = rootOf(record) ?? '';
    const key = `${record.partition}\n${path}`;
    let found = partitions.get(key);
    if (found === undefined) {
      const none = { mailboxes: 0, waiting: 0, checked: 0, read: 0, compared: 0, bytes: 0, errors: 0 };
      found = { name: record.partition, path, ...none };
      partitions.set(key, found);
    }
    return found;
  };
  const hold = (path: string): void => {
    if (!roots.has(path)) roots.set(path, openOrNull(path));
  };
  // What cannot be decoded is reported when its turn comes.
  for (const record of mailboxes.list('', () => {})) {
    partition(record);
    const root = rootOf(record);
    if (root !== undefined) hold(root);
    // Before its first attempt a folder has no root, and its partition need not exist.
    if (record.root !== null) used.set(record.root, used.get(record.root) ?? false);
    if (root !== undefined && used.get(root) !== true && isWaiting(mapping, record)) used.set(root, true);
    if (record.state !== 'NON-TRANSITION') continue;
    folders += 1;
    messages += record.summary?.messages ?? 0;
    folderCountByPartition.set(record.partition, (folderCountByPartition.get(record.partition) ?? 0) + 1);
  }
  const unreadable = new Set<string>();
  for (const storePath of storePathsOf(mapping)) {
    if ((roots.get(storePath) ?? null) !== null) continue;
    try {
      roots.set(storePath, openIfThere(storePath));
    } catch (error) {
      // Not openRootOr: a link that is not followed concerns this store path alone, and is no lack of it.
      roots.set(storePath, null);
      unreadable.add(storePath);
      const text = `The 3.x store path cannot be opened: ${describeError(error)}.`;
      findings.add(NO_SUBJECT, 'VERIFY_SOURCE_UNREADABLE', storePath, text);
    }
  }
  return {
    totals: { folders, messages, folderCountByPartition },
    partition,
    partitions,
    used,
    rootOf,
    held: (path) => roots.get(path) ?? null,
    isUnreadable: (storePath) => unreadable.has(storePath),
    close() {
      for (const root of roots.values()) if (root !== null) closeDir(root);
      roots.clear();
    },
  };
}

/** A folder with failures will be tried again, and may want the registry of shared copies. */
function isWaiting(mapping: MappingDatabase, record: MailboxRecord): boolean {
  if (record.state === 'TRANSITION') return true;
  try {
    return record.mappingId !== null && mapping.failures(record.mappingId).length > 0;
  } catch {
    return true;
  }
}

/** The store paths of the users. A damaged entry is reported with its user; the store paths behind it count as gone. */
function storePathsOf(mapping: MappingDatabase): ReadonlySet<string> {
  const paths = new Set<string>();
  try {
    for (const { storePath } of mapping.users()) paths.add(storePath);
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
  }
  return paths;
}

/** Null when there is no such directory. Only that is "gone": whatever else fails must not pass for it. */
function openIfThere(storePath: string): Dir | null {
  try {
    return openRoot(storePath);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}

/** Null when it cannot be opened: whoever needs it reports it, with what is missing because of it. */
function openOrNull(path: string): Dir | null {
  return openRootOr(path, () => null);
}

/** A held directory as it travels to a thread. */
export function travelling(dir: Dir | null): HeldRoot | null {
  return dir === null ? null : { fd: dir.fd, path: dir.path };
}
