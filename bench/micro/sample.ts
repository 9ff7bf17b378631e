/** What single pieces are measured with: one folder of made-up messages on disk and in memory, and an LDIF file. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseMessage } from '../../src/engine/message/parse.js';
import { scan } from '../../src/engine/portable/scan.js';
import type { DirectoryScan } from '../../src/engine/types.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { digest } from '../../src/store/digest.js';
import {
  encodeChange,
  encodeJournalHeader,
  type JournalChange,
  journalIndexOf,
} from '../../src/store/index/journal.js';
import { openIndex } from '../../src/store/index/reader.js';
import { IndexBuilder } from '../../src/store/index/writer.js';
import type { MappingFolder, MigrationRecord } from '../../src/upgrade/types.js';
import { generateInstallation } from '../../test/support/generate/index.js';
import { MemorySink } from '../../test/support/memory-sink.js';

export const MESSAGES = 500;
export const MESSAGE_BYTES = 8192;
const USERS_WITHOUT_MAIL = 1000;

export interface Sample {
  /** The 3.x folder on disk, with its `.mailbox`. */
  readonly folder: string;
  readonly ldif: string;
  readonly ldifEntries: number;
  readonly messages: readonly Buffer[];
  /** Cache entries of the messages. */
  readonly caches: readonly { headerBytes: number; cache: Uint8Array }[];
}

/** Digests have to be loaded. */
export function makeSample(work: string): Sample {
  const made = generateInstallation({
    root: work,
    users: 1,
    folders: 1,
    messages: MESSAGES,
    size: MESSAGE_BYTES,
    sizes: 'fixed',
    storePaths: 1,
    singleCopy: 0,
    bareLf: 0,
    damage: 0,
    emptyUsers: USERS_WITHOUT_MAIL,
    manifest: false,
  });
  const users = fs.readdirSync(made.storePaths[0]!);
  const folder = path.join(made.storePaths[0]!, users[0]!, 'INBOX');
  const names = fs.readdirSync(folder).filter((name) => /^[0-9a-f]+\.[0-9]+$/.test(name));
  const messages = names.map((name) => fs.readFileSync(path.join(folder, name)));
  const caches = messages.map((message) => parseMessage(message));
  // Beside users the file has the entries that a directory has anyway.
  const ldifEntries = fs.readFileSync(made.ldif, 'utf8').match(/^dn:/gm)?.length ?? 0;
  return { folder, ldif: made.ldif, ldifEntries, messages, caches };
}

export function buildIndex({ messages, caches }: Sample): Uint8Array {
  const sink = new MemorySink();
  const frame = { uidvalidity: 1, uidnext: messages.length + 1, generation: 0, keywords: [], admin: new Uint8Array() };
  const builder = new IndexBuilder(sink, frame, messages.length);
  messages.forEach((message, index) => {
    const { headerBytes, cache } = caches[index]!;
    const facts = { uid: index + 1, flags: 0, internalDate: 0, size: message.length, headerBytes };
    builder.add({ ...facts, digest: digest(message) }, [], cache);
  });
  builder.finish();
  return sink.bytes();
}

/** What a day of a client makes: flags of each message, every tenth expunged. */
export function changesOf({ messages }: Sample): JournalChange[] {
  return messages.map((_, i) =>
    i % 10 === 0 ? { type: 'expunge', uid: i + 1 } : { type: 'flags', uid: i + 1, flags: 1, keywords: [] },
  );
}

export function journalOf(index: Uint8Array, changes: readonly JournalChange[]): Uint8Array {
  return Buffer.concat([encodeJournalHeader(journalIndexOf(openIndex(index))), ...changes.map(encodeChange)]);
}

export function scanFolder(folder: string, how: (fd: number) => DirectoryScan): DirectoryScan {
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    return how(fd);
  } finally {
    fs.closeSync(fd);
  }
}

export function scanPortably(folder: string): DirectoryScan {
  const dir = openRoot(folder);
  try {
    return scan(dir);
  } finally {
    closeDir(dir);
  }
}

/** The migration record of the folder, every file a message. */
export function recordOf(folder: string): MigrationRecord {
  const { count, names, nameOffsets, inodes, sizes, mtimes } = scanPortably(folder);
  const uids = Uint32Array.from({ length: count }, (_, i) => i + 1);
  return { uidvalidity: 1, uidnext: count + 1, count, uids, names, nameOffsets, inodes, sizes, mtimes };
}

export const MAPPED_FOLDER: MappingFolder = {
  id: 17,
  uid: 'u000001',
  path: [Buffer.from('Projects'), Buffer.from('Budget 1998')],
  mailbox: 'user/u000001/Projects/Budget 1998',
  legacyName: 'Projects/Budget 1998',
  isInbox: false,
  missing: false,
  inode: '1234567',
  indexBytes: 40_960,
  uidvalidity: 888_888_888,
  partition: 'primary',
  root: '/server4/msg-tango/store/partition/primary',
  attempts: 1,
  migrated: true,
  sourcesRemoved: false,
};
