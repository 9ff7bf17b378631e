/**
 * Proof that the campaign finds what it is for: runs whose syncs are lies (lies.cc), one kind after the other. Each of
 * them is a defect that a program can have, and each must be noticed.
 */
import { engines } from '../support/engines.js';
import type { CampaignOptions, CampaignOutcome } from '../types.js';
import { lose } from './cut.js';
import { buildLies, FILE_SYSTEMS, type FileSystem } from './disks.js';
import type { Tools } from './record.js';
import { scenarios } from './scenarios.js';
import { makeDiskSite } from './site.js';

interface Planted {
  readonly about: string;
  /** POWER_LIES of lies.cc. */
  readonly lies: string;
  /** The scenario that begins so. */
  readonly scenario: string;
  readonly fileSystem: FileSystem['name'];
}

const PLANTED: readonly Planted[] = [
  {
    about: 'no syncfs before a folder is published',
    lies: 'syncfs:*',
    scenario: '-m -r, native, two disks',
    fileSystem: 'ext4-harsh',
  },
  {
    about: 'databases without sync',
    lies: 'fdatasync:*mboxlist.mdb,fdatasync:*__upfolder.db,dsync:*mboxlist.mdb,dsync:*__upfolder.db',
    scenario: '-m -r, native',
    fileSystem: 'ext4-harsh',
  },
  {
    about: 'no sync of 3.x before a reset removes 4.x',
    lies: 'syncfs:*/mail/store?',
    scenario: '--reset after -m -r, two disks, stirred where 4.x is',
    fileSystem: 'ext4',
  },
  {
    about: 'a reset names copies that are not on disk',
    lies: 'syncfs:*/mail/store*',
    scenario: '--reset after -m -r, two disks',
    fileSystem: 'ext4-harsh',
  },
  {
    about: 'journal entries of a retry without sync',
    lies: 'fsync:*/store.jnl',
    scenario: '-m -r in mailboxes in use, native',
    fileSystem: 'ext4-harsh',
  },
  {
    about: 'a retry lists messages that are not on disk',
    lies: 'fsync:*.msg',
    scenario: '-m after failures, native',
    fileSystem: 'ext4-harsh',
  },
];

/** A run is recorded and cut anew until a problem shows: where the writes fall is different each time. */
const RECORDINGS = 10;
const CUTS = { points: 10, flushes: 7, again: 3, untilFound: true } as const;

/** Runs the planted defects whose description or scenario matches; a problem is one that nobody noticed. */
export async function noticesLies(tools: Tools, wanted: RegExp, options: CampaignOptions): Promise<CampaignOutcome> {
  const library = buildLies(tools.ground.root);
  const notes: string[] = [];
  const problems: string[] = [];
  let cases = 0;
  for (const planted of PLANTED) {
    if (!wanted.test(planted.about) && !wanted.test(planted.scenario)) continue;
    cases += 1;
    const [noticed, line] = await isNoticed(tools, planted, library, options);
    options.log(line);
    (noticed ? notes : problems).push(line);
  }
  return { cases, problems, notes };
}

async function isNoticed(
  tools: Tools,
  { about, lies, scenario: name, fileSystem: type }: Planted,
  library: string,
  options: CampaignOptions,
): Promise<[noticed: boolean, line: string]> {
  const all = scenarios(engines());
  const portable = name.replace('native', 'portable');
  const scenario = all.find((one) => one.name === name) ?? all.find((one) => one.name === portable);
  const fileSystem = FILE_SYSTEMS.find((one) => one.name === type);
  if (scenario === undefined || fileSystem === undefined) throw new Error(`there is no ${name} on ${type}`);
  const site = makeDiskSite(tools.ground, scenario.site, fileSystem);
  const environment = { LD_PRELOAD: library, POWER_LIES: lies };
  let tried = 0;
  for (let n = 0; n < RECORDINGS; n++) {
    const seed = `${options.seed}, recording ${n}`;
    const { states, problems } = await lose(
      tools,
      site,
      scenario,
      CUTS,
      { ...options, seed, log: () => {} },
      environment,
    );
    if (states === 0) return [false, `not tried, ${about}: ${problems[0]}`];
    tried += states;
    if (problems.length > 0) return [true, `noticed, ${about}, in state ${tried}: ${problems[0]?.slice(0, 300)}`];
  }
  return [false, `NOT noticed, ${about}, in ${tried} states of ${type}, ${name}`];
}
