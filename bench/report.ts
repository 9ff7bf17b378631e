/** The figures of a benchmark: medians of its rounds, and how they compare. */
import { spawnSync } from 'node:child_process';
import * as os from 'node:os';
import { fileURLToPath } from 'node:url';
import { median } from './measure.js';
import type { Settings } from './settings.js';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));

export interface Sample {
  readonly name: string;
  readonly command: string;
  readonly seconds: number;
  readonly secondsSynced: number;
  readonly peakAnonymous: number;
  readonly cpuSeconds: number;
}

export interface Report {
  readonly machine: string;
  readonly data: string;
  readonly rounds: number;
  readonly commit: string;
  /** Load averages at the end: above the number of processors, the machine was busy with other work. */
  readonly load: string;
  readonly settings: Settings;
  readonly results: readonly (Sample & {
    readonly messagesPerSecond: number;
    /** Its time as a multiple of that of others in the same round, medians. */
    readonly ratios: Readonly<Record<string, number>>;
  })[];
}

/** What every row is compared with, where it was measured; of the floors that with the first number of threads. */
const YARDSTICKS = ['cp -al', 'cat', 'cp -a', 'floor'] as const;

/** @param rounds samples of each round */
export function summarize(rounds: readonly (readonly Sample[])[], settings: Settings, where: string): Report {
  const names = [...new Set(rounds.flat().map(({ name }) => name))];
  const cpu = os.cpus();
  return {
    machine: `${cpu.length} × ${cpu[0]?.model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}, Node ${process.versions.node}, ${where}`,
    data: `${settings.messages} messages of ${settings.size} bytes in ${settings.folders} folders, ${settings.cold ? 'cold' : 'warm'}`,
    rounds: settings.rounds,
    commit: commit(),
    load: os
      .loadavg()
      .map((value) => value.toFixed(1))
      .join(' '),
    settings,
    results: names.map((name) => {
      const own = rounds.flat().filter((sample) => sample.name === name);
      const seconds = median(own.map((sample) => sample.seconds));
      return {
        name,
        command: own[0]?.command ?? '',
        seconds,
        secondsSynced: median(own.map((sample) => sample.secondsSynced)),
        peakAnonymous: Math.max(...own.map((sample) => sample.peakAnonymous)),
        cpuSeconds: median(own.map((sample) => sample.cpuSeconds)),
        messagesPerSecond: settings.messages / seconds,
        ratios: ratiosOf(rounds, name),
      };
    }),
  };
}

/** Figures of one round compare with each other, those of two rounds do not. */
function ratiosOf(rounds: readonly (readonly Sample[])[], name: string): Record<string, number> {
  const ratios: Record<string, number> = {};
  for (const yardstick of YARDSTICKS) {
    const found = rounds.flatMap((samples) => {
      const own = samples.find((sample) => sample.name === name);
      const other = samples.find((sample) => sample.name === yardstick || sample.name.startsWith(`${yardstick},`));
      return own === undefined || other === undefined ? [] : [own.seconds / other.seconds];
    });
    if (found.length > 0) ratios[yardstick] = median(found);
  }
  return ratios;
}

export function table(report: Report): string {
  const yardsticks = YARDSTICKS.filter((name) => report.results.some(({ ratios }) => name in ratios));
  const lines = [
    report.machine,
    `${report.data}; median of ${report.rounds}; commit ${report.commit}; load ${report.load}`,
    '',
    `| what | seconds | and synced | processor seconds | ${yardsticks.map((name) => `× ${name}`).join(' | ')} | peak anonymous memory |`,
    `| --- | --- | --- | --- | ${yardsticks.map(() => '---').join(' | ')} | --- |`,
    ...report.results.map(({ name, seconds, secondsSynced, cpuSeconds, ratios, peakAnonymous }) => {
      const memory = name.startsWith('upgrade') ? `${(peakAnonymous / 1e6).toFixed(0)} MB` : '';
      const compared = yardsticks.map((yardstick) => (ratios[yardstick] ?? Number.NaN).toFixed(2));
      const times = [seconds, secondsSynced, cpuSeconds].map((value) => value.toFixed(2));
      return `| ${[name, ...times, ...compared, memory].join(' | ')} |`;
    }),
    '',
    ...report.results.map(({ name, command }) => `${name}: ${command}`),
  ];
  return `${lines.join('\n')}\n`;
}

function commit(): string {
  const run = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: PROJECT, encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : 'unknown';
}
