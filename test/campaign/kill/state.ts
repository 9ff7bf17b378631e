/**
 * What is on disk, in a form to compare: read in this process, by the library's readers of the databases and by plain
 * file reads of everything else.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { openMailboxDatabase } from '../../../src/store/database.js';
import { openMappingDatabase } from '../../../src/upgrade/mapping/database.js';
import { digestWithoutClock, textWithoutClock } from '../../support/without-clock.js';
import { type Ground, originals } from './ground.js';

/** One line for every file, directory and database entry. Two runs with the same lines did the same. */
export async function stateOf(ground: Ground): Promise<string[]> {
  const lines = ground.partitions.flatMap((partition) => filesOf(partition));
  lines.push(...originals(ground).map((file) => `3.x ${file}`));
  lines.push(...(await databasesOf(ground)));
  return lines;
}

function filesOf(partition: string): string[] {
  if (!fs.existsSync(partition)) return [];
  const entries = fs
    .readdirSync(partition, { recursive: true, withFileTypes: true })
    .map((entry) => path.relative(partition, path.join(entry.parentPath, entry.name)))
    .sort();
  const found = entries.map((name) => ({ name, stat: fs.lstatSync(path.join(partition, name), { bigint: true }) }));
  const names = new Map<bigint, string[]>();
  for (const { name, stat } of found) if (stat.isFile()) names.set(stat.ino, [...(names.get(stat.ino) ?? []), name]);
  return found.map(({ name, stat }) => {
    const kind = `${path.basename(partition)}/${withoutInode(name)} ${stat.mode.toString(8)} ${stat.uid}`;
    if (!stat.isFile()) return kind;
    return `${kind} ${digestWithoutClock(name, fs.readFileSync(path.join(partition, name)))} [${(names.get(stat.ino) ?? []).map(withoutInode).join(' = ')}]`;
  });
}

/** The registry of shared copies names 3.x files by their inode; a state that was put back has others. */
function withoutInode(name: string): string {
  return name.replace(/^(=single\/\d+-)\d+-/, '$1inode-');
}

const withoutClock = (value: unknown): string => textWithoutClock(JSON.stringify(value));

async function databasesOf(ground: Ground): Promise<string[]> {
  const dir = openRoot(ground.storePaths[0] ?? '');
  const mapping = await openMappingDatabase(dir, undefined, { readOnly: true });
  const mailboxes = await openMailboxDatabase(path.join(ground.instance, 'store/mboxlist'), { readOnly: true });
  try {
    const lines: string[] = [];
    for (const record of mailboxes.list()) lines.push(withoutClock(record));
    for (const change of mailboxes.nameChanges()) lines.push(`unfinished ${JSON.stringify(change)}`);
    for (const user of mapping.users()) {
      const { uid } = user;
      lines.push(JSON.stringify({ user, quota: mailboxes.quota(uid), subscriptions: mailboxes.subscriptions(uid) }));
    }
    for (const { attempts: _attempts, inode: _inode, ...folder } of mapping.folders()) {
      const record = mapping.record(folder.id);
      const facts = record && [...record.uids, record.uidnext, Buffer.from(record.names).toString('latin1')];
      const failures = mapping.failures(folder.id).map(({ uid, file, code }) => [uid, file, code]);
      const published = mailboxes.publishedName(folder.id);
      lines.push(withoutClock({ ...folder, path: folder.path.map(String), facts, failures, published }));
    }
    return lines;
  } finally {
    await mapping.close();
    await mailboxes.close();
    closeDir(dir);
  }
}

/** SHA-256 of the CRLF form of every message that has a name in 3.x or 4.x now. */
export function contentsOf(ground: Ground): Set<string> {
  const contents = new Set<string>();
  for (const file of originals(ground)) contents.add(contentOf(Buffer.from(file, 'latin1')));
  for (const partition of ground.partitions.filter((directory) => fs.existsSync(directory))) {
    for (const entry of fs.readdirSync(partition, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && entry.name.endsWith('.msg'))
        contents.add(contentOf(path.join(entry.parentPath, entry.name)));
    }
  }
  return contents;
}

/** SHA-256 of the CRLF form. */
export function contentOf(file: string | Buffer): string {
  const text = fs.readFileSync(file).toString('latin1');
  return createHash('sha256')
    .update(text.replace(/(?<!\r)\n/g, '\r\n'), 'latin1')
    .digest('hex');
}
