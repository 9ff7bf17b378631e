/** What `npm run bench` is asked to measure. */
import { parseArgs } from 'node:util';

export const HELP = `usage: npm run bench -- [options]

  --messages <n>       (100000)
  --size <bytes>       of each message (8192)
  --folders <n>        in all (50)
  --threads <n,…>      -t of upgrade, and threads of the floor (2)
  --rounds <n>         medians of so many rounds (3)
  --engines <list>     native,portable
  --competitors <list> of cp -a, cp -al, cat, rsync -a, floor (those that are installed)
  --cold               nothing is in memory when a measurement starts (root)
  --fs ext4|xfs|btrfs  a fresh loop file system each round (root; ext4)
  --image-dir <dir>    where the loop file system's image lies (/var/tmp)
  --dir <dir>          measure in this directory instead
  --json <file>        write the figures there as well
`;

export interface Settings {
  readonly messages: number;
  readonly size: number;
  readonly folders: number;
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly engines: readonly string[];
  /** undefined: all of them. */
  readonly competitors: readonly string[] | undefined;
  readonly cold: boolean;
  readonly fileSystem: 'ext4' | 'xfs' | 'btrfs';
  readonly imageDirectory: string;
  readonly directory: string | null;
  readonly json: string | null;
}

/** undefined: only help is asked for. Throws an Error for what cannot be meant. */
export function settingsOf(args: readonly string[]): Settings | undefined {
  const text = (value: string) => ({ type: 'string', default: value }) as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      messages: text('100000'),
      size: text('8192'),
      folders: text('50'),
      threads: text('2'),
      rounds: text('3'),
      engines: text('native,portable'),
      competitors: { type: 'string' },
      cold: { type: 'boolean', default: false },
      fs: text('ext4'),
      'image-dir': text('/var/tmp'),
      dir: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  return {
    messages: count('messages', values.messages),
    size: count('size', values.size),
    folders: count('folders', values.folders),
    threads: items(values.threads).map((threads) => count('threads', threads)),
    rounds: count('rounds', values.rounds),
    engines: items(values.engines).map((engine) => oneOf('engines', engine, ['native', 'portable'])),
    competitors: values.competitors === undefined ? undefined : items(values.competitors),
    cold: values.cold,
    fileSystem: oneOf('fs', values.fs, ['ext4', 'xfs', 'btrfs'] as const),
    imageDirectory: values['image-dir'],
    directory: values.dir ?? null,
    json: values.json ?? null,
  };
}

function items(list: string): string[] {
  return list
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function count(option: string, value: string): number {
  if (!/^[1-9]\d{0,9}$/.test(value)) throw new Error(`--${option}: ${value} is no number above 0`);
  return Number(value);
}

function oneOf<T extends string>(option: string, value: string, all: readonly T[]): T {
  const found = all.find((one) => one === value);
  if (found === undefined) throw new Error(`--${option}: ${value} is none of ${all.join(', ')}`);
  return found;
}
