/** What a killed run or a damaged instance leaves: put right by the next run, or told, never passed over. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { openMailboxDatabase } from '../../src/store/database.js';
import { openMappingDatabase } from '../../src/upgrade/mapping/database.js';
import { engineOptions, makeTestSite, messageFiles, reportOf, type TestSite } from '../support/site.js';

let site: TestSite | undefined;

afterEach(() => {
  delete process.env.MAILHAUL_FAULT;
  site?.remove();
  site = undefined;
});

function upgradedSite(options: Parameters<typeof makeTestSite>[0] = {}): TestSite {
  site = makeTestSite({ damage: 0, users: 2, ...options });
  expect(site.folders().status).toBe(0);
  return site;
}

function partitionOf(made: TestSite): string {
  return path.join(made.instance, 'store/partition/primary');
}

const [engine = '--no-native'] = engineOptions();

describe('upgrade -m after a killed run', () => {
  it('takes over a registry of shared copies that still belongs to root', async (context) => {
    if (process.getuid?.() !== 0) {
      console.log('skipped: needs root (other owners)');
      return context.skip('needs root (other owners)');
    }
    const made = upgradedSite({ singleCopy: 0.5, bareLf: 1 });
    fs.mkdirSync(path.join(partitionOf(made), '=single'), { mode: 0o700 });
    const result = made.messages(engine);
    expect(result.status, result.stdout).toBe(0);
    expect((await made.compare()).problems).toEqual([]);
    expect(fs.existsSync(path.join(partitionOf(made), '=single'))).toBe(false);
  });

  it('removes the registry of shared copies when all else was done before', () => {
    const made = upgradedSite();
    expect(made.messages(engine).status).toBe(0);
    const single = path.join(partitionOf(made), '=single');
    const { uid, gid } = fs.statSync(partitionOf(made));
    fs.mkdirSync(single, { mode: 0o700 });
    const [message] = fs.readdirSync(partitionOf(made), { recursive: true, encoding: 'utf8' }).filter(isMessage);
    fs.linkSync(path.join(partitionOf(made), message ?? ''), path.join(single, '1-2-3-copy'));
    fs.chownSync(single, uid, gid);
    expect(made.messages(engine).status).toBe(0);
    expect(fs.existsSync(single)).toBe(false);
  });
});

describe('upgrade -m after a run that was killed right after it published folders', () => {
  it('shows them as migrated in the mapping, too', async () => {
    const made = upgradedSite();
    expect(made.messages(engine).status).toBe(0);
    expect(await migratedFolders(made, false)).toEqual(new Set([true]));
    // As the mapping was before the outcome was noted.
    expect(made.messages(engine).status).toBe(0);
    expect(await migratedFolders(made)).toEqual(new Set([true]));
  });
});

/** What the mapping says of all folders; with `set`, what it says before it is changed. */
async function migratedFolders(made: TestSite, set?: boolean): Promise<Set<boolean>> {
  const dir = openRoot(made.made.storePaths[0] ?? '');
  const mapping = await openMappingDatabase(dir);
  try {
    const folders = [...mapping.folders()];
    if (set !== undefined) {
      await mapping.update((writes) => {
        for (const folder of folders) writes.putFolder({ ...folder, migrated: set });
      });
    }
    return new Set(folders.map(({ migrated }) => migrated));
  } finally {
    await mapping.close();
    closeDir(dir);
  }
}

describe('upgrade -m', () => {
  it('names folders that the mailbox database does not have; -s makes them again', async () => {
    const made = upgradedSite();
    const directory = path.join(made.instance, 'store/mboxlist');
    const { uid, gid } = fs.statSync(directory);
    for (const name of fs.readdirSync(directory)) fs.unlinkSync(path.join(directory, name));
    await (await openMailboxDatabase(directory, { owner: { uid, gid }, create: true })).close();
    const first = made.messages(engine);
    expect(first.status, first.stdout).toBe(1);
    expect(reportOf(first).folders).toMatchObject({ done: 0, skipped: 0 });
    expect(new Set(reportOf(first).errors.map(({ code }) => code))).toEqual(new Set(['MAILBOX_MISSING']));
    expect(made.folders().status).toBe(0);
    expect(made.messages(engine).status).toBe(0);
    expect((await made.compare()).problems).toEqual([]);
  });

  it('says so when originals cannot be removed, and removes them later', () => {
    const made = upgradedSite();
    expect(made.messages(engine).status).toBe(0);
    const before = made.made.storePaths.flatMap((store) => messageFiles(store)).length;
    // The calls of a late -r are its unlinks and a commit; the registry of shared copies comes first.
    process.env.MAILHAUL_FAULT = 'fail:20:EROFS';
    const result = made.messages(engine, '-r');
    delete process.env.MAILHAUL_FAULT;
    expect(result.status, result.stdout).toBe(1);
    expect(reportOf(result).errors).toMatchObject([{ code: 'ORIGINALS_NOT_REMOVED' }]);
    expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toHaveLength(1);
    expect(before).toBeGreaterThan(1);
    expect(made.messages(engine, '-r').status).toBe(0);
    expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual([]);
  });

  it.each([
    ['with the migration', false],
    ['later', true],
  ])('says once of every folder what it cannot remove, %s, and removes it when it can', (_when, late) => {
    const made = upgradedSite();
    if (late) expect(made.messages(engine).status).toBe(0);
    const all = made.made.storePaths.flatMap((store) => messageFiles(store));
    const folder = path.dirname(all[0] ?? '');
    const inFolder = all.filter((file) => path.dirname(file) === folder);
    fs.chmodSync(Buffer.from(folder, 'latin1'), 0o500);
    const result = made.messages(engine, '-r');
    expect(result.status, result.stdout).toBe(1);
    expect(reportOf(result)).toMatchObject({
      folders: { failed: 0 },
      errors: [{ code: 'ORIGINALS_NOT_REMOVED', message: expect.stringContaining(`${inFolder.length} 3.x files`) }],
      removed: { messages: all.length - inFolder.length, kept: inFolder.length },
    });
    expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual(inFolder);
    fs.chmodSync(Buffer.from(folder, 'latin1'), 0o700);
    const again = made.messages(engine, '-r');
    expect(again.status, again.stdout).toBe(0);
    expect(reportOf(again).removed).toEqual({ messages: inFolder.length, kept: 0 });
    expect(made.made.storePaths.flatMap((store) => messageFiles(store))).toEqual([]);
  });
});

describe('a late upgrade -m -r', () => {
  it.each([
    ['is gone', (file: string) => fs.unlinkSync(file)],
    [
      'lost its data',
      (file: string) => {
        fs.unlinkSync(file);
        fs.writeFileSync(file, '');
      },
    ],
  ])('leaves the original of a message whose 4.x file %s', (_what, damage) => {
    const made = upgradedSite();
    expect(made.messages(engine).status).toBe(0);
    const [message = ''] = fs.readdirSync(partitionOf(made), { recursive: true, encoding: 'utf8' }).filter(isMessage);
    const file = path.join(partitionOf(made), message);
    const content = fs.readFileSync(file);
    damage(file);
    const result = made.messages(engine, '-r');
    expect(result.status, result.stdout).toBe(0);
    expect(reportOf(result).removed).toMatchObject({ kept: 1 });
    const left = made.made.storePaths.flatMap((store) => messageFiles(store));
    expect(left.map((name) => fs.readFileSync(Buffer.from(name, 'latin1')))).toEqual([content]);
  });
});

function isMessage(name: string): boolean {
  return name.endsWith('.msg');
}
