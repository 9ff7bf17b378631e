import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startThreads } from '../../src/upgrade/threads.js';

let place: string;

beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-threads-'));
});

afterEach(() => fs.rmSync(place, { recursive: true }));

it('what a thread has opened stays open when the thread ends: with it would go a lock that another thread needs', async () => {
  const file = path.join(place, 'opens.mjs');
  fs.writeFileSync(file, `import { openSync } from 'node:fs';\nexport default (path) => openSync(path, 'r');\n`);
  const threads = startThreads(file, 1, null);
  const fd = (await threads.run(file)) as number;
  await threads.close();
  expect(fs.fstatSync(fd).ino).toBe(fs.statSync(file).ino);
  fs.closeSync(fd);
});

it('an error that a task throws is its own', async () => {
  const file = path.join(place, 'throws.mjs');
  fs.writeFileSync(file, `export default () => { throw new RangeError('too far'); };\n`);
  const threads = startThreads(file, 1, null);
  await expect(threads.run(null)).rejects.toThrow(/^too far$/);
  await threads.close();
});
