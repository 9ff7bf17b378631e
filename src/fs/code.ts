/** Files of code, by path: whether they can be read, and are what they were. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasErrno } from '../errors.js';

/** Changes when the file is changed or exchanged. */
export function fileStamp(file: string): string {
  const { dev, ino, size, mtimeNs } = statSync(file, { bigint: true });
  return `${dev} ${ino} ${size} ${mtimeNs}`;
}

/** The package.json that Node reads for a file, if there is one. */
export function manifestOf(file: string): string[] {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const path = join(directory, 'package.json');
    try {
      statSync(path);
      return [path];
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
    if (dirname(directory) === directory) return [];
  }
}

/** Throws where this account cannot read it. */
export function readFrom(file: string): void {
  const fd = openSync(file, 'r');
  try {
    readSync(fd, Buffer.alloc(1));
  } finally {
    closeSync(fd);
  }
}
