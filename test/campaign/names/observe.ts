/**
 * What is there: every mailbox of the database with its messages as the library's reader gives them, contents from the
 * files; and every file and directory of the partitions that belongs to none of them.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOf } from '../../../src/errors.js';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { openWholeMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { hashDirectory, INDEX_FILE, JOURNAL_FILE, messageFile } from '../../../src/store/layout.js';
import { mailboxPathComponents } from '../../../src/store/names.js';
import type { MailboxDatabase, MailboxRecord } from '../../../src/store/types.js';

export interface Found {
  readonly name: string;
  /** Its messages are in 3.x. */
  readonly waits: boolean;
  readonly v: number;
  readonly messages: ReadonlyMap<number, { readonly sha256: string; readonly flags: number }>;
}

/** A message file that no index lists. */
export interface Stale {
  readonly file: string;
  readonly sha256: string;
  /** It lies in the directory of a mailbox. */
  readonly owned: boolean;
}

export interface Observed {
  readonly mailboxes: readonly Found[];
  readonly stale: readonly Stale[];
  /** Directories that no mailbox owns, with nothing in them but an empty index. */
  readonly empty: ReadonlySet<string>;
  readonly problems: readonly string[];
}

export function observe(database: MailboxDatabase, roots: readonly string[]): Observed {
  const problems: string[] = [];
  const mailboxes: Found[] = [];
  const owned = new Map<string, ReadonlySet<string> | undefined>();
  for (const record of database.list()) {
    const { name, root, uidvalidity: v } = record;
    const waits = record.state === 'TRANSITION' || root === null;
    const directory = root === null ? undefined : directoryOf(record, root);
    const found = { name, waits, v, messages: new Map<number, { sha256: string; flags: number }>() };
    mailboxes.push(found);
    if (waits || directory === undefined) {
      // Of a migration that was stopped anything may be there.
      if (directory !== undefined) owned.set(directory, undefined);
      continue;
    }
    const files = new Set<string>();
    owned.set(directory, files);
    try {
      problems.push(...readMailbox(record, directory, found.messages, files));
    } catch (error) {
      problems.push(`${name} (${v}) cannot be read: ${messageOf(error)}`);
    }
  }
  const rest = roots.map((root) => strangers(path.join(root, '=user'), owned));
  return {
    mailboxes,
    stale: rest.flatMap(({ stale }) => stale),
    empty: new Set(rest.flatMap(({ empty }) => empty)),
    problems: [...problems, ...rest.flatMap(({ problems }) => problems)],
  };
}

const directoryOf = ({ owner, name }: MailboxRecord, root: string): string =>
  path.join(root, ...mailboxPathComponents(owner, name));

function readMailbox(
  { name, uidvalidity, uidnext, summary }: MailboxRecord,
  directory: string,
  messages: Map<number, { sha256: string; flags: number }>,
  files: Set<string>,
): string[] {
  const problems: string[] = [];
  const dir = openRoot(directory);
  try {
    const index = openWholeMailboxIndex(dir);
    try {
      const where = `${name} (${uidvalidity})`;
      let last = 0;
      for (const { uid, flags } of index.messages()) {
        const file = path.join(directory, hashDirectory(uid), messageFile(uid));
        files.add(file);
        if (uid <= last || uid >= index.uidnext) problems.push(`${where}: uid ${uid} after ${last}`);
        last = uid;
        if (fs.existsSync(file)) messages.set(uid, { sha256: shaOf(file), flags });
        else problems.push(`${where}: uid ${uid} has no file`);
      }
      if (index.uidvalidity !== uidvalidity) problems.push(`${where}: the index has uidvalidity ${index.uidvalidity}`);
      // Whoever asks has opened each mailbox for writing before, which brings the database up to date.
      if (index.uidnext !== uidnext || index.count !== summary?.messages)
        problems.push(`${where}: the database has uidnext ${uidnext} and ${summary?.messages} messages`);
    } finally {
      index.close();
    }
  } finally {
    closeDir(dir);
  }
  return problems;
}

const shaOf = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

interface Strangers {
  readonly stale: Stale[];
  readonly empty: string[];
  readonly problems: string[];
}

/** Goes through the directories below one of the partition's. */
function strangers(top: string, owned: ReadonlyMap<string, ReadonlySet<string> | undefined>): Strangers {
  const found: Strangers = { stale: [], empty: [], problems: [] };
  const visit = (directory: string): void => {
    const files = owned.get(directory);
    const isOwned = owned.has(directory);
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory() && (entry.name.startsWith('=') || /^[0-9a-f]{2}$/.test(entry.name) === isHash(directory)))
        visit(file);
      else if (isOwned && files === undefined) continue;
      else if (entry.isDirectory()) messagesIn(file, files, isOwned, found);
      else if (!isOwned && !isEmptyIndex(directory, entry.name)) found.problems.push(`${file} belongs to no mailbox`);
    }
    if (!isOwned) found.empty.push(directory);
  };
  if (fs.existsSync(top)) visit(top);
  return found;
}

/** `=user` and the first hash level: what is in them leads to users. */
const isHash = (directory: string): boolean => /\/=user(\/[0-9a-f]{2})?$/.test(directory);

function messagesIn(
  directory: string,
  files: ReadonlySet<string> | undefined,
  isOwned: boolean,
  { stale, problems }: Strangers,
): void {
  for (const name of fs.readdirSync(directory)) {
    const file = path.join(directory, name);
    if (!name.endsWith('.msg')) problems.push(`${file} is no message`);
    else if (files?.has(file) !== true) stale.push({ file, sha256: shaOf(file), owned: isOwned });
  }
}

/** What a createMailbox leaves that was killed before its transaction. */
function isEmptyIndex(directory: string, name: string): boolean {
  if (name === `${INDEX_FILE}.new`) return true;
  if (name !== INDEX_FILE || fs.existsSync(path.join(directory, JOURNAL_FILE))) return false;
  const dir = openRoot(directory);
  try {
    const index = openWholeMailboxIndex(dir);
    try {
      return index.count === 0;
    } finally {
      index.close();
    }
  } finally {
    closeDir(dir);
  }
}
