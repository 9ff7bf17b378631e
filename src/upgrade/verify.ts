/**
 * `upgrade --verify`: proves source and result equal, message by message, by content (commands.md).
 *
 *     main thread   databases: mapping and mailboxes, both ways; quota          verify/databases.ts
 *                   instance files, partitions                                  verify/instance.ts, partitions.ts
 *                   configdb, upgrade4x.conf                                    verify/configuration.ts
 *                   single-copy mail, all mailboxes together                    verify/inodes.ts
 *     threads       a mailbox: index, message files by a fresh parse            verify/mailbox.ts, record.ts
 *                     its 3.x folder: flags, dates, rights, content             verify/source.ts, original.ts
 *                   a user: directories, new folders, subscriptions             verify/verifyUser.ts, tree.ts
 *
 * Nothing is written. A finding never stops the rest. What wrote the store is not asked: message files are hashed and
 * parsed by both implementations, TypeScript and C++, and `.mailbox` is interpreted anew. Shared with the migration
 * are the readers of the 3.x files, the reader of store.idx and the names.
 *
 * A store in use: the store-wide lock is held shared, like by a migration. An error is believed only when database and
 * lock say that nobody worked on the folder meanwhile; else the folder is looked at again.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { enterAccount } from '../config/privileges.js';
import { lockStoreForReading } from '../config/store-lock.js';
import { PROGRESS } from '../engine/types.js';
import { describeError } from '../errors.js';
import { closeDir, openRoot } from '../fs/dir.js';
import { flockPids } from '../fs/holders.js';
import { hashDirectory, messageFile } from '../store/layout.js';
import { mailboxPathComponents } from '../store/names.js';
import { type Progress, type ProgressOutput, startProgress } from './progress.js';
import { openSession, type Session, type SessionOptions } from './session.js';
import type { RunControls } from './upgradeMessages.js';
import {
  type Configuration,
  readConfiguration,
  verifyConfiguration,
  verifyPartitionPaths,
} from './verify/configuration.js';
import { verifyIds } from './verify/databases.js';
import { collectFindings, type Finding, type Findings, NO_SUBJECT } from './verify/findings.js';
import { InodeTable } from './verify/inodes.js';
import { verifyInstance, verifyWorkDirectory } from './verify/instance.js';
import { verifyPartition } from './verify/partitions.js';
import { probeDatabases } from './verify/probe.js';
import { makeReport, type VerifyReport } from './verify/report.js';
import { inlineRunner, type Runner, threadRunner } from './verify/runner.js';
import { makeSample } from './verify/sample.js';
import { type Survey, surveyStore } from './verify/survey.js';
import type { ThreadContext } from './verify/tasks.js';
import { others, type Verification, verifyAll, verifyForRoot } from './verify/verification.js';
import { attempt, type Work } from './verify/work.js';

export type { VerifyCode } from './verify/codes.js';
export type { Finding } from './verify/findings.js';
export type { VerifyReport } from './verify/report.js';

export interface VerifyOptions extends SessionOptions {
  /** Per cent of the messages whose content is read; everything else is checked for all. 100 unless given. */
  readonly samplePercent?: number | undefined;
  /** Another seed reads other messages. `1` unless given. */
  readonly sampleSeed?: string | undefined;
  /** 5 unless given. A small store is done without threads. */
  readonly threads?: number | undefined;
  /** As root: read mail with the rights of the server account only. */
  readonly becomeServerAccount?: boolean | undefined;
  /** Told of the first 1,000 findings of each code, when they are found. */
  readonly onFinding?: ((finding: Finding) => void) | undefined;
  readonly progressOutput?: ProgressOutput | undefined;
  readonly onStart?: ((controls: Pick<RunControls, 'stop' | 'progressLine'>) => void) | undefined;
}

const THREADS = 5;
/** Messages up to which starting threads costs more than it gains. */
const INLINE_MESSAGES = 2_000;
/** Shared files that are followed at most, about 170 MB; beyond, a share of them (inodes.ts). */
const SHARED_FILES = 2 ** 21;

