/**
 * Ready-made cases with their bars: what issue 4 asks of the mover ("Saturate the disks", table of bars). A check is
 * computed within each round; its median is held against the limit.
 */

import type { StorePlan } from './plan.js';
import {
  type Conditions,
  inFolders,
  type Migration,
  messagesRow,
  type Part,
  PLAIN_STORE,
  type Sample,
} from './plan.js';
import { diskOf } from './throttle.js';

export interface Check {
  readonly text: string;
  readonly unit: '×' | 's' | 'MB' | '%';
  readonly limit: { readonly atMost: number } | { readonly atLeast: number } | { readonly below: number };
  value(find: Find): number;
}

/** The sample of a part in this round, by the name of its row. */
export type Find = (part: string, row: string) => Sample;

export interface Case {
  readonly name: string;
  readonly title: string;
  /** As the issue words it. */
  readonly bar: string;
  readonly disks: number;
  /** Cold or limited disks need root. */
  readonly needsRoot: boolean;
  readonly parts: readonly Part[];
  readonly checks: readonly Check[];
}

const WARM: Conditions = { cold: false, across: false };
const COLD: Conditions = { cold: true, across: false };
const NATIVE_2: Migration = { ...WARM, engine: 'native', threads: 2, remove: false };
const ROW = messagesRow(NATIVE_2);
const FLOOR_2 = 'floor, 2 threads';
const FIFTY = '50 folders';

/** @param scale share of the messages; folders shrink with them where their number is the point of the case */
export function allCases(scale: number): readonly Case[] {
  const some = (messages: number, least = 1) => Math.max(least, Math.round(messages * scale));
  const plain = (messages: number, folders: number, more: Partial<StorePlan> = {}): StorePlan => ({
    ...PLAIN_STORE,
    ...inFolders(folders),
    messages: some(messages),
    ...more,
  });
  const part = (name: string, store: StorePlan, more: Partial<Part> = {}): Part => ({
    name,
    store,
    disks: [0],
    competitors: [],
    floors: [],
    conditions: [WARM],
    migrations: [NATIVE_2],
    ...more,
  });
  const fifty = part(FIFTY, plain(100_000, 50));
  return [
    {
      name: 'folders-50',
      title: '100,000 × 8 KB in 50 folders, warm, -t 2',
      bar: 'no slower than cp -al; ≤ 0.75 × cat; ≥ 5 × as fast as cp -a, ≥ 7 × rsync -a',
      ...ONE_DISK,
      parts: [{ ...fifty, competitors: ['cat', 'cp -al', 'cp -a', 'rsync -a'], floors: [2] }],
      checks: [
        against(FIFTY, 'cp -al', { atMost: 1 }),
        against(FIFTY, 'cat', { atMost: 0.75 }),
        fasterThan(FIFTY, 'cp -a', 5),
        fasterThan(FIFTY, 'rsync -a', 7),
      ],
    },
    {
      name: 'floor-400k',
      title: '400,000 × 8 KB against the floor loop with the same threads',
      bar: '≤ 1.25 × the floor; faster than cp -al, ≤ 0.55 × cat',
      ...ONE_DISK,
      parts: [part('400,000', plain(400_000, 200), { competitors: ['cat', 'cp -al'], floors: [2] })],
      checks: [
        against('400,000', FLOOR_2, { atMost: 1.25 }),
        against('400,000', 'cp -al', { below: 1 }),
        against('400,000', 'cat', { atMost: 0.55 }),
      ],
    },
    coldCase(part('cold', plain(100_000, 50))),
    {
      name: 'attachments',
      title: '6 GB with a tail of 1–20 MB attachments, warm, -t 2',
      bar: '≤ 0.7 × cat of the same files',
      ...ONE_DISK,
      parts: [part('6 GB', plain(22_500, 50, { sizes: 'mail', attachments: 0.04 }), { competitors: ['cat'] })],
      checks: [against('6 GB', 'cat', { atMost: 0.7 })],
    },
    {
      name: 'one-folder',
      title: 'one folder of 1,000,000 messages, -t 2',
      bar: 'within 1.2 × the per-message time of the 50-folder case; anonymous memory under 600 MB',
      ...ONE_DISK,
      parts: [fifty, part('one folder', plain(1_000_000, 1))],
      checks: [eachAgainst('one folder', FIFTY, 1.2), memory('one folder', ROW, 600)],
    },
    {
      name: 'tiny-folders',
      title: '10,000 folders of 10 messages, half of all uids deleted',
      bar: '≤ 2 × the per-message time of the 50-folder case',
      ...ONE_DISK,
      parts: [fifty, part('tiny', plain(100_000, some(10_000, 5), { gaps: 0.5 }))],
      checks: [eachAgainst('tiny', FIFTY, 2)],
    },
    {
      name: 'single-copy',
      title: 'single-copy store, 100,000 names, 20 recipients a message',
      bar: 'parses each inode once; no extra blocks used on disk',
      ...ONE_DISK,
      parts: [part('single copy', plain(100_000, 0, { users: 200, foldersEach: 1, recipients: 20 }), { audit: true })],
      checks: [
        {
          text: 'bytes read, as a multiple of those of all inodes (without code, databases, .mailbox)',
          unit: '×',
          limit: { atMost: 1.2 },
          value: (find) => find('single copy', ROW).extra.readShare ?? Number.NaN,
        },
        {
          text: 'blocks of new message files',
          unit: 'MB',
          limit: { atMost: 0 },
          value: (find) => (find('single copy', ROW).extra.newMessageBytes ?? Number.NaN) / 1e6,
        },
      ],
    },
    throttledCase(plain(50_000, 50), plain(100_000, 100)),
    scalingCase((messages, folders) => plain(messages, folders), some),
    {
      name: 'users',
      title: 'upgrade -s for 100,000 users and 400,000 folders from LDIF',
      bar: 'under 60 s, under 500 MB',
      ...ONE_DISK,
      parts: [
        part('users', plain(0, 0, { messages: 0, users: some(100_000), foldersEach: 4 }), {
          foldersOnly: true,
          migrations: [],
        }),
      ],
      checks: [
        {
          text: 'upgrade -s',
          unit: 's',
          limit: { below: 60 },
          value: (find) => find('users', 'upgrade -s').seconds,
        },
        memory('users', 'upgrade -s', 500),
      ],
    },
    threadsCase((threads) => part(`-t ${threads}`, plain(400_000, 200), { migrations: [{ ...NATIVE_2, threads }] })),
    {
      name: 'portable',
      title: 'the portable engine, 100,000 × 8 KB in 50 folders, warm, -t 2',
      bar: 'at most 6 × slower than native',
      ...ONE_DISK,
      parts: [{ ...fifty, migrations: [NATIVE_2, { ...NATIVE_2, engine: 'portable' }] }],
      checks: [
        ratio('portable / native', { atMost: 6 }, (find) => [
          find(FIFTY, messagesRow({ ...NATIVE_2, engine: 'portable' })).seconds,
          find(FIFTY, ROW).seconds,
        ]),
      ],
    },
  ];
}

