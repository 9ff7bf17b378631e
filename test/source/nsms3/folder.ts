/** Small 3.x folders on disk for the tests of reader and plan, and repeatable random bytes. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DirectoryScan } from '../../../src/engine/types.js';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';

export interface TestFolder {
  readonly path: string;
  readonly dir: Dir;
  write(name: string | Buffer, content: string | Uint8Array): void;
  /** Writes `.mailbox` from lines; strings are ISO-8859-1. */
  index(...lines: string[]): void;
  /** A message of `size` bytes with this modification time in seconds. */
  message(name: string | Buffer, options?: { size?: number; mtime?: number; mode?: number }): void;
  remove(): void;
}

export function testFolder(): TestFolder {
  const path = fs.mkdtempSync(join(tmpdir(), 'mailhaul-h4-'));
  fs.chmodSync(path, 0o755);
  const dir = openRoot(path);
  const at = (name: string | Buffer) => Buffer.concat([Buffer.from(`${path}/`), Buffer.from(name)]);
  return {
    path,
    dir,
    write: (name, content) => fs.writeFileSync(at(name), content),
    index: (...lines) =>
      fs.writeFileSync(`${path}/.mailbox`, Buffer.from(lines.map((l) => `${l}\n`).join(''), 'latin1')),
    message(name, { size = 10, mtime = 900_000_000, mode = 0o600 } = {}) {
      fs.writeFileSync(at(name), 'x'.repeat(size));
      fs.chmodSync(at(name), mode);
      // As a Date: Node takes a negative number for "now".
      const time = new Date(mtime * 1000);
      fs.utimesSync(at(name), time, time);
    },
    remove() {
      closeDir(dir);
      // Node's rmSync cannot remove paths beyond PATH_MAX.
      execFileSync('rm', ['-rf', path]);
    },
  };
}

/** What an engine's `scan` gives, in any order of the names that the caller wants. */
export function scanFolder(path: string, order?: (names: Buffer[]) => Buffer[]): DirectoryScan {
  const found = fs.readdirSync(path, { encoding: 'buffer' }).filter((name) => name[0] !== 0x2e);
  const names = order === undefined ? found : order(found);
  const stats = names.map((name) => fs.lstatSync(Buffer.concat([Buffer.from(`${path}/`), name]), { bigint: true }));
  const nameOffsets = new Uint32Array(names.length + 1);
  names.forEach((name, i) => {
    nameOffsets[i + 1] = nameOffsets[i]! + name.length;
  });
  return {
    count: names.length,
    names: new Uint8Array(Buffer.concat(names)),
    nameOffsets,
    inodes: BigUint64Array.from(stats, (s) => s.ino),
    sizes: Float64Array.from(stats, (s) => Number(s.size)),
    mtimes: BigInt64Array.from(stats, (s) => s.mtimeNs),
    modes: Uint32Array.from(stats, (s) => Number(s.mode)),
    uids: Uint32Array.from(stats, (s) => Number(s.uid)),
    nlinks: Uint32Array.from(stats, (s) => Number(s.nlink)),
    errors: [],
  };
}

/** Packed names as text, ISO-8859-1. */
export function namesOf(packed: { names: Uint8Array; nameOffsets: Uint32Array; count: number }): string[] {
  return Array.from({ length: packed.count }, (_, i) =>
    Buffer.from(packed.names.subarray(packed.nameOffsets[i], packed.nameOffsets[i + 1])).toString('latin1'),
  );
}

/** Repeatable random numbers (mulberry32): whole numbers from 0 up to and without `below`. */
export function random(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** Bytes that look a little like `seed`: pieces of it, changed, repeated, between random bytes. */
export function mangle(next: (below: number) => number, seed: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let i = next(12); i >= 0; i--) {
    const start = next(seed.length + 1);
    const piece = Buffer.from(seed.subarray(start, start + next(60)));
    for (let flips = next(4); flips > 0 && piece.length > 0; flips--) piece[next(piece.length)] = next(256);
    pieces.push(piece);
    if (next(4) === 0) pieces.push(Buffer.from(Array.from({ length: next(20) }, () => next(256))));
    if (next(3) === 0) pieces.push(Buffer.from('\n'));
  }
  return Buffer.concat(pieces);
}

/** Runs `body` as an account that is not root, where permissions count; `undefined` where that cannot be had. */
export function unprivileged<T>(body: () => T): T {
  if (process.geteuid?.() !== 0) return body();
  process.seteuid?.(65534);
  try {
    return body();
  } finally {
    process.seteuid?.(0);
  }
}