/**
 * Verifies a store after `-s`. Findings are in the report; so is why it stopped early.
 *
 * @throws MailhaulError as openSession: no instance, `-s` not run, 3.x server running, a database that cannot be read;
 *   STORE_LOCKED (exit 3)
 */
export async function verifyStore(options: VerifyOptions): Promise<VerifyReport> {
  const startedMs = performance.now();
  const session = await openSession({ ...options, readOnly: true }, 'upgrade --verify', ({ instance, workDir }) =>
    probeDatabases(instance.mboxlist.path, workDir, instance.owner),
  );
  try {
    const lock = lockStoreForReading(session.instance.lockDir);
    try {
      return await verifySession(options, session, lock?.fd, startedMs);
    } finally {
      lock?.release();
    }
  } finally {
    await session.close();
  }
}

async function verifySession(
  options: VerifyOptions,
  session: Session,
  lockFd: number | undefined,
  startedMs: number,
): Promise<VerifyReport> {
  const { instance } = session;
  const findings = collectFindings(options.onFinding);
  const percent = options.samplePercent ?? 100;
  const seed = options.sampleSeed ?? '1';
  const configuration = lookAtFiles(findings, session);
  const survey = surveyStore(findings, session.mailboxes, session.mapping, configuration.partitionPath);
  const progress = new Int32Array(new SharedArrayBuffer(64));
  const thread: ThreadContext = {
    owner: instance.owner,
    sample: makeSample(percent, seed),
    progress,
    giant: new Int32Array(new SharedArrayBuffer(4)),
  };
  let runner: Runner | undefined;
  let shown: Progress | undefined;
  let halted: VerifyReport['halted'] = null;
  const stop = (code: string, message: string): void => {
    halted ??= { code, message };
    Atomics.store(progress, PROGRESS.cancel, 1);
  };
  const totals = { checked: 0, read: 0, compared: 0, bytes: 0, mailboxes: 0 };
  const singles = new InodeTable(SHARED_FILES);
  // What runs as root until the function returned here is called, and as the server account after it.
  let leave: (() => void) | undefined;
  try {
    runner = await startRunner(options, survey, thread);
    if (options.becomeServerAccount === true) leave = enterAccount(instance.account);
    shown = startProgress(survey.totals, progress, options.progressOutput);
    options.onStart?.({ stop: (reason) => stop('RUN_STOPPED', reason), progressLine: () => shown?.line() ?? '' });
    const forRoot: Work[] = [];
    const verification: Verification = {
      session,
      configuration,
      survey,
      findings,
      runner,
      singles,
      totals,
      progress: () => shown,
      otherProcesses: () => (lockFd === undefined ? [] : others(flockPids(lockFd))),
      stopped: () => Atomics.load(progress, PROGRESS.cancel) !== 0,
      cancel: () => void Atomics.store(progress, PROGRESS.cancel, 1),
      nameChanges: attempt(findings, '', () => [...session.mailboxes.nameChanges()]) ?? [],
      used: false,
      folders: 0,
      forRoot: leave === undefined || process.getuid?.() !== 0 ? null : forRoot,
    };
    await verifyAll(verification);
    await verifyPartitions(verification);
    if (!verification.stopped()) {
      attempt(findings, '', () => verifyIds(findings, session, verification.folders));
      verifyPartitionPaths(findings, configuration, survey.partitions.values());
      if (forRoot.length > 0) {
        leave?.();
        leave = undefined;
        verification.forRoot = null;
        await verifyForRoot(verification, forRoot);
      }
      reportSingles(verification);
    }
  } catch (error) {
    stop('VERIFY_HALTED', describeError(error));
  } finally {
    shown?.stop();
    leave?.();
    await runner?.close();
    survey.close();
  }
  const { mailboxes: done, bytes, ...messages } = totals;
  const waiting = [...survey.partitions.values()].reduce((sum, partition) => sum + partition.waiting, 0);
  return makeReport(
    {
      samplePercent: percent,
      sample: { percent, seed, share: messages.checked === 0 ? 1 : messages.read / messages.checked },
      implementations: runner?.implementations ?? [],
      mailboxes: { checked: done + waiting, waiting, total: survey.totals.folders + waiting },
      messages: { ...messages, total: survey.totals.messages },
      bytes,
      seconds: Math.round(performance.now() - startedMs) / 1000,
      partitions: [...survey.partitions.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
      singleCopyShare: singles.share,
      halted,
    },
    findings,
  );
}

/** The files that are neither mail nor index, while the process may still be root. */
function lookAtFiles(findings: Findings, session: Session): Configuration {
  const { instance } = session;
  verifyInstance(findings, instance);
  const workDir = openRoot(session.workDir);
  try {
    verifyWorkDirectory(findings, instance.owner, workDir);
    const configuration = readConfiguration(findings, instance, workDir);
    verifyConfiguration(findings, session, configuration);
    return configuration;
  } finally {
    closeDir(workDir);
  }
}

function startRunner(options: VerifyOptions, { totals }: Survey, thread: ThreadContext): Promise<Runner> {
  // A mailbox is one task: more threads than mailboxes would have nothing to do.
  const threads = Math.min(options.threads ?? THREADS, totals.folders);
  return threads < 2 || totals.messages + totals.folders <= INLINE_MESSAGES
    ? inlineRunner(thread)
    : threadRunner(threads, thread);
}

async function verifyPartitions({ session, survey, findings, stopped }: Verification): Promise<void> {
  for (const [path, waiting] of survey.used) {
    const steps = verifyPartition({
      findings,
      mailboxes: session.mailboxes,
      owner: session.instance.owner,
      path,
      root: survey.held(path),
      waiting,
      rootOf: survey.rootOf,
    });
    for (let count = 0; !stopped() && steps.next().done !== true; count++) if (count % 16 === 0) await nextTurn();
  }
}

/**
 * Messages that were one file in 3.x are one file in 4.x, as long as they lie in one partition and its link count is
 * not full (4x-store.md, promise 5); and nobody else has a name of a message file.
 */
function reportSingles({ session, survey, singles, findings, used }: Verification): void {
  let outside = 0;
  for (const { split, full, links, names, folder, uid } of singles.files()) {
    if (split && !full) {
      const { where, ...subject } = placeOf(session, findings, folder, uid);
      const text = 'A message that was one file in 3.x is several files in 4.x, this one and others.';
      findings.add(subject, 'VERIFY_SINGLE_COPY', where, text, uid);
    } else if (!split && links > names) outside += 1;
  }
  // They are counted only where all of both stores could be read: names in folders that wait, in damaged or vanished
  // ones and in the registry of shared copies are not known.
  const unknown =
    used ||
    findings.byCode.VERIFY_MAILBOX_GONE !== undefined ||
    [...survey.used.values()].includes(true) ||
    findings.count('error') + findings.count('open') > 0 ||
    findings.byCode.VERIFY_SOURCE_GONE !== undefined ||
    findings.byCode.VERIFY_SINGLE_LEFT !== undefined;
  if (outside === 0 || unknown) return;
  const text = `${outside} message files have names that belong neither to 4.x nor to a migrated 3.x message.`;
  findings.add(NO_SUBJECT, 'VERIFY_LINKS', session.instance.path, text);
}

function placeOf(session: Session, findings: Findings, id: number, uid: number) {
  const folder = attempt(findings, '', () => session.mapping.folder(id));
  if (folder === undefined) return { user: '', mailbox: '', folder: '', where: `folder ${id} of the mapping` };
  const components = mailboxPathComponents(folder.uid, folder.mailbox);
  const where = [folder.root ?? '', ...components, hashDirectory(uid), messageFile(uid)].join('/');
  return { user: folder.uid, mailbox: folder.mailbox, folder: folder.legacyName, where };
}
