/**
 * The generator's expectations and the reader's plan are two readings of the Damage table (3x-profile.md), made
 * apart from each other: they must agree on every message of every kind of damage.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { scan } from '../../src/engine/portable/scan.js';
import { FLAG, MESSAGE_ERRORS } from '../../src/engine/types.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { walk } from '../../src/fs/walk.js';
import { readIndex } from '../../src/source/nsms3/mailbox.js';
import { planFolder } from '../../src/upgrade/plan.js';
import type { FolderPlan } from '../../src/upgrade/types.js';
import { DAMAGE, type DamageKind, generateInstallation, type Installation, removeInstallation } from './generate.js';

const LETTER: Readonly<Record<string, number>> = {
  S: FLAG.seen,
  A: FLAG.answered,
  F: FLAG.flagged,
  D: FLAG.deleted,
  T: FLAG.draft,
};
const CHOSEN_UIDVALIDITY = 7;

interface Line {
  readonly type: string;
  readonly user: string;
  readonly folder: string;
  readonly file: string;
  readonly uid: number | null;
  readonly uidvalidity: number | null;
  readonly uidnext: number | null;
  readonly flags: string;
  readonly keywords: readonly string[];
  readonly date: number;
  readonly outcome: string;
  readonly code?: string;
  readonly damage?: string;
}

let work = '';
beforeAll(() => {
  work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-agree-'));
});
afterAll(() => {
  removeInstallation(work);
});

function planOf(made: Installation, { user, folder }: Line): FolderPlan {
  const mailbox = made.storePaths.map((store) => path.join(store, user)).find((directory) => fs.existsSync(directory));
  const names = Buffer.from(folder, 'base64').toString('latin1').split('/');
  const root = openRoot(mailbox!);
  const dir = walk(
    root,
    names.map((name) => Buffer.from(name, 'latin1')),
  );
  try {
    const index = readIndex(dir);
    return planFolder({
      index,
      scan: scan(dir),
      previous: undefined,
      chosenUidvalidity: index.header?.uidvalidity ?? CHOSEN_UIDVALIDITY,
      ownerUid: made.owner.uid,
      takeForeign: false,
      now: 1_000_000_000,
    });
  } finally {
    closeDir(dir);
    closeDir(root);
  }
}

/** What the plan says of every file: name to a comparable sentence. */
function planned(plan: FolderPlan): Map<string, string> {
  const { messages } = plan;
  const rows = new Map<string, string>();
  for (let i = 0; i < messages.count; i++) {
    const name = Buffer.from(messages.names.subarray(messages.nameOffsets[i], messages.nameOffsets[i + 1]));
    const refs = messages.keywordRefs.subarray(messages.keywordOffsets[i], messages.keywordOffsets[i + 1]);
    const keywords = [...refs].map((ref) => plan.keywords[ref]?.toLowerCase()).sort();
    const code = MESSAGE_ERRORS[messages.refused[i]!] ?? '';
    rows.set(
      name.toString('base64'),
      sentence(messages.uids[i]!, messages.flags[i]!, keywords, messages.internalDates[i]!, code),
    );
  }
  return rows;
}

function sentence(uid: number, flags: number, keywords: readonly unknown[], date: number, code: string): string {
  return `uid ${uid} flags ${flags} keywords ${keywords.join(' ')} date ${date} ${code}`;
}

function expected({ uid, flags, keywords, date, outcome, code }: Line): string {
  const bits = [...flags].reduce((sum, letter) => sum | (LETTER[letter] ?? 0), 0);
  const words = [...new Set(keywords.map((keyword) => keyword.toLowerCase()))].sort();
  return sentence(uid ?? 0, bits, words, date, outcome === 'error' ? (code ?? '') : '');
}

function agree(made: Installation): void {
  const lines = fs.readFileSync(made.manifest!, 'utf8').trim().split('\n');
  const records = lines.map((line) => JSON.parse(line) as Line);
  for (const folder of records.filter(({ type }) => type === 'folder')) {
    const plan = planOf(made, folder);
    const found = planned(plan);
    const where = `${folder.user} ${folder.folder} ${folder.damage}`;
    const own = records.filter(
      ({ type, user, folder: name }) => type === 'message' && user === folder.user && name === folder.folder,
    );
    const present = own.filter(({ outcome }) => outcome !== 'nothing');
    expect([...found.keys()].sort(), where).toEqual(present.map(({ file }) => file).sort());
    const overflow = folder.damage === 'uid-overflow';
    for (const message of overflow ? [] : present) expect(found.get(message.file), where).toBe(expected(message));
    if (!overflow) expect(plan.uidvalidity, where).toBe(folder.uidvalidity ?? CHOSEN_UIDVALIDITY);
    else expect([7, folder.uidvalidity], where).not.toContain(plan.uidvalidity);
    if (folder.uidnext !== null) expect(plan.uidnext, where).toBe(folder.uidnext);
  }
}

it('sound folders', () => {
  agree(generateInstallation({ root: path.join(work, 'sound'), users: 10, messages: 600, damage: 0, singleCopy: 0.4 }));
});

for (const { kind } of DAMAGE) {
  it(`damage: ${kind}`, (context) => {
    const made = generateInstallation({
      root: path.join(work, kind),
      seed: kind,
      users: 2,
      folders: 3,
      messages: 60,
      spread: 'even',
      damage: 1,
      damageKinds: [kind as DamageKind],
    });
    if (made.unavailable.length > 0) context.skip(`${kind} can only be made by root`);
    if (kind === 'folder-unreadable' && !made.owner.chown) {
      // Then it is an error of the folder, which is not the plan's business.
      context.skip('only root can read a directory without permissions');
    }
    agree(made);
  });
}
