/** Made-up indexes, and a seeded source of chance, for the tests of this room. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import type { MessageFacts } from '../../../src/store/index/record.js';
import { IndexBuilder, type IndexFrame } from '../../../src/store/index/writer.js';
import { MemorySink } from '../../support/memory-sink.js';

/** Numbers 0 … below 1, the same for the same seed (xorshift32). */
export function chance(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 0x1_0000_0000;
  };
}

export interface SampleMessage {
  readonly facts: MessageFacts;
  /** Indexes into the frame's keywords, ascending. */
  readonly refs: readonly number[];
  readonly cache: Uint8Array;
}

/** A cache entry whose inner lengths are right: four parts of the given lengths. */
export function cacheEntry(lengths: readonly [number, number, number, number], fill: number): Uint8Array {
  const bytes = new Uint8Array(16 + lengths.reduce((sum, length) => sum + length)).fill(fill, 16);
  const view = new DataView(bytes.buffer);
  lengths.forEach((length, i) => {
    view.setUint32(i * 4, length, true);
  });
  return bytes;
}

export const KEYWORDS = ['$Forwarded', 'Junk', 'work', '$Label1'];

export function sampleMessages(count: number, seed: number): SampleMessage[] {
  const random = chance(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  let uid = 0;
  return Array.from({ length: count }, () => {
    uid += 1 + below(200);
    const size = below(5) === 0 ? below(2 ** 40) : below(20_000);
    return {
      facts: {
        uid,
        flags: below(32),
        internalDate: below(4) === 0 ? -below(2 ** 31) : below(2 ** 33),
        size,
        headerBytes: below(size + 1),
        digest: Uint8Array.from({ length: 16 }, () => below(256)),
      },
      refs: [0, 1, 2, 3].filter(() => below(4) === 0),
      cache: cacheEntry([below(300), below(300), below(40), below(1000)], below(256)),
    };
  });
}

export function sampleFrame(messages: readonly SampleMessage[], change: Partial<IndexFrame> = {}): IndexFrame {
  return {
    uidvalidity: 3_000_000_000,
    uidnext: (messages.at(-1)?.facts.uid ?? 0) + 1,
    generation: 0,
    keywords: KEYWORDS,
    admin: Buffer.from('{"v":1,"mailbox":"user/anna"}'),
    ...change,
  };
}

export function buildIndex(messages: readonly SampleMessage[], change: Partial<IndexFrame> = {}): Uint8Array {
  const sink = new MemorySink();
  const builder = new IndexBuilder(sink, sampleFrame(messages, change));
  for (const { facts, refs, cache } of messages) builder.add(facts, refs, cache);
  builder.finish();
  return sink.bytes();
}

/** Runs `test` with an empty directory that is removed afterwards. */
export async function withDirectory<T>(test: (dir: Dir, directory: string) => T | Promise<T>): Promise<T> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-index-'));
  const dir = openRoot(directory);
  try {
    return await test(dir, directory);
  } finally {
    closeDir(dir);
    fs.rmSync(directory, { recursive: true });
  }
}
