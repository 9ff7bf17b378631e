/** `upgrade -m -r`, at once and later: message files whose folder is published go, everything else stays. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { engineOptions, messageFiles } from '../support/site.js';
import { removeSites, someMessage, upgraded } from './messages-support.js';

afterEach(removeSites);

for (const engine of engineOptions()) {
  describe(`upgrade -m -r ${engine}`, () => {
    it('removes message files with -r, and nothing else', async () => {
      const made = upgraded({ singleCopy: 0.2, bareLf: 0.2 });
      const kept = made.made.storePaths.flatMap(otherFiles);
      const result = made.messages(engine, '-r');
      expect(result.status, result.stderr).toBe(0);
      expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual([]);
      expect(made.made.storePaths.flatMap(otherFiles)).toEqual(expect.arrayContaining(kept));
      expect((await made.compare()).problems).toEqual([]);
    });

    it('removes the originals of folders that an earlier run migrated without -r', async () => {
      const made = upgraded();
      expect(made.messages(engine).status).toBe(0);
      expect(made.made.storePaths.flatMap((store) => messageFiles(store)).length).toBeGreaterThan(0);
      expect(made.messages(engine, '-r').status).toBe(0);
      expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual([]);
      expect((await made.compare()).problems).toEqual([]);
    });

    it('removes no original that changed since it was migrated', () => {
      const made = upgraded();
      expect(made.messages(engine).status).toBe(0);
      const file = Buffer.from(someMessage(made), 'latin1');
      const content = fs.readFileSync(file);
      fs.unlinkSync(file);
      fs.writeFileSync(file, content);
      expect(made.messages(engine, '-r').status).toBe(0);
      expect(fs.readFileSync(file)).toEqual(content);
    });
  });
}

/** `.mailbox`, `.acl` and so on, and every directory. */
function otherFiles(store: string): string[] {
  return fs
    .readdirSync(store, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.parentPath.includes('/.0004x.') && (entry.isDirectory() || entry.name.startsWith('.')))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((name) => !name.includes('/.0004x.'))
    .sort();
}
