/** One kill: the state is put back, the command stopped, run again to the end, and the result compared. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Command, Ended, Ground } from './ground.js';
import type { Scenario } from './scenarios.js';
import { contentsOf, stateOf } from './state.js';

export interface Undisturbed {
  /** Effective calls of the attempt. */
  readonly calls: number;
  readonly state: ReadonlySet<string>;
  readonly contents: ReadonlySet<string>;
}

/** How a command is stopped. */
export interface Stop {
  /** For messages, and to repeat it. */
  readonly name: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Goes in front of the command: strace. */
  readonly wrap?: readonly string[];
}

export const stopAt = (n: number): Stop => ({ name: `call ${n}`, env: { MAILHAUL_FAULT: `kill:${n}` } });

/** Runs the scenario to its end without a stop, and checks the result. Throws when it does not end well. */
export async function undisturbed(ground: Ground, scenario: Scenario): Promise<Undisturbed> {
  await putBack(ground, scenario);
  const contents = contentsOf(ground);
  const report = path.join(ground.root, 'calls');
  const first = await ground.run(scenario.attempt(ground), { MAILHAUL_FAULT: `count:${report}` });
  if (first.status !== endOf(scenario)) throw new Error(`${scenario.name}: ${describe(first)}`);
  const failed = await finish(ground, scenario, scenario.resume(ground));
  if (failed !== undefined) throw new Error(`${scenario.name}: ${failed}`);
  const problems = await scenario.check(ground);
  if (problems.length > 0) throw new Error(`${scenario.name}, undisturbed: ${problems.slice(0, 5).join('; ')}`);
  const calls = Number(fs.readFileSync(report, 'utf8'));
  return { calls, state: new Set(await stateOf(ground)), contents };
}

/**
 * Stops the attempt, then perhaps what follows it, and runs everything to its end.
 *
 * @returns whether a process was killed, and what is wrong
 */
export async function attack(
  ground: Ground,
  scenario: Scenario,
  golden: Undisturbed,
  stops: readonly Stop[],
): Promise<{ readonly killed: number; readonly problems: string[] }> {
  const problems: string[] = [];
  const where = `${scenario.name}, ${stops.map(({ name }) => name).join(' and ')}`;
  await putBack(ground, scenario);
  let killed = 0;
  for (const [i, stop] of stops.entries()) {
    const command = i === 0 ? scenario.attempt(ground) : (scenario.resume(ground)[0] ?? scenario.attempt(ground));
    const ended = await ground.run(command, stop.env ?? {}, stop.wrap ?? []);
    if (isKilled(ended)) killed += 1;
    else if (ended.status !== endOf(scenario)) problems.push(`${where}: ${describe(ended)}`);
    const now = contentsOf(ground);
    const lost = [...golden.contents].filter((content) => !now.has(content)).length;
    if (lost > 0) problems.push(`${where}: ${lost} messages have no name after the kill`);
  }
  const failed = await finish(ground, scenario, scenario.resume(ground));
  if (failed !== undefined) return { killed, problems: [...problems, `${where}: then ${failed}`] };
  const state = await stateOf(ground);
  const extra = state.find((line) => !golden.state.has(line));
  const missing = [...golden.state].find((line) => !new Set(state).has(line));
  if (extra !== undefined || missing !== undefined) {
    problems.push(
      `${where}: the result differs\n    expected ${missing ?? '(nothing)'}\n    found    ${extra ?? '(nothing)'}`,
    );
  }
  return { killed, problems };
}

/** The state from which the attempt starts. */
export async function putBack(ground: Ground, scenario: Scenario): Promise<void> {
  ground.restore(scenario.name);
  const failed = await finish(ground, scenario, scenario.before ?? []);
  if (failed !== undefined) throw new Error(`${scenario.name}: ${failed}`);
}

/** Of the command, or of strace in front of it. */
function isKilled({ signal, status }: Ended): boolean {
  return signal === 'SIGKILL' || status === 137;
}

const endOf = ({ ends = 0 }: Scenario): number => ends;

async function finish(ground: Ground, scenario: Scenario, commands: readonly Command[]): Promise<string | undefined> {
  for (const command of commands) {
    const ended = await ground.run(command);
    if (ended.status !== endOf(scenario)) return `${command.join(' ')}: ${describe(ended)}`;
  }
  return undefined;
}

function describe({ status, signal, stderr, stdout }: Ended): string {
  return `ended with ${status ?? signal}: ${stderr.slice(0, 1_000)}${stdout.slice(0, 1_000)}`;
}
