/**
 * `upgrade`: takes a 3.x installation to 4.1 (commands.md).
 *
 *     upgrade -s            folders: users from the directory, mapping, partitions, mailbox database
 *     upgrade -m            messages of all users
 *     upgrade -u <list>     messages of the users in a list
 *     upgrade --status      what is done, left and failed
 *     upgrade --verify      proves source and result equal
 *     upgrade --throttle    other limits for the runs under way
 *     upgrade --reset       back to the state before the first -s, without losing a message
 *
 * This file parses, calls the library and prints; it decides nothing that a library caller would miss. Each mode
 * loads its own code when it is asked for: starting up counts in a run of seconds.
 */
import { EXIT, type ExitCode, MailhaulError } from '../errors.js';
import { armFaults, parseFaultPlan } from '../fs/seam.js';
import { parseLogLevel } from '../log/log.js';
import type { FoldersOptions } from '../upgrade/folders.js';
import { NO_LIMITS } from '../upgrade/limits.js';
import type { ProgressOutput } from '../upgrade/progress.js';
import { exitCodeOf } from '../upgrade/report.js';
import type { ResetOptions } from '../upgrade/reset.js';
import type { MessagesOptions } from '../upgrade/upgradeMessages.js';
import { instanceOf, printError, runCommand, standardOutput, usageError, visible } from './common.js';
import { signalsAreAnswered } from './early-signals.js';
import { type Flags, limitsOf, makeProgram, modeOf } from './upgrade-options.js';
import { foldersText, messagesText, statusText, surveyText, throttleText } from './upgrade-text.js';

async function perform(flags: Flags): Promise<ExitCode> {
  const mode = modeOf(flags);
  const session = {
    instance: instanceOf(flags),
    from: flags.from,
    workDir: flags.workDir,
    logLevel: flags.logLevel === undefined ? undefined : parseLogLevel(flags.logLevel),
    pidIsStale: flags.pidIsStale,
  };
  switch (mode) {
    case 's': {
      const options: FoldersOptions = {
        ...session,
        becomeServerAccount: true,
        directoryTls: {
          ...(flags.directoryStarttls === undefined ? {} : { startTls: flags.directoryStarttls }),
          ...(flags.directoryCa === undefined ? {} : { caFile: flags.directoryCa }),
        },
        pageSize: flags.pageSize,
        directoryTimeoutSeconds: flags.directoryTimeout,
        ...folderSignals(),
        directory: flags.directory,
        storePaths: flags.storePath,
        keepPartitionPaths: flags.keepPartitionPaths,
        dryRun: flags.dryRun,
      };
      const { upgradeFolders } = await import('../upgrade/folders.js');
      const report = await upgradeFolders(options);
      show(flags, report, () => foldersText(report));
      return report.exitCode;
    }
    case 'm':
    case 'u':
      return messages(flags, session);
    case 'status': {
      const { upgradeStatus } = await import('../upgrade/status.js');
      const report = await upgradeStatus(session);
      show(flags, report, () => statusText(report));
      return EXIT.ok;
    }
    case 'verify': {
      const { verifyStore } = await import('../upgrade/verify.js');
      const report = await verifyStore({
        ...session,
        samplePercent: flags.sample,
        sampleSeed: flags.sampleSeed,
        threads: flags.t,
        becomeServerAccount: true,
        progressOutput: progressOutput(flags),
        onStart: handleSignals('messages under way are read to their end'),
      });
      const { text, ...fields } = report;
      show(flags, fields, () => text);
      return report.exitCode;
    }
    case 'reset':
      return reset(flags, session);
    case 'throttle':
      return throttle(flags, session.instance);
  }
}

async function throttle(flags: Flags, instance: string): Promise<ExitCode> {
  const change = limitsOf(flags);
  if (Object.keys(change).length === 0)
    throw usageError('upgrade', '--throttle needs --bwlimit, --iops, --nice or --no-nice.');
  const { throttleRunning } = await import('../upgrade/throttleRunning.js');
  const report = throttleRunning(instance, change);
  show(flags, report, () => throttleText(report));
  return EXIT.ok;
}

async function reset(flags: Flags, session: Omit<ResetOptions, 'confirm'>): Promise<ExitCode> {
  const [{ resetStore }, { askToReset, resetPlanText, resetProgressText, resetText }] = await Promise.all([
    import('../upgrade/reset.js'),
    import('./upgrade-reset.js'),
  ]);
  let line = (): string => 'starting';
  const signal = stopSignal('the folder under way is finished', () => line());
  const report = await resetStore({
    ...session,
    becomeServerAccount: true,
    dryRun: flags.dryRun,
    signal,
    onStart: (progress) => {
      line = () => resetProgressText(progress());
    },
    commandLine: commandLine(),
    async confirm(plan) {
      // Standard output holds the one object with --json, and what is asked must be read before it is answered.
      if (flags.json !== true) standardOutput.write(`${resetPlanText(plan)}\n`);
      if (flags.yes === true) return 'yes';
      if (flags.json === true) process.stderr.write(`${resetPlanText(plan)}\n`);
      standardOutput.flush();
      return askToReset(signal);
    },
  });
  show(flags, report, () => resetText(report));
  if (report.halted !== null) note(report.halted.message);
  if (report.outcome === 'unconfirmed')
    printError(
      'upgrade',
      new MailhaulError('RESET_NOT_CONFIRMED', 'Standard input is no terminal, so nobody could be asked.', {
        hint: 'Look at the plan with --dry-run, then give --yes.',
      }),
    );
  return report.exitCode;
}

