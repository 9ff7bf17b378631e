/**
 * The figures of a benchmark: medians of its rounds with their ranges, and how they compare. This is what `--json`
 * writes: fields may be added, a change of meaning raises `version` (docs/benchmark.md).
 */
import * as os from 'node:os';
import type { Case, Check } from './cases.js';
import type { Window } from './like.js';
import type { DiskWork, Point } from './measure.js';
import type { Part, Sample, StorePlan } from './plan.js';
import { build } from './project.js';
import type { StoreShapeFound } from './shape.js';
import { median, type Spread, spread } from './statistics.js';
import { meanSize } from './stores.js';

export const FORMAT = 'msg-bench';
export const VERSION = 1;

/**
 * Once: rounds after the first ran on stores that had been migrated and reset (after -r: on others). Each round: there
 * was no room for what all rounds leave.
 */
export type DisksMade = 'once' | 'each round';

export interface Report {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: string;
  readonly build: string;
  /** As it was typed. */
  readonly command: string;
  readonly where: string;
  readonly rounds: number;
  readonly disks: DisksMade;
  /** Load averages at the end: above the number of processors, the machine was busy with other work. */
  readonly load: readonly number[];
  readonly parts: readonly PartReport[];
  readonly cases: readonly CaseReport[];
  readonly like: LikeReport | null;
}

export interface PartReport {
  readonly name: string;
  readonly data: string;
  readonly messages: number;
  readonly bytes: number;
  readonly folders: number;
  readonly results: readonly Result[];
}

export interface Result extends Pick<Sample, 'name' | 'kind' | 'engine' | 'threads' | 'cold' | 'across' | 'command'> {
  readonly seconds: Spread;
  readonly secondsSynced: Spread;
  readonly cpuSeconds: Spread;
  /** Highest of all rounds, bytes. */
  readonly peakAnonymous: number;
  readonly messagesPerSecond: number;
  /** Its time as a multiple of that of others in the same round, under the same conditions. */
  readonly ratios: Readonly<Record<string, Spread>>;
  /** Medians, seconds summed over threads; null where `upgrade` does not tell. */
  readonly times: Readonly<Record<string, number>> | null;
  /** Of the round whose time was nearest to the median. */
  readonly disks: readonly DiskWork[];
  readonly series: readonly Point[];
}

export interface CaseReport {
  readonly name: string;
  readonly title: string;
  readonly bar: string;
  /** null: scaled down, which proves nothing. */
  readonly reached: boolean | null;
  readonly checks: readonly CheckReport[];
}

export interface CheckReport {
  readonly text: string;
  readonly unit: Check['unit'];
  readonly limit: Check['limit'];
  readonly value: Spread;
  /** Whether the median keeps to the limit, scaled or not. */
  readonly holds: boolean;
}

export interface LikeReport {
  readonly shape: Omit<StoreShapeFound, 'folderSizes'> & {
    /** Messages of a folder: of the smallest, the 10th to 90th of a hundred, the largest. */
    readonly folderQuantiles: readonly number[];
  };
  readonly windows: readonly Window[];
}

export interface Results {
  readonly rounds: readonly (readonly Sample[])[];
  readonly disks: DisksMade;
  readonly parts: readonly Part[];
  readonly cases: readonly Case[];
  readonly scaled: boolean;
  readonly where: string;
  readonly command: string;
  readonly like: { readonly shape: StoreShapeFound; readonly windows: readonly Window[] } | null;
}

export function summarize({ rounds, disks, parts, cases, scaled, where, command, like }: Results): Report {
  const cpu = os.cpus();
  const memory = `${Math.round(os.totalmem() / 2 ** 30)} GiB`;
  return {
    format: FORMAT,
    version: VERSION,
    date: new Date().toISOString(),
    machine: `${cpu.length} × ${cpu[0]?.model.trim()}, ${memory}, Linux ${os.release()}, Node ${process.versions.node}`,
    build: build(),
    command,
    where,
    rounds: rounds.length,
    disks,
    load: os.loadavg().map((value) => Math.round(value * 10) / 10),
    parts: parts.map((part) => partReport(part, rounds)),
    cases: cases.map((one) => caseReport(one, rounds, scaled)),
    like: like === null ? null : { shape: withQuantiles(like.shape), windows: like.windows },
  };
}

function partReport(part: Part, rounds: readonly (readonly Sample[])[]): PartReport {
  const own = rounds.map((samples) => samples.filter((sample) => sample.part === part.name));
  const names = [...new Set(own.flat().map(({ name }) => name))];
  const { messages = 0, bytes = 0, folders = 0 } = own.flat()[0] ?? {};
  return {
    name: part.name,
    data: describe(part.store),
    messages,
    bytes,
    folders,
    results: names.map((name) => result(name, own)),
  };
}

