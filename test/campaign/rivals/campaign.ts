/**
 * Rivals: three processes of any kind migrate one store at once, and are killed at random times, round after round.
 * After every round each message content must have a name; when the store is finished, nothing may be lost, doubled,
 * copied where it could be linked, or renumbered, and `--verify` must be clean. Then the store is put back and the next
 * cycle begins.
 *
 * Every fourth round is a calm one, on a store that is as after `-s`. Nobody is killed, so that all must end well and
 * say so; one stands still for a while at a random effective call, with what it holds and what it believes, while the
 * others go on. What locks and looks after the lock are for shows here: a kill hides who would have failed.
 *
 *     npm run campaign -- rivals [--long] [--seed s] [-- rounds messages]
 */
import { type Random, randomOf } from '../../support/generate/random.js';
import { memoryGround } from '../support/memory.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { type Ground, makeGround } from './ground.js';
import { drawFate, drawLag, type End, type Fate, KINDS, NEVER, type Pace, RIVALS, runRival } from './rival.js';

/** Of so many rounds one is calm. */
const CALM = 4;

interface Tally {
  readonly problems: string[];
  rounds: number;
  cycles: number;
  kills: number;
  stops: number;
}

export const campaign: Campaign = {
  about: 'three competing processes of mixed kinds, killed at random times: nothing lost, nothing doubled',
  async run(options) {
    const [rounds = options.long ? 200 : 4, messages = options.long ? 20_000 : 2_000] = options.args.map(Number);
    const { root, remove } = memoryGround('rivals', '4g');
    try {
      return await fight(makeGround(root, options.seed, messages), rounds, options);
    } finally {
      remove();
    }
  },
};

async function fight(ground: Ground, rounds: number, { seed, log }: CampaignOptions): Promise<CampaignOutcome> {
  const random = randomOf(seed, 'rivals');
  const tally: Tally = { problems: [], rounds: 0, cycles: 0, kills: 0, stops: 0 };
  const pace = await measure(ground, random, tally.problems);
  ground.restore();
  while (tally.rounds < rounds && tally.problems.length === 0) {
    tally.rounds += 1;
    const calm = tally.rounds % CALM === 2;
    if (calm) ground.restore();
    const fates = Array.from({ length: RIVALS }, (_, i): Fate => {
      if (!calm) return drawFate(random, pace);
      return i === 0 ? drawLag(random, pace) : NEVER;
    });
    const ends = await Promise.all(fates.map((fate) => runRival(random.pick(KINDS), ground, random, fate)));
    const where = `round ${tally.rounds} (${ends.map(endText).join('; ')})`;
    tally.kills += ends.filter(({ killed }) => killed).length;
    tally.stops += ends.filter(({ fate }) => fate.stop !== undefined || fate.lag !== undefined).length;
    for (const end of ends) tally.problems.push(...unexpected(end).map((problem) => `${where}: ${problem}`));
    const lost = ground.lost();
    if (lost > 0) tally.problems.push(`${where}: ${lost} message contents have no name`);
    if (ends.some(({ kind, code }) => kind.whole && code === 0)) {
      await endCycle(ground, random, tally, where);
      ground.restore();
    }
    if (tally.rounds % 20 === 0)
      log(`${tally.rounds} rounds, ${tally.cycles} stores finished, ${tally.problems.length} problems`);
  }
  if (tally.cycles === 0 || tally.rounds === rounds) await endCycle(ground, random, tally, 'after the last round');
  return {
    cases: tally.rounds,
    problems: tally.problems,
    notes: [
      `${tally.rounds} rounds of ${RIVALS} processes, ${tally.kills} killed, ${tally.stops} stopped for a while, ` +
        `${tally.cycles} stores finished; alone one starts in ${Math.round(pace.bootMs)} ms and works for ${Math.round(pace.workMs)} ms`,
    ],
  };
}

/** One run that nobody disturbs, of the whole store, and one that finds nothing to do. */
async function measure(ground: Ground, random: Random, problems: string[]): Promise<Pace> {
  const kind = KINDS[0];
  if (kind === undefined) throw new Error('no kind of rival can run here');
  const times: number[] = [];
  for (const what of ['all', 'nothing']) {
    const startedMs = performance.now();
    const end = await runRival(kind, ground, random, NEVER, what === 'all' ? ground.counting.env : {});
    times.push(performance.now() - startedMs);
    if (end.code !== 0) problems.push(`undisturbed: ${endText(end)}: ${end.output}`);
  }
  problems.push(...(await ground.finished()).map((problem) => `undisturbed: ${problem}`));
  const [wholeMs = 0, bootMs = 0] = times;
  // Three share two processors, and the work.
  return { bootMs: bootMs * 1.3, workMs: Math.max(wholeMs - bootMs, bootMs / 2), calls: ground.counting.calls() };
}

/** Lets one more run go to its end, which takes what a killed `-r` left, and looks at the result. */
async function endCycle(ground: Ground, random: Random, tally: Tally, where: string): Promise<void> {
  const [kind] = KINDS;
  if (kind === undefined) return;
  const end = await runRival(kind, ground, random, NEVER);
  if (end.code !== 0) tally.problems.push(`${where}, then ${endText(end)}: ${end.output}`);
  tally.problems.push(...(await ground.finished()).map((problem) => `${where}, finished: ${problem}`));
  tally.cycles += 1;
}

/** A rival that was not killed ends with 0, or with 1 because another one holds a folder. */
function unexpected(end: End): string[] {
  if (end.killed)
    return end.fate.kill === undefined && end.fate.killCall === undefined
      ? [`${end.kind.name} had to be ended: ${end.output}`]
      : [];
  if (end.code === 0) return [];
  const codes = [...end.output.matchAll(/"code":"([A-Z_]+)"/g)].map(([, code]) => code);
  if (end.code === 1 && codes.length > 0 && codes.every((code) => code === 'FOLDER_BUSY')) return [];
  return [`${end.kind.name} ended with ${end.code}: ${end.output.slice(0, 2_000)}`];
}

function endText({ kind, killed, code, fate }: End): string {
  const at = fate.lag !== undefined ? `call ${fate.lag.call}` : fate.stop && `${Math.round(fate.stop)} ms`;
  const stopped = at === undefined ? '' : `, stopped at ${at}`;
  const killedAt = fate.killCall === undefined ? `${Math.round(fate.kill ?? 0)} ms` : `call ${fate.killCall}`;
  return `${kind.name} ${killed ? `killed at ${killedAt}` : `ended with ${code}`}${stopped}`;
}
