/** What `msg-bench` is asked to measure. */
import { parseArgs } from 'node:util';
import { COMPETITORS } from './competitors.js';
import type { FileSystem } from './filesystem.js';
import type { Engine } from './plan.js';

export const HELP = `usage: msg-bench [options]          in a checkout also: npm run bench -- [options]

Measures upgrade -m on this machine beside cp, cat, rsync and the floor that the machine sets. What a round
compares has been measured in that round; figures are medians of the rounds, with the lowest and the highest.
Disks are made once; after the first round stores are reset and migrated again. Without room for the copies of all
rounds, disks are made anew in each round, and the report says so.

Where (one of them; without any: --fs ext4 as root)
  --dir <dir>          a directory on the disk to measure; repeatable, one store path on each; what is made there is
                       removed at the end
  --partition-dir <dir>  partitions lie here, on another file system than --dir; repeatable, one for each --dir in turn
  --fs ext4|xfs|btrfs  loop file systems, made for this run (root)
  --disks <n>          so many of them (1)
  --across             with --fs: others for the partitions, besides
  --image-dir <dir>    where the images of loop file systems lie (/var/tmp)

The store, made by seed
  --seed <text>        (bench)
  --messages <n>       (100000)
  --folders <n>        in all (50)
  --spread even|giant|natural   messages of a folder: the same; half of all in one; a few hold most (even)
  --size <bytes>       of each message (8192)
  --sizes fixed|mail   mail: sizes around --size, and attachments of 1 to 20 MiB (fixed)
  --attachments <x>    share of messages with such an attachment (0.02)
  --gaps <x>           share of messages that were deleted: their uids are missing
  --recipients <n>     single-copy: every message lies in n mailboxes, one inode (1)
  --bare-lf <x>        share of messages that must be rewritten (0)

A given store instead
  --like <path>        the shape of this 3.x instance or store path, which is only read; repeatable. Makes small stores
                       of that shape, and predicts how long the migration of the given one takes, with a range
  --like-messages <n>  messages of the largest of them (50000)

What is measured
  --engines <list>     native,portable (with --like: native)
  --threads <n,…>      -t of upgrade, and threads of the floor (2)
  --competitors <list> of cat, cp -al, cp -a, rsync -a, floor (those that are installed)
  --warm, --cold       everything is in memory; nothing is (root). Both may be given (warm; with --like: cold as root)
  --remove             -r besides, with the first number of threads
  --rounds <n>         medians of so many rounds (3; of cases 5)

Ready-made cases, each with a bar that it must reach
  --case <name>        repeatable; "list" prints them, "all" runs all
  --scale <x>          with so much of the case's messages, to try it: says no "reached" then

Results
  --json <file>        all figures (docs/benchmark.md has the fields)
  --html <file>        one page with plots; needs nothing else
  --help

Exit codes: 0 measured (and every bar reached), 1 a bar was not reached or the benchmark failed, 2 wrong usage.
`;

export interface Settings {
  readonly directories: readonly string[];
  readonly partitionDirectories: readonly string[];
  readonly fileSystem: FileSystem;
  readonly disks: number;
  readonly across: boolean;
  readonly imageDirectory: string;
  readonly seed: string;
  readonly messages: number;
  readonly folders: number;
  readonly spread: 'even' | 'giant' | 'natural';
  readonly size: number;
  readonly sizes: 'fixed' | 'mail';
  readonly attachments: number;
  readonly gaps: number | null;
  readonly recipients: number;
  readonly bareLf: number;
  readonly like: readonly string[];
  readonly likeMessages: number;
  readonly engines: readonly Engine[];
  readonly threads: readonly number[];
  /** undefined: all of them. */
  readonly competitors: readonly string[] | undefined;
  /** Cold or not, each that is measured. */
  readonly cold: readonly boolean[];
  readonly remove: boolean;
  readonly rounds: number;
  readonly cases: readonly string[];
  readonly scale: number;
  readonly json: string | null;
  readonly html: string | null;
}

const YARDSTICKS = [...COMPETITORS.map(({ name }) => name), 'floor'];

/** Wrong usage: exit code 2. */
export class UsageError extends Error {}

const text = { type: 'string' } as const;
const many = { type: 'string', multiple: true } as const;
const flag = { type: 'boolean', default: false } as const;

export const OPTIONS = {
  dir: many,
  'partition-dir': many,
  fs: text,
  disks: text,
  across: flag,
  'image-dir': text,
  seed: text,
  messages: text,
  folders: text,
  spread: text,
  size: text,
  sizes: text,
  attachments: text,
  gaps: text,
  recipients: text,
  'bare-lf': text,
  like: many,
  'like-messages': text,
  engines: text,
  threads: text,
  competitors: text,
  warm: flag,
  cold: flag,
  remove: flag,
  rounds: text,
  case: many,
  scale: text,
  json: text,
  html: text,
  help: flag,
} as const;

type Option = keyof typeof OPTIONS;

const CONTENT: readonly Option[] = ['size', 'sizes', 'attachments', 'gaps', 'recipients', 'bare-lf'];
const STORE: readonly Option[] = ['messages', 'folders', 'spread', ...CONTENT];
const MEASURED: readonly Option[] = ['engines', 'threads', 'competitors', 'warm', 'cold', 'remove'];
const PLACES: readonly Option[] = ['disks', 'across', 'partition-dir'];

