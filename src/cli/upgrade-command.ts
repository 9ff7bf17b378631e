/**
 * `upgrade`: takes a 3.x installation to 4.1 (commands.md).
 *
 *     upgrade -s            folders: users from the directory, mapping, partitions, mailbox database
 *     upgrade -m            messages of all users
 *     upgrade -u <list>     messages of the users in a list
 *     upgrade --status      what is done, left and failed
 *     upgrade --verify      proves source and result equal
 *     upgrade --reset       back to the state before the first -s, without losing a message
 *
 * This file parses, calls the library and prints; it decides nothing that a library caller would miss. Each mode
 * loads its own code when it is asked for: starting up counts in a run of seconds.
 */
import { InvalidArgumentError, Option } from 'commander';
import { EXIT, type ExitCode, MailhaulError } from '../errors.js';
import { armFaults, parseFaultPlan } from '../fs/seam.js';
import { parseLogLevel } from '../log/log.js';
import type { FoldersOptions } from '../upgrade/folders.js';
import type { ProgressOutput } from '../upgrade/progress.js';
import { exitCodeOf } from '../upgrade/report.js';
import type { ResetOptions } from '../upgrade/reset.js';
import type { MessagesOptions } from '../upgrade/upgradeMessages.js';
import { instanceOf, makeCommand, printError, runCommand, standardOutput, usageError, visible } from './common.js';
import { signalsAreAnswered } from './early-signals.js';
import { foldersText, messagesText, statusText, surveyText } from './upgrade-text.js';

interface Flags {
  readonly instance?: string;
  readonly json?: boolean;
  readonly logLevel?: string;
  readonly s?: boolean;
  readonly m?: boolean;
  readonly u?: string[];
  readonly status?: boolean;
  readonly verify?: boolean;
  readonly reset?: boolean;
  readonly yes?: boolean;
  readonly i?: boolean;
  readonly t?: number;
  readonly q?: number;
  readonly r?: boolean;
  /** `--native` true, `--no-native` false. */
  readonly native?: boolean;
  readonly from?: string;
  readonly directory?: string;
  readonly directoryStarttls?: boolean;
  readonly directoryCa?: string;
  readonly pageSize?: number;
  readonly directoryTimeout?: number;
  readonly folder?: string;
  readonly failed?: boolean;
  readonly acceptFailures?: boolean;
  readonly storePath?: string[];
  readonly pidIsStale?: boolean;
  readonly takeForeign?: boolean;
  readonly workDir?: string;
  readonly keepPartitionPaths?: boolean;
  readonly dryRun?: boolean;
  readonly sample?: number;
  /** Seconds. */
  readonly lockWait?: number;
  readonly sampleSeed?: string;
}

type Mode = 's' | 'm' | 'u' | 'status' | 'verify' | 'reset';

/** Which modes an option belongs to; one that is given elsewhere is wrong usage, named. */
const BELONGS: Readonly<Record<string, readonly Mode[]>> = {
  i: ['m', 'u'],
  t: ['m', 'u', 'verify'],
  q: ['m', 'u'],
  r: ['m', 'u'],
  native: ['m', 'u'],
  from: ['s', 'm', 'u', 'status', 'verify', 'reset'],
  directory: ['s'],
  directoryStarttls: ['s'],
  directoryCa: ['s'],
  pageSize: ['s'],
  directoryTimeout: ['s'],
  folder: ['u'],
  failed: ['m', 'u'],
  acceptFailures: ['m', 'u'],
  storePath: ['s'],
  pidIsStale: ['s', 'm', 'u', 'verify', 'reset'],
  takeForeign: ['m', 'u'],
  keepPartitionPaths: ['s'],
  dryRun: ['s', 'm', 'u', 'reset'],
  yes: ['reset'],
  sample: ['verify'],
  lockWait: ['m', 'u'],
  sampleSeed: ['verify'],
};

function atLeastOne(text: string): number {
  if (!/^\d{1,6}$/.test(text) || Number(text) < 1)
    throw new InvalidArgumentError('It must be a whole number of at least 1.');
  return Number(text);
}

function seconds(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds.');
  return Number(text);
}

/** More threads than this only cost memory. */
const THREADS_AT_MOST = 256;

function threads(text: string): number {
  const count = atLeastOne(text);
  if (count > THREADS_AT_MOST) throw new InvalidArgumentError(`It must be ${THREADS_AT_MOST} at most.`);
  return count;
}

function percent(text: string): number {
  const value = Number(text.replace(/%$/, ''));
  if (!(value > 0 && value <= 100)) throw new InvalidArgumentError('It must be a percentage above 0, 100 at most.');
  return value;
}

function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