const ONE_DISK = { disks: 1, needsRoot: false } as const;

function coldCase(part: Part): Case {
  const migration: Migration = { ...NATIVE_2, ...COLD, threads: null };
  const own = messagesRow(migration);
  return {
    name: 'cold',
    title: '100,000 × 8 KB in 50 folders, cold (page cache dropped), default threads',
    bar: '≥ 4 × as fast as cat of the same tree cold; no slower than cp -al cold',
    disks: 1,
    needsRoot: true,
    parts: [{ ...part, competitors: ['cat', 'cp -al'], conditions: [COLD], migrations: [migration] }],
    checks: [
      ratio('cat, cold / upgrade -m', { atLeast: 4 }, (find) => [
        find(part.name, 'cat, cold').seconds,
        find(part.name, own).seconds,
      ]),
      ratio('upgrade -m / cp -al, cold', { atMost: 1 }, (find) => [
        find(part.name, own).seconds,
        find(part.name, 'cp -al, cold').seconds,
      ]),
    ],
  };
}

/** One disk reads at most a tenth of what the other was seen to read, by cgroup. */
function throttledCase(one: StorePlan, two: StorePlan): Case {
  const migration: Migration = { ...NATIVE_2, ...COLD, threads: null };
  const own = messagesRow(migration);
  const base = { competitors: [], floors: [], conditions: [COLD], migrations: [migration] };
  const limit: NonNullable<Part['limit']> = (earlier, disks) => {
    const seen = earlier.find((sample) => sample.part === 'fast alone' && sample.name === own);
    const device = disks[1]?.device;
    if (seen === undefined || device === undefined || device === null || seen.disks[0] === undefined) {
      throw new Error('the disks of this case must be block devices');
    }
    if (disks[0]?.device && diskOf(disks[0].device) === diskOf(device)) {
      throw new Error('the two directories of this case lie on one disk: limiting one would limit both');
    }
    return { device, bytesPerSecond: seen.disks[0].readBytes / seen.seconds / 10 };
  };
  return {
    name: 'throttled',
    title: 'two disks, cold, one throttled to a tenth of the other; 50,000 × 8 KB on each',
    bar: 'total time ≤ 1.1 × the slower disk alone',
    disks: 2,
    needsRoot: true,
    parts: [
      { ...base, name: 'fast alone', store: one, disks: [0] },
      { ...base, name: 'slow alone', store: one, disks: [1], limit },
      { ...base, name: 'both', store: two, disks: [0, 1], limit },
    ],
    checks: [
      ratio('both / the slower alone', { atMost: 1.1 }, (find) => [
        find('both', own).seconds,
        find('slow alone', own).seconds,
      ]),
    ],
  };
}

