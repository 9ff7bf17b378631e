/** What must hold after a command that was disturbed, and after the same command once more (4x-store.md, promises). */
import type { SpawnSyncReturns } from 'node:child_process';
import { loadAddon } from '../../../src/fs/addon.js';
import { fingerprint, originals, restore, type Site, survivingContents } from './kept-site.js';

/** The engines that can run here. */
export function engines(): ('native' | 'portable')[] {
  return loadAddon() === undefined ? ['portable'] : ['native', 'portable'];
}

/** What an undisturbed run leaves. */
export interface Undisturbed {
  readonly result: readonly string[];
  readonly originals: readonly string[];
}

export function undisturbed(site: Site): Undisturbed {
  return { result: fingerprint(site), originals: originals(site) };
}

/** A command to disturb, and how it is brought to its end. */
export interface Command {
  readonly name: string;
  /** The kept state (kill/site.ts) that it starts from. */
  readonly state: string;
  run(env: Readonly<Record<string, string>>): SpawnSyncReturns<string>;
  /** What follows it in any case (`-m` after `-s`); it ends with 0. */
  finish?(): SpawnSyncReturns<string>;
}

/** Runs it undisturbed from its state. */
export function rehearse(site: Site, command: Command, env: Readonly<Record<string, string>> = {}): Undisturbed {
  restore(site, command.state);
  for (const result of [command.run(env), command.finish?.()]) {
    if (result !== undefined && result.status !== 0) throw new Error(`${command.name}: ${outputOf(result)}`);
  }
  return undisturbed(site);
}

export function outputOf({ status, signal, stdout, stderr }: SpawnSyncReturns<string>): string {
  return `ended with ${status ?? signal}: ${stderr}${stdout}`.slice(0, 2_000);
}

/** No crash, no stack trace, a code that fits; and a failure that is told with its cause. */
export function conductProblems(attempt: SpawnSyncReturns<string>, cause: RegExp): string[] {
  const problems: string[] = [];
  const text = attempt.stdout + attempt.stderr;
  if (attempt.status === null) return [`crashed: ${outputOf(attempt)}`];
  if (![0, 1, 3, 4].includes(attempt.status)) problems.push(`a code that does not fit: ${outputOf(attempt)}`);
  // lmdb prints the stack of a commit that failed, whatever we do (docs/operations.md).
  const ours = text.replace(/^.*\n {4}at .*node_modules\/lmdb\/.*(\n {4}at .*)*/gm, '');
  if (/INTERNAL|unhandled|\n {4}at \S|Segmentation|terminate called/i.test(ours))
    problems.push(`a stack trace: ${outputOf(attempt)}`);
  if (attempt.status === 0) return problems;
  if (!cause.test(text)) problems.push(`the cause is not told: ${outputOf(attempt)}`);
  if (!/\/|user\/|"folder":"[^"]/.test(text)) problems.push(`no path is told: ${outputOf(attempt)}`);
  return problems;
}

/** Message contents that have no name any more. */
export function lossProblems(site: Site): string[] {
  const surviving = survivingContents(site);
  const lost = [...site.contents].filter((content) => !surviving.has(content)).length;
  return lost === 0 ? [] : [`${lost} messages have no name any more`];
}

/** The command once more, without disturbance: it ends with 0, at the undisturbed result. */
export function resumeProblems(site: Site, command: Command, golden: Undisturbed): string[] {
  for (const result of [command.run({}), command.finish?.()]) {
    if (result !== undefined && result.status !== 0) return [`the next run ${outputOf(result)}`];
  }
  return resultProblems(site, golden);
}

export function resultProblems(site: Site, golden: Undisturbed): string[] {
  const found = fingerprint(site);
  const problems: string[] = [];
  const [known, seen] = [new Set(golden.result), new Set(found)];
  const missing = golden.result.find((line) => !seen.has(line));
  const extra = found.find((line) => !known.has(line));
  if (missing !== undefined || extra !== undefined) {
    problems.push(`the result differs: expected ${missing ?? '(nothing)'}, found ${extra ?? '(nothing)'}`);
  }
  if (originals(site).join('\n') !== golden.originals.join('\n')) problems.push('other 3.x files are left');
  return problems;
}
