import * as fs from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import type { Dir } from '../../../src/fs/dir.js';
import { armFaults } from '../../../src/fs/seam.js';
import { check64, loadDigest } from '../../../src/store/digest.js';
import { foldJournal } from '../../../src/store/index/fold.js';
import { bytesSource } from '../../../src/store/index/io.js';
import {
  encodeBatch,
  encodeChange,
  encodeJournalHeader,
  type JournalChange,
  JournalReader,
  journalIndexOf,
} from '../../../src/store/index/journal.js';
import { JournalWriter } from '../../../src/store/index/journalWriter.js';
import { MailboxIndex, openMailboxIndex, openWholeMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { openIndex } from '../../../src/store/index/reader.js';
import type { MessageFacts } from '../../../src/store/index/record.js';
import { buildIndex, cacheEntry, chance, sampleMessages, withDirectory } from './support.js';

const base = sampleMessages(10, 4);
const uid = (i: number): number => base[i]?.facts.uid ?? 0;
const next = uid(9) + 1;

function appended(n: number): JournalChange & { type: 'append' } {
  const facts = { uid: next + n, flags: 1, internalDate: 1_000_000 + n, size: 100, headerBytes: 50 };
  const cache = cacheEntry([10 + n, 20, 3, 0], n);
  return { type: 'append', facts: { ...facts, digest: new Uint8Array(16).fill(n) }, keywords: ['new', 'Junk'], cache };
}

/** A message to come, with other facts. */
function withFacts(facts: Partial<MessageFacts>): JournalChange {
  const change = appended(7);
  return { ...change, facts: { ...change.facts, ...facts } };
}

/** Changes that all make sense, in this order. */
const CHANGES: readonly JournalChange[] = [
  { type: 'flags', uid: uid(2), flags: 9, keywords: ['a', 'bc'] },
  { type: 'expunge', uid: uid(3) },
  appended(0),
  { type: 'flags', uid: uid(2), flags: 2, keywords: [] },
  { type: 'uidnext', uidnext: next + 5 },
  appended(6),
  { type: 'flags', uid: next + 6, flags: 16, keywords: ['x'] },
  { type: 'expunge', uid: next },
];

function journal(changes: readonly JournalChange[]): Buffer {
  const index = journalIndexOf(openIndex(buildIndex(base)));
  return Buffer.concat([encodeJournalHeader(index), ...changes.map(encodeChange)]);
}

function replay(bytes: Uint8Array): MailboxIndex {
  return new MailboxIndex(openIndex(buildIndex(base)), bytesSource(bytes));
}

/** The mailbox with an index and no journal yet. */
function withMailbox<T>(test: (dir: Dir, directory: string) => T): Promise<T> {
  return withDirectory((dir, directory) => {
    fs.writeFileSync(`${directory}/store.idx`, buildIndex(base));
    return test(dir, directory);
  });
}

function writer(dir: Dir): JournalWriter {
  const mailbox = openMailboxIndex(dir);
  mailbox.close();
  return new JournalWriter(dir, journalIndexOf(mailbox.reader));
}

describe('journal', () => {
  beforeAll(loadDigest);

  it('gives back what was written', () => {
    const index = journalIndexOf(openIndex(buildIndex(base)));
    const reader = new JournalReader(bytesSource(journal(CHANGES)), index);
    expect([...reader.changes()]).toEqual(CHANGES);
    expect(reader.end).toBe(journal(CHANGES).length);
  });

  it('changes what the mailbox holds', () => {
    const mailbox = replay(journal(CHANGES));
    expect(mailbox.count).toBe(10);
    expect(mailbox.uidnext).toBe(next + 7);
    const uids = [...mailbox.messages()].map((message) => message.uid);
    expect(uids).toEqual([...base.map(({ facts }) => facts.uid).filter((known) => known !== uid(3)), next + 6]);
    expect(mailbox.byUid(uid(2))).toMatchObject({ flags: 2, keywords: [], size: base[2]?.facts.size });
    expect(mailbox.byUid(next + 6)).toMatchObject({ flags: 16, keywords: ['x'], internalDate: 1_000_006 });
    expect(mailbox.byUid(next + 6)?.cache()).toEqual(cacheEntry([16, 20, 3, 0], 6));
    expect(mailbox.byUid(uid(3))).toBeUndefined();
    expect(mailbox.byUid(next)).toBeUndefined();
    expect(Buffer.compare(mailbox.byUid(uid(1))?.cache() as Uint8Array, base[1]?.cache as Uint8Array)).toBe(0);
  });

  it('ends at the first record that is cut, wherever it is cut', () => {
    const ends = CHANGES.map((_, i) => journal(CHANGES.slice(0, i)).length);
    const whole = journal(CHANGES);
    for (let length = 32; length < whole.length; length++) {
      const complete = ends.filter((end) => end <= length).length - 1;
      expect(replay(whole.subarray(0, length)).changes).toBe(complete);
    }
  });

  it('ends at a record that does not fit its check', () => {
    const bytes = journal(CHANGES);
    const third = journal(CHANGES.slice(0, 2)).length;
    bytes[third + 30] = 0xff ^ (bytes[third + 30] ?? 0);
    expect(replay(bytes).changes).toBe(2);
  });

  it('tells a record that was damaged from one that was cut: acknowledged ones lie behind it', () => {
    const starts = [32];
    for (const change of CHANGES) starts.push(starts.at(-1)! + encodeChange(change).length);
    CHANGES.forEach((_, damaged) => {
      const bytes = journal(CHANGES);
      bytes[starts[damaged]! + 9]! ^= 1;
      expect(replay(bytes).lostChanges, `record ${damaged}`).toBe(damaged < CHANGES.length - 1);
      const cut = journal(CHANGES).subarray(0, starts[damaged + 1]! - 1);
      expect(replay(cut).lostChanges).toBe(false);
    });
    expect(replay(journal(CHANGES)).lostChanges).toBe(false);
    expect(replay(Buffer.concat([journal(CHANGES), Buffer.alloc(4096)])).lostChanges).toBe(false);
  });

  it('ignores the journal of another index', () => {
    const other = openIndex(buildIndex(base, { generation: 1 }));
    expect(new MailboxIndex(other, bytesSource(journal(CHANGES))).changes).toBe(0);
  });

  it.each<[string, JournalChange]>([
    ['flags of a message that is not there', { type: 'flags', uid: next + 100, flags: 0, keywords: [] }],
    ['an expunged message expunged again', { type: 'expunge', uid: uid(3) }],
    ['a uidnext that falls', { type: 'uidnext', uidnext: next }],
    ['a uid below uidnext', appended(3)],
    // Folding would write them into an index, where they are damage.
    ['flags that are not known', { type: 'flags', uid: uid(1), flags: 32, keywords: [] }],
    ['a message with flags that are not known', withFacts({ flags: 64 })],
    ['a message whose cache entry does not add up', { ...appended(7), cache: cacheEntry([1, 2, 3, 4], 0).subarray(1) }],
  ])('calls %s damage', (_what, change) => {
    expect(() => replay(journal([...CHANGES, change]))).toThrow(expect.objectContaining({ code: 'JNL_RECORD' }));
  });

  it('does not take the highest uid of all a second time, though it is never below uidnext', () => {
    const highest = withFacts({ uid: 0xffff_ffff });
    const gone: JournalChange = { type: 'expunge', uid: 0xffff_ffff };
    expect(replay(journal([highest, gone])).count).toBe(10);
    const again = (): unknown => replay(journal([highest, gone, highest]));
    expect(again).toThrow(expect.objectContaining({ code: 'JNL_RECORD' }));
  });

  it('survives flipped bits, truncation and noise with JNL codes alone', () => {
    const sound = journal(CHANGES);
    const use = (bytes: Uint8Array): void => {
      try {
        for (const message of replay(bytes).messages()) message.cache();
      } catch (error) {
        if (!(error instanceof MailhaulError) || !/^JNL_/.test(error.code)) throw error;
      }
    };
    for (let bit = 0; bit < sound.length * 8; bit += 3) {
      const bytes = Uint8Array.from(sound);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      use(bytes);
    }
    for (let length = 0; length < sound.length; length++) use(sound.subarray(0, length));
    for (let seed = 1; seed < 300; seed++) {
      const random = chance(seed);
      const payload = Uint8Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256));
      use(payload);
      use(Buffer.concat([sound, payload]));
      // Sense without meaning: a record that fits its check, with any type and payload.
      use(Buffer.concat([journal([]), encodeNoise(1 + Math.floor(random() * 6), payload)]));
    }
  });

  it('is made, continued and read through the mailbox directory', () =>
    withMailbox((dir, directory) => {
      const first = writer(dir);
      first.append(CHANGES.slice(0, 3));
      first.close();
      const second = writer(dir);
      for (const change of CHANGES.slice(3)) second.append([change]);
      const written = Buffer.concat([
        journal([]),
        encodeBatch(CHANGES.slice(0, 3)),
        ...CHANGES.slice(3).map(encodeChange),
      ]);
      expect(second.bytes).toBe(written.length);
      second.close();
      expect(fs.readFileSync(`${directory}/store.jnl`)).toEqual(written);
      expect(fs.statSync(`${directory}/store.jnl`).mode & 0o777).toBe(0o600);
      const mailbox = openMailboxIndex(dir);
      expect(mailbox.changes).toBe(CHANGES.length);
      mailbox.close();
    }));

  it('cuts off a record that was never acknowledged before it goes on', () =>
    withMailbox((dir, directory) => {
      fs.writeFileSync(`${directory}/store.jnl`, journal(CHANGES).subarray(0, -5));
      const journalWriter = writer(dir);
      journalWriter.append([{ type: 'expunge', uid: uid(5) }]);
      journalWriter.close();
      expect(fs.readFileSync(`${directory}/store.jnl`)).toEqual(
        journal([...CHANGES.slice(0, -1), { type: 'expunge', uid: uid(5) }]),
      );
    }));

  it.each([
    ['a later generation', { generation: 6 }],
    ['one long ago', { generation: 3 }],
    ['the same generation', { generation: 5, headerCheck: 1n }],
  ])('refuses to replace the journal of another index, of %s', (_, other) =>
    withDirectory((dir, directory) => {
      fs.writeFileSync(`${directory}/store.idx`, buildIndex(base, { generation: 5 }));
      const header = encodeJournalHeader({ headerCheck: 7n, ...other });
      fs.writeFileSync(`${directory}/store.jnl`, header);
      const refused = expect.objectContaining({ code: 'JNL_OTHER', where: `${dir.path}/store.jnl` });
      expect(() => writer(dir)).toThrow(refused);
      expect(() => openWholeMailboxIndex(dir)).toThrow(refused);
      expect(() => foldJournal(dir)).toThrow(refused);
      expect(fs.readFileSync(`${directory}/store.jnl`)).toEqual(Buffer.from(header));
      expect(openDescriptorsOf(directory)).toEqual([]);
    }),
  );

  it('replaces the journal that a stopped fold left', () =>
    withDirectory((dir, directory) => {
      fs.writeFileSync(`${directory}/store.idx`, buildIndex(base, { generation: 1 }));
      fs.writeFileSync(`${directory}/store.jnl`, journal(CHANGES));
      openWholeMailboxIndex(dir).close();
      writer(dir).close();
      expect(fs.statSync(`${directory}/store.jnl`).size).toBe(32);
    }));

  it.each([0, 1])('refuses to write where record %i is damaged and acknowledged ones lie behind it', (damaged) =>
    withMailbox((dir, directory) => {
      const bytes = journal(CHANGES);
      bytes[journal(CHANGES.slice(0, damaged)).length + 9]! ^= 1;
      fs.writeFileSync(`${directory}/store.jnl`, bytes);
      const refused = expect.objectContaining({ code: 'JNL_DAMAGED', where: `${dir.path}/store.jnl` });
      expect(() => writer(dir)).toThrow(refused);
      expect(() => openWholeMailboxIndex(dir)).toThrow(refused);
      expect(() => foldJournal(dir)).toThrow(refused);
      expect(fs.readFileSync(`${directory}/store.jnl`)).toEqual(bytes);
      expect(openDescriptorsOf(directory)).toEqual([]);
    }),
  );

  it('gives back the changes of a batch', () => {
    const bytes = Buffer.concat([journal([]), encodeBatch(CHANGES.slice(0, 5)), ...CHANGES.slice(5).map(encodeChange)]);
    const reader = new JournalReader(bytesSource(bytes), journalIndexOf(openIndex(buildIndex(base))));
    expect([...reader.changes()]).toEqual(CHANGES);
    expect(reader.end).toBe(bytes.length);
  });

  it('takes no part of a batch for a record, whichever of its blocks a power loss kept', () => {
    const batch = encodeBatch([...CHANGES.slice(0, 5), ...Array.from({ length: 40 }, (_, n) => appended(n + 6))]);
    const whole = Buffer.concat([journal([]), batch]);
    for (let at = 32; at < whole.length; at += 256) {
      const torn = Buffer.from(whole);
      torn.fill(0, at, Math.min(at + 512, whole.length));
      expect(replay(torn)).toMatchObject({ changes: 0, lostChanges: false });
    }
  });

  it('goes on in a journal of version 1, whose writers synced several appends at once', () =>
    withMailbox((dir, directory) => {
      const old = (changes: readonly JournalChange[]): Buffer => asVersion1(journal(changes));
      const torn = old([appended(0), appended(1), appended(2)]);
      torn.fill(0, 32, 40);
      expect(replay(torn).lostChanges).toBe(false);
      const damaged = old([appended(0), appended(1), { type: 'expunge', uid: uid(5) }]);
      damaged.fill(0, 32, 40);
      expect(replay(damaged).lostChanges).toBe(true);
      fs.writeFileSync(`${directory}/store.jnl`, torn);
      const journalWriter = writer(dir);
      journalWriter.append([appended(0), appended(1)]);
      journalWriter.close();
      expect(fs.readFileSync(`${directory}/store.jnl`)).toEqual(old([appended(0), appended(1)]));
    }));

  it('takes no more changes after a failed sync, and takes back the one that it wrote', () =>
    withMailbox((dir, directory) => {
      const journalWriter = writer(dir);
      armFaults({ mode: 'fail', at: 2, errno: 5, report: '' });
      try {
        expect(() => journalWriter.append([{ type: 'expunge', uid: uid(5) }])).toThrow(/EIO/);
      } finally {
        armFaults(undefined);
      }
      const again = (): void => journalWriter.append([{ type: 'expunge', uid: uid(6) }]);
      expect(again).toThrow(expect.objectContaining({ code: 'JNL_FAILED' }));
      expect(fs.statSync(`${directory}/store.jnl`).size).toBe(32);
      journalWriter.close();
    }));
});

/** The same records in a journal of version 1. */
function asVersion1(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(1, 8);
  bytes.writeBigUInt64LE(check64(bytes.subarray(0, 24)), 24);
  return bytes;
}

/** What this process has open below a directory. */
function openDescriptorsOf(directory: string): string[] {
  const links = fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return links.filter((link) => link.startsWith(`${fs.realpathSync(directory)}/`));
}

/** A record with a right check around any payload. */
function encodeNoise(type: number, payload: Uint8Array): Buffer {
  const record = Buffer.alloc(Math.ceil((8 + payload.length) / 8) * 8 + 8);
  record.writeUInt32LE(type, 0);
  record.writeUInt32LE(payload.length, 4);
  record.set(payload, 8);
  record.writeBigUInt64LE(check64(record.subarray(0, 8 + payload.length)), record.length - 8);
  return record;
}
