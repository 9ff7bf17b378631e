/**
 * `upgrade --verify`: proves source and result equal, message by message, by content (commands.md).
 *
 *     user by user    databases against each other, and against what lies in 3.x         verify/user.ts
 *       mailbox       index, message files by a fresh parse, strangers, owner, mode      verify/mailbox.ts
 *       original      count, uid, flags, date, content of the 3.x folder                 verify/source.ts
 *     partitions      directories of nobody, the registry of shared copies               verify/tree.ts
 *     all together    single-copy mail                                                   verify/singles.ts
 *
 * Nothing is written. A finding never stops the rest. What wrote the store is not asked: files are parsed by the
 * TypeScript parser and `.mailbox` is interpreted anew, whichever engine moved the messages.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describeError, EXIT, type ExitCode, MailhaulError } from '../errors.js';
import { escapeLogText } from '../log/log.js';
import { loadDigest } from '../store/digest.js';
import type { MailboxRecord } from '../store/types.js';
import { openSession, type Session, type SessionOptions } from './session.js';
import { closeRoots, makeContext, type VerifyContext } from './verify/context.js';
import { collectFindings, type Finding, type Findings, NO_SUBJECT } from './verify/findings.js';
import { verifyPartition } from './verify/tree.js';
import { verifyUser } from './verify/user.js';

export type { Finding, VerifyCode } from './verify/findings.js';

export interface VerifyOptions extends SessionOptions {
  /** Per cent of the messages whose content is read; everything else is checked for all. 100 unless given. */
  readonly samplePercent?: number | undefined;
  /** Told of every finding at once, also of those that the report does not list. */
  readonly onFinding?: ((finding: Finding) => void) | undefined;
}

/** The result; all fields but `text` are part of the `--json` promise. */
export interface VerifyReport {
  /** 0 when everything holds, else 1. */
  readonly exitCode: ExitCode;
  readonly samplePercent: number;
  readonly mailboxes: { readonly checked: number; readonly waiting: number };
  readonly messages: {
    readonly checked: number;
    /** Read, hashed and parsed. */
    readonly read: number;
    /** Of those, compared with a 3.x file that is still there. */
    readonly compared: number;
  };
  /** Bytes read from 4.x message files. */
  readonly bytes: number;
  readonly seconds: number;
  readonly errors: number;
  readonly notes: number;
  readonly byCode: Readonly<Record<string, number>>;
  readonly findings: readonly Finding[];
  readonly findingsNotListed: number;
  /** For people; not in the JSON. */
  readonly text: string;
}

/**
 * Verifies a store after `-s`. Findings are in the report.
 *
 * @throws MailhaulError as openSession: no instance, `-s` not run, 3.x server running (exit 3)
 */
export async function verifyStore(options: VerifyOptions): Promise<VerifyReport> {
  await loadDigest();
  const samplePercent = options.samplePercent ?? 100;
  const startedMs = performance.now();
  const session = await openSession({ ...options, readOnly: true }, 'upgrade --verify');
  const findings = collectFindings(options.onFinding);
  const { mailboxes, mapping, instance } = session;
  const context = makeContext({ mailboxes, mapping, owner: instance.owner }, findings, samplePercent / 100);
  try {
    const partitions = await verifyUsers(session, context);
    for (const [path, waiting] of partitions) verifyPartition(context, path, waiting);
    context.singles.report(findings);
  } finally {
    closeRoots(context);
    await session.close();
  }
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  return makeReport(context, samplePercent, seconds);
}

