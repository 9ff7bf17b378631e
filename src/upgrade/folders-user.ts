/**
 * Reads the folders of one user from the 3.x store: what is there, and what could not be read. Nothing is
 * decided here but what a folder is; nothing is written.
 */
import { hasErrno, isNotThere, isOutOfResources, MailhaulError, messageOf } from '../errors.js';
import { closeDir, type Dir, fstat, openDir } from '../fs/dir.js';
import type { FolderItem, MailSource } from '../source/types.js';
import { legacyPath } from '../store/names.js';
import type { AclEntry } from '../store/types.js';
import { pathBytes, pathKey } from './folders-names.js';
import type { FolderProblem } from './folders-report.js';

/** A folder as it lies in 3.x. */
export interface SourceFolder {
  readonly path: readonly Uint8Array[];
  readonly key: string;
  readonly legacyName: string;
  /** Decimal. */
  readonly inode: string;
  readonly indexBytes: number;
  /** undefined: the header is lost. */
  readonly header: { readonly uidvalidity: number; readonly uidnext: number } | undefined;
  /** undefined: could not be read, which is among the errors. */
  readonly acl: readonly AclEntry[] | undefined;
}

/**
 * Limits of a folder path, 250 levels of the longest names. Each folder's entry holds its whole path: without
 * limits one user's nest of directories would fill memory and databases with the square of its depth.
 */
const PATH_BYTES = 65536;
const PATH_LEVELS = 1000;

/** What was found for one user. */
export type UserMailbox =
  /** No mailbox directory. */
  | { readonly kind: 'missing' }
  /** The mailbox directory is something else, or cannot be opened. */
  | { readonly kind: 'unusable'; readonly code: string; readonly message: string }
  | {
      readonly kind: 'read';
      readonly folders: readonly SourceFolder[];
      /** Paths that could not be read; the folder, and what lies below it, is unknown. */
      readonly unread: readonly (readonly Uint8Array[])[];
      /** undefined: could not be read. */
      readonly subscriptions: readonly (readonly Uint8Array[])[] | undefined;
      readonly errors: readonly FolderProblem[];
      readonly warnings: readonly FolderProblem[];
    };

/**
 * @param store the user's store path, held
 * @param notMail ids of directories that are no mailbox directory, whatever the directory entry says
 */
export function readUserMailbox(
  source: MailSource,
  store: Dir,
  uid: string,
  notMail: ReadonlySet<string>,
): UserMailbox {
  let mailbox: Dir;
  try {
    mailbox = openDir(store, uid);
  } catch (error) {
    if (isNotThere(error)) return { kind: 'missing' };
    if (hasErrno(error, 'ENOTDIR', 'ELOOP')) {
      const message = 'The mailbox directory is a symbolic link or no directory; it was not opened.';
      return { kind: 'unusable', code: 'USER_DIRECTORY', message };
    }
    if (isOutOfResources(error)) throw error;
    return {
      kind: 'unusable',
      code: 'USER_DIRECTORY',
      message: `The mailbox directory cannot be opened: ${messageOf(error)}.`,
    };
  }
  try {
    const { dev, ino } = fstat(mailbox);
    if (notMail.has(`${dev}:${ino}`)) {
      const message = 'The mailbox directory would be a directory of 4.x, or one that holds it; it was not read.';
      return { kind: 'unusable', code: 'USER_DIRECTORY', message };
    }
    return readFolders(source, mailbox, uid);
  } finally {
    closeDir(mailbox);
  }
}

