import { beforeAll, describe, expect, it } from 'vitest';
import { MailhaulError } from '../../../src/errors.js';
import { check64, loadDigest } from '../../../src/store/digest.js';
import { checkIndex, type IndexDamage } from '../../../src/store/index/check.js';
import { openIndex } from '../../../src/store/index/reader.js';
import { buildIndex, chance, sampleMessages } from './support.js';

const CODES = /^IDX_(MAGIC|VERSION|TRUNCATED|HEADER|SECTION|RECORD|CACHE)$/;
const messages = sampleMessages(20, 5);

/** A copy of a sound index, changed by `change`. */
function damaged(change: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const bytes = buildIndex(messages).slice();
  change(bytes, new DataView(bytes.buffer));
  return bytes;
}

/** Makes the checks of a section and of the header right again, as a forger would. */
function forge(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 1; i < 5; i++) {
    const offset = Number(view.getBigUint64(88 + i * 24, true));
    const length = Number(view.getBigUint64(96 + i * 24, true));
    view.setBigUint64(104 + i * 24, check64(bytes.subarray(offset, offset + length)), true);
  }
  view.setBigUint64(248, check64(bytes.subarray(0, 248)), true);
}

function recordsAt(bytes: Uint8Array): number {
  return openIndex(bytes).header.sections.records.offset;
}

function codesOf(bytes: Uint8Array): string[] {
  return [...checkIndex(bytes)].map(({ code }) => code);
}

/** Uses everything in an index; every failure must be damage with a code. Returns the damage that was thrown. */
function useAll(bytes: Uint8Array): string[] {
  const found: string[] = [];
  const attempt = (use: () => unknown): void => {
    try {
      use();
    } catch (error) {
      if (!(error instanceof MailhaulError) || !CODES.test(error.code)) throw error;
      found.push(error.code);
    }
  };
  attempt(() => {
    const reader = openIndex(bytes);
    attempt(() => reader.keywords());
    attempt(() => reader.admin());
    attempt(() => reader.find(77));
    for (let i = 0; i < Math.min(reader.count, 1000); i++) {
      attempt(() => {
        const record = reader.record(i);
        attempt(() => reader.keywordsOf(record));
        attempt(() => reader.cache(record));
      });
    }
  });
  return found;
}

