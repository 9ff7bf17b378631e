/**
 * What `upgrade` says to people: the ends of its runs, in a few plain lines. Names and messages come from the mail
 * store: each line is made harmless as a whole, so that no name can begin a line of its own.
 */
import type { FoldersReport } from '../upgrade/folders-report.js';
import { rateText } from '../upgrade/limits.js';
import { grouped } from '../upgrade/numbers.js';
import { clockText } from '../upgrade/progress.js';
import type { MessagesReport, Methods } from '../upgrade/report.js';
import { isShort, spaceNeeded } from '../upgrade/space.js';
import type { StatusReport } from '../upgrade/status.js';
import type { SurveyReport } from '../upgrade/survey.js';
import type { ThrottleReport } from '../upgrade/throttle.js';
import type { ThrottleChangeReport } from '../upgrade/throttleRunning.js';
import { visible } from './common.js';

/** Errors and warnings shown on the terminal; all of them are in the log. */
const SHOWN = 20;

/** `1,234 folders`, `1 folder` */
export function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** Decimal megabytes or gigabytes. */
export function bytesText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(1)} kB`;
}

interface Problem {
  readonly user: string;
  readonly folder: string;
  readonly file?: string;
  readonly code: string;
  readonly message: string;
}

function problemLines(problems: readonly Problem[], notListed: number, kind: string): string[] {
  const lines = problems.slice(0, SHOWN).map(({ user, folder, file, code, message }) => {
    const where = [user, folder, file ?? ''].filter((part) => part !== '').join(', ');
    return `  ${kind} ${code}${where === '' ? '' : ` [${where}]`}: ${message}`;
  });
  const more = problems.length - Math.min(problems.length, SHOWN) + notListed;
  return more > 0 ? [...lines, `  … and ${counted(more, `more ${kind}`)}; the log has them all.`] : lines;
}

export function foldersText(report: FoldersReport): string {
  const { users, folders } = report;
  const created = report.instanceCreated ? [`Made the 4.x instance ${report.instance}.`] : [];
  return [
    ...created,
    `${report.dryRun ? 'Would upgrade' : 'Upgraded'} the folders of ${counted(users.found, 'user')} ` +
      `(${users.added} new, ${users.skipped} skipped, ${users.withoutMailbox} without a mailbox directory).`,
    `${counted(folders.found, 'folder')}: ${folders.added} new, ${folders.waiting} waiting, ${folders.migrated} migrated ` +
      `before, ${folders.failed} failed.`,
    ...report.partitions.map((partition) => {
      const how = partition.moves === null ? '' : `, by ${partition.moves}`;
      const kept =
        partition.kept === null ? '' : partition.kept === 'migrated' ? ' (kept: it holds migrated mail)' : ' (kept)';
      const reset = partition.resetFrom === null ? '' : ` (was ${partition.resetFrom}; set it again with configutil)`;
      return (
        `  partition ${partition.name}: ${partition.storePath} -> ${partition.path}${kept}${reset}, ` +
        `${counted(partition.users, 'user')}, ${counted(partition.folders, 'folder')}${how}`
      );
    }),
    ...problemLines(report.errors, report.errorsNotListed, 'error'),
    ...problemLines(report.warnings, report.warningsNotListed, 'warning'),
  ]
    .map(visible)
    .join('\n');
}

const FOLDERS_STAY = 'Folders with failed messages stay in TRANSITION.';
const FAILED_STAY = 'The failed messages stay in 3.x, on record.';

function methodLines(prefix: string, methods: Methods): string[] {
  const used = Object.entries(methods).filter(([, count]) => count > 0);
  return used.length === 0
    ? []
    : [`  ${prefix} ${used.map(([method, count]) => `${method} ${grouped(count)}`).join(', ')}`];
}

/** `acceptFailures`: folders were published without their failed messages (--accept-failures). */
export function messagesText(report: MessagesReport, acceptFailures: boolean): string {
  const { folders, messages, methods } = report;
  const routes = report.routes.length > 1 ? report.routes : [];
  const removed = report.removed.messages + report.removed.kept > 0;
  return [
    `${counted(folders.done, 'folder')} done, ${folders.skipped} skipped, ${folders.failed} failed; ` +
      `${counted(messages.done, 'message')} (${bytesText(report.bytes)}), ${messages.failed} failed; ` +
      `${report.seconds.toFixed(2)} s, ${report.engine} engine.`,
    ...methodLines('by', methods),
    ...routes.flatMap((route) => methodLines(`device ${route.source} to ${route.target}:`, route.methods)),
    ...report.partitions.map(
      (totals) =>
        `  partition ${totals.name}: ${counted(totals.folders, 'folder')}, ${counted(totals.messages, 'message')}, ${bytesText(totals.bytes)}`,
    ),
    ...(removed ? [`  3.x files removed: ${report.removed.messages}, kept: ${report.removed.kept}`] : []),
    ...(report.warnings > 0 ? [`  ${counted(report.warnings, 'warning')} in the log`] : []),
    ...throttledLines(report.throttle),
    ...problemLines(report.errors, report.errorsNotListed, 'error'),
    ...(report.halted === null
      ? []
      : [`Halted: ${report.halted.message}`, `Run again, it goes on where it stopped: ${report.halted.resume ?? ''}`]),
    ...(messages.failed > 0 && report.halted === null
      ? [`${acceptFailures ? FAILED_STAY : FOLDERS_STAY} Repair the causes and run the same command again.`]
      : []),
  ]
    .map(visible)
    .join('\n');
}

/** What the limits cost; nothing where there were none. */
function throttledLines(throttle: ThrottleReport | null): string[] {
  if (throttle === null || throttle.bytes + throttle.operations === 0) return [];
  const { bytes, operations, waitedSeconds } = throttle;
  return [
    `  within limits: ${bytesText(bytes)} read and written, ${counted(operations, 'operation')}; ` +
      `threads waited ${waitedSeconds.toFixed(1)} s in all`,
  ];
}

export function throttleText({ file, limits, running }: ThrottleChangeReport): string {
  const { bwlimit, iops, nice } = limits;
  const changes = [
    ...(bwlimit === null ? [] : [bwlimit === 0 ? 'no limit of bytes' : rateText(bwlimit)]),
    ...(iops === null ? [] : [iops === 0 ? 'no limit of operations' : `${counted(iops, 'operation')}/s`]),
    ...(nice === null ? [] : [nice ? 'nice' : 'not nice']),
  ];
  return [
    `${changes.join(', ')}: each -m and -u that is under way goes by it within a second, and logs it. [${file}]`,
    ...running.map(({ pid, command }) => `  uses the store: process ${pid}${command === '' ? '' : ` (${command})`}`),
  ]
    .map(visible)
    .join('\n');
}

export function surveyText(report: SurveyReport): string {
  return [
    `Dry run, nothing written: ${counted(report.folders, 'folder')}, ${counted(report.messages, 'message')}, ` +
      `${bytesText(report.bytes)}, ${report.engine} engine, ${counted(report.warnings, 'warning')}.`,
    ...report.partitions.map((partition) => {
      const short = partition.spaceNeeded > partition.spaceFree ? ' NOT ENOUGH SPACE' : '';
      const space =
        partition.method === 'copy'
          ? `, needs ${bytesText(partition.spaceNeeded)} of ${bytesText(partition.spaceFree)} free${short}`
          : '';
      return (
        `  partition ${partition.name} (${partition.path}): ${partition.method}, ${counted(partition.folders, 'folder')}, ` +
        `${counted(partition.messages, 'message')}, ${bytesText(partition.bytes)}${space}`
      );
    }),
    ...report.devices.filter(isShort).map((device) => `  ${spaceNeeded([device]).message}`),
    ...problemLines(report.problems, report.problemsNotListed, 'problem'),
  ]
    .map(visible)
    .join('\n');
}

export function statusText(report: StatusReport): string {
  const row = ({ folders, messages, bytes }: StatusReport['totals']): string =>
    `${folders.done}/${counted(folders.total, 'folder')} done, ${folders.left} left` +
    `${folders.failed > 0 ? `, ${folders.failed} with failures` : ''}; ${counted(messages.done, 'message')} ` +
    `(${bytesText(bytes)}), about ${grouped(messages.leftEstimate)} left, ${messages.failed} failed`;
  const left = report.secondsLeft === null ? '' : `, about ${clockText(report.secondsLeft)} left`;
  return [
    ...report.partitions.map((partition) => `partition ${partition.name} (${partition.path}): ${row(partition)}`),
    `all: ${row(report.totals)}`,
    ...report.running.map(
      ({ pid, command, stopped }) =>
        `${stopped ? 'stopped' : 'running'}: process ${pid}${command === '' ? '' : ` (${command})`}`,
    ),
    ...(report.messagesPerSecond === null ? [] : [`rate: ${report.messagesPerSecond} messages/s${left}`]),
    ...problemLines(report.failures, report.failuresNotListed, 'failure'),
  ]
    .map(visible)
    .join('\n');
}