function readFolders(source: MailSource, mailbox: Dir, uid: string): UserMailbox {
  const folders: SourceFolder[] = [];
  const unread: (readonly Uint8Array[])[] = [];
  const errors: FolderProblem[] = [];
  const warnings: FolderProblem[] = [];
  for (const item of source.listFolders(mailbox)) {
    if (item.kind === 'problem') {
      const problem = { user: uid, folder: legacyPath(item.path), code: item.code, message: item.message };
      if (item.severity === 'error') {
        errors.push(problem);
        unread.push(item.path);
      } else warnings.push(problem);
      continue;
    }
    if (isTooLong(item.path)) {
      const shown = `${legacyPath(item.path.slice(0, 2))}/…/${legacyPath(item.path.slice(-1))}`;
      const message = `The path of the folder has more than ${PATH_BYTES} bytes or ${PATH_LEVELS} levels; it is left in 3.x.`;
      errors.push({ user: uid, folder: shown, code: 'FOLDER_PATH_LONG', message });
      continue;
    }
    try {
      folders.push(readFolder(source, item, uid, errors, warnings));
    } catch (error) {
      if (isOutOfResources(error)) throw error;
      const code = codeOf(error, 'FOLDER_UNREADABLE');
      errors.push({ user: uid, folder: legacyPath(item.path), code, message: messageOf(error) });
      unread.push(item.path);
    }
  }
  const subscriptions = readSubscriptions(source, mailbox, uid, errors, warnings);
  return { kind: 'read', folders, unread, subscriptions, errors, warnings };
}

function isTooLong(path: readonly Uint8Array[]): boolean {
  return path.length > PATH_LEVELS || pathBytes(path) > PATH_BYTES;
}

function readFolder(
  source: MailSource,
  item: Extract<FolderItem, { kind: 'folder' }>,
  uid: string,
  errors: FolderProblem[],
  warnings: FolderProblem[],
): SourceFolder {
  const legacyName = legacyPath(item.path);
  const index = source.lookAtIndex(item.dir, item.files);
  return {
    // The generator may reuse its array while it walks on.
    path: [...item.path],
    key: pathKey(item.path),
    legacyName,
    inode: String(item.inode),
    indexBytes: index.bytes,
    header: index.header,
    acl: readAcl(source, item, { user: uid, folder: legacyName }, errors, warnings),
  };
}

/** Mail does not wait for its access rights: the folder goes on, and those on record stay (folders-merge.ts). */
function readAcl(
  source: MailSource,
  { dir, files }: Extract<FolderItem, { kind: 'folder' }>,
  about: Pick<FolderProblem, 'user' | 'folder'>,
  errors: FolderProblem[],
  warnings: FolderProblem[],
): readonly AclEntry[] | undefined {
  try {
    const acl = source.readAcl(dir, files);
    for (const { code, message, where } of acl.warnings) {
      warnings.push({ ...about, code, message: where === '' ? message : `${message} (${where})` });
    }
    return acl.entries;
  } catch (error) {
    if (isOutOfResources(error)) throw error;
    errors.push({ ...about, code: codeOf(error, 'ACL_UNREADABLE'), message: `${messageOf(error)} ${KEPT}` });
    return undefined;
  }
}

/** Of rights and subscriptions that cannot be read. */
const KEPT =
  'What an earlier `upgrade -s` read stays. Correct its owner and mode, or repair the disk, and run `upgrade -s` ' +
  'again before messages are upgraded.';

function readSubscriptions(
  source: MailSource,
  mailbox: Dir,
  uid: string,
  errors: FolderProblem[],
  warnings: FolderProblem[],
): readonly (readonly Uint8Array[])[] | undefined {
  try {
    const read = source.readSubscriptions(mailbox);
    for (const { code, message, where } of read.warnings) {
      warnings.push({ user: uid, folder: '', code, message: where === '' ? message : `${message} (${where})` });
    }
    return read.folders;
  } catch (error) {
    if (isOutOfResources(error)) throw error;
    const code = codeOf(error, 'SUBSCRIPTIONS_UNREADABLE');
    errors.push({ user: uid, folder: '', code, message: `${messageOf(error)} ${KEPT}` });
    return undefined;
  }
}

function codeOf(error: unknown, otherwise: string): string {
  return error instanceof MailhaulError ? error.code : otherwise;
}