describe('damage in store.idx', () => {
  beforeAll(loadDigest);

  it('names a wrong beginning', () => {
    expect(codesOf(damaged((bytes) => bytes.fill(0, 0, 1)))).toEqual(['IDX_MAGIC']);
  });

  it('refuses a later version by name', () => {
    const bytes = damaged((_bytes, view) => view.setUint32(8, 2, true));
    expect(codesOf(bytes)).toEqual(['IDX_VERSION']);
  });

  it('names a cut file, and one with bytes too many', () => {
    const bytes = buildIndex(messages);
    expect(codesOf(bytes.subarray(0, bytes.length - 1))).toEqual(['IDX_TRUNCATED']);
    expect(codesOf(bytes.subarray(0, 100))).toEqual(['IDX_TRUNCATED']);
    expect(codesOf(new Uint8Array(0))).toEqual(['IDX_TRUNCATED']);
    expect(codesOf(Buffer.concat([bytes, Buffer.of(0)]))).toEqual(['IDX_HEADER']);
  });

  it('names the section that does not fit its check', () => {
    for (const name of ['records', 'keywordRefs', 'keywords', 'admin'] as const) {
      const bytes = damaged((bytes) => {
        const { offset } = openIndex(bytes).header.sections[name];
        bytes[offset] = (bytes[offset] ?? 0) ^ 1;
      });
      expect([...checkIndex(bytes)].map(({ code, where }) => [code, where])).toEqual([['IDX_SECTION', name]]);
    }
  });

  it('names every message whose cache entry is damaged, and reads the others', () => {
    const broken = [3, 11];
    const bytes = damaged((bytes) => {
      const reader = openIndex(bytes);
      const records = broken.map((i) => reader.record(i));
      for (const record of records)
        bytes[256 + record.cacheOffset + 20] = 0xa5 ^ (bytes[276 + record.cacheOffset] ?? 0);
    });
    const expected = broken.map((i) => ['IDX_CACHE', `uid ${messages[i]?.facts.uid}`]);
    expect([...checkIndex(bytes)].map(({ code, where }) => [code, where])).toEqual(expected);
    const reader = openIndex(bytes);
    expect(reader.cache(reader.record(4)).length).toBe(messages[4]?.cache.length);
  });

  it('never uses an offset that points outside, although all checks fit', () => {
    const change = (at: number, value: bigint): Uint8Array =>
      damaged((bytes, view) => {
        view.setBigUint64(recordsAt(bytes) + 80 * 2 + at, value, true);
        forge(bytes);
      });
    for (const value of [1n << 20n, 1n << 40n, (1n << 64n) - 1n]) {
      const [damage] = [...checkIndex(change(48, value))] as [IndexDamage];
      expect([damage.code, damage.where]).toEqual(['IDX_RECORD', `uid ${messages[2]?.facts.uid}`]);
      expect(codesOf(change(64, value))).toContain('IDX_RECORD');
    }
  });

  it('finds counts that do not add up', () => {
    const bytes = damaged((bytes, view) => {
      view.setUint32(40, view.getUint32(40, true) + 1, true);
      forge(bytes);
    });
    expect([...checkIndex(bytes)]).toEqual([
      expect.objectContaining({ code: 'IDX_HEADER', message: expect.stringContaining('seen') }),
    ]);
  });

  it.each([
    [48, 'cache entry'],
    [64, 'keywords'],
  ])(
    'a record that begins inside another one is refused, so that nothing is read twice (column %i)',
    (column, what) => {
      const bytes = damaged((bytes, view) => {
        const at = recordsAt(bytes) + 80 * 10 + column;
        view.setUint32(at, view.getUint32(at, true) - 1, true);
        forge(bytes);
      });
      expect(() => openIndex(bytes).record(10)).toThrow(
        expect.objectContaining({ code: 'IDX_RECORD', message: expect.stringContaining(what) }),
      );
      expect(openIndex(bytes).record(9)).toMatchObject({ uid: messages[9]?.facts.uid });
    },
  );

  it('finds uids out of order, unknown flags and a uid at uidnext', () => {
    const swapped = damaged((bytes) => {
      const at = recordsAt(bytes);
      const first = bytes.slice(at, at + 4);
      bytes.copyWithin(at, at + 80, at + 84);
      bytes.set(first, at + 80);
      forge(bytes);
    });
    expect(codesOf(swapped)).toEqual(['IDX_RECORD']);
    const flags = damaged((bytes, view) => {
      view.setUint32(recordsAt(bytes) + 4, view.getUint32(recordsAt(bytes) + 4, true) | 64, true);
      forge(bytes);
    });
    expect(codesOf(flags)).toEqual(['IDX_RECORD']);
    const uidnext = damaged((bytes, view) => {
      view.setUint32(28, messages.at(-1)?.facts.uid ?? 0, true);
      forge(bytes);
    });
    expect(codesOf(uidnext)).toEqual(['IDX_RECORD']);
  });

  it('survives every single flipped bit of header and sections', () => {
    const sound = buildIndex(messages);
    let undetected = 0;
    for (let bit = 0; bit < sound.length * 8; bit += 7) {
      const bytes = sound.slice();
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (useAll(bytes).length === 0) undetected++;
    }
    // Only the padding between sections, 7 bytes at most four times, is not covered by a check.
    expect(undetected).toBeLessThanOrEqual((7 * 4 * 8) / 7 + 1);
  });

  it('survives every truncation', () => {
    const sound = buildIndex(messages);
    for (let length = 0; length < sound.length; length += length < 300 ? 1 : 11) {
      expect(useAll(sound.subarray(0, length))).not.toEqual([]);
    }
  });

  it('survives random bytes, also behind forged checks', () => {
    for (let seed = 0; seed < 500; seed++) {
      const random = chance(seed);
      const bytes = damaged((bytes) => {
        const count = 1 + Math.floor(random() * 20);
        for (let i = 0; i < count; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      });
      useAll(bytes);
      const noise = Uint8Array.from({ length: Math.floor(random() * 600) }, () => Math.floor(random() * 256));
      expect(useAll(noise)).not.toEqual([]);
      // Header fields at random, the checks made right where the sections can be found.
      const forged = damaged((bytes) => {
        const records = recordsAt(bytes);
        for (let i = 0; i < 6; i++) bytes[records + Math.floor(random() * 1600)] = Math.floor(random() * 256);
        for (let i = 0; i < 2; i++) bytes[24 + Math.floor(random() * 60)] = Math.floor(random() * 256);
        forge(bytes);
      });
      useAll(forged);
      for (const { code } of checkIndex(forged)) expect(code).toMatch(CODES);
    }
  });
});
