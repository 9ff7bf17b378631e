/** How the cases write an input that somebody else made, and read it: what the product refuses with a code is an answer. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import { loadDigest } from '../../../src/store/digest.js';
import { type Case, MB } from './case.js';

export type Shape = Omit<Case, 'engines' | 'make' | 'run'>;

export async function withDir<T>(directory: string, use: (dir: Dir) => T | Promise<T>): Promise<T> {
  const dir = openRoot(directory);
  try {
    return await use(dir);
  } finally {
    closeDir(dir);
  }
}

/** Writes `head` and `n` times `token(i)`. */
export function fill(file: string, head: string, token: (i: number) => string, n: number): void {
  const fd = fs.openSync(file, 'w', 0o600);
  fs.writeSync(fd, head);
  writeTokens(fd, token, n);
  fs.closeSync(fd);
}

/** Writes `n` times `token(i)`, without holding it all. */
export function writeTokens(fd: number, token: (i: number) => string, n: number): void {
  for (let i = 0; i < n; ) {
    let piece = '';
    for (; i < n && piece.length < MB; i++) piece += token(i);
    fs.writeSync(fd, piece, null, 'latin1');
  }
}

/** A file `name` of `n` tokens, read by `read`. Errors with a code are answers. */
export function file(
  shape: Shape,
  name: string,
  head: string,
  token: (i: number) => string,
  read: (dir: Dir, directory: string) => unknown,
): Case {
  return {
    ...shape,
    engines: false,
    make: (directory, n) => fill(path.join(directory, name), head, token, n),
    async run(directory) {
      await loadDigest();
      await withDir(directory, (dir) => read(dir, directory));
    },
  };
}

/** The result, or undefined where the input was refused with a code. */
export function answered<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof Error && 'code' in error && /^[A-Z]+_/.test(String(error.code))) return undefined;
    throw error;
  }
}

/** Reads all of a generator; refusals are answers. */
export function drain(items: Iterable<unknown>): number {
  let count = 0;
  answered(() => {
    for (const _ of items) count++;
  });
  return count;
}
