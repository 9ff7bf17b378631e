/** What a verification says at its end: the `--json` object (docs/formats/verify.md), and the text for people. */
import { EXIT, type ExitCode } from '../../errors.js';
import { escapeLogText } from '../../log/log.js';
import { grouped } from '../numbers.js';
import { CODE_ORDER, VERIFY_CODES, type VerifyCode } from './codes.js';
import type { Finding, Findings } from './findings.js';
import { chanceOfMissing } from './sample.js';
import type { MessageTotals } from './tasks.js';

export interface VerifyPartition extends MessageTotals {
  readonly name: string;
  readonly path: string;
  mailboxes: number;
  /** In TRANSITION. */
  waiting: number;
  errors: number;
}

export interface VerifySample {
  readonly percent: number;
  readonly seed: string;
  /** Messages read, of those that could be; 1 for all. */
  readonly share: number;
}

/** All fields but `text` are part of the `--json` promise. */
export interface VerifyReport {
  /** 0 when everything holds, 1 when something does not or is open, 4 when the run was stopped. */
  readonly exitCode: ExitCode;
  readonly samplePercent: number;
  readonly sample: VerifySample;
  /** What parsed and hashed each message anew. */
  readonly implementations: readonly ('portable' | 'native')[];
  readonly mailboxes: { readonly checked: number; readonly waiting: number; readonly total: number };
  readonly messages: {
    readonly checked: number;
    /** Read, hashed and parsed. */
    readonly read: number;
    /** Of those, compared with a 3.x file that is still there. */
    readonly compared: number;
    /** In the published mailboxes, by the mailbox database. */
    readonly total: number;
  };
  /** Bytes read from 4.x message files. */
  readonly bytes: number;
  readonly seconds: number;
  readonly partitions: readonly VerifyPartition[];
  readonly errors: number;
  readonly open: number;
  readonly notes: number;
  readonly byCode: Readonly<Partial<Record<VerifyCode, number>>>;
  readonly findings: readonly Finding[];
  readonly findingsNotListed: number;
  /** Share of the shared files whose copies were compared; below 1 only in very large stores. */
  readonly singleCopyShare: number;
  readonly halted: { readonly code: string; readonly message: string } | null;
  /** For people; not in the JSON. */
  readonly text: string;
}

export type ReportFields = Omit<
  VerifyReport,
  'exitCode' | 'errors' | 'open' | 'notes' | 'byCode' | 'findings' | 'findingsNotListed' | 'text'
>;

export function makeReport(fields: ReportFields, findings: Findings): VerifyReport {
  const [errors, open, notes] = [findings.count('error'), findings.count('open'), findings.count('note')];
  const report: Omit<VerifyReport, 'text'> = {
    exitCode: fields.halted !== null ? EXIT.halted : errors + open > 0 ? EXIT.partial : EXIT.ok,
    ...fields,
    errors,
    open,
    notes,
    byCode: findings.byCode,
    findings: [...findings.listed].sort(inOrder),
    findingsNotListed: errors + open + notes - findings.listed.length,
  };
  return Object.defineProperty(report, 'text', { value: reportText(report), enumerable: false }) as VerifyReport;
}

