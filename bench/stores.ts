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
  // Not as an argument: sizes of many thousand folders are longer than one may be.
  const plan = path.join(all[0]!.path, `${names[0]}.json`);
  fs.writeFileSync(plan, JSON.stringify(options));
  const made = await runChild([process.execPath, ...process.execArgv, MAKE_STORE, plan]);
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

/** Of 4.x, a hash directory (4x-store.md, Layout). */
const MESSAGES_A_DIRECTORY = 100;

/** What one store takes before and after its migration, links counted once. */
function storeRoom(store: StorePlan): Room {
  const files = (store.messages / store.recipients) * (1 - store.singleCopy);
  const linked = linkedRoom(store);
  // The half of a block that a message wastes, an inode, names and the index of 4.x.
  const bytes = files * (meanSize(store) + BLOCK / 2 + 256) + store.messages * 512 + linked.bytes;
  return { bytes, inodes: files + linked.inodes };
}

/** `cat` changes nothing: where it alone competes, and once, it reads the store of the migration before that runs. */
export function sharesTree({ competitors, floors, conditions, migrations }: Part): boolean {
  const alone = competitors.every((name) => name === 'cat') && floors.length === 0;
  return alone && conditions.length === 1 && migrations.length === 1;
}

/** What a copy takes whose messages are links: names and directories, and the index that the floor writes. */
function linkedRoom({ messages, users, foldersEach }: StorePlan): Room {
  const blocks = users * foldersEach * BLOCKS_A_FOLDER;
  return { bytes: messages * 512 + blocks * BLOCK, inodes: messages / MESSAGES_A_DIRECTORY + blocks };
}

export interface Room {
  readonly bytes: number;
  readonly inodes: number;
}

const times = (count: number, { bytes, inodes }: Room): Room => ({ bytes: count * bytes, inodes: count * inodes });
const sum = (all: readonly Room[]): Room => ({
  bytes: all.reduce((total, { bytes }) => total + bytes, 0),
  inodes: all.reduce((total, { inodes }) => total + inodes, 0),
});

/**
 * Room for a part on each disk of a workspace, for all rounds that the workspace serves. What competitors, floors and `-r`
 * leave stays. A store that is reset is there once; messages that were copied count anew in each round, because blocks and
 * inodes just freed are not the first to be used again.
 */
export function partRoom(part: Part, rounds: number): { readonly disk: Room; readonly across: Room } {
  const one = times(1 / part.disks.length, storeRoom(part.store));
  const linked = times(1 / part.disks.length, linkedRoom(part.store));
  const runs = (across: boolean) =>
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
    disk: sum([times(stores + source + runs(false) * copies, one), times(runs(false) * links, linked)]),
    // The floor copies there.
    across: times(acrossStores * rounds + runs(true) * (copies + part.floors.length), one),
  };
}
