/** A directory for targets whose reader wants a file. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { closeDir, type Dir, openRoot } from '../../../../src/fs/dir.js';
import { makePlace } from '../place.js';

export interface Scratch {
  readonly path: string;
  readonly dir: Dir;
  write(name: string, bytes: Uint8Array): void;
  remove(): void;
}

export function scratch(): Scratch {
  const path = makePlace('target');
  const dir = openRoot(path);
  return {
    path,
    dir,
    write: (name, bytes) => writeFileSync(join(path, name), bytes, { mode: 0o600 }),
    remove() {
      closeDir(dir);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Text for seeds, one byte a character. */
export function bytes(...lines: readonly string[]): Uint8Array {
  return new Uint8Array(Buffer.from(lines.join('\n'), 'latin1'));
}

/** Equal in every field; typed arrays by their elements. */
export function sameShape(a: unknown, b: unknown): boolean {
  return shape(a) === shape(b);
}

function shape(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return `${item}n`;
    if (typeof item === 'number' && !Number.isFinite(item)) return String(item);
    return ArrayBuffer.isView(item) ? Array.from(item as Uint8Array) : item;
  });
}
