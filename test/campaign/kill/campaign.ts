/**
 * The kill campaign: the process is killed at the n-th effective call (src/fs/seam.ts, native/src/sys) of a run, or in
 * the middle of an LMDB commit; what follows is killed as well, or not; then the commands run to their end, and the
 * result must be that of a run that nobody stopped, to the byte, with every message exactly where the manifest has it.
 *
 *     npm run campaign -- kill                                  a sample
 *     npm run campaign -- kill --long                           every call, two processes
 *     npm run campaign -- kill -- --every 5 --only 'after'      every 5th call of the scenarios whose name matches
 */
import { parseArgs } from 'node:util';
import { loadDigest } from '../../../src/store/digest.js';
import { randomOf } from '../../support/generate/random.js';
import { engines } from '../support/engines.js';
import type { Campaign, CampaignOptions } from '../types.js';
import { attack, type Stop, stopAt, undisturbed } from './attack.js';
import type { Ground } from './ground.js';
import { inLanes, type Tally } from './lanes.js';
import { type Scenario, scenarios } from './scenarios.js';
import { audit, haveStrace, lmdbStops } from './strace.js';

/** What follows a kill at every n-th call is killed too; in the long form it is tried without that as well. */
const SECOND_KILL_EVERY = 3;

export const campaign: Campaign = {
  about: 'kill -9 at every effective call and inside LMDB commits, run again, compare to the byte',
  async run(options) {
    const { values } = parseArgs({
      args: [...options.args],
      options: { every: { type: 'string' }, only: { type: 'string', default: '' } },
    });
    await loadDigest();
    const here = engines();
    const all = scenarios(here).filter(({ name }) => new RegExp(values.only).test(name));
    const work = options.long || values.only !== '' ? all : takingTurns(all, options.seed);
    const outcome: Tally = { cases: 0, problems: [], notes: [] };
    if (here.length === 1) outcome.notes.push('the native addon is not built: portable engine only');
    if (!haveStrace) outcome.notes.push('strace is not installed: no kills inside LMDB, no audit of the seam');
    const every = values.every === undefined ? undefined : Number(values.every);
    await inLanes(options, async (ground) => {
      for (let scenario = work.shift(); scenario !== undefined; scenario = work.shift()) {
        await runScenario(ground, scenario, options, every, outcome);
      }
    });
    return outcome;
  },
};

/** In the sample the engines take turns at the scenarios that both can run; the seed says which of them begins. */
function takingTurns(all: readonly Scenario[], seed: string): Scenario[] {
  const flag = /--(no-)?native/;
  const kindOf = (name: string): string => name.replace(flag, '');
  const flagged = all.map(({ name }) => name).filter((name) => flag.test(name));
  const kinds = [...new Set(flagged.map(kindOf))];
  const turn = randomOf(seed, 'kill').int(0, 1);
  return all.filter(({ name }) => {
    const twins = flagged.filter((other) => kindOf(other) === kindOf(name));
    if (twins.length < 2) return true;
    return kinds.indexOf(kindOf(name)) % 2 === (name.includes('--native') ? turn : 1 - turn);
  });
}

async function runScenario(
  ground: Ground,
  scenario: Scenario,
  options: CampaignOptions,
  every: number | undefined,
  outcome: Tally,
): Promise<void> {
  await scenario.prepare(ground);
  ground.keep(scenario.name);
  const golden = await undisturbed(ground, scenario);
  if (golden.calls < scenario.atLeast) {
    outcome.problems.push(`${scenario.name} has ${golden.calls} effective calls; ${scenario.atLeast} were wanted`);
  }
  const step = every ?? (options.long ? 1 : golden.calls);
  const chance = randomOf(options.seed, scenario.name);
  const plans: Stop[][] = [];
  // A sample starts anywhere, so that other seeds hit other calls.
  for (let n = chance.int(1, step); n <= golden.calls; n += step) {
    const both = [stopAt(n), stopAt(chance.int(1, golden.calls))];
    const second = n % SECOND_KILL_EVERY === 0;
    if (options.long || !second) plans.push([stopAt(n)]);
    if (second) plans.push(both);
  }
  if (haveStrace && (options.long || /^-m --(no-)?native -r(, later)?$/.test(scenario.name))) {
    const stops = await lmdbStops(ground, scenario);
    plans.push(...(options.long ? stops : [chance.pick(stops)]).map((stop) => [stop]));
    const { problems, note } = await audit(ground, scenario);
    outcome.problems.push(...problems);
    outcome.notes.push(note);
  }
  let killed = 0;
  let bad = 0;
  for (const [i, stops] of plans.entries()) {
    const result = await attack(ground, scenario, golden, stops);
    killed += result.killed;
    bad += result.problems.length > 0 ? 1 : 0;
    outcome.problems.push(...result.problems);
    for (const problem of result.problems) options.log(problem);
    outcome.cases += 1;
    if (i % 50 === 49) options.log(`${scenario.name}: ${i + 1} of ${plans.length}, ${bad} bad`);
  }
  options.log(`${scenario.name}: ${golden.calls} effective calls, ${plans.length} cases, ${killed} kills, ${bad} bad`);
}
