/**
 * Names: three services make, delete and rename mailboxes and append, flag and expunge in them, on a handful of names that
 * are always in each other's way: trees, the INBOX in several spellings and what lies below it, two partitions. Some are
 * folders that wait for their migration, which `upgrade -m` does meanwhile; one 3.x folder appears later, for another `-s`.
 * Each process is slow at random moments, stands still (SIGSTOP) or is killed at a random effective call or commit. Every
 * fourth round nobody is killed. Then what was begun is finished, and:
 *
 *     every acknowledged message is in its mailbox under its uid, whatever that is called by now, and nowhere else; what was
 *     expunged or deleted is gone, no content is twice, no uid was given twice
 *     every mailbox has the name that its last transaction gave it, can be opened, and its files are those of its index
 *     no file and no directory with mail belongs to nobody, no change of names is left on record, `--verify` is clean
 *     nobody got another error than those that a service expects (diary.ts)
 *
 *     npm run campaign -- names [--long] [--seed s] [-- lives]
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Random, randomOf } from '../../support/generate/random.js';
import { memoryGround } from '../support/memory.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { audit, look } from './audit.js';
import type { Line } from './diary.js';
import { fight } from './fight.js';
import { type Ground, makeGround } from './ground.js';
import { Ledger } from './ledger.js';
import type { Found } from './observe.js';

/** Rounds of a life of the store; the last one is calm. */
const ROUNDS = 4;
/** Before this one a 3.x folder appears, and `-s` runs instead of `-m`. */
const LATE_ROUND = 2;
/** One defect shows in many lives. */
const PROBLEMS_KEPT = 200;

export const campaign: Campaign = {
  about:
    'services make, delete and rename mailboxes that are in each other’s way, and are killed: no mail lost, doubled or hidden',
  async run(options) {
    const [lives = options.long ? 60 : 2] = options.args.map(Number);
    const { root, remove } = memoryGround('names', '1g');
    try {
      return await live(makeGround(root), lives, options);
    } finally {
      remove();
    }
  },
};

interface Tally {
  readonly problems: string[];
  readonly codes: Map<string, number>;
  rounds: number;
  kills: number;
  stops: number;
}

async function live(ground: Ground, lives: number, { seed, log }: CampaignOptions): Promise<CampaignOutcome> {
  const tally: Tally = { problems: [], codes: new Map(), rounds: 0, kills: 0, stops: 0 };
  const reference = await undisturbed(ground);
  for (let life = 1; life <= lives && tally.problems.length < PROBLEMS_KEPT; life++) {
    ground.restore();
    const label = `life ${life}`;
    const found = await liveOnce(ground, reference, { label, seed, random: randomOf(seed, label), tally });
    tally.problems.push(...found);
    for (const problem of found) log(problem);
    if (life % 10 === 0) log(`${life} lives, ${tally.kills} kills, ${tally.problems.length} problems`);
  }
  const ends = [...tally.codes].sort(([, a], [, b]) => b - a).map(([code, times]) => `${times} ${code}`);
  const tasks = [...tally.codes.values()].reduce((sum, times) => sum + times, 0);
  return {
    cases: tally.rounds,
    problems: tally.problems,
    notes: [
      `${tally.rounds} rounds, ${tally.kills} processes killed, ${tally.stops} stopped for a while; ` +
        `${tasks} operations ended: ${ends.join(', ')}`,
    ],
  };
}

interface Reference {
  readonly found: readonly Found[];
  /** uidvalidity of the folder that comes late. */
  readonly late: number;
}

/** What a migration makes of the 3.x folders that nobody disturbs. */
async function undisturbed(ground: Ground): Promise<Reference> {
  const before = new Set((await look(ground)).mailboxes.map(({ v }) => v));
  ground.addLateFolder();
  const problems = [ground.commands.folders, ground.commands.messages]
    .map((command) => ground.run(command))
    .filter(({ status }) => status !== 0);
  const { mailboxes: found, problems: wrong } = await look(ground);
  const late = found.find(({ v }) => !before.has(v));
  if (problems.length > 0 || wrong.length > 0 || late === undefined)
    throw new Error(`undisturbed: ${wrong.join(', ')} ${problems.map(({ stderr }) => stderr).join(', ')}`);
  return { found, late: late.v };
}

interface Life {
  readonly label: string;
  readonly seed: string;
  readonly random: Random;
  readonly tally: Tally;
}

async function liveOnce(ground: Ground, reference: Reference, life: Life): Promise<string[]> {
  const { label, seed, random, tally } = life;
  const diaries: (readonly Line[])[] = [];
  const problems: string[] = [];
  const startMs = Date.now();
  const { folders, messages } = ground.commands;
  let command = messages;
  for (let round = 1; round <= ROUNDS; round++) {
    if (round === LATE_ROUND) {
      ground.addLateFolder();
      command = folders;
    }
    const calm = round === ROUNDS;
    const fought = await fight(ground, random, { label: `${label}, round ${round}`, seed, calm, command, startMs });
    // `-m` refuses what a killed `-s` left: that one is run to its end first.
    if (fought.commandEnded) command = messages;
    diaries.push(...fought.diaries);
    problems.push(...fought.problems);
    tally.rounds += 1;
    tally.kills += fought.kills;
    tally.stops += fought.stops;
    for (const [code, times] of fought.codes) tally.codes.set(code, (tally.codes.get(code) ?? 0) + times);
  }
  const ledger = new Ledger(reference.found, reference.late);
  const audited = [...ledger.read(diaries), ...(await audit(ground, ledger))];
  problems.push(...audited.map((problem) => `${label}: ${problem}`));
  keepSite(ground, label, problems);
  for (const file of fs.readdirSync(ground.root))
    if (/\.(diary|json)$/.test(file)) fs.rmSync(path.join(ground.root, file));
  return problems;
}

/** With MAILHAUL_KEEP=<directory> the store and the diaries of a life with problems are kept there. */
function keepSite(ground: Ground, label: string, problems: readonly string[]): void {
  const { MAILHAUL_KEEP: directory } = process.env;
  if (directory === undefined || problems.length === 0) return;
  fs.cpSync(ground.root, path.join(directory, label.replaceAll(' ', '-')), { recursive: true });
}
