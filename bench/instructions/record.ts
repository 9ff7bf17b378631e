/**
 * The figures on record (record.json), one set for each compiler, C library and kind of processor, and what has become
 * of them. `run.ts --record` is the only writer.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = new URL('record.json', import.meta.url);

/** On tmpfs a count does not change from run to run; this leaves room for an update of the C library. */
const TOLERANCE = 0.02;

export interface InstructionFigure {
  readonly instructions: number;
  readonly messages: number;
  readonly bytes: number;
}

/** How often a case makes each system call. */
export type SystemCalls = Readonly<Record<string, number>>;

export interface Figures {
  /** By case; one with `scalar` behind its name is counted without vector instructions. */
  readonly instructions: Readonly<Record<string, InstructionFigure>>;
  /** By file system, then case. */
  readonly systemCalls: Record<string, Readonly<Record<string, SystemCalls>>>;
}

/** A figure that is not what is on record. One that does not fail is better. */
export interface Verdict {
  readonly subject: string;
  readonly fails: boolean;
  readonly text: string;
}

/** undefined: no figures of this environment are on record. */
export function load(environment: string): Figures | undefined {
  return (JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, Figures>)[environment];
}

export function save(environment: string, figures: Figures): void {
  const all = JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, Figures>;
  // What this machine has no file system for stays on record.
  const systemCalls = { ...all[environment]?.systemCalls, ...figures.systemCalls };
  writeFileSync(FILE, `${JSON.stringify({ ...all, [environment]: { ...figures, systemCalls } }, undefined, 2)}\n`);
}

/** @param whole all cases were counted, so one that is missing is gone */
export function compare(before: Figures, now: Figures, whole: boolean): Verdict[] {
  return [
    ...compareInstructions(before.instructions, now.instructions, whole),
    ...Object.entries(now.systemCalls).flatMap(([fileSystem, cases]) =>
      compareSystemCalls(before.systemCalls[fileSystem], cases, fileSystem),
    ),
  ];
}

function compareInstructions(before: Figures['instructions'], now: Figures['instructions'], whole: boolean): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const [subject, { instructions }] of Object.entries(now)) {
    const recorded = before[subject]?.instructions;
    if (recorded === undefined) {
      verdicts.push({ subject, fails: true, text: 'is not on record' });
    } else if (Math.abs(instructions / recorded - 1) > TOLERANCE) {
      const fails = instructions > recorded;
      const text = `${instructions} instructions, ${change(recorded, instructions)} than the ${recorded} on record`;
      verdicts.push({ subject, fails, text });
    }
  }
  for (const subject of whole ? Object.keys(before) : []) {
    // Without AVX2 there is another record; a case that was not counted is not there any more.
    if (now[subject] === undefined) verdicts.push({ subject, fails: true, text: 'is on record and was not counted' });
  }
  return verdicts;
}

/** A file system that is not on record is only shown. */
function compareSystemCalls(
  before: Readonly<Record<string, SystemCalls>> | undefined,
  now: Readonly<Record<string, SystemCalls>>,
  fileSystem: string,
): Verdict[] {
  if (before === undefined) return [];
  return Object.entries(now).flatMap(([name, calls]) => {
    const recorded = before[name];
    const subject = `${name} on ${fileSystem}`;
    if (recorded === undefined) return [{ subject, fails: true, text: 'is not on record' }];
    return [...new Set([...Object.keys(recorded), ...Object.keys(calls)])].flatMap((call) => {
      const [was, is] = [recorded[call] ?? 0, calls[call] ?? 0];
      return was === is ? [] : [{ subject, fails: is > was, text: `${call} ${is} times, ${was} on record` }];
    });
  });
}

/** `2.4 % more` */
export function change(before: number, now: number): string {
  const percent = (now / before - 1) * 100;
  return `${Math.abs(percent).toFixed(1)} % ${percent < 0 ? 'fewer' : 'more'}`;
}
