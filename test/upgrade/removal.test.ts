/** `upgrade -m -r`, at once and later: message files whose folder is published go, everything else stays. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type HandSite, handSite, MAIL, putMail } from '../e2e/hand-site.js';
import { engineOptions, messageFiles } from '../support/site.js';
import { removeSites, someMessage, upgraded } from './messages-support.js';
import { databases, INDEX } from './small-store.js';

let site: HandSite | undefined;
afterEach(() => {
  site?.remove();
  site = undefined;
  removeSites();
});

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

describe.each(engineOptions())('a 3.x folder that a late -r does not find, %s', (engine) => {
  const size = MAIL('one').length;
  const LINES = `${INDEX(70, 9)}1 11 S ${size} one\n2 12 - ${size} two\n`;

  /** anna's Work, migrated; `lines` null: it has no `.mailbox`. */
  function migrated(lines: string | null = LINES): { made: HandSite; folder: string; left(): string[] } {
    const made = handSite();
    site = made;
    const { store } = made;
    store.user('anna');
    const folder = store.folder(store.mailbox, 'anna', 'Work', lines);
    for (const name of ['one', 'two']) putMail(folder, name);
    store.finish();
    expect(made.folders().status).toBe(0);
    expect(made.messages(engine).status).toBe(0);
    return { made, folder, left: () => fs.readdirSync(folder).filter((name) => !name.startsWith('.')) };
  }

  const isNoted = (made: HandSite): Promise<boolean | undefined> =>
    databases(made.store, (mapping) => mapping.folderByMailbox('user/anna/Work')?.sourcesRemoved);

  function removeLate(made: HandSite): { removed: { messages: number }; warnings: number } {
    const result = made.messages(engine, '-r');
    expect(result.status, result.stdout).toBe(0);
    return JSON.parse(result.stdout) as { removed: { messages: number }; warnings: number };
  }

  it.each(['is not there', 'is an empty mount point'])('is not noted as removed where it %s', async (what) => {
    const { made, folder, left } = migrated();
    const away = `${made.store.root}/away`;
    const { uid, gid } = fs.statSync(folder);
    fs.renameSync(folder, away);
    if (what !== 'is not there') {
      fs.mkdirSync(folder);
      fs.chownSync(folder, uid, gid);
    }
    // Twice: a `.lock` of the first is no sign of the folder to the second.
    for (let run = 0; run < 2; run++) {
      expect(removeLate(made)).toMatchObject({ removed: { messages: 0 }, warnings: 1 });
      expect(await isNoted(made)).toBe(false);
    }
    expect(made.log()).toContain('FOLDER_GONE');
    fs.rmSync(folder, { recursive: true, force: true });
    fs.renameSync(away, folder);
    expect(removeLate(made)).toMatchObject({ removed: { messages: 2 }, warnings: 0 });
    expect(left()).toEqual([]);
    expect(await isNoted(made)).toBe(true);
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });

  it.each([LINES, null])('is noted where an -r that was killed had emptied it', async (lines) => {
    const { made, folder, left } = migrated(lines);
    for (const name of left()) fs.unlinkSync(path.join(folder, name));
    expect(removeLate(made)).toMatchObject({ removed: { messages: 0 }, warnings: 0 });
    expect(await isNoted(made)).toBe(true);
  });
});

/** `.mailbox`, `.acl` and so on, and every directory. */
function otherFiles(store: string): string[] {
  return fs
    .readdirSync(store, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.parentPath.includes('/.0004x.') && (entry.isDirectory() || entry.name.startsWith('.')))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((name) => !name.includes('/.0004x.'))
    .sort();
}
