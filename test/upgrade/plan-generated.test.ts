/**
 * A generated installation with every kind of damage, read and planned as the mover does it, folder by folder beside
 * the generator's manifest. The generator states what it expects on its own; it shares no code with reader or plan.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FLAG, MESSAGE_ERRORS } from '../../src/engine/types.js';
import { closeDir, openDir, openRoot } from '../../src/fs/dir.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import { planFolder } from '../../src/upgrade/plan.js';
import type { FolderPlan } from '../../src/upgrade/types.js';
import { namesOf, scanFolder } from '../source/nsms3/folder.js';
import { DAMAGE, generateInstallation, type Installation } from '../support/generate/index.js';

interface ManifestFolder {
  readonly type: 'folder';
  readonly user: string;
  readonly folder: string;
  readonly uidvalidity: number | null;
  readonly uidnext: number | null;
  readonly acl: readonly string[] | null;
}

interface ManifestMessage {
  readonly type: 'message';
  readonly user: string;
  readonly folder: string;
  readonly file: string;
  readonly uid: number | null;
  readonly date: number;
  readonly flags: string;
  readonly keywords: readonly string[];
  readonly outcome: 'migrated' | 'error' | 'either' | 'nothing';
  readonly code?: string;
}

interface Found {
  readonly plan: FolderPlan;
  readonly acl: readonly string[];
}

const CHOSEN = 987654321;
const root = fs.mkdtempSync(join(tmpdir(), 'mailhaul-plan-'));
let installation: Installation;
let folders: ManifestFolder[];
let messages: ManifestMessage[];
/** By `<user>/<base64 of the folder path>`. */
const found = new Map<string, Found>();

beforeAll(() => {
  installation = generateInstallation({
    root,
    users: 12,
    folders: 6,
    messages: 900,
    size: 200,
    damage: 0.7,
    seed: 'plan4',
  });
  const lines = fs.readFileSync(installation.manifest!, 'utf8').trim().split('\n');
  const items = lines.map((line) => JSON.parse(line) as ManifestFolder | ManifestMessage | { type: 'user' });
  folders = items.filter((item) => item.type === 'folder');
  messages = items.filter((item) => item.type === 'message');
  const users = new Set(folders.map((folder) => folder.user));
  for (const path of installation.storePaths) {
    const store = openRoot(path);
    for (const user of users) {
      if (!fs.existsSync(`${path}/${user}`)) continue;
      const mailbox = openDir(store, user);
      for (const item of nsms3.listFolders(mailbox)) {
        if (item.kind === 'problem') continue;
        const name = Buffer.concat(item.path.flatMap((part, i) => (i === 0 ? [part] : [Buffer.from('/'), part])));
        const plan = planFolder({
          index: nsms3.readIndex(item.dir),
          scan: scanFolder(`/proc/self/fd/${item.dir.fd}`),
          previous: undefined,
          chosenUidvalidity: nsms3.lookAtIndex(item.dir).header?.uidvalidity ?? CHOSEN,
          ownerUid: installation.owner.uid,
          takeForeign: false,
          now: CHOSEN,
        });
        const acl = nsms3.readAcl(item.dir).entries.map((entry) => `${entry.identifier} ${entry.rights}`);
        found.set(`${user}/${name.toString('base64')}`, { plan, acl });
      }
      closeDir(mailbox);
    }
    closeDir(store);
  }
});

afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

describe('a generated installation with damage', () => {
  test('has every kind of it that this account can make', () => {
    const kinds = DAMAGE.map(({ kind }) => kind).filter((kind) => !installation.unavailable.includes(kind));
    expect(Object.keys(installation.damage).sort()).toEqual(kinds.sort());
    if (installation.unavailable.length > 0)
      console.log(`not made without root: ${installation.unavailable.join(', ')}`);
  });

  test('has the configuration that the generator wrote', () => {
    const instance = openRoot(installation.instance);
    const configuration = nsms3.readConfiguration(instance);
    expect(configuration.mailboxDirectory).toBe(installation.storePaths[0]);
    expect([configuration.version, configuration.unknown.map(({ key }) => key), nsms3.serverState(instance)]).toEqual([
      '3.6',
      ['X-Site-Note'],
      { kind: 'stopped' },
    ]);
    closeDir(instance);
  });

  test('every folder is found, with its ACL, uidvalidity and uidnext', (ctx) => {
    if (process.getuid?.() !== 0) return ctx.skip('the unreadable folder can only be read by root');
    expect(folders.length).toBe(found.size);
    for (const folder of folders) {
      const made = found.get(`${folder.user}/${folder.folder}`);
      expect(made, `${folder.user} ${Buffer.from(folder.folder, 'base64')}`).toBeDefined();
      if (made === undefined) continue;
      expect(made.acl).toEqual(folder.acl ?? []);
      expect(made.plan.uidvalidity).toBe(folder.uidvalidity ?? CHOSEN);
      if (folder.uidnext !== null) expect(made.plan.uidnext).toBe(folder.uidnext);
    }
  });

  test('every message has the uid, date, flags and keywords, or the refusal, that the manifest expects', () => {
    const counts = new Map<string, number>();
    for (const message of messages) {
      const made = found.get(`${message.user}/${message.folder}`)?.plan;
      if (made === undefined) continue;
      const { messages: table, keywords } = made;
      const i = namesOf(table).indexOf(Buffer.from(message.file, 'base64').toString('latin1'));
      counts.set(message.outcome, (counts.get(message.outcome) ?? 0) + 1);
      expect(i >= 0).toBe(message.outcome !== 'nothing');
      if (i < 0) continue;
      if (message.uid !== null) expect(table.uids[i]).toBe(message.uid);
      const refused = MESSAGE_ERRORS[table.refused[i]!];
      // Whether a file can be read shows only when it is opened.
      if (message.outcome !== 'either') expect(refused).toBe(message.code ?? '');
      if (message.outcome !== 'migrated') continue;
      expect(table.internalDates[i]).toBe(message.date);
      expect(table.flags[i]).toBe(flagBits(message.flags));
      const refs = [...table.keywordRefs.subarray(table.keywordOffsets[i], table.keywordOffsets[i + 1])];
      const lower = (words: readonly string[]) => [...new Set(words.map((word) => word.toLowerCase()))].sort();
      expect(lower(refs.map((ref) => keywords[ref]!))).toEqual(lower(message.keywords));
    }
    expect(counts.get('migrated')).toBeGreaterThan(500);
    expect(counts.get('error')).toBeGreaterThan(3);
    expect(counts.get('nothing')).toBeGreaterThan(0);
  });
});

function flagBits(letters: string): number {
  const bits: Record<string, number> = {
    S: FLAG.seen,
    A: FLAG.answered,
    F: FLAG.flagged,
    D: FLAG.deleted,
    T: FLAG.draft,
  };
  return [...letters].reduce((all, letter) => all | (bits[letter] ?? 0), 0);
}
