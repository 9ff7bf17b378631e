import * as fs from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Dir } from '../../../src/fs/dir.js';
import { armFaults } from '../../../src/fs/seam.js';
import { loadDigest } from '../../../src/store/digest.js';
import { checkIndex } from '../../../src/store/index/check.js';
import { foldJournal } from '../../../src/store/index/fold.js';
import { type JournalChange, journalIndexOf } from '../../../src/store/index/journal.js';
import { JournalWriter } from '../../../src/store/index/journalWriter.js';
import { openMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { buildIndex, cacheEntry, sampleMessages, withDirectory } from './support.js';

const base = sampleMessages(50, 8);
const uid = (i: number): number => base[i]?.facts.uid ?? 0;
const next = uid(49) + 1;
const CHANGES: readonly JournalChange[] = [
  { type: 'flags', uid: uid(1), flags: 4, keywords: ['later', 'JUNK'] },
  { type: 'expunge', uid: uid(0) },
  {
    type: 'append',
    facts: { uid: next, flags: 3, internalDate: 2 ** 34, size: 77, headerBytes: 7, digest: new Uint8Array(16).fill(9) },
    keywords: ['later'],
    cache: cacheEntry([1, 2, 3, 4], 5),
  },
];

function prepare(dir: Dir, directory: string): void {
  fs.writeFileSync(`${directory}/store.idx`, buildIndex(base));
  const mailbox = openMailboxIndex(dir);
  const writer = new JournalWriter(dir, journalIndexOf(mailbox.reader));
  writer.append(CHANGES);
  writer.close();
  mailbox.close();
}

/** All that a reader sees, in comparable form; keywords without case. */
function content(dir: Dir): unknown {
  const mailbox = openMailboxIndex(dir);
  try {
    const messages = [...mailbox.messages()].map(({ cache, digest, keywords, ...facts }) => ({
      ...facts,
      cache: Buffer.from(cache()).toString('hex'),
      digest: Buffer.from(digest).toString('hex'),
      keywords: keywords.map((keyword) => keyword.toLowerCase()).sort(),
    }));
    return { uidvalidity: mailbox.uidvalidity, uidnext: mailbox.uidnext, count: mailbox.count, messages };
  } finally {
    mailbox.close();
  }
}

describe('foldJournal', () => {
  beforeAll(loadDigest);

  it('gives a sound index of the next generation with the same content, and no journal', () =>
    withDirectory((dir, directory) => {
      prepare(dir, directory);
      const before = content(dir);
      const summary = foldJournal(dir);
      expect(summary).toMatchObject({ messages: 50, lastAppend: 2 ** 34 });
      expect(content(dir)).toEqual(before);
      expect([...checkIndex(fs.readFileSync(`${directory}/store.idx`))]).toEqual([]);
      expect(fs.readdirSync(directory)).toEqual(['store.idx']);
      const mailbox = openMailboxIndex(dir);
      expect(mailbox.reader.header.generation).toBe(1);
      mailbox.close();
    }));

  it('has nothing to do without changes', () =>
    withDirectory((dir, directory) => {
      fs.writeFileSync(`${directory}/store.idx`, buildIndex(base));
      expect(foldJournal(dir)).toBeUndefined();
      expect(Buffer.compare(fs.readFileSync(`${directory}/store.idx`), buildIndex(base))).toBe(0);
    }));

  it('keeps the content at whatever call it fails, and can be done again', () =>
    withDirectory(async (_dir, parent) => {
      let failures = 0;
      for (let at = 1; ; at++) {
        const failed = await withDirectory((dir, directory) => {
          prepare(dir, directory);
          const before = content(dir);
          armFaults({ mode: 'fail', at, errno: 5, report: '' });
          let thrown: unknown;
          try {
            foldJournal(dir);
          } catch (error) {
            thrown = error;
          } finally {
            armFaults(undefined);
          }
          expect(content(dir)).toEqual(before);
          foldJournal(dir);
          expect(content(dir)).toEqual(before);
          return thrown !== undefined;
        });
        if (!failed) break;
        failures++;
      }
      // create, mode, at least two writes, sync, rename, sync, unlink, sync
      expect(failures).toBeGreaterThanOrEqual(9);
      expect(fs.readdirSync(parent)).toEqual([]);
    }));
});
