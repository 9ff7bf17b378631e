/**
 * What `mboxutil -l --json` and `mboxutil --dump --json` print, read in this process: two processes less for each
 * store that a test compares. That the commands print the same is tested in test/cli/mboxutil.test.ts.
 */
import { openInstance } from '../../src/config/instance.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { openMailboxDatabase } from '../../src/store/database.js';
import { loadDigest } from '../../src/store/digest.js';
import { dumpMailbox } from '../../src/store/dump.js';
import { openMailboxDirectory } from '../../src/store/layout.js';
import { listMailboxes } from '../../src/store/listing.js';

export interface StoreLines {
  readonly mailboxes: string[];
  readonly messages: string[];
}

/** Throws on whatever cannot be read. */
export async function storeLines(path: string): Promise<StoreLines> {
  await loadDigest();
  const instance = openInstance(path);
  try {
    const database = await openMailboxDatabase(instance.mboxlist, { owner: instance.owner, readOnly: true });
    try {
      const mailboxes: string[] = [];
      const messages: string[] = [];
      for (const { record, ...listing } of listMailboxes(database, (name) => instance.partitionPath(name))) {
        mailboxes.push(JSON.stringify(listing));
        if (record.state === 'NON-TRANSITION') messages.push(...messageLines(record));
      }
      return { mailboxes, messages };
    } finally {
      await database.close();
    }
  } finally {
    instance.close();
  }
}

function* messageLines(record: { root: string | null; owner: string; name: string }): Generator<string> {
  if (record.root === null) throw new Error(`${record.name} is published and has no root`);
  const partition = openRoot(record.root);
  try {
    const directory = openMailboxDirectory(partition, record.owner, record.name);
    if (directory === undefined) throw new Error(`${record.name} has no directory below ${record.root}`);
    try {
      for (const item of dumpMailbox(directory, record.name)) {
        if (item.kind === 'problem') throw item.error;
        yield JSON.stringify(item.message);
      }
    } finally {
      closeDir(directory);
    }
  } finally {
    closeDir(partition);
  }
}
