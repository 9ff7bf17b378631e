/** Makes the 3.x stores of a part, and says how much room the part takes. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Installation } from '../test/support/generate/index.js';
import { meanOfMail } from '../test/support/generate/sizes.js';
import { runChild } from './children.js';
import { COMPETITORS, type Competitor } from './competitors.js';
import type { Disk } from './filesystem.js';
import type { Part, StorePlan } from './plan.js';

/** The same sources through tsx, or compiled. */
const MAKE_STORE = fileURLToPath(new URL(`make-store${path.extname(import.meta.url)}`, import.meta.url));

export interface MadeStore {
  readonly installation: Installation;
  /** Store paths, each with the disk that it lies on. */
  readonly trees: readonly { readonly path: string; readonly disk: Disk }[];
}

/** By name, each on the disks of the part; the 3.x instance and the LDIF lie on the first disk of all. */
export async function makeStores(all: readonly Disk[], part: Part, names: readonly string[]): Promise<MadeStore[]> {
  const trees = names.map((name) => treesOf(all, part, name));
  const options = names.map((name, i) => {
    const { users, foldersEach: folders, ...shape } = part.store;
    const sound = { damage: 0, hostileNames: 0, manifest: false } as const;
    const storePaths = trees[i]!.map((tree) => tree.path);
    return { ...shape, ...sound, root: path.join(all[0]!.path, name), users, folders, storePaths };
  });
  const made = await runChild([process.execPath, ...process.execArgv, MAKE_STORE, JSON.stringify(options)]);
  if (made.status !== 0) throw new Error(`the stores could not be made: ${made.stderr.trim()}`);
  const installations = JSON.parse(made.stdout) as Installation[];
  return installations.map((installation, i) => ({ installation, trees: trees[i]! }));
}

function treesOf(all: readonly Disk[], part: Part, name: string): MadeStore['trees'] {
  return part.disks.map((number) => {
    const disk = all[number];
    if (disk === undefined) throw new Error(`${part.name} needs ${number + 1} disks: --disks, or more --dir`);
    const home = path.join(disk.path, name);
    fs.mkdirSync(home, { recursive: true });
    // The server account must be able to pass.
    fs.chmodSync(home, 0o755);
    return { path: path.join(home, `disk${number + 1}`, `mail${number + 1}`), disk };
  });
}

export function meanSize({ sizes, size, attachments, sizeClasses }: StorePlan): number {
  if (sizes === 'fixed') return size;
  if (sizes === 'mail') return meanOfMail(size, attachments);
  const weights = sizeClasses.reduce((sum, { weight }) => sum + weight, 0);
  return sizeClasses.reduce((sum, { low, high, weight }) => sum + ((low + high) / 2) * weight, 0) / weights;
}

const BLOCK = 4096;
/** Blocks of a folder: directory, index, lock, lists, and of hash directories. */
const BLOCKS_A_FOLDER = 8;

/** Bytes of disk that one store takes, links counted once. */
export function storeBytes(store: StorePlan): number {
  const inodes = (store.messages / store.recipients) * (1 - store.singleCopy);
  const folders = store.users * store.foldersEach;
  // Names, links and an inode each, the index of 4.x, and the half of a block that a message wastes.
  return inodes * (meanSize(store) + BLOCK / 2 + 256) + store.messages * 1024 + folders * BLOCKS_A_FOLDER * BLOCK;
}

/** `cat` changes nothing: where it alone competes, and once, it reads the store of the migration before that runs. */
export function sharesTree({ competitors, floors, conditions, migrations }: Part): boolean {
  const alone = competitors.every((name) => name === 'cat') && floors.length === 0;
  return alone && conditions.length === 1 && migrations.length === 1;
}

/** Bytes of disk that a copy takes whose messages are links: names and directories, and the index that the floor writes. */
function linkedBytes({ messages, users, foldersEach }: StorePlan): number {
  return messages * 512 + users * foldersEach * BLOCKS_A_FOLDER * BLOCK;
}

/**
 * Room for a part on each disk of a workspace, bytes, for all rounds that the workspace serves. What competitors, floors
 * and `-r` leave stays. A store that is reset is there once; messages that were copied count anew in each round, because
 * blocks and inodes just freed are not the first to be used again.
 */
export function partBytes(part: Part, rounds: number): { readonly disk: number; readonly across: number } {
  const one = storeBytes(part.store) / part.disks.length;
  const linked = linkedBytes(part.store) / part.disks.length;
  const times = (across: boolean) =>
    rounds * part.conditions.filter((conditions) => conditions.across === across).length;
  const count = (does: Competitor['does']) =>
    COMPETITORS.filter((one) => one.does === does && part.competitors.includes(one.name)).length;
  const copies = count('copy');
  const links = count('link') + part.floors.length;
  const competes = part.competitors.length + part.floors.length > 0;
  const source = competes && !sharesTree(part) ? 1 : 0;
  const removed = part.migrations.filter(({ remove }) => remove).length;
  const stores = part.foldersOnly ? 1 : part.migrations.length + removed * (rounds - 1);
  const acrossStores = part.migrations.filter(({ across }) => across).length;
  return {
    disk: one * (stores + source + times(false) * copies) + linked * times(false) * links,
    // The floor copies there.
    across: one * (acrossStores * rounds + times(true) * (copies + part.floors.length)),
  };
}
