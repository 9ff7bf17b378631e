/**
 * Shared messages that have to be written anew stay shared (4x-store.md, promise 5), also when `-r` takes one name of
 * the 3.x file before another folder comes to it. Found by the power loss campaign (test/campaign/power).
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { engineOptions, makeTestSite, type TestSite } from '../support/site.js';

let site: TestSite | undefined;

afterEach(() => {
  site?.remove();
  site = undefined;
});

for (const engine of engineOptions()) {
  it(`-r keeps a rewritten message in one copy when its folders are migrated one after the other ${engine}`, () => {
    const made = makeTestSite({ damage: 0, storePaths: 1, singleCopy: 0.6, bareLf: 1, messages: 80 });
    site = made;
    expect(made.folders().status).toBe(0);
    for (const options of [['-i'], []]) {
      const result = made.messages(engine, '-r', ...options);
      expect(result.status, result.stdout).toBe(0);
    }
    const partition = path.join(made.instance, 'store/partition/primary');
    const files = fs
      .readdirSync(partition, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.msg'));
    const inodesByContent = new Map<string, Set<number>>();
    for (const name of files) {
      const file = path.join(partition, name);
      const digest = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
      inodesByContent.set(digest, (inodesByContent.get(digest) ?? new Set()).add(fs.statSync(file).ino));
    }
    expect(files.length).toBeGreaterThan(inodesByContent.size + 10);
    expect([...inodesByContent.values()].filter((inodes) => inodes.size > 1)).toEqual([]);
  });
}
