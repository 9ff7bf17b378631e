/**
 * Power loss on real file systems: a run on a disk whose writes and flushes are logged (blockdev.cc), the disk as a
 * power loss can have left it (log.ts), and on it the next run (check.ts).
 *
 *     npm run campaign -- power                                  ext4, a few states
 *     npm run campaign -- power --long [-- --points 8]           ext4 in three manners and xfs, every scenario
 *     … -- --fs xfs --scenario="-m -r" --points 100 --flushes 0  one file system, scenarios whose names match
 *     … -- --selftest                                            runs without their syncs (planted.ts): it must notice
 *
 * Bar: before the next run no message is in neither store, and what is published is whole; after it, all is as if
 * nothing had happened (store.idx to the byte) and `upgrade --verify` has nothing to say.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { engines } from '../support/engines.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { type Cuts, lose } from './cut.js';
import { buildBlockdev, FILE_SYSTEMS, type FileSystem } from './disks.js';
import { type Ground, hindrance, makeGround, removeGround, removeStaleGrounds } from './machine.js';
import { noticesLies } from './planted.js';
import { startReader } from './reader.js';
import type { Tools } from './record.js';
import { type Scenario, scenarios } from './scenarios.js';
import { modelTest, selfTest } from './selftest.js';
import { makeDiskSite, type SiteKind } from './site.js';

interface Choice extends Cuts {
  readonly fileSystems: readonly FileSystem[];
  readonly scenarios: readonly Scenario[];
  /** Scenarios that are run with lies, to see that the campaign notices them. */
  readonly lies: RegExp | undefined;
}

export const campaign: Campaign = {
  about: 'power loss at every flush and between, on ext4 and xfs: nothing lost, the next run finishes',
  run: runCampaign,
};

async function runCampaign(options: CampaignOptions): Promise<CampaignOutcome> {
  const notes: string[] = [];
  const problems: string[] = [];
  let cases = 0;
  const reason = hindrance();
  if (reason !== undefined) {
    const model = modelTest();
    const note = `Power loss was NOT tried: ${reason}. The cases are checks of the model of a disk only.`;
    return { ...model, notes: [note] };
  }
  for (const stale of removeStaleGrounds()) notes.push(`Removed what an earlier campaign left: ${stale}`);
  const ground = makeGround(2);
  const reader = startReader(ground.root);
  const clean = (): void => {
    reader.close();
    removeGround(ground.root);
  };
  process.once('exit', clean);
  try {
    const program = buildBlockdev(ground.root);
    const tools: Tools = { program, ground, reader };
    const choice = chosen(options, notes);
    for (const fileSystem of choice.fileSystems) {
      const tested = await selfTest(program, ground, fileSystem);
      cases += tested.cases;
      problems.push(...tested.problems);
      if (tested.problems.length > 0) continue;
      options.log(`${fileSystem.name}: the log is faithful (${tested.cases} checks; ${tested.device})`);
      for (const kind of new Set(choice.scenarios.map(({ site }) => site))) {
        const site = makeDiskSite(ground, kind, fileSystem);
        for (const scenario of choice.scenarios.filter((one) => one.site === kind)) {
          const tally = await lose(tools, site, scenario, choice, options);
          cases += tally.states;
          problems.push(...tally.problems);
          const line =
            `${fileSystem.name}, ${scenario.name}: ${tally.states} states, in ${tally.halfDone} of them the run was ` +
            `half done, ${tally.problems.length} problems`;
          notes.push(line);
        }
        removeImages(ground, site.kind);
      }
    }
    if (choice.lies !== undefined) {
      const told = await noticesLies(tools, choice.lies, options);
      cases += told.cases;
      problems.push(...told.problems);
      notes.push(...told.notes);
    }
    return { cases, problems, notes };
  } finally {
    clean();
    process.off('exit', clean);
  }
}

function chosen({ long, args }: CampaignOptions, notes: string[]): Choice {
  const { values } = parseArgs({
    args: [...args],
    options: {
      points: { type: 'string', default: long ? '10' : '5' },
      flushes: { type: 'string', default: long ? '1000' : '3' },
      again: { type: 'string', default: long ? '6' : '2' },
      fs: { type: 'string', multiple: true },
      scenario: { type: 'string' },
      selftest: { type: 'boolean' },
    },
  });
  const all = scenarios(engines());
  const quick = all.filter(({ name }) => name.startsWith('-m -r') && name.endsWith('two disks')).slice(0, 1);
  if (all.every(({ name }) => !name.includes('native'))) notes.push('The addon is not built: portable engine only.');
  const wanted = values.fs ?? (long ? FILE_SYSTEMS.map(({ name }) => name) : ['ext4-harsh']);
  const pattern = values.scenario === undefined ? undefined : new RegExp(values.scenario);
  return {
    fileSystems: values.selftest === true ? [] : FILE_SYSTEMS.filter(({ name }) => wanted.includes(name)),
    scenarios: pattern === undefined ? (long ? all : quick) : all.filter(({ name }) => pattern.test(name)),
    points: Number(values.points),
    flushes: Number(values.flushes),
    again: Number(values.again),
    untilFound: false,
    lies: values.selftest === true ? (pattern ?? /./) : undefined,
  };
}

function removeImages(ground: Ground, kind: SiteKind): void {
  for (const name of fs.readdirSync(ground.images)) {
    if (name.includes(`-${kind}-`)) fs.rmSync(path.join(ground.images, name));
  }
}
