/** The report for a terminal. */
import { type CaseReport, limitText, type PartReport, type Report, type Result, YARDSTICKS } from './report.js';
import type { Spread } from './statistics.js';

export function textOf(report: Report): string {
  const { machine, build, where, rounds, date, load } = report;
  const measured = `medians of ${rounds}; ${date}; load ${load.join(' ')}`;
  const head = [machine, `${where}; mailhaul ${build}`, measured, disksText(report)].filter((line) => line !== '');
  return `${[
    ...head,
    ...report.parts.flatMap(partLines),
    ...report.cases.flatMap(caseLines),
    ...(report.like === null ? [] : likeLines(report.like)),
  ].join('\n')}\n`;
}

/** Of more than one round: what the later ones ran on. */
export function disksText({ rounds, disks }: Pick<Report, 'rounds' | 'disks'>): string {
  if (rounds === 1) return '';
  return disks === 'once'
    ? 'disks made once: rounds after the first ran on stores that had been migrated and reset (after -r: on others)'
    : 'disks made anew in each round: there was no room for the copies of all rounds';
}

function partLines({ name, data, results }: PartReport): string[] {
  const yardsticks = YARDSTICKS.filter((one) => results.some(({ ratios }) => one in ratios));
  const columns = ['what', 'seconds', 'min – max', 'and synced', 'processor seconds', 'messages/s'];
  const heads = [...columns, ...yardsticks.map((one) => `× ${one}`), 'anonymous memory'];
  return [
    '',
    `${name}: ${data}`,
    '',
    `| ${heads.join(' | ')} |`,
    `|${' --- |'.repeat(heads.length)}`,
    ...results.map((result) => `| ${cells(result, yardsticks).join(' | ')} |`),
    '',
    ...results.map((result) => `${result.name}: ${result.command}`),
  ];
}

function cells(result: Result, yardsticks: readonly string[]): string[] {
  const { name, kind, seconds, secondsSynced, cpuSeconds, messagesPerSecond, ratios, peakAnonymous } = result;
  return [
    name,
    seconds.median.toFixed(2),
    range(seconds),
    secondsSynced.median.toFixed(2),
    cpuSeconds.median.toFixed(2),
    kind === 'folders' ? '' : messagesPerSecond.toFixed(0),
    ...yardsticks.map((one) => ratios[one]?.median.toFixed(2) ?? ''),
    kind === 'folders' || kind === 'messages' ? `${(peakAnonymous / 1e6).toFixed(0)} MB` : '',
  ];
}

function range({ min, max }: Spread): string {
  return `${min.toFixed(2)} – ${max.toFixed(2)}`;
}

export function verdict({ reached }: Pick<CaseReport, 'reached'>): string {
  return reached === null ? 'scaled down: no verdict' : reached ? 'reached' : 'NOT reached';
}

function caseLines(one: CaseReport): string[] {
  return [
    '',
    `case ${one.name}: ${verdict(one)}`,
    `  ${one.title}`,
    `  bar: ${one.bar}`,
    ...one.checks.map(({ text, unit, limit, value, holds }) => {
      const figures = `${value.median.toFixed(2)} ${unit} (${range(value)}), limit ${limitText(limit)}`;
      return `  ${holds ? 'yes' : 'NO '}  ${text}: ${figures}`;
    }),
  ];
}

function likeLines({ shape, windows }: NonNullable<Report['like']>): string[] {
  return [
    '',
    `given store: ${shape.storePaths.join(', ')}`,
    `  ${shape.messages} messages (${shape.inodes} files, ${bytesText(shape.bytes)}) in ${shape.folders} folders of ${shape.users} users`,
    ...leftOut(shape),
    ...windows.flatMap(({ migration, cold, seconds, low, high, folders, messages }) => [
      `predicted window, ${migration}, ${cold ? 'cold' : 'warm'}: ${duration(seconds)} (${duration(low)} to ${duration(high)})`,
      `  upgrade -s ${duration(folders.seconds)}, upgrade -m ${duration(messages.seconds)}; ${messages.extrapolation.toFixed(1)} × the messages of the largest store measured, fit within ${(messages.error * 100).toFixed(0)} %`,
    ]),
  ];
}

function leftOut({ skipped, unreadable }: NonNullable<Report['like']>['shape']): string[] {
  return [
    ...(skipped > 0 ? [`  left out: ${skipped} that are no message and no folder`] : []),
    ...(unreadable > 0
      ? [`  NOT READ: ${unreadable} directories; the window is too short by what they hold (ask as root)`]
      : []),
  ];
}

export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60)
    return seconds < 600 ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
