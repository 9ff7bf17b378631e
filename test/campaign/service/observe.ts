/**
 * What a client would find now in every mailbox: uids and flags from the index and its journal, by the library's reader;
 * contents from the files themselves. And which contents have a name at all, wherever it is.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { walk } from '../../../src/fs/walk.js';
import { openMailboxDatabase } from '../../../src/store/database.js';
import { openWholeMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { mailboxPathComponents } from '../../../src/store/names.js';
import type { Ground } from '../kill/ground.js';
import { contentOf } from '../kill/state.js';
import { addTo, type Counts, type Folder } from './truth.js';

export interface Message {
  readonly sha256: string;
  readonly flags: number;
  readonly keywords: readonly string[];
}

export interface Observed {
  readonly published: boolean;
  /** Where its messages are or will be; undefined before the first attempt. */
  readonly directory: string | undefined;
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly messages: ReadonlyMap<number, Message>;
  /** Sentences about what cannot be read. */
  readonly problems: readonly string[];
}

/** All mailboxes by their names. */
export async function observe(ground: Ground): Promise<Map<string, Observed>> {
  const mailboxes = await openMailboxDatabase(path.join(ground.instance, 'store/mboxlist'), { readOnly: true });
  try {
    const found = new Map<string, Observed>();
    for (const { name, owner, root, state, uidvalidity, uidnext } of mailboxes.list()) {
      const components = mailboxPathComponents(owner, name);
      const directory = root === null ? undefined : path.join(root, ...components);
      const waiting = { published: false, directory, uidvalidity, uidnext, messages: new Map(), problems: [] };
      found.set(name, state === 'TRANSITION' || root === null ? waiting : publishedMailbox(root, components));
    }
    return found;
  } finally {
    await mailboxes.close();
  }
}

function publishedMailbox(root: string, components: readonly string[]): Observed {
  const directory = path.join(root, ...components);
  const messages = new Map<number, Message>();
  const problems: string[] = [];
  const top = openRoot(root);
  try {
    const dir = walk(top, components);
    try {
      const index = openWholeMailboxIndex(dir);
      try {
        for (const { uid, flags, keywords } of index.messages()) {
          const file = path.join(directory, String(Math.floor(uid / 100)).padStart(2, '0'), `${uid}.msg`);
          if (!fs.existsSync(file)) problems.push(`uid ${uid} has no file`);
          else messages.set(uid, { sha256: contentOf(file), flags, keywords: [...keywords].sort() });
        }
        const { uidvalidity, uidnext } = index;
        return { published: true, directory, uidvalidity, uidnext, messages, problems };
      } finally {
        index.close();
      }
    } finally {
      closeDir(dir);
    }
  } finally {
    closeDir(top);
  }
}

/** Contents that have a name in the 3.x folder, or below the mailbox directory but for its sub-folders. */
export function namesOf(folder: Folder, directory: string | undefined): Counts {
  const counts: Counts = new Map();
  for (const content of filesOf(folder)) addTo(counts, content);
  if (directory !== undefined && fs.existsSync(directory)) addMessages(directory, counts);
  return counts;
}

/** Contents of the files of a 3.x folder; a message that was put aside counts as well. */
export function filesOf({ directory }: Folder): string[] {
  if (!fs.existsSync(Buffer.from(directory, 'latin1'))) return [];
  return fs
    .readdirSync(Buffer.from(directory, 'latin1'), { withFileTypes: true, encoding: 'buffer' })
    .filter((entry) => entry.isFile() && !/^\.(mailbox|acl|lock)$/.test(entry.name.toString('latin1')))
    .map(({ name }) => contentOf(Buffer.concat([Buffer.from(`${directory}/`, 'latin1'), name])));
}

function addMessages(directory: string, counts: Counts): void {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory() && !entry.name.startsWith('=')) addMessages(file, counts);
    else if (entry.isFile() && entry.name.endsWith('.msg')) addTo(counts, contentOf(file));
  }
}
