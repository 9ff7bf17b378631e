/**
 * The files of `upgrade -s` and the markers, in the order in which a reset removes them. `upgrade4x.conf`, which says
 * whose mapping database it is, and the database itself, which says that a reset is under way, go last:
 *
 *     <instance>/store/mboxlist/mboxlist.mdb-lock, mboxlist.mdb
 *     <3.x mailbox directory>/__greeting_done__, __snmp_done__
 *     <work directory>/__up.*
 *     <instance>/lock/__lock.share
 *     <work directory>/upgrade4x.conf, __upfolder.db-lock, __upfolder.db
 */
import { STORE_LOCK_FILE } from '../../config/store-lock.js';
import { hasErrno } from '../../errors.js';
import { type Dir, displayPath, entries, stat, sync, unlinkIfThere } from '../../fs/dir.js';
import { MAILBOX_DATABASE_FILE } from '../../store/database.js';
import { UPGRADE_CONF } from '../folders-files.js';
import { MAPPING_DATABASE_FILE } from '../mapping/database.js';
import { NOBODY, type Refusals } from './refusals.js';

/** Where the files lie; undefined: that directory is not there, or nobody has ever named it. */
export interface FilePlaces {
  readonly workDir: Dir | undefined;
  /** The 3.x default mailbox directory. */
  readonly mailboxDirectory: Dir | undefined;
  readonly mboxlist: Dir | undefined;
  /** `store/user`. */
  readonly userDir: Dir | undefined;
  readonly lockDir: Dir;
}

const MARKERS = ['__greeting_done__', '__snmp_done__'] as const;
const MAILBOX_FILES = [`${MAILBOX_DATABASE_FILE}-lock`, MAILBOX_DATABASE_FILE] as const;
const LAST_FILES = [
  `.${UPGRADE_CONF}.new`,
  UPGRADE_CONF,
  `${MAPPING_DATABASE_FILE}-lock`,
  MAPPING_DATABASE_FILE,
] as const;

interface NamedFile {
  readonly dir: Dir;
  readonly name: string;
}

/** Files that go before the store-wide lock, in order. */
function firstFiles({ mboxlist, mailboxDirectory, workDir }: FilePlaces): NamedFile[] {
  return [
    ...named(mboxlist, MAILBOX_FILES),
    ...named(mailboxDirectory, MARKERS),
    ...named(workDir, workDir === undefined ? [] : listNames(workDir)),
  ];
}

function lastFiles({ workDir }: FilePlaces): NamedFile[] {
  return named(workDir, LAST_FILES);
}

function named(dir: Dir | undefined, names: readonly string[]): NamedFile[] {
  return dir === undefined ? [] : names.filter((name) => stat(dir, name)?.isFile()).map((name) => ({ dir, name }));
}

/** User lists, those that an administrator made among them, and what a killed `-s` left of them. */
function listNames(workDir: Dir): string[] {
  const names: string[] = [];
  for (const { name } of entries(workDir)) {
    const text = name.toString('utf8');
    if (/^(__up\..*|\.__up\..*\.new|\.__up\.probe)$/s.test(text) && Buffer.from(text).equals(name)) names.push(text);
  }
  return names.sort();
}

/** Paths of all files that a reset removes. Unknown ones in `store/` are refused. */
export function surveyFiles(places: FilePlaces, refusals: Refusals): string[] {
  const { mboxlist, userDir } = places;
  const known: ReadonlySet<string> = new Set(MAILBOX_FILES);
  for (const { name } of mboxlist === undefined ? [] : entries(mboxlist)) {
    if (mboxlist !== undefined && !known.has(name.toString('latin1'))) stranger(refusals, mboxlist, name);
  }
  for (const { name } of userDir === undefined ? [] : entries(userDir)) {
    if (userDir !== undefined) stranger(refusals, userDir, name);
  }
  return [...firstFiles(places), ...lastFiles(places)].map(({ dir, name }) => displayPath(dir, name));
}

function stranger(refusals: Refusals, dir: Dir, name: Buffer): void {
  const text = 'This is no file of `upgrade`. Look at it, and move it away or remove it.';
  refusals.add(NOBODY, 'RESET_UNKNOWN_FILE', displayPath(dir, name), text);
}

/** Removes the mailbox database, which must be closed, the lists and the markers. Returns what cannot be removed. */
export function removeFirstFiles(places: FilePlaces): string[] {
  const kept: string[] = [];
  for (const { dir, name } of firstFiles(places)) {
    try {
      unlinkIfThere(dir, name);
    } catch (error) {
      // A read-only 3.x disk, with the mapping elsewhere: a marker there does no harm.
      if (dir !== places.mailboxDirectory || !hasErrno(error, 'EROFS')) throw error;
      kept.push(displayPath(dir, name));
    }
  }
  // Also where nothing went now: a reset that was killed may have removed it, and not have synced.
  const { mboxlist, workDir, mailboxDirectory } = places;
  for (const dir of [mboxlist, workDir, kept.length > 0 ? undefined : mailboxDirectory])
    if (dir !== undefined) sync(dir.fd);
  return kept;
}

/**
 * Removes the lock file and, last of all, the mapping database, which must be closed. The lock stays held on the
 * inode; whoever locks a new file meanwhile finds the mapping's mark, or no mapping.
 */
export function removeLastFiles(places: FilePlaces): void {
  unlinkIfThere(places.lockDir, STORE_LOCK_FILE);
  sync(places.lockDir.fd);
  const last = lastFiles(places);
  for (const { dir, name } of last) {
    // The database is durable evidence of an unfinished reset until everything else is gone.
    if (name === MAPPING_DATABASE_FILE) sync(dir.fd);
    unlinkIfThere(dir, name);
  }
  if (places.workDir !== undefined && last.length > 0) sync(places.workDir.fd);
}
