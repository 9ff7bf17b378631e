/** How much of a large LDIF file is in memory while one record of it is read. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, it } from 'vitest';
import { readText, record, usersOf } from './support.js';

const { readSync } = fs;

afterEach(() => {
  fs.readSync = readSync;
  syncBuiltinESMExports();
});

it('only the values that matter, not the pieces of the file that they lie in', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const photograph = `jpegPhoto:: ${'eHh4'.repeat(70_000)}\n`;
  const values = Array.from({ length: 200 }, (_, i) => `cn: bob ${i}\n${photograph}`).join('');
  const text = Buffer.from(record('bob', values.trimEnd()));
  expect(text.length).toBeGreaterThan(50e6);
  let reads = 0;
  let most = 0;
  const before = process.memoryUsage().arrayBuffers;
  fs.readSync = ((...args: Parameters<typeof readSync>) => {
    if (reads++ % 40 === 0) {
      gc();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    return readSync(...args);
  }) as typeof readSync;
  syncBuiltinESMExports();
  const items = await readText(text);
  expect(usersOf(items).map(({ uid }) => uid)).toEqual(['bob']);
  expect(reads).toBeGreaterThan(200);
  expect(most).toBeLessThan(20e6);
});