function scalingCase(
  plain: (messages: number, folders: number) => StorePlan,
  some: (messages: number) => number,
): Case {
  const sizes = [10_000, 100_000, 1_000_000];
  const name = (messages: number) => messages.toLocaleString('en-US');
  const parts = sizes.map(
    (messages): Part => ({
      name: name(messages),
      // As many messages a folder at each size.
      store: plain(messages, Math.max(1, Math.round(some(messages) / 2000))),
      disks: [0],
      competitors: [],
      floors: [],
      conditions: [WARM],
      migrations: [NATIVE_2],
    }),
  );
  const each = (find: Find, messages: number) => perMessage(find(name(messages), ROW));
  return {
    name: 'scaling',
    title: '10^4, 10^5, 10^6 messages of 8 KB, 2,000 a folder, warm, -t 2',
    bar: 'time per message flat within 1.2 ×, memory flat',
    ...ONE_DISK,
    parts,
    checks: [
      ratio('time a message: highest / lowest of the three', { atMost: 1.2 }, (find) => {
        const all = sizes.map((messages) => each(find, messages));
        return [Math.max(...all), Math.min(...all)];
      }),
      ratio('time a message: 10^6 / 10^5', { atMost: 1.2 }, (find) => [each(find, 1_000_000), each(find, 100_000)]),
      ratio('anonymous memory: 10^6 / 10^5', { atMost: 1.2 }, (find) => [
        find(name(1_000_000), ROW).peakAnonymous,
        find(name(100_000), ROW).peakAnonymous,
      ]),
    ],
  };
}

function threadsCase(part: (threads: number) => Part): Case {
  const all = [1, 2, 4, 8];
  const seconds = (find: Find, threads: number) => find(`-t ${threads}`, messagesRow({ ...NATIVE_2, threads })).seconds;
  return {
    name: 'threads',
    title: '400,000 × 8 KB, -t 1, 2, 4, 8, warm',
    bar: '-t 2 to -t 8 never slower than the best of them by more than 1.15 ×; -t 1 to -t 2 scales by at least 1.7',
    ...ONE_DISK,
    parts: all.map(part),
    checks: [
      ratio('slowest / fastest of -t 2, 4, 8', { atMost: 1.15 }, (find) => {
        const several = all.slice(1).map((threads) => seconds(find, threads));
        return [Math.max(...several), Math.min(...several)];
      }),
      ratio('-t 1 / -t 2', { atLeast: 1.7 }, (find) => [seconds(find, 1), seconds(find, 2)]),
    ],
  };
}

function ratio(text: string, limit: Check['limit'], pair: (find: Find) => readonly [number, number]): Check {
  return {
    text,
    unit: '×',
    limit,
    value: (find) => {
      const [one, other] = pair(find);
      return one / other;
    },
  };
}

function against(part: string, row: string, limit: Check['limit']): Check {
  return ratio(`upgrade -m / ${row}`, limit, (find) => [find(part, ROW).seconds, find(part, row).seconds]);
}

function fasterThan(part: string, row: string, times: number): Check {
  return ratio(`${row} / upgrade -m`, { atLeast: times }, (find) => [find(part, row).seconds, find(part, ROW).seconds]);
}

function eachAgainst(part: string, other: string, limit: number): Check {
  return ratio(`time a message: ${part} / ${other}`, { atMost: limit }, (find) => [
    perMessage(find(part, ROW)),
    perMessage(find(other, ROW)),
  ]);
}

function memory(part: string, row: string, megabytes: number): Check {
  return {
    text: `anonymous memory of ${row}`,
    unit: 'MB',
    limit: { below: megabytes },
    value: (find) => find(part, row).peakAnonymous / 1e6,
  };
}

function perMessage({ seconds, messages }: Sample): number {
  return seconds / messages;
}
