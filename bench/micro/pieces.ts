/** The single pieces: what each works on, and how many items one call does. */
import { readLdif } from '../../src/directory/ldif.js';
import { crlfForm, decodeCacheEntry, parseMessage } from '../../src/engine/message/parse.js';
import { loadAddon } from '../../src/fs/addon.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { readIndex } from '../../src/source/nsms3/mailbox.js';
import { digest } from '../../src/store/digest.js';
import { bytesSource } from '../../src/store/index/io.js';
import { encodeChange, JournalReader, journalIndexOf } from '../../src/store/index/journal.js';
import { openIndex } from '../../src/store/index/reader.js';
import { componentName, escapeComponent, mailboxPathComponents } from '../../src/store/names.js';
import { chunksOf, decodeRecord, encodeChunk } from '../../src/upgrade/mapping/record.js';
import { decodeFolder, encodeFolder } from '../../src/upgrade/mapping/values.js';
import { HOSTILE_FOLDER_NAMES } from '../../test/support/generate/index.js';
import {
  buildIndex,
  changesOf,
  journalOf,
  MAPPED_FOLDER,
  recordOf,
  type Sample,
  scanFolder,
  scanPortably,
} from './sample.js';

export interface Piece {
  readonly name: string;
  /** Items that one call works on, for the rate. */
  readonly items: number;
  readonly run: () => unknown;
}

/** @param ldif descriptor of the LDIF file */
export function pieces(sample: Sample, ldif: number): Piece[] {
  return [
    ...messagePieces(sample),
    ...folderPieces(sample),
    ...indexPieces(sample),
    ...mappingPieces(sample),
    ...namePieces(),
    { name: 'read LDIF, an entry', items: sample.ldifEntries, run: () => [...readLdif(ldif, 'mail.example.com')] },
  ];
}

function messagePieces({ messages, caches }: Sample): Piece[] {
  const each = <T>(name: string, run: (message: Buffer) => T): Piece => ({
    name,
    items: messages.length,
    run: () => {
      for (const message of messages) run(message);
    },
  });
  const addon = loadAddon();
  return [
    each('parse a message (portable)', parseMessage),
    each('look for bare LF (portable)', crlfForm),
    each('digest a message (portable)', digest),
    {
      name: 'read a cache entry',
      items: caches.length,
      run: () => caches.map(({ cache }) => decodeCacheEntry(cache)),
    },
    ...(addon === undefined
      ? []
      : [
          each('parse a message (native, one call each)', addon.parseMessage),
          each('look for bare LF (native, one call each)', addon.crlfForm),
          each('digest a message (native, one call each)', addon.digest),
        ]),
  ];
}

function folderPieces({ folder, messages }: Sample): Piece[] {
  const items = messages.length;
  const addon = loadAddon();
  return [
    {
      name: 'read .mailbox, a line',
      items,
      run: () => {
        const dir = openRoot(folder);
        try {
          return readIndex(dir);
        } finally {
          closeDir(dir);
        }
      },
    },
    { name: 'list and stat a folder, a file (portable)', items, run: () => scanPortably(folder) },
    ...(addon === undefined
      ? []
      : [
          {
            name: 'list and stat a folder, a file (native)',
            items,
            run: () => scanFolder(folder, (fd) => addon.scan(fd, 0)),
          },
        ]),
  ];
}

function indexPieces(sample: Sample): Piece[] {
  const index = buildIndex(sample);
  const changes = changesOf(sample);
  const journal = journalOf(index, changes);
  const items = sample.messages.length;
  return [
    // That of the addon is counted alone by `npm run instructions -- write-index`: it has no call of its own.
    { name: 'write store.idx, a message (portable, with digest)', items, run: () => buildIndex(sample) },
    { name: 'read store.idx, a record', items, run: () => [...openIndex(index).records()] },
    { name: 'write store.jnl, a change', items: changes.length, run: () => changes.map(encodeChange) },
    {
      name: 'read store.jnl, a change',
      items: changes.length,
      run: () => [...new JournalReader(bytesSource(journal), journalIndexOf(openIndex(index))).changes()],
    },
  ];
}

function mappingPieces({ folder }: Sample): Piece[] {
  const record = recordOf(folder);
  const write = (number: number): Buffer => encodeChunk(record, number);
  const numbers = Array.from({ length: chunksOf(record) }, (_, number) => number);
  const chunks = numbers.map((number) => Buffer.from(write(number)));
  const value = encodeFolder(MAPPED_FOLDER);
  return [
    { name: 'write a migration record, a message', items: record.count, run: () => numbers.map(write) },
    { name: 'read a migration record, a message', items: record.count, run: () => decodeRecord(chunks, 'record') },
    { name: 'write a folder of the mapping', items: 1, run: () => encodeFolder(MAPPED_FOLDER) },
    { name: 'read a folder of the mapping', items: 1, run: () => decodeFolder(value, 'folder') },
  ];
}

function namePieces(): Piece[] {
  return [
    {
      name: 'folder name: 3.x to 4.x and to disk',
      items: HOSTILE_FOLDER_NAMES.length,
      run: () => HOSTILE_FOLDER_NAMES.map((name) => escapeComponent(componentName(name))),
    },
    { name: 'mailbox path (two hashes)', items: 1, run: () => mailboxPathComponents('u000001', 'user/u000001/Sent') },
  ];
}
