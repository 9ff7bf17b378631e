/**
 * Which folders a run of `-m` or `-u` is about: everybody's, or those of user lists; INBOXes only; one folder
 * by its 3.x name; only those with failures on record.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT, MailhaulError } from '../errors.js';
import type { MailboxDatabase, MailboxRecord } from '../store/types.js';
import type { MappingDatabase, MappingFolder } from './types.js';
import { readUserList } from './userlists.js';

export interface SelectionOptions {
  /** `-u`: user list files; undefined for `-m`. */
  readonly userLists?: readonly string[] | undefined;
  /** `-i` */
  readonly inboxOnly?: boolean | undefined;
  /** `--folder`: 3.x folder path, UTF-8, `/` between levels; or the 4.x name that `-s` gave to the folder. */
  readonly folder?: string | undefined;
  /** `--failed` */
  readonly failedOnly?: boolean | undefined;
}

export interface SelectionProblem {
  /** User of the list's line, '' when it names none. */
  readonly user: string;
  /** 3.x folder that was asked for, '' when it is about a list. */
  readonly folder: string;
  /** User list file, '' when it is about a folder. */
  readonly file: string;
  readonly code: string;
  /** For a list with the file and the line number in front. */
  readonly message: string;
}

export interface Selection {
  /** Folders in scope, done or not. */
  folders(): Iterable<MappingFolder>;
  /** What is wrong with the selection; the rest goes on. */
  readonly problems: readonly SelectionProblem[];
  readonly problemsNotListed: number;
  /** Lines that are odd and harm nothing. */
  readonly warnings: readonly SelectionProblem[];
}

/** Reads the user lists. Throws MailhaulError USERLIST_*, FOLDER_NAME (exit 2). */
export function selectFolders(mapping: MappingDatabase, workDir: string, options: SelectionOptions): Selection {
  const lists = (options.userLists ?? []).map((named) => {
    const path = listPath(named, workDir);
    return { path, list: readUserList(path, (uid) => mapping.user(uid)) };
  });
  const users = new Set(lists.flatMap(({ list }) => list.users));
  const named = options.folder === undefined ? undefined : nameOf(mapping, users, options.folder);
  const inScope = (folder: MappingFolder): boolean =>
    (options.inboxOnly !== true || folder.isInbox) &&
    (options.folder === undefined || (named !== undefined && folder[named] === options.folder)) &&
    (options.failedOnly !== true || hasFailed(mapping, folder));
  const ofLists = (kind: 'errors' | 'warnings'): SelectionProblem[] =>
    lists.flatMap(({ path, list }) =>
      list[kind].map(({ line, user, code, message }) => ({
        user,
        folder: '',
        file: path,
        code,
        message: `${path}, line ${line}: ${message}`,
      })),
    );
  return {
    problems: [
      ...(options.folder === undefined || named !== undefined || users.size === 0 ? [] : [unknown(options.folder)]),
      ...ofLists('errors'),
    ],
    problemsNotListed: lists.reduce((sum, { list }) => sum + list.errorsNotListed, 0),
    warnings: ofLists('warnings'),
    *folders() {
      if (options.userLists === undefined) {
        for (const folder of mapping.folders()) if (inScope(folder)) yield folder;
        return;
      }
      for (const uid of users) for (const folder of mapping.foldersOf(uid)) if (inScope(folder)) yield folder;
    },
  };
}

/**
 * What the name of `--folder` is: the 3.x name of folders of these users, else the 4.x name of one, else neither.
 *
 * @throws MailhaulError FOLDER_NAME (exit 2) for a name that was not UTF-8: several folders may look the same then
 */
function nameOf(
  mapping: MappingDatabase,
  users: ReadonlySet<string>,
  name: string,
): 'legacyName' | 'mailbox' | undefined {
  if (name.includes('\ufffd')) {
    throw new MailhaulError('FOLDER_NAME', 'The folder name is not UTF-8 and cannot be given in this way.', {
      where: '--folder',
      hint: 'Give its 4.x name instead, which is ASCII: `name` of mboxutil -l --json.',
      exit: EXIT.usage,
    });
  }
  for (const kind of ['legacyName', 'mailbox'] as const) {
    for (const uid of users) for (const folder of mapping.foldersOf(uid)) if (folder[kind] === name) return kind;
  }
  return undefined;
}

/** A folder that none of the listed users has is a mistake, not a run with nothing to do. */
function unknown(folder: string): SelectionProblem {
  const message =
    'None of the listed users has a folder of this 3.x or 4.x name; `mboxutil -l --json` shows them as legacyName and name.';
  return { user: '', folder, file: '', code: 'FOLDER_UNKNOWN', message };
}

/**
 * With failures on record, or with an attempt that did not come to its end: it failed as a whole, or was stopped. (What
 * a retry brings in is no failure any more a moment before the folder is published, or tidied up.) A folder that failed
 * before its first attempt has no record of it: nobody may write its entry without its lock, which is what it lacks.
 */
function hasFailed(mapping: MappingDatabase, folder: MappingFolder): boolean {
  if (mapping.failures(folder.id).length > 0 || folder.retrying === true) return true;
  return folder.attempts > 0 && !folder.migrated;
}

/** `-u __up.primary.txt` works from anywhere, as in the guide: a bare name is looked for beside the mapping too. */
function listPath(named: string, workDir: string): string {
  if (named.includes('/') || existsSync(named)) return named;
  const beside = join(workDir, named);
  return existsSync(beside) ? beside : named;
}

/** The mailbox of a folder, also when it was renamed in 4.x; undefined when there is none, or none any more. */
export function mailboxOf(mailboxes: MailboxDatabase, folder: MappingFolder): MailboxRecord | undefined {
  const named = mailboxes.get(folder.mailbox);
  if (named?.mappingId === folder.id) return named;
  const now = mailboxes.publishedName(folder.id);
  const renamed = now === undefined || now === folder.mailbox ? undefined : mailboxes.get(now);
  return renamed?.mappingId === folder.id ? renamed : undefined;
}

/** Where the folders of its owner are; empty when the owner is not in the mapping. */
export function storePathOf(mapping: Pick<MappingDatabase, 'user'>, { uid }: MappingFolder): string {
  return mapping.user(uid)?.storePath ?? '';
}

/** Whether there is something to do for a folder: in TRANSITION, or published with failures on record. */
export function isDue(mapping: MappingDatabase, mailboxes: MailboxDatabase, folder: MappingFolder): boolean {
  const mailbox = mailboxOf(mailboxes, folder);
  return mailbox !== undefined && isDueIn(mailbox, mapping, mailboxes, folder);
}

/** The same of a folder whose mailbox was looked up already. */
export function isDueIn(
  mailbox: MailboxRecord,
  mapping: MappingDatabase,
  mailboxes: MailboxDatabase,
  folder: MappingFolder,
): boolean {
  if (mailbox.state === 'TRANSITION') return !mailboxes.wasPublished(folder.id);
  return folder.retrying === true || (!folder.sourcesRemoved && mapping.failures(folder.id).length > 0);
}
