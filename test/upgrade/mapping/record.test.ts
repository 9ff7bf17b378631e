import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import { CHUNK_MESSAGES, decodeRecord, encodeChunk } from '../../../src/upgrade/mapping/record.js';
import type { MigrationRecord } from '../../../src/upgrade/types.js';
import { encodeRecord } from '../../support/record-chunks.js';

function makeRecord(count: number): MigrationRecord {
  const names = Array.from({ length: count }, (_, i) => Buffer.from(`${i}-${'\xff'.repeat(i % 7)}`, 'latin1'));
  const nameOffsets = new Uint32Array(count + 1);
  names.forEach((name, i) => {
    nameOffsets[i + 1] = nameOffsets[i]! + name.length;
  });
  return {
    uidvalidity: 4_294_967_295,
    uidnext: count + 1,
    count,
    uids: Uint32Array.from({ length: count }, (_, i) => i + 1),
    names: new Uint8Array(Buffer.concat(names)),
    nameOffsets,
    inodes: BigUint64Array.from({ length: count }, (_, i) => 0xffff_ffff_ffff_ff00n + BigInt(i % 200)),
    sizes: Float64Array.from({ length: count }, (_, i) => 2 ** 40 + i),
    mtimes: BigInt64Array.from({ length: count }, (_, i) => BigInt(i) * -1_000_000_007n),
  };
}

describe('migration record', () => {
  it.each([0, 1, 2, CHUNK_MESSAGES - 1, CHUNK_MESSAGES, CHUNK_MESSAGES + 1, 3 * CHUNK_MESSAGES])(
    'of %i messages comes back the same',
    (count) => {
      const record = makeRecord(count);
      const chunks = encodeRecord(record);
      expect(chunks.length).toBe(Math.max(1, Math.ceil(count / CHUNK_MESSAGES)));
      expect(decodeRecord(chunks, 'test')).toEqual(record);
    },
  );

  it('of many folders is made in the same memory, whatever was made there before', () => {
    const [long, short] = [makeRecord(CHUNK_MESSAGES), makeRecord(3)];
    const first = encodeRecord(short)[0]!;
    const { buffer } = encodeChunk(long, 0);
    const again = encodeChunk(short, 0);
    expect(again.buffer).toBe(buffer);
    expect(again.equals(first)).toBe(true);
  });

  it('reads chunks that lie at odd addresses', () => {
    const record = makeRecord(5);
    const moved = encodeRecord(record).map((chunk) => Buffer.concat([Buffer.of(0), chunk]).subarray(1));
    expect(decodeRecord(moved, 'test')).toEqual(record);
  });

  it.each([
    ['no chunk', (): Buffer[] => []],
    ['a missing last chunk', (chunks: Buffer[]) => chunks.slice(0, -1)],
    ['a missing first chunk', (chunks: Buffer[]) => chunks.slice(1)],
    ['swapped chunks', (chunks: Buffer[]) => [chunks[1]!, chunks[0]!, chunks[2]!]],
    ['a chunk of another record', (chunks: Buffer[]) => [chunks[0]!, encodeRecord(makeRecord(9000))[1]!, chunks[2]!]],
    ['a cut chunk', (chunks: Buffer[]) => [chunks[0]!, chunks[1]!, chunks[2]!.subarray(0, -1)]],
  ])('with %s is damaged', (_, change) => {
    const chunks = encodeRecord(makeRecord(2 * CHUNK_MESSAGES + 10));
    expect(() => decodeRecord(change(chunks), 'test')).toThrow(expect.objectContaining({ code: 'RECORD_DAMAGED' }));
  });

  it.each<[string, Partial<MigrationRecord>]>([
    ['a file name of two components', { names: Buffer.from('../x'), nameOffsets: Uint32Array.of(0, 4) }],
    ['a hidden file name', { names: Buffer.from('.acl'), nameOffsets: Uint32Array.of(0, 4) }],
    ['a file name with a NUL', { names: Buffer.from('a\0b'), nameOffsets: Uint32Array.of(0, 3) }],
    ['an empty file name', { names: new Uint8Array(0), nameOffsets: Uint32Array.of(0, 0) }],
    ['a uid 0', { uids: Uint32Array.of(0) }],
    ['a size beyond 2^53', { sizes: Float64Array.of(2 ** 60) }],
  ])('with %s is damaged, also when its check fits', (_, change) => {
    const chunks = encodeRecord({ ...makeRecord(1), ...change });
    expect(() => decodeRecord(chunks, 'test')).toThrow(expect.objectContaining({ code: 'RECORD_DAMAGED' }));
  });

  it('with uids that do not ascend is damaged, also from one chunk to the next', () => {
    for (const [count, at] of [
      [2, 1],
      [CHUNK_MESSAGES + 1, CHUNK_MESSAGES],
    ] as const) {
      const record = makeRecord(count);
      record.uids[at] = record.uids[at - 1]!;
      expect(() => decodeRecord(encodeRecord(record), 'test')).toThrow(
        expect.objectContaining({ code: 'RECORD_DAMAGED' }),
      );
    }
  });

  it('of a later version is refused by name', () => {
    const [chunk] = encodeRecord(makeRecord(3));
    chunk!.writeUInt32LE(2, 4);
    chunk!.writeUInt32LE(crc32(chunk!.subarray(0, -4)), chunk!.length - 4);
    expect(() => decodeRecord([chunk!], 'test')).toThrow(expect.objectContaining({ code: 'RECORD_VERSION' }));
  });

  it('never fails in another way, whatever the bytes are', () => {
    const original = encodeRecord(makeRecord(40))[0]!;
    for (let round = 0; round < 20_000; round++) {
      const chunk = Buffer.from(original);
      const dice = randomBytes(8);
      for (let i = 0; i <= dice[0]! % 4; i++) chunk[dice.readUInt16LE(1 + i) % chunk.length] = dice[7]!;
      let cut: Buffer = chunk.subarray(0, dice[6]! < 64 ? dice.readUInt16LE(4) % chunk.length : chunk.length);
      // Most rounds carry a right check, so that what lies behind it is tried too.
      if (dice[5]! < 200 && cut.length > 4) cut.writeUInt32LE(crc32(cut.subarray(0, -4)), cut.length - 4);
      if (round % 100 === 0) cut = randomBytes(round % 999);
      try {
        const record = decodeRecord([cut], 'test');
        expect(record.nameOffsets[record.count]).toBe(record.names.length);
      } catch (error) {
        expect(error).toBeInstanceOf(MailhaulError);
        expect((error as MailhaulError).code).toMatch(/^RECORD_/);
      }
    }
  });

  it('that claims four billion messages takes no memory for them', () => {
    const chunk = encodeRecord(makeRecord(1))[0]!;
    chunk.writeUInt32LE(0xffffffff, 24);
    chunk.writeUInt32LE(crc32(chunk.subarray(0, -4)), chunk.length - 4);
    expect(() => decodeRecord([chunk], 'test')).toThrow(expect.objectContaining({ code: 'RECORD_DAMAGED' }));
  });
});