/** Threads finish in any order; a report does not. */
function inOrder(a: Finding, b: Finding): number {
  return (
    CODE_ORDER.indexOf(a.code) - CODE_ORDER.indexOf(b.code) ||
    compare(a.user, b.user) ||
    compare(a.mailbox, b.mailbox) ||
    (a.uid ?? 0) - (b.uid ?? 0) ||
    compare(a.where, b.where) ||
    compare(a.message, b.message)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Findings of a code that people are shown. */
const SHOWN = 10;

function reportText(report: Omit<VerifyReport, 'text'>): string {
  return [...groupLines(report), ...partitionLines(report), totalLine(report), ...sampleLines(report), verdict(report)]
    .map(escapeLogText)
    .join('\n');
}

function groupLines(report: Omit<VerifyReport, 'text'>): string[] {
  const lines: string[] = [];
  for (const code of CODE_ORDER) {
    const count = report.byCode[code] ?? 0;
    if (count === 0) continue;
    const { severity, meaning, advice } = VERIFY_CODES[code];
    lines.push(`${severity} ${code} (${grouped(count)}): ${meaning}`, `    do: ${advice}`);
    const listed = report.findings.filter((finding) => finding.code === code);
    for (const finding of listed.slice(0, SHOWN)) lines.push(`    ${findingText(finding)}`);
    const more = count - Math.min(listed.length, SHOWN);
    if (more > 0) lines.push(`    … and ${grouped(more)} more; --json lists up to 1,000 of each code`);
  }
  return lines;
}

function findingText({ user, mailbox, folder, uid, where, message }: Finding): string {
  const subject = mailbox !== '' ? mailbox : folder !== '' ? `${user}, 3.x folder ${folder}` : user;
  const about = [subject, uid === null ? '' : `uid ${uid}`].filter((text) => text !== '').join(', ');
  return `${about === '' ? '' : `${about}: `}${message} [${where}]`;
}

function partitionLines({ partitions }: Omit<VerifyReport, 'text'>): string[] {
  return partitions.map(
    ({ name, path, mailboxes, waiting, checked, read, compared, errors }) =>
      `partition ${name} (${path}): ${grouped(mailboxes)} mailboxes, ${grouped(waiting)} waiting; ` +
      `${grouped(checked)} messages, ${grouped(read)} read, ${grouped(compared)} compared with 3.x; ` +
      `${grouped(errors)} errors`,
  );
}

function totalLine({
  mailboxes,
  messages,
  seconds,
  bytes,
  implementations,
  halted,
}: Omit<VerifyReport, 'text'>): string {
  const of = (done: number, total: number): string =>
    halted === null ? grouped(done) : `${grouped(done)} of ${grouped(total)}`;
  return (
    `${of(mailboxes.checked, mailboxes.total)} mailboxes, ${grouped(mailboxes.waiting)} of them waiting; ` +
    `${of(messages.checked, messages.total)} messages, ${grouped(messages.read)} read (${(bytes / 1e6).toFixed(1)} MB), ` +
    `${grouped(messages.compared)} compared with 3.x; parsed by ${implementations.join(' and ')}; ${seconds} s`
  );
}

/** What a sample leaves open, in numbers. */
function sampleLines({ sample, messages, singleCopyShare }: Omit<VerifyReport, 'text'>): string[] {
  const lines: string[] = [];
  if (sample.percent < 100) {
    const chance = (damaged: number): string => `${(chanceOfMissing(sample.share, damaged) * 100).toFixed(1)} %`;
    lines.push(
      `Read ${(sample.share * 100).toFixed(2)} % of the messages (${grouped(messages.read)} of ${grouped(messages.checked)}, ` +
        `seed "${sample.seed}"); all else was checked for every message. Damaged content goes unnoticed with a ` +
        `probability of ${chance(1)} in 1 message, ${chance(10)} in 10, ${chance(100)} in 100.`,
    );
  }
  if (singleCopyShare < 1) {
    lines.push(`Single copies were compared for ${(singleCopyShare * 100).toFixed(1)} % of the shared messages.`);
  }
  return lines;
}

function verdict({ errors, open, halted, byCode, sample }: Omit<VerifyReport, 'text'>): string {
  const sampled = sample.percent < 100 ? ', as far as it was read' : '';
  const failed = errors > 0 ? `${grouped(errors)} ${errors === 1 ? 'thing does' : 'things do'} not hold. ` : '';
  if (halted !== null) return `${failed}Halted: ${halted.message} Nothing is proved about the rest.`;
  const waiting = byCode.VERIFY_WAITING ?? 0;
  if (waiting > 0) {
    return `${failed}Not proved: ${grouped(waiting)} ${waiting === 1 ? 'folder waits' : 'folders wait'} for migration.`;
  }
  if (open > 0) return `${failed}Not proved: ${grouped(open)} findings are open.`;
  if (errors > 0) return failed.trim();
  const gone = byCode.VERIFY_SOURCE_GONE ?? 0;
  const were = gone === 1 ? '3.x folder was' : '3.x folders were';
  return `Everything holds${sampled}${gone === 0 ? '' : `; ${grouped(gone)} ${were} not there to compare with`}.`;
}