async function messages(
  flags: Flags,
  session: Pick<MessagesOptions, 'instance' | 'from' | 'workDir' | 'logLevel' | 'pidIsStale'>,
): Promise<ExitCode> {
  const options: MessagesOptions = {
    ...session,
    userLists: flags.u,
    inboxOnly: flags.i,
    folder: flags.folder,
    failedOnly: flags.failed,
    threads: flags.t ?? 5,
    queue: flags.q ?? 50,
    remove: flags.r === true,
    engine: flags.native === undefined ? 'auto' : flags.native ? 'native' : 'portable',
    acceptFailures: flags.acceptFailures === true,
    takeForeign: flags.takeForeign === true,
    limits: { ...NO_LIMITS, ...limitsOf(flags) },
    lockWaitMs: flags.lockWait === undefined ? undefined : flags.lockWait * 1000,
    progressOutput: progressOutput(flags),
    notice: note,
  };
  if (flags.dryRun === true) {
    const { surveyExitCode, surveyMessages } = await import('../upgrade/survey.js');
    const report = await surveyMessages(options);
    show(flags, report, () => surveyText(report));
    return surveyExitCode(report);
  }
  const onStart = handleSignals('folders under way finish');
  const { upgradeMessages } = await import('../upgrade/upgradeMessages.js');
  const report = await upgradeMessages({ ...options, onStart, commandLine: commandLine() });
  show(flags, report, () => messagesText(report, flags.acceptFailures === true));
  return exitCodeOf(report);
}

/** Progress goes to standard error: standard output holds the result only. */
function progressOutput(flags: Flags): ProgressOutput | undefined {
  if (flags.json === true && !process.stderr.isTTY) return undefined;
  return {
    isTerminal: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? 80,
    write: (text) => void process.stderr.write(text),
  };
}

/** What a signal can do with the run that is under way. */
interface Running {
  /** Ends it in good order. */
  stop(reason: string): void;
  /** Right before the process ends. */
  stopAtOnce?(): void;
  progressLine(): string;
}

/**
 * First SIGINT, SIGTERM or SIGHUP (the terminal is gone) ends a run in good order, the second ends it at once; SIGUSR1
 * prints progress. A signal that comes before the run is under way stops it as soon as it is. Returns what is told
 * when it is.
 */
function handleSignals(whatFinishes: string): (running: Running) => void {
  let running: Running | undefined;
  let asked: string | undefined;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) {
    process.on(signal, () => {
      if (asked !== undefined) {
        // A third one ends the process even where a disk does not answer: nobody listens then.
        for (const other of signals) process.removeAllListeners(other);
        running?.stopAtOnce?.();
        note(`${signal}: stopped at once; nothing is lost. Run again: ${commandLine()}`);
        process.exit(EXIT.halted);
      }
      asked = `Stopped by ${signal}.`;
      running?.stop(asked);
      note(`${signal}: ${whatFinishes}; once more stops at once.`);
    });
  }
  process.on('SIGUSR1', () => note(running?.progressLine() ?? 'starting'));
  // Nobody reads standard error any more: no reason to stop a migration.
  process.stderr.on('error', () => {});
  signalsAreAnswered();
  return (controls) => {
    running = controls;
    if (asked !== undefined) controls.stop(asked);
  };
}

/** Aborted by the first signal. */
function stopSignal(whatFinishes: string, progressLine: () => string): AbortSignal {
  const controller = new AbortController();
  handleSignals(whatFinishes)({ stop: (reason) => controller.abort(new Error(reason)), progressLine });
  return controller.signal;
}

/** `-s` stops between two users. */
function folderSignals(): Pick<FoldersOptions, 'signal' | 'onProgress'> {
  let line = 'reading the directory';
  return {
    signal: stopSignal('the users under way finish', () => line),
    onProgress: (done, users, folders) => {
      line = `${done}/${users} users, ${folders} folders`;
    },
  };
}

/** This very command, for a shell. */
function commandLine(): string {
  const quoted = process.argv
    .slice(2)
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`));
  return ['upgrade', ...quoted].join(' ');
}

function show(flags: Flags, report: unknown, text: () => string): void {
  if (flags.json === true) standardOutput.json(report);
  else standardOutput.write(`${text()}\n`);
}

function note(line: string): void {
  process.stderr.write(`upgrade: ${visible(line)}\n`);
}

/** Runs the command; prints; returns the exit code. */
export function upgrade(argv: readonly string[]): Promise<ExitCode> {
  process.umask(0o077);
  armFaults(parseFaultPlan(process.env.MAILHAUL_FAULT));
  return runCommand<Flags>(makeProgram(), argv, perform);
}