function result(name: string, rounds: readonly (readonly Sample[])[]): Result {
  const own = rounds.flat().filter((sample) => sample.name === name);
  const seconds = spread(own.map((sample) => sample.seconds));
  const distance = (sample: Sample) => Math.abs(sample.seconds - seconds.median);
  const typical = own.reduce((best, sample) => (distance(sample) < distance(best) ? sample : best));
  const { kind, engine, threads, cold, across, command, messages, disks, series } = typical;
  return {
    ...{ name, kind, engine, threads, cold, across, command, seconds },
    secondsSynced: spread(own.map((sample) => sample.secondsSynced)),
    cpuSeconds: spread(own.map((sample) => sample.cpuSeconds)),
    peakAnonymous: Math.max(...own.map((sample) => sample.peakAnonymous)),
    messagesPerSecond: messages / seconds.median,
    ratios: kind === 'folders' ? {} : ratiosOf(rounds, name),
    times: timesOf(own),
    disks,
    series,
  };
}

/** What every row is compared with, where it was measured. */
export const YARDSTICKS = ['cp -al', 'cat', 'cp -a', 'rsync -a', 'floor'] as const;

/** Figures of one round compare with each other, those of two rounds do not. */
function ratiosOf(rounds: readonly (readonly Sample[])[], name: string): Record<string, Spread> {
  const ratios: Record<string, Spread> = {};
  for (const yardstick of YARDSTICKS) {
    const found = rounds.flatMap((samples) => {
      const own = samples.find((sample) => sample.name === name);
      const other = own === undefined ? undefined : likeOf(samples, yardstick, own);
      return own === undefined || other === undefined ? [] : [own.seconds / other.seconds];
    });
    if (found.length > 0) ratios[yardstick] = spread(found);
  }
  return ratios;
}

/** Under the same conditions; of the floors the one with as many threads, else the first. */
function likeOf(samples: readonly Sample[], yardstick: string, own: Sample): Sample | undefined {
  const alike = samples.filter(
    ({ name, cold, across }) => name.split(',')[0] === yardstick && cold === own.cold && across === own.across,
  );
  return alike.find(({ threads }) => threads === own.threads) ?? alike[0];
}

function timesOf(samples: readonly Sample[]): Record<string, number> | null {
  const told = samples.flatMap(({ times }) => (times === null ? [] : [times]));
  const keys = [...new Set(told.flatMap(Object.keys))];
  if (keys.length === 0) return null;
  return Object.fromEntries(keys.map((key) => [key, median(told.map((times) => times[key] ?? 0))]));
}

function caseReport({ name, title, bar, checks }: Case, rounds: readonly (readonly Sample[])[], scaled: boolean) {
  const reports = checks.map(({ text, unit, limit, value }): CheckReport => {
    const values = spread(
      rounds.map((samples) =>
        value((part, row) => {
          const found = samples.find((sample) => sample.part === part && sample.name === row);
          if (found === undefined) throw new Error(`case ${name}: ${row} of ${part} was not measured`);
          return found;
        }),
      ),
    );
    return { text, unit, limit, value: values, holds: keeps(values.median, limit) };
  });
  return { name, title, bar, reached: scaled ? null : reports.every(({ holds }) => holds), checks: reports };
}

function keeps(value: number, limit: Check['limit']): boolean {
  if ('atMost' in limit) return value <= limit.atMost;
  return 'atLeast' in limit ? value >= limit.atLeast : value < limit.below;
}

export function limitText(limit: Check['limit']): string {
  if ('atMost' in limit) return `≤ ${limit.atMost}`;
  return 'atLeast' in limit ? `≥ ${limit.atLeast}` : `< ${limit.below}`;
}

function describe(store: StorePlan): string {
  const { messages, sizes, size, users, foldersEach, spread: filled, gaps, recipients, singleCopy, bareLf } = store;
  const folders = users * foldersEach;
  const bytes = sizes === 'fixed' ? `${size} bytes` : `${Math.round(meanSize(store))} bytes on average`;
  const notes = [
    sizes === 'mail' ? `${percent(store.attachments)} with an attachment of 1 to 20 MiB` : '',
    filled === 'even' || store.counts !== null
      ? ''
      : filled === 'giant'
        ? 'half of them in one'
        : 'most of them in a few',
    gaps === null || gaps === 0 ? '' : `${percent(gaps)} deleted`,
    recipients > 1 ? `${recipients} recipients a message` : '',
    singleCopy > 0 ? `${percent(singleCopy)} are links of others` : '',
    bareLf > 0 ? `${percent(bareLf)} with bare LF` : '',
  ].filter((note) => note !== '');
  return [`${messages} messages of ${bytes} in ${folders} folders of ${users} users`, ...notes].join(', ');
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`;
}

function withQuantiles({ folderSizes, ...shape }: StoreShapeFound): LikeReport['shape'] {
  const at = (i: number) =>
    folderSizes[Math.min(folderSizes.length - 1, Math.floor((i / 10) * folderSizes.length))] ?? 0;
  return { ...shape, folderQuantiles: Array.from({ length: 11 }, (_, i) => at(i)) };
}
