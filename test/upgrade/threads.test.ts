import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
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

it('a result is not kept when its task has ended: a run has hundreds of thousands', async () => {
  const file = path.join(place, 'gives.mjs');
  fs.writeFileSync(file, 'export default () => new Uint8Array(1000);\n');
  const threads = startThreads(file, 1, null);
  const results: WeakRef<object>[] = [];
  for (let i = 0; i < 20; i++) results.push(new WeakRef((await threads.run(null)) as object));
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What the last turn looked at is kept until the next one; piscina may hold its latest task.
  for (let turn = 0; turn < 5; turn++) {
    await nextTurn();
    collect();
  }
  expect(results.filter((result) => result.deref() !== undefined).length).toBeLessThanOrEqual(1);
  await threads.close();
});

it('an error that a task throws is its own', async () => {
  const file = path.join(place, 'throws.mjs');
  fs.writeFileSync(file, `export default () => { throw new RangeError('too far'); };\n`);
  const threads = startThreads(file, 1, null);
  await expect(threads.run(null)).rejects.toThrow(/^too far$/);
  await threads.close();
});
