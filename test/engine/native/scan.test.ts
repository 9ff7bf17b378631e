/** Directory scans, removal of 3.x files, and the small calls of the addon. */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { addonPath as builtAddon } from '../../../src/fs/addon.js';
import { withFolder } from '../portable/folder.js';
import { needAddon } from './support.js';

const names = (scan: { count: number; names: Uint8Array; nameOffsets: Uint32Array }): string[] =>
  Array.from({ length: scan.count }, (_, i) =>
    Buffer.from(scan.names.subarray(scan.nameOffsets[i], scan.nameOffsets[i + 1])).toString('latin1'),
  );

describe('native engine: scan', () => {
  it('gives every entry but those with a leading dot, in the order of inodes, with exact numbers', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      for (let i = 0; i < 3000; i++) folder.write(`message ${i} ${'x'.repeat(i % 200)}`, 'x'.repeat(i % 7));
      folder.write('.mailbox', 'NSMB 3 1 1\n');
      fs.mkdirSync(`${folder.source}/sub`);
      fs.symlinkSync('/etc/passwd', `${folder.source}/link`);
      fs.writeFileSync(Buffer.from(`${folder.source}/\xe9t\xe9`, 'latin1'), 'x');
      const scan = engine.scan(folder.open(folder.source));
      const found = names(scan);
      expect(scan.count).toBe(3003);
      expect([...found].sort()).toEqual(
        fs
          .readdirSync(folder.source, 'latin1')
          .filter((name) => !name.startsWith('.'))
          .sort(),
      );
      expect(scan.inodes).toEqual(scan.inodes.slice().sort());
      for (const [i, name] of found.entries()) {
        const stat = fs.lstatSync(Buffer.from(`${folder.source}/${name}`, 'latin1'), { bigint: true });
        expect([scan.inodes[i], BigInt(scan.sizes[i] ?? -1), scan.mtimes[i], BigInt(scan.modes[i] ?? 0)]).toEqual([
          stat.ino,
          stat.size,
          stat.mtimeNs,
          stat.mode,
        ]);
      }
      expect(scan.errors).toEqual([]);
    });
  });

  it('throws a system error for what is no directory', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const fd = fs.openSync(folder.write('m', 'x'), 'r');
      expect(() => engine.scan(fd)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
      fs.closeSync(fd);
    });
  });
});

describe('native engine: removeSources', () => {
  it('unlinks what the record names and leaves everything else', (ctx) => {
    const engine = nativeEngine(needAddon(ctx));
    withFolder((folder) => {
      const rows = ['go', 'stay', 'changed', 'replaced', 'gone'].map((name, i) => ({ uid: i + 1, name }));
      for (const { name } of rows) folder.write(name, 'content');
      const messages = folder.input(rows).messages;
      fs.appendFileSync(`${folder.source}/changed`, 'more');
      fs.rmSync(`${folder.source}/replaced`);
      fs.symlinkSync('stay', `${folder.source}/replaced`);
      fs.rmSync(`${folder.source}/gone`);
      const remove = Uint8Array.of(1, 0, 1, 1, 1);
      const result = engine.removeSources({ sourceFd: folder.open(folder.source), messages, remove });
      expect(result).toEqual({
        removed: 1,
        bytes: 7,
        missing: 1,
        kept: [
          { index: 2, errno: 0 },
          { index: 3, errno: 0 },
        ],
      });
      expect(fs.readdirSync(folder.source).sort()).toEqual(['changed', 'replaced', 'stay']);
    });
  });
});

describe('native addon', () => {
  it('takes a lock that another process sees, and not one that another holds', async (ctx) => {
    const addon = needAddon(ctx);
    const folder = fs.mkdtempSync('/tmp/mailhaul-lock-');
    const fd = fs.openSync(`${folder}/.lock`, 'w');
    expect(addon.flock(fd, true)).toBe(true);
    expect(() => execFileSync('flock', ['-n', `${folder}/.lock`, 'true'])).toThrow();
    fs.closeSync(fd);
    const holder = spawn('flock', [`${folder}/.lock`, '-c', 'echo held; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const second = fs.openSync(`${folder}/.lock`, 'r');
    expect(addon.flock(second, true)).toBe(false);
    holder.stdin.end('\n');
    await new Promise((resolve) => holder.once('close', resolve));
    expect(addon.flock(second, true)).toBe(true);
    fs.closeSync(second);
    fs.rmSync(folder, { recursive: true });
  });

  it('throws a system error for a descriptor that is not open, a TypeError for none', async (ctx) => {
    const addon = needAddon(ctx);
    await expect(addon.syncfsAsync(99_999)).rejects.toMatchObject({ code: 'EBADF', syscall: 'syncfs' });
    expect(() => addon.syncfsAsync(-1)).toThrow(TypeError);
  });

  it('gives the digest of the format, and the same array when a message is in CRLF form', (ctx) => {
    const addon = needAddon(ctx);
    // XXH3-128 of nothing, from the algorithm's specification.
    expect(Buffer.from(addon.digest(new Uint8Array(0))).toString('hex')).toBe('99aa06d3014798d86001c324468d497f');
    const message = Buffer.from('a: b\r\n\r\n');
    expect(addon.crlfForm(message)).toBe(message);
    expect(Buffer.from(addon.crlfForm(Buffer.from('a\n\r\n\rb\n'))).toString()).toBe('a\r\n\r\n\rb\r\n');
  });

  it('refuses columns that do not fit together', (ctx) => {
    const addon = needAddon(ctx);
    withFolder((folder) => {
      folder.write('m', 'x');
      const input = folder.input([{ uid: 1, name: 'm' }]);
      const wrong = [
        { uids: new Uint32Array(2) },
        { uids: Uint32Array.of(0) },
        { nameOffsets: Uint32Array.of(0, 99) },
        { nameOffsets: Uint32Array.of(1, 0) },
        { keywordOffsets: Uint32Array.of(0, 1) },
        { sizes: new Uint8Array(1) as unknown as Float64Array },
        { refused: Uint8Array.of(99) },
      ];
      for (const columns of wrong) {
        const spoilt = { ...input, messages: { ...input.messages, ...columns } };
        expect(() => addon.migrate(spoilt, new Uint8Array(6), new Float64Array(15))).toThrow(TypeError);
      }
      const outputs = [
        [5, 15],
        [7, 15],
        [6, 14],
      ] as const;
      for (const [bytes, numbers] of outputs) {
        expect(() => addon.migrate(input, new Uint8Array(bytes), new Float64Array(numbers))).toThrow(TypeError);
      }
      expect(folder.targetFiles()).toEqual([]);
    });
  });

  it('works in worker threads, also when they end while the seam is armed', async (ctx) => {
    needAddon(ctx);
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      const addon = require(workerData.path);
      addon.setFault(workerData.counter, 0, 0, 0);
      addon.syncfsAsync(require('node:fs').openSync('/tmp', 'r')).then(() => parentPort.postMessage(addon.abi));
    `;
    const counter = new Int32Array(new SharedArrayBuffer(64));
    const path = process.env.MAILHAUL_ADDON ?? builtAddon();
    for (let i = 0; i < 4; i++) {
      const worker = new Worker(code, { eval: true, workerData: { path, counter } });
      await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    }
    expect(counter[0]).toBe(4);
  });
});