/** What an option would choose is given by another one: it would do nothing. */
const IDLE: readonly {
  readonly when: (settings: Settings) => boolean;
  readonly idle: readonly Option[];
  readonly why: string;
}[] = [
  {
    when: ({ cases }) => cases.length > 0,
    idle: [...STORE, 'seed', ...MEASURED, ...PLACES, 'like-messages'],
    why: 'a --case has its own',
  },
  { when: ({ like }) => like.length > 0, idle: STORE, why: '--like takes it from the given store' },
  { when: ({ like }) => like.length === 0, idle: ['like-messages'], why: 'it is for --like' },
  { when: ({ cases }) => cases.length === 0, idle: ['scale'], why: 'it is for --case' },
  {
    when: ({ directories }) => directories.length > 0,
    idle: ['disks', 'image-dir'],
    why: 'it is for loop file systems, and --dir names directories',
  },
  { when: ({ sizes }) => sizes === 'fixed', idle: ['attachments'], why: 'it needs --sizes mail' },
];

/** undefined: only help is asked for. Throws a UsageError for what cannot be meant. */
export function settingsOf(args: readonly string[], isRoot = process.geteuid?.() === 0): Settings | undefined {
  const values = parsed(args);
  if (values.help) return undefined;
  const like = values.like ?? [];
  const cases = values.case ?? [];
  const settings: Settings = {
    directories: values.dir ?? [],
    partitionDirectories: values['partition-dir'] ?? [],
    fileSystem: oneOf('fs', values.fs, ['ext4', 'xfs', 'btrfs'] as const, 'ext4'),
    disks: count('disks', values.disks, 1),
    across: values.across || values['partition-dir'] !== undefined,
    imageDirectory: values['image-dir'] ?? '/var/tmp',
    seed: values.seed ?? 'bench',
    messages: count('messages', values.messages, 100_000),
    folders: count('folders', values.folders, 50),
    spread: oneOf('spread', values.spread, ['even', 'giant', 'natural'] as const, 'even'),
    size: count('size', values.size, 8192),
    sizes: oneOf('sizes', values.sizes, ['fixed', 'mail'] as const, 'fixed'),
    attachments: share('attachments', values.attachments, 0.02),
    gaps: values.gaps === undefined ? null : share('gaps', values.gaps, 0),
    recipients: count('recipients', values.recipients, 1),
    bareLf: share('bare-lf', values['bare-lf'], 0),
    like,
    likeMessages: count('like-messages', values['like-messages'], 50_000),
    engines: items(values.engines ?? (like.length > 0 ? 'native' : 'native,portable')).map((engine) =>
      oneOf('engines', engine, ['native', 'portable'] as const, 'native'),
    ),
    threads: items(values.threads ?? '2').map((threads) => count('threads', threads, 2)),
    competitors: values.competitors === undefined ? undefined : items(values.competitors),
    cold: temperatures(values, like.length > 0 && isRoot),
    remove: values.remove,
    rounds: count('rounds', values.rounds, cases.length > 0 ? 5 : 3),
    cases,
    scale: positive('scale', values.scale, 1),
    json: values.json ?? null,
    html: values.html ?? null,
  };
  checkIdle(settings, values);
  check(settings, { fs: values.fs !== undefined, isRoot });
  return settings;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function temperatures({ warm, cold }: { warm: boolean; cold: boolean }, coldFirst: boolean): boolean[] {
  if (!warm && !cold) return [coldFirst];
  return [...(warm ? [false] : []), ...(cold ? [true] : [])];
}

function checkIdle(settings: Settings, values: ReturnType<typeof parsed>): void {
  for (const { when, idle, why } of IDLE) {
    const option = idle.find((one) => values[one] !== undefined && values[one] !== false);
    if (option !== undefined && when(settings)) throw new UsageError(`--${option} chooses nothing here: ${why}`);
  }
}

function check(settings: Settings, { fs, isRoot }: { readonly fs: boolean; readonly isRoot: boolean }): void {
  const named = settings.directories.length > 0;
  if (named && fs) throw new UsageError('--dir and --fs are two answers to one question: name one of them');
  if (named && settings.across && settings.partitionDirectories.length === 0) {
    throw new UsageError('--across with --dir: name the other file system with --partition-dir');
  }
  if (!named && settings.partitionDirectories.length > 0) throw new UsageError('--partition-dir needs --dir');
  if (!named && !isRoot && !settings.cases.includes('list')) {
    throw new UsageError('A loop file system needs root; name a directory with --dir');
  }
  if (settings.cold.includes(true) && !isRoot) throw new UsageError('--cold needs root: it empties the page cache');
  if (settings.cases.length > 0 && settings.like.length > 0) throw new UsageError('--case and --like: one at a time');
  const unknown = settings.competitors?.find((name) => !YARDSTICKS.includes(name));
  if (unknown !== undefined) throw new UsageError(`--competitors: ${unknown} is none of ${YARDSTICKS.join(', ')}`);
  if (settings.gaps === 1) throw new UsageError('--gaps: not all messages can be deleted');
  if (settings.engines.length === 0 || settings.threads.length === 0) {
    throw new UsageError('--engines and --threads need at least one each');
  }
}

function items(list: string): string[] {
  return list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function count(option: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!/^[1-9]\d{0,9}$/.test(value)) throw new UsageError(`--${option}: ${value} is no whole number above 0`);
  return Number(value);
}

function positive(option: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (!(number > 0)) throw new UsageError(`--${option}: ${value} is no number above 0`);
  return number;
}

function share(option: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = value.trim() === '' ? Number.NaN : Number(value);
  if (!(number >= 0 && number <= 1)) throw new UsageError(`--${option}: ${value} is no share from 0 to 1`);
  return number;
}

function oneOf<T extends string>(option: string, value: string | undefined, all: readonly T[], otherwise: T): T {
  if (value === undefined) return otherwise;
  const found = all.find((one) => one === value);
  if (found === undefined) throw new UsageError(`--${option}: ${value} is none of ${all.join(', ')}`);
  return found;
}
