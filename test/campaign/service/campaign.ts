/**
 * The service campaign: a run is killed, services use what is published by then, and the run is taken up again. In the
 * end every mailbox holds what its 3.x folder had, without what services expunged, with what they appended, under the
 * uids and with the flags that anybody has seen (4x-store.md, promises 1, 2, 4 and 5). What must be is known from the
 * generator's manifest and from the books about what services did and saw; the commands are not asked.
 *
 *     npm run campaign -- service                                  a sample
 *     npm run campaign -- service --long                           every call, two processes
 *     npm run campaign -- service -- --every 7 --only 'failures'   every 7th call of the scenarios whose name matches
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { loadDigest } from '../../../src/store/digest.js';
import { type Random, randomOf } from '../../support/generate/random.js';
import type { Ground } from '../kill/ground.js';
import { inLanes, type Tally } from '../kill/lanes.js';
import { foldersDone } from '../kill/scenarios.js';
import { engines } from '../support/engines.js';
import type { Campaign, CampaignOptions } from '../types.js';
import { attack, FOLDERS, type Start, type Stop, startOf } from './attack.js';
import { ALL, FEW, repair, type Scenario, scenarios } from './scenarios.js';
import { readTruth } from './truth.js';

/** Of the points of a command: those after which the next one, or the same again, is killed too. */
const SECOND_KILL = 0.4;
/**
 * In a sample the last command of a scenario is killed at these commits. All folders go together: record, failures where
 * there were some, publication, outcome. Before the last one folders are published, and the record does not know.
 */
const SAMPLE_COMMITS = { waiting: [3, 4], others: [3] } as const;
/** Of a case: a defect shows in many messages. */
const PROBLEMS_SHOWN = 5;
/** A run has so many commits at most; a kill at a later one is a run to the end. */
const COMMITS = 40;

export const campaign: Campaign = {
  about: 'services append, flag and expunge between a killed run and the next: nothing comes back, doubles or vanishes',
  async run(options) {
    const { values } = parseArgs({
      args: [...options.args],
      options: { every: { type: 'string' }, only: { type: 'string', default: '' } },
    });
    await loadDigest();
    const here = engines();
    const outcome: Tally = { cases: 0, problems: [], notes: [] };
    if (here.length === 1) outcome.notes.push('the native addon is not built: portable engine only');
    const every = values.every === undefined ? (options.long ? 1 : undefined) : Number(values.every);
    const wanted = scenarios(here, every === undefined ? ALL : FEW).filter(({ name }) =>
      new RegExp(values.only).test(name),
    );
    const isSample = every === undefined && values.only === '';
    // A sample takes the engines in turns: they differ in what they do to a folder, not in what is decided about it.
    const work = isSample ? sample(wanted, here.length, options.seed) : wanted;
    await inLanes(options, async (ground) => {
      await foldersDone(ground);
      ground.keep(FOLDERS);
      const folders = await readTruth(ground);
      for (let scenario = work.shift(); scenario !== undefined; scenario = work.shift()) {
        await runScenario(ground, startOf(ground, scenario, folders), options, every, outcome);
      }
    });
    return outcome;
  },
};

/** Folders that waited with failures, and one of the two scenarios after it, each with one of the engines. */
function sample(all: readonly Scenario[], numberOfEngines: number, seed: string): Scenario[] {
  const each = all.length / numberOfEngines;
  const first = randomOf(seed, 'sample').int(0, 1);
  return [all[first % numberOfEngines === 0 ? 0 : each], all[(numberOfEngines - 1) * each + 1 + first]].flatMap(
    (scenario) => scenario ?? [],
  );
}

async function runScenario(
  ground: Ground,
  start: Start,
  options: CampaignOptions,
  every: number | undefined,
  outcome: Tally,
): Promise<void> {
  const { scenario } = start;
  const sum = { kills: 0, used: 0, accessed: 0, expunged: 0, bad: 0, cases: 0 };
  const tryOne = async (stops: readonly Stop[]): Promise<number> => {
    const result = await attack(ground, start, stops, options.seed);
    for (const name of ['kills', 'used', 'accessed', 'expunged'] as const) sum[name] += result[name];
    sum.cases += 1;
    sum.bad += result.problems.length > 0 ? 1 : 0;
    outcome.cases += 1;
    const shown = result.problems.slice(0, PROBLEMS_SHOWN);
    if (result.problems.length > shown.length) shown.push(`… ${result.problems.length} problems of this case`);
    outcome.problems.push(...shown);
    for (const problem of shown) options.log(problem);
    if (sum.cases % 50 === 0) options.log(`${scenario.name}: ${sum.cases} cases, ${sum.bad} bad`);
    return result.kills;
  };
  const chance = randomOf(options.seed, scenario.name);
  const last = scenario.phases.length - 1;
  const first = scenario.phases[0].leads === true ? 1 : 0;
  let calls = '';
  if (every === undefined) {
    const commits = SAMPLE_COMMITS[scenario.waits ? 'waiting' : 'others'];
    for (const n of commits) await tryOne([{ phase: last, at: `${n}:commit` }]);
  } else {
    const counts = await countCalls(ground, start);
    calls = ` ${counts.slice(first).join(' + ')} effective calls,`;
    // At the commits something becomes visible, or is on record, that was not: all of them, until there is none more.
    for (let phase = first; phase <= last; phase++) {
      for (let n = 1; n <= COMMITS; n++) if ((await tryOne([{ phase, at: `${n}:commit` }])) === 0) break;
    }
    for (const stops of plan(counts, first, every, chance)) await tryOne(stops);
  }
  const { cases, kills, used, accessed, expunged, bad } = sum;
  const what = `mailboxes used ${used}, opened first ${accessed}, messages expunged ${expunged}`;
  options.log(`${scenario.name}:${calls} ${cases} cases, ${kills} kills, ${what}, ${bad} bad`);
}

/** Every n-th call of each command; after some of them the rest of the same command is killed too, or the next one. */
function plan(calls: readonly number[], first: number, every: number, chance: Random): Stop[][] {
  return calls.flatMap((most, phase) => {
    const plans: Stop[][] = [];
    if (phase < first) return plans;
    // A sample starts anywhere, so that other seeds hit other calls.
    for (let n = chance.int(1, every); n <= most; n += every) {
      const next = Math.min(calls.length - 1, phase + chance.int(0, 1));
      const second: Stop = { phase: next, at: String(chance.int(1, calls[next] ?? 1)) };
      plans.push([{ phase, at: String(n) }, ...(chance.chance(SECOND_KILL) ? [second] : [])]);
    }
    return plans;
  });
}

/** Effective calls of each command, when nobody disturbs. */
async function countCalls(ground: Ground, { scenario, broken }: Start): Promise<number[]> {
  ground.restore(scenario.name);
  const report = path.join(ground.root, 'calls');
  const calls: number[] = [];
  for (const { command, ends, repaired } of scenario.phases) {
    if (repaired === true) repair(broken);
    const { status, stderr } = await ground.run(command, { MAILHAUL_FAULT: `count:${report}` });
    if (status !== ends) throw new Error(`${scenario.name}: ${command.join(' ')} ended with ${status}: ${stderr}`);
    calls.push(Number(fs.readFileSync(report, 'utf8')));
  }
  return calls;
}
