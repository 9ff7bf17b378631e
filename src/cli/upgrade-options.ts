/**
 * The options of `upgrade` (commands.md): their names, values, help, and the modes that each belongs to.
 */
import { InvalidArgumentError, Option } from 'commander';
import { type LimitsChange, parseIops, parseRate } from '../upgrade/limits.js';
import { makeCommand, usageError } from './common.js';

export interface Flags {
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
  readonly throttle?: boolean;
  /** Bytes a second. */
  readonly bwlimit?: number;
  readonly iops?: number;
  /** `--nice` true, `--no-nice` false. */
  readonly nice?: boolean;
}

export type Mode = 's' | 'm' | 'u' | 'status' | 'verify' | 'reset' | 'throttle';

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
  bwlimit: ['m', 'u', 'throttle'],
  iops: ['m', 'u', 'throttle'],
  nice: ['m', 'u', 'throttle'],
};

/** Larger numbers of anything are slips of the finger. */
const LARGEST = 999_999;

/** More threads than this only cost memory. */
const THREADS_AT_MOST = 256;

function wholeNumber(text: string, least: number, most: number, unit = ''): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : -1;
  if (value >= least && value <= most) return value;
  throw new InvalidArgumentError(`It must be a whole number${unit} from ${least} to ${most}.`);
}

function atLeastOne(text: string): number {
  return wholeNumber(text, 1, LARGEST);
}

function seconds(text: string): number {
  return wholeNumber(text, 0, LARGEST, ' of seconds');
}

function threads(text: string): number {
  return wholeNumber(text, 1, THREADS_AT_MOST);
}

function percent(text: string): number {
  const value = Number(text.replace(/%$/, ''));
  if (!(value > 0 && value <= 100)) throw new InvalidArgumentError('It must be a percentage above 0, 100 at most.');
  return value;
}

function rate(text: string): number {
  const bytes = parseRate(text);
  if (bytes === undefined)
    throw new InvalidArgumentError('It must be bytes a second, such as 20M, 512K or 0 for none.');
  return bytes;
}

function operations(text: string): number {
  const count = parseIops(text);
  if (count === undefined) throw new InvalidArgumentError('It must be a whole number a second, 0 for none.');
  return count;
}

/** The limits that were given. */
export function limitsOf({ bwlimit, iops, nice }: Flags): LimitsChange {
  return {
    ...(bwlimit !== undefined && { bwlimit }),
    ...(iops !== undefined && { iops }),
    ...(nice !== undefined && { nice }),
  };
}

function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

export function makeProgram() {
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
    .option('--throttle', 'change --bwlimit, --iops and --nice of the runs that are under way')
    .option('-i', 'INBOXes only')
    .option('-t <n>', `transfer threads, or threads of --verify (default 5, ${THREADS_AT_MOST} at most)`, threads)
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
    .option(
      '--bwlimit <rate>',
      'bytes a second that all threads together read and write: 20M, 512K, 1.5G (K, M, G of 1024); 0 is no limit',
      rate,
    )
    .option(
      '--iops <n>',
      'operations a second, likewise: names looked at, files opened, made, linked, renamed, removed',
      operations,
    )
    .addOption(
      new Option('--nice', 'behind all other processes: niceness 19 and the I/O class idle').default(undefined),
    )
    .option('--no-nice', 'with --throttle: no longer')
    .addHelpText(
      'after',
      `
A site with one server needs two commands:
  upgrade -s --from /usr/netscape/suitespot/msg-tango --instance /usr/netscape/server4/msg-tango
  upgrade -m --instance /usr/netscape/server4/msg-tango

SIGINT, SIGTERM or SIGHUP stops a run once the folders under way are done; a second one stops it at once. SIGUSR1
prints progress.

For a server that is in use: upgrade -m --bwlimit 20M --nice. A message that is linked costs its bytes once and three
operations; one that is copied its bytes twice and four; -r one operation more. While it runs:
  upgrade --throttle --bwlimit 5M     slower; what is not named stays as it is
  upgrade --throttle --bwlimit 0 --iops 0 --no-nice     as fast as it can

Run again after any halt: nothing is migrated twice, nothing is lost.`,
    );
  // Both set one flag, of which the last would count.
  for (const name of ['native', 'nice']) {
    const given = new Set<string>();
    for (const option of [name, `no-${name}`]) {
      program.on(`option:${option}`, () => {
        if (given.add(option).size > 1) throw usageError('upgrade', `--${name} does not go with --no-${name}.`);
      });
    }
  }
  return program;
}

/** The one mode of this call, with every option that does not belong to it refused by name. */
export function modeOf(flags: Flags): Mode {
  const modes = (['s', 'm', 'u', 'status', 'verify', 'reset', 'throttle'] as const).filter(
    (mode) => flags[mode] !== undefined,
  );
  const [mode] = modes;
  if (mode === undefined || modes.length > 1)
    throw usageError('upgrade', 'Exactly one of -s, -m, -u, --status, --verify, --reset and --throttle is needed.');
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