/** Checks every user of either database. Returns the partition roots, and whether a folder of each still waits. */
async function verifyUsers(session: Session, context: VerifyContext): Promise<Map<string, boolean>> {
  const { mailboxes, mapping, instance } = session;
  const rootOf = (record: MailboxRecord) => record.root ?? instance.partitionPath(record.partition);
  const used = new Set<string>();
  const waiting = new Set<string>();
  const damaged = (error: Error): void => {
    const where = (error instanceof MailhaulError ? error.where : undefined) ?? 'mailbox database';
    context.findings.add(NO_SUBJECT, 'VERIFY_RECORD', where, describeError(error));
  };
  const withMailboxes = (uid: string) =>
    mailboxes.list(`user/${uid}/`, damaged)[Symbol.iterator]().next().done !== true;
  for (const [uid, records] of usersOf(mailboxes.list('', damaged))) {
    attempt(context.findings, uid, () => {
      for (const record of records) {
        // A folder with failures will be tried again, and may want the registry of shared copies.
        const failed = record.mappingId !== null && mapping.failures(record.mappingId).length > 0;
        const root = rootOf(record);
        if (root !== undefined && (failed || record.state === 'TRANSITION')) waiting.add(root);
        // Before its first attempt a folder has no root, and its partition need not exist.
        if (record.root !== null) used.add(record.root);
      }
    });
    attempt(context.findings, uid, () => verifyUser(context, uid, records, rootOf));
    await nextTurn();
  }
  attempt(context.findings, '', () => {
    for (const { uid } of mapping.users()) {
      if (!withMailboxes(uid)) attempt(context.findings, uid, () => verifyUser(context, uid, [], rootOf));
    }
  });
  return new Map(Array.from(used, (path) => [path, waiting.has(path)]));
}

/** A value of a database that cannot be read is a finding like any other; a defect of this program is not. */
function attempt(findings: Findings, uid: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    findings.add({ ...NO_SUBJECT, user: uid }, 'VERIFY_RECORD', error.where ?? uid, describeError(error));
  }
}

/** Mailboxes by owner; a user's mailboxes are neighbours in the order of names. */
function* usersOf(records: Iterable<MailboxRecord>): Generator<[string, MailboxRecord[]]> {
  let group: MailboxRecord[] = [];
  for (const record of records) {
    if (group.length > 0 && group[0]!.owner !== record.owner) {
      yield [group[0]!.owner, group];
      group = [];
    }
    group.push(record);
  }
  if (group.length > 0) yield [group[0]!.owner, group];
}

function makeReport(context: VerifyContext, samplePercent: number, seconds: number): VerifyReport {
  const { totals, findings } = context;
  const report = {
    exitCode: findings.errors === 0 ? EXIT.ok : EXIT.partial,
    samplePercent,
    mailboxes: { checked: totals.mailboxes, waiting: totals.waiting },
    messages: { checked: totals.messages, read: totals.read, compared: totals.compared },
    bytes: totals.bytes,
    seconds,
    errors: findings.errors,
    notes: findings.notes,
    byCode: findings.byCode,
    findings: findings.listed,
    findingsNotListed: findings.notListed,
  };
  return Object.defineProperty(report, 'text', { value: reportText(report), enumerable: false }) as VerifyReport;
}

/** Findings shown to people; waiting folders are only counted. */
const SHOWN = 100;

function reportText(report: Omit<VerifyReport, 'text'>): string {
  const { mailboxes, messages } = report;
  const lines: string[] = [];
  const worth = report.findings.filter(({ code }) => code !== 'VERIFY_WAITING');
  for (const finding of worth.slice(0, SHOWN)) lines.push(findingLine(finding));
  if (worth.length > SHOWN) lines.push(`… and ${worth.length - SHOWN} more; --json lists them.`);
  const counts = Object.entries(report.byCode).map(([code, count]) => `${code} ${count}`);
  lines.push(
    `${mailboxes.checked} mailboxes, ${mailboxes.waiting} of them waiting; ${messages.checked} messages, ` +
      `${messages.read} read, ${messages.compared} compared with 3.x; ${report.seconds} s`,
  );
  if (counts.length > 0) lines.push(`Findings: ${counts.join(', ')}`);
  const sampled = report.samplePercent < 100 ? ` (content of ${report.samplePercent} % of the messages)` : '';
  lines.push(report.errors === 0 ? `Everything holds${sampled}.` : `${report.errors} things do not hold${sampled}.`);
  return lines.join('\n');
}

function findingLine({ severity, code, mailbox, uid, where, message }: Finding): string {
  const about = [mailbox, uid === null ? '' : `uid ${uid}`].filter((text) => text !== '').join(', ');
  // A name from the mail store must not begin a line of its own.
  return escapeLogText(`${severity}: ${code}: ${about === '' ? '' : `${about}: `}${message} [${where}]`);
}
