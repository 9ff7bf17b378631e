import * as fs from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { loadDigest } from '../../src/store/digest.js';
import { type DumpItem, dumpMailbox } from '../../src/store/dump.js';
import { buildIndex, withDirectory } from './index/support.js';

/** A cache entry with these values, and one part without bytes. */
function entryOf(envelope: string, bodystructure: string): Uint8Array {
  const sections = [Buffer.from(envelope), Buffer.from(bodystructure), Buffer.from([1, 0, 0, 0, 0, 0, 0])];
  const head = Buffer.alloc(16);
  sections.forEach((section, i) => {
    head.writeUInt32LE(section.length, i * 4);
  });
  return new Uint8Array(Buffer.concat([head, ...sections]));
}

const ENTRIES = [entryOf('("no end', '("a" "b")'), entryOf('(NIL)', ')'), entryOf('("s")', '("a" "b")')];

beforeAll(loadDigest);

it('a value that is damaged in one message does not end the list', () =>
  withDirectory((dir, directory) => {
    const messages = ENTRIES.map((cache, i) => {
      const facts = { uid: i + 1, flags: 0, internalDate: 5, size: 9, headerBytes: 2, digest: new Uint8Array(16) };
      return { facts, refs: [], cache };
    });
    fs.writeFileSync(`${directory}/store.idx`, buildIndex(messages));
    fs.mkdirSync(`${directory}/00`);
    for (const uid of [1, 2, 3]) fs.writeFileSync(`${directory}/00/${uid}.msg`, 'x');
    const items: DumpItem[] = [...dumpMailbox(dir, 'user/joe/INBOX')];
    const shown = items.map((item) =>
      item.kind === 'problem'
        ? item.error.code
        : [item.message.uid, item.message.envelope, item.message.sha256?.length],
    );
    expect(shown).toEqual(['IMAP_VALUE', [1, null, 64], 'IMAP_VALUE', [2, null, 64], [3, ['s'], 64]]);
  }));
