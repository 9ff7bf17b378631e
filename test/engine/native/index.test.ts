/** store.idx by the native writer: readable, complete, and byte for byte what the portable engine writes. */
import * as fs from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { portableEngine } from '../../../src/engine/portable/engine.js';
import { FLAG } from '../../../src/engine/types.js';
import { digest, loadDigest } from '../../../src/store/digest.js';
import { checkIndex } from '../../../src/store/index/check.js';
import { openIndex } from '../../../src/store/index/reader.js';
import { type Row, type TestFolder, withFolder } from '../portable/folder.js';
import { needAddon, outcomes } from './support.js';

const TEXT = (i: number): string => `Subject: message ${i}\r\nFrom: a@example.com\r\n\r\n${'line\r\n'.repeat(i % 50)}`;

/** `count` messages, some with bare LF, flags and keywords, whose inode order is not their uid order. */
function fill(folder: TestFolder, count: number): Row[] {
  const rows = Array.from({ length: count }, (_, i) => ({
    uid: 1 + 3 * i,
    name: `m${i}`,
    flags: i % 32,
    keywords: i % 5 === 0 ? ['$Forwarded', `kw${i % 3}`] : [],
    internalDate: 900_000_000 - i,
  }));
  for (let k = 0; k < count; k++) {
    const i = (k * 7919) % count;
    folder.write(`m${i}`, i % 4 === 1 ? TEXT(i).replaceAll('\r\n', '\n') : TEXT(i));
  }
  return rows;
}

describe('native engine: store.idx', () => {
  beforeAll(() => loadDigest());

  it('has each message with its flags, keywords, size, digest and cache entry', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const rows = fill(folder, 97);
      const output = engine.migrate(folder.input(rows, { uidnext: 4711 }));
      const fd = fs.openSync(`${folder.target}/store.idx`, 'r');
      const reader = openIndex(fd);
      expect([...checkIndex(fd)]).toEqual([]);
      expect(reader.header).toMatchObject({ uidvalidity: 1_234_567, uidnext: 4711, messages: 97, generation: 0 });
      expect(output.summary).toMatchObject({
        messages: 97,
        bytes: rows.reduce((sum, _, i) => sum + TEXT(i).length, 0),
        lastAppend: 900_000_000,
        seen: rows.filter((row) => ((row.flags ?? 0) & FLAG.seen) !== 0).length,
        draft: rows.filter((row) => ((row.flags ?? 0) & FLAG.draft) !== 0).length,
      });
      for (const [i, record] of [...reader.records()].entries()) {
        const text = Buffer.from(TEXT(i));
        expect(record).toMatchObject({
          uid: rows[i]?.uid,
          flags: rows[i]?.flags,
          internalDate: 900_000_000 - i,
          size: text.length,
          headerBytes: text.indexOf('\r\n\r\n') + 4,
        });
        expect(Buffer.from(record.digest)).toEqual(Buffer.from(digest(text)));
      }
      fs.closeSync(fd);
      expect(fs.statSync(`${folder.target}/store.idx`).mode & 0o7777).toBe(0o600);
    });
  });

  it('is the same file as the portable engine writes, in slices too', (ctx) => {
    const native = nativeEngine(needAddon(ctx));
    // More than one slice of 4,096 messages.
    withFolder((folder) => {
      const rows = fill(folder, 5000);
      expect(outcomes(native.migrate(folder.input(rows)))).toContain('rewrite');
      const index = fs.readFileSync(`${folder.target}/store.idx`);
      withFolder((other) => {
        const input = folder.input(rows, { targetFd: other.open(other.target), singleFd: other.open(other.single) });
        portableEngine().migrate(input);
        expect(fs.readFileSync(`${other.target}/store.idx`).equals(index)).toBe(true);
        expect(other.targetFiles()).toEqual(folder.targetFiles());
      });
    });
  });

  it('is the same file when messages were met before, in single-copy mode', (ctx) => {
    const native = nativeEngine(needAddon(ctx));
    withFolder((first) => {
      const rows = fill(first, 100);
      native.migrate(first.input(rows));
      withFolder((second) => {
        // The same inodes under other names, uids and flags.
        const shared = rows.map((row, i) => ({ uid: 2 * row.uid, name: `shared ${i}`, flags: 31 - (i % 32) }));
        for (const [i, { name }] of shared.entries()) fs.linkSync(`${first.source}/m${i}`, `${second.source}/${name}`);
        const results = [native, native, portableEngine()].map((engine) =>
          withFolder((other) => {
            const fds = { targetFd: other.open(other.target), singleFd: other.open(other.single) };
            expect(outcomes(engine.migrate(second.input(shared, fds)))).not.toContain('MSG_TARGET');
            for (const [i, { uid }] of shared.entries()) {
              const file = fs.readFileSync(
                `${other.target}/${String(Math.floor(uid / 100)).padStart(2, '0')}/${uid}.msg`,
              );
              expect(file.toString('latin1')).toBe(TEXT(i));
            }
            return fs.readFileSync(`${other.target}/store.idx`).toString('hex');
          }),
        );
        expect(new Set(results).size).toBe(1);
      });
    });
  });

  it('is the same file for an empty folder', (ctx) => {
    const native = nativeEngine(needAddon(ctx));
    const [one, two] = [native, portableEngine()].map((engine) =>
      withFolder((folder) => {
        const output = engine.migrate(folder.input([], { uidnext: 1 }));
        return { summary: output.summary, index: fs.readFileSync(`${folder.target}/store.idx`).toString('hex') };
      }),
    );
    expect(one).toEqual(two);
    expect(one?.summary).toMatchObject({ messages: 0, bytes: 0, lastAppend: 0 });
  });

  it('replaces an index of an earlier attempt in one step', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const rows = fill(folder, 3);
      fs.writeFileSync(`${folder.target}/store.idx`, 'old');
      fs.writeFileSync(`${folder.target}/store.idx.new`, 'half');
      engine.migrate(folder.input(rows));
      expect(openIndex(fs.readFileSync(`${folder.target}/store.idx`)).count).toBe(3);
      expect(folder.targetFiles()).not.toContain('store.idx.new');
    });
  });
});