function makeProgram() {
  const program = makeCommand(
    'upgrade',
    'Takes a Netscape Messaging Server 3.x installation to 4.1. First -s, then -m or -u.',
  )
    .option('-s', 'upgrade folders: find all users, list their 3.x folders, make partitions and 4.x folder entries')
    .option('-m', 'upgrade messages of all users')
    .option(
      '-u <userlist>',
      'upgrade messages of the users in a list file (repeatable); never asks the directory',
      collect,
    )
    .option('--status', 'show what is done, what is left and what failed')
    .option('--verify', 'prove source and result equal, message by message, by content')
    .option('--reset', 'clean up after a halted upgrade: messages go back to 3.x, then everything in 4.x goes')
    .option('-i', 'INBOXes only')
    .option('-t <n>', 'transfer threads, or threads of --verify (default 5)', threads)
    .option('-q <n>', 'folder queue size (default 50)', atLeastOne)
    .option('-r', 'remove 3.x message files after migration, never the directories')
    .addOption(new Option('--native', 'use the native addon, and fail if it is not there').default(undefined))
    .option('--no-native', 'use the portable engine')
    .option('--from <dir>', 'the 3.x instance directory (needed once: -s or msg-setup record it)')
    .option('--directory <source>', 'where the users are: an LDAP URL or an LDIF file (default: the configuration)')
    .option('--directory-starttls', 'ldap:// with StartTLS; the certificate is checked')
    .option('--directory-ca <file>', 'certificates of the authorities to trust for LDAPS and StartTLS (PEM)')
    .option('--page-size <n>', 'entries a page of an LDAP search (default 500)', atLeastOne)
    .option('--directory-timeout <s>', 'seconds to wait for the directory', atLeastOne)
    .option('--folder <name>', 'with -u: only this folder, by its 3.x name or, where that is not UTF-8, its 4.x name')
    .option('--failed', 'only folders with failures on record, or whose migration has begun and not ended')
    .option('--accept-failures', 'publish folders although some messages failed; those stay in 3.x, on record')
    .option('--store-path <dir>', 'accept this 3.x store path whatever its owner and mode (repeatable)', collect)
    .option('--pid-is-stale', 'the pid in NscpMail.pid is not a 3.x server')
    .option('--take-foreign', 'copy message files of other owners, or that others may write, into new files')
    .option('--work-dir <dir>', 'keep the mapping database and the user lists here (read-only 3.x stores)')
    .option('--keep-partition-paths', 'with -s again: leave the partition paths as they are')
    .option('--dry-run', 'check and show the plan, write nothing')
    .option('--yes', 'with --reset: do not ask')
    .option(
      '--lock-wait <s>',
      'seconds to wait for a folder or database that another process holds (default 60)',
      seconds,
    )
    .option(
      '--sample <n%>',
      'with --verify: read only this share of the messages; all else is checked for all',
      percent,
    )
    .option('--sample-seed <text>', 'with --sample: another text reads other messages')
    .addHelpText(
      'after',
      `
A site with one server needs two commands:
  upgrade -s --from /usr/netscape/suitespot/msg-tango --instance /usr/netscape/server4/msg-tango
  upgrade -m --instance /usr/netscape/server4/msg-tango

SIGINT, SIGTERM or SIGHUP stops a run once the folders under way are done; a second one stops it at once. SIGUSR1
prints progress.
Run again after any halt: nothing is migrated twice, nothing is lost.`,
    );
  // Both set one flag, of which the last would count.
  const given = new Set<string>();
  for (const option of ['native', 'no-native']) {
    program.on(`option:${option}`, () => {
      if (given.add(option).size > 1) throw usageError('upgrade', '--native does not go with --no-native.');
    });
  }
  return program;
}

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
  }
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
  const { upgradeMessages } = await import('../upgrade/upgradeMessages.js');
  const onStart = handleSignals('folders under way finish');
  const report = await upgradeMessages({ ...options, onStart, commandLine: commandLine() });
  show(flags, report, () => messagesText(report, flags.acceptFailures === true));
  return exitCodeOf(report);
}

/** The one mode of this call, with every option that does not belong to it refused by name. */
function modeOf(flags: Flags): Mode {
  const modes = (['s', 'm', 'u', 'status', 'verify', 'reset'] as const).filter((mode) => flags[mode] !== undefined);
  const [mode] = modes;
  if (mode === undefined || modes.length > 1)
    throw usageError('upgrade', 'Exactly one of -s, -m, -u, --status, --verify and --reset is needed.');
  for (const [option, allowed] of Object.entries(BELONGS)) {
    const given = (flags as Readonly<Record<string, unknown>>)[option] !== undefined;
    if (given && !allowed.includes(mode)) {
      const name =
        option.length === 1 ? `-${option}` : `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      throw usageError('upgrade', `${name} does not go with ${mode.length === 1 ? `-${mode}` : `--${mode}`}.`);
    }
  }
  return mode;
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
