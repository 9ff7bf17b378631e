/** One case: kills of a scenario's commands with services at work after each, then to the end, and what is there then. */
import { type Random, randomOf } from '../../support/generate/random.js';
import { type Ended, type Ground, originals } from '../kill/ground.js';
import { Ledger } from './ledger.js';
import { filesOf, observe } from './observe.js';
import { breakThird, contentsOfBroken, type Phase, repair, type Scenario } from './scenarios.js';
import type { Counts, Folder } from './truth.js';
import { visit } from './visit.js';

/** Where a command is killed: `<n>`, at its n-th effective call, or `<n>:commit`. */
export interface Stop {
  readonly phase: number;
  readonly at: string;
}

/** The state of the ground after `-s`. */
export const FOLDERS = 'folders';

export interface Attacked {
  kills: number;
  used: number;
  accessed: number;
  expunged: number;
  readonly problems: string[];
}

/** The state from which a scenario starts, and what is known of it. */
export interface Start {
  readonly scenario: Scenario;
  readonly folders: readonly Folder[];
  readonly originals: readonly string[];
  /** Paths of what fails, latin1, and its contents by mailbox. */
  readonly broken: readonly string[];
  readonly contents: ReadonlyMap<string, Counts>;
}

/** Makes the state from `FOLDERS` and keeps it under the scenario's name. */
export function startOf(ground: Ground, scenario: Scenario, folders: readonly Folder[]): Start {
  ground.restore(FOLDERS);
  const before = originals(ground);
  const broken = scenario.failures ? breakThird(ground) : [];
  ground.keep(scenario.name);
  return { scenario, folders, originals: before, broken, contents: contentsOfBroken(broken, folders) };
}

/**
 * Puts the state back and runs the commands, each killed at its stops and then run to its end. What services do follows
 * from `seed`.
 */
export async function attack(ground: Ground, start: Start, stops: readonly Stop[], seed: string): Promise<Attacked> {
  const { scenario } = start;
  ground.restore(scenario.name);
  const where = `${scenario.name}, killed at ${stops.map(({ phase, at }) => `${at} of command ${phase + 1}`).join(', ')}`;
  const attacked: Attacked = { kills: 0, used: 0, accessed: 0, expunged: 0, problems: [] };
  const found = (problems: readonly string[]): void => {
    attacked.problems.push(...problems.map((problem) => `${where}: ${problem}`));
  };
  const ledger = new Ledger(start.folders);
  const random = randomOf(seed, where);
  try {
    for (const [number, phase] of scenario.phases.entries()) {
      if (phase.repaired === true) repair(start.broken);
      const here = stops.filter((stop) => stop.phase === number);
      for (const { at } of here) {
        const ended = await ground.run(phase.command, { MAILHAUL_FAULT: `kill:${at}` });
        if (ended.signal === 'SIGKILL') attacked.kills += 1;
        else found(endedOtherwise(ended, phase));
        await serve(ground, start, ledger, random, attacked, found);
      }
      found(endedOtherwise(await ground.run(phase.command), phase));
      found(ledger.look(await observe(ground)));
      if (number < scenario.phases.length - 1 && phase.leads !== true)
        await serve(ground, start, ledger, random, attacked, found);
    }
    await end(ground, start, ledger, found);
  } catch (error) {
    found([`the store cannot be read: ${error instanceof Error ? error.stack : error}`]);
  }
  return attacked;
}

async function serve(
  ground: Ground,
  { folders, contents }: Start,
  ledger: Ledger,
  random: Random,
  attacked: Attacked,
  found: (problems: readonly string[]) => void,
): Promise<void> {
  const { problems, used, accessed, expunged } = await visit(ground, folders, ledger, contents, random);
  found(problems);
  attacked.used += used;
  attacked.accessed += accessed;
  attacked.expunged += expunged;
}

async function end(
  ground: Ground,
  { scenario, folders, originals: before }: Start,
  ledger: Ledger,
  found: (problems: readonly string[]) => void,
): Promise<void> {
  found(ledger.missing(await observe(ground)));
  found(scenario.remove ? leftOriginals(folders, ledger) : goneOriginals(ground, before));
  const verified = await ground.run(['upgrade', '--verify']);
  if (verified.status !== 0) found([`--verify: ${describe(verified)}`]);
  // What a run left on record for the next one would come in now.
  const last = scenario.phases[scenario.phases.length - 1] ?? scenario.phases[0];
  found(endedOtherwise(await ground.run(last.command), last).map((problem) => `once more: ${problem}`));
  const again = await observe(ground);
  found([...ledger.look(again), ...ledger.missing(again)].map((problem) => `once more: ${problem}`));
}

function leftOriginals(folders: readonly Folder[], ledger: Ledger): string[] {
  return folders.flatMap((folder) => {
    const left = filesOf(folder).filter((content) => !ledger.expungedIn(folder.mailbox).has(content));
    return left.map((content) => `${folder.mailbox}: the original of ${content} was left`);
  });
}

/** Without `-r` nothing goes in 3.x. */
function goneOriginals(ground: Ground, before: readonly string[]): string[] {
  const now = new Set(originals(ground));
  return before.filter((file) => !now.has(file)).map((file) => `${file} is gone, without -r`);
}

function endedOtherwise(ended: Ended, { command, ends }: Phase): string[] {
  return ended.status === ends ? [] : [`${command.join(' ')}: ${describe(ended)}`];
}

function describe({ status, signal, stderr, stdout }: Ended): string {
  return `ended with ${status ?? signal}: ${stderr.slice(0, 1_000)}${stdout.slice(0, 1_000)}`;
}
