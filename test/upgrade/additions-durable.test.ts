/**
 * A retry of a published folder replaces its index: after a power loss the old one must be there, or the new one with
 * every file that it lists (4x-store.md, promise 4). Found by the power loss campaign (test/campaign/power). And what
 * the retry worked with must be gone for good before nobody looks for it any more.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { commandFile } from '../support/process.js';
import { engineOptions, makeTestSite, messageFiles, type TestSite } from '../support/site.js';

const UPGRADE = commandFile('upgrade');

let site: TestSite | undefined;

afterEach(() => {
  site?.remove();
  site = undefined;
});

for (const engine of engineOptions()) {
  describe(`a retry of published folders ${engine}`, () => {
    it('syncs new message files, their directories and the new index before it takes the place of the old one', (context) => {
      // Names that nothing has made durable yet: message files that were moved in, and their directory as `directory`.
      const unsynced = new Set<string>();
      let moved = 0;
      let lastSynced = '';
      let replaced = 0;
      for (const line of tracedRetry(engine, 'fsync,rename,renameat,renameat2', context)) {
        const synced = /fsync\(\d+<(.*?)>/.exec(line)?.[1];
        const renamed = /rename\w*\(.*?"(.*?)".*"(.*?)"(?:, \w+)?(?:\)| <unfinished)/.exec(line);
        const [from, to] = [renamed?.[1] ?? '', renamed?.[2] ?? ''].map((name) => path.basename(name));
        if (synced !== undefined) {
          lastSynced = path.basename(synced);
          unsynced.delete(/^\d+$/.test(lastSynced) ? 'directory' : lastSynced);
        } else if (to?.endsWith('.msg') && from === to) {
          unsynced.add(to).add('directory');
          moved += 1;
        } else if (to === 'store.idx' && moved > 0) {
          // Without a move before it, it is the portable engine's index in `.retry`.
          expect([...unsynced], line).toEqual([]);
          expect(lastSynced, line).toBe('store.idx.new');
          moved = 0;
          replaced += 1;
        }
      }
      expect(replaced).toBeGreaterThan(1);
    });

    it('syncs that `.retry` is gone before the mapping notes it', (context) => {
      let removed = 0;
      let unsynced = 0;
      let noted = 0;
      for (const line of tracedRetry(engine, 'syncfs,rmdir,unlinkat,pwrite64,pwritev,write,fdatasync', context)) {
        if (/(?:rmdir|unlinkat)\(.*"(?:[^"]*\/)?\.retry"/.test(line)) {
          removed += 1;
          unsynced += 1;
        } else if (/syncfs\(/.test(line)) {
          unsynced = 0;
        } else if (removed > 0 && /\(\d+<[^>]*__upfolder\.db>/.test(line)) {
          expect(unsynced, line.slice(0, 120)).toBe(0);
          noted += 1;
        }
      }
      expect([removed > 0, noted > 0]).toEqual([true, true]);
    });
  });
}

/** The calls of a retry, by strace: of a published store in which every third message had failed, and was repaired. */
function tracedRetry(engine: string, calls: string, context: TestContext): string[] {
  if (spawnSync('strace', ['-V']).status !== 0) {
    console.log('skipped: strace is not installed');
    return context.skip('strace is not installed');
  }
  const made = makeTestSite({ damage: 0, users: 2, messages: 40, bareLf: 0.5 });
  site = made;
  expect(made.folders().status).toBe(0);
  const broken = made.made.storePaths.flatMap((store) => messageFiles(store)).filter((_file, i) => i % 3 === 0);
  for (const file of broken) {
    fs.renameSync(Buffer.from(file, 'latin1'), Buffer.from(asideOf(file), 'latin1'));
    fs.symlinkSync('elsewhere', Buffer.from(file, 'latin1'));
  }
  expect(made.messages(engine, '--accept-failures').status).toBe(1);
  for (const file of broken) fs.renameSync(Buffer.from(asideOf(file), 'latin1'), Buffer.from(file, 'latin1'));

  const trace = path.join(made.root, 'trace');
  const strace = ['-f', '-y', '-s', '4096', '-e', `trace=${calls}`, '-o', trace];
  const retry = [process.execPath, UPGRADE, '-m', '-t', '1', '--instance', made.instance, engine];
  const result = spawnSync('strace', [...strace, ...retry]);
  expect(result.status, result.stderr.toString()).toBe(0);
  return fs.readFileSync(trace, 'latin1').split('\n');
}

function asideOf(file: string): string {
  return path.join(path.dirname(file), `.aside-${path.basename(file)}`);
}
