/**
 * Single random changes of a migrated store, each with the way back. Only such that `--verify` must report: what no
 * verification can see (docs/operations.md, "Proof") is left out here, by name.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { open } from 'lmdb';
import type { Random } from '../../support/generate/random.js';
import type { Site } from '../support/kept-site.js';

export interface Mutation {
  /** What was done, for whoever repeats it. */
  readonly what: string;
  undo(): unknown;
}

/** Makes a mutation; undefined: not possible with what was drawn. */
export type Mutator = (ground: Ground, random: Random) => Mutation | undefined | Promise<Mutation | undefined>;

/** What there is to change. */
export interface Ground {
  readonly site: Site;
  readonly messages: readonly string[];
  readonly indexes: readonly string[];
  readonly directories: readonly string[];
  /** Files whose owner and mode are looked at. */
  readonly files: readonly string[];
  readonly databases: readonly Database[];
}

export interface Database {
  readonly file: string;
  readonly tables: readonly string[];
}

export function groundOf(site: Site): Ground {
  const all = site.partitions.flatMap((partition) => [partition, ...below(partition)]);
  const mailboxDirectory = site.stores[0]!;
  const instance = ['config/configdb', 'log/default/default', 'lock/__lock.share', 'store/mboxlist/mboxlist.mdb'];
  const work = fs
    .readdirSync(mailboxDirectory)
    .filter((name) => /^(?:__up\..*\.txt|__upfolder\.db|upgrade4x\.conf)$/.test(name));
  return {
    site,
    messages: all.filter((file) => file.endsWith('.msg')),
    indexes: all.filter((file) => file.endsWith('/store.idx')),
    directories: all.filter((file) => fs.statSync(file).isDirectory()),
    files: [
      ...all.filter((file) => fs.statSync(file).isFile()),
      ...instance.map((name) => path.join(site.instance, name)),
      ...work.map((name) => path.join(mailboxDirectory, name)),
    ],
    databases: [
      {
        file: path.join(site.instance, 'store/mboxlist/mboxlist.mdb'),
        tables: ['folder', 'quota', 'subscr', 'published'],
      },
      {
        file: path.join(mailboxDirectory, '__upfolder.db'),
        tables: ['meta', 'user', 'folder', 'mailbox', 'owned', 'record'],
      },
    ],
  };
}

function below(directory: string): string[] {
  return fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => path.join(directory, name));
}

/** Changes the content of a file in place; owner, mode, inode and times stay. */
function rewrite(file: string, change: (content: Buffer) => Buffer, what: string, reference: string): Mutation {
  const before = fs.readFileSync(file);
  spawnSync('touch', ['-r', file, reference]);
  const write = (content: Buffer): void => {
    fs.writeFileSync(file, content);
    spawnSync('touch', ['-r', reference, file]);
  };
  write(change(Buffer.from(before)));
  return { what: `${what} of ${file}`, undo: () => write(before) };
}

function reference({ site }: Ground): string {
  return path.join(site.root, 'times');
}

function move(from: string, to: string, what: string): Mutation {
  fs.renameSync(from, to);
  return { what, undo: () => fs.renameSync(to, from) };
}

function aside({ site }: Ground): string {
  return path.join(site.root, 'aside');
}

function flip(content: Buffer, random: Random): Buffer {
  const at = random.int(0, content.length - 1);
  content[at]! ^= random.int(1, 255);
  return content;
}

function owned(file: string): void {
  const { uid, gid } = fs.statSync(path.dirname(file));
  if (process.geteuid?.() === 0) fs.chownSync(file, uid, gid);
}

export const MUTATORS: Readonly<Record<string, Mutator>> = {
  'message byte': (ground, random) => {
    const file = random.pick(ground.messages);
    if (fs.statSync(file).size === 0) return undefined;
    return rewrite(file, (content) => flip(content, random), 'a byte', reference(ground));
  },
  'index byte': (ground, random) =>
    rewrite(random.pick(ground.indexes), (content) => flip(content, random), 'a byte', reference(ground)),
  'message cut or longer': (ground, random) => {
    const file = random.pick(ground.messages);
    const { size } = fs.statSync(file);
    if (size === 0) return undefined;
    const change = (content: Buffer): Buffer =>
      random.int(0, 1) === 0
        ? content.subarray(0, random.int(0, size - 1))
        : Buffer.concat([content, Buffer.from('x')]);
    return rewrite(file, change, 'the length', reference(ground));
  },
  'index cut': (ground, random) =>
    rewrite(
      random.pick(ground.indexes),
      (content) => content.subarray(0, random.int(0, content.length - 1)),
      'the length',
      reference(ground),
    ),
  'file removed': (ground, random) => {
    const file = random.pick([...ground.messages, ...ground.indexes]);
    return move(file, aside(ground), `removed ${file}`);
  },
  'directory removed': (ground, random) => {
    // A directory without a message or a mailbox in it means nothing.
    const file = path.dirname(random.pick([...ground.messages, ...ground.indexes]));
    return move(file, aside(ground), `removed ${file}`);
  },
  'messages swapped': (ground, random) => {
    const [a, b] = [random.pick(ground.messages), random.pick(ground.messages)];
    if (fs.readFileSync(a).equals(fs.readFileSync(b))) return undefined;
    return swap(ground, a, b);
  },
  'indexes swapped': (ground, random) => {
    const [a, b] = [random.pick(ground.indexes), random.pick(ground.indexes)];
    return a === b ? undefined : swap(ground, a, b);
  },
  'message in the place of another': (ground, random) => {
    const [a, b] = [random.pick(ground.messages), random.pick(ground.messages)];
    if (fs.readFileSync(a).equals(fs.readFileSync(b)) || fs.statSync(a).dev !== fs.statSync(b).dev) return undefined;
    const undone = move(b, aside(ground), '');
    fs.linkSync(a, b);
    return {
      what: `${a} linked in the place of ${b}`,
      undo() {
        fs.unlinkSync(b);
        undone.undo();
      },
    };
  },
  'message doubled': (ground, random) => {
    const file = random.pick(ground.messages);
    const uid = Number(path.basename(file, '.msg'));
    const twin = path.join(path.dirname(file), `${uid + 1}.msg`);
    if (fs.existsSync(twin)) return undefined;
    fs.linkSync(file, twin);
    return { what: `${file} doubled as ${twin}`, undo: () => fs.unlinkSync(twin) };
  },
  stray: (ground, random) => {
    const name = random.pick(['stray', '.new-7', 'store.idx.new', '=+gone', '7.msg', 'core', '\u00fc\n', 'store.idx~']);
    const stray = path.join(random.pick(ground.directories), name);
    if (fs.existsSync(stray)) return undefined;
    fs.writeFileSync(stray, 'x', { mode: 0o600 });
    owned(stray);
    return { what: `new file ${stray}`, undo: () => fs.unlinkSync(stray) };
  },
  mode: (ground, random) => {
    const file = random.pick([...ground.files, ...ground.directories]);
    const before = fs.statSync(file).mode & 0o7777;
    const after = before ^ (1 << random.int(0, 11));
    fs.chmodSync(file, after);
    return { what: `mode ${after.toString(8)} of ${file}`, undo: () => fs.chmodSync(file, before) };
  },
  owner: (ground, random) => {
    if (process.geteuid?.() !== 0) return undefined;
    const file = random.pick([...ground.files, ...ground.directories]);
    const { uid, gid } = fs.statSync(file);
    const mode = fs.statSync(file).mode & 0o7777;
    if (random.int(0, 1) === 0) fs.chownSync(file, 12_345, gid);
    else fs.chownSync(file, uid, 12_345);
    return {
      what: `owner of ${file}`,
      undo() {
        fs.chownSync(file, uid, gid);
        fs.chmodSync(file, mode);
      },
    };
  },
  'database value': (ground, random) => changeValue(ground, random, (value) => flip(value, random)),
  'database entry removed': (ground, random) => changeValue(ground, random, () => null),
};

function swap(ground: Ground, a: string, b: string): Mutation {
  const exchange = (): void => {
    fs.renameSync(a, aside(ground));
    fs.renameSync(b, a);
    fs.renameSync(aside(ground), b);
  };
  exchange();
  return { what: `${a} and ${b} swapped`, undo: exchange };
}

/** Fields by which nothing is decided any more once a folder is published (docs/operations.md, "Proof"). */
const WITHOUT_MEANING: Readonly<Record<string, readonly string[]>> = {
  folder: ['attempts', 'indexBytes', 'inode', 'migrated', 'uidvalidity', 'uidvalidityChosen', 'retrying'],
  meta: ['hostName', 'from', 'mailboxDirectory', 'serverUser', 'serverGroup', 'finished', 'id'],
};

async function changeValue(
  { databases }: Ground,
  random: Random,
  change: (value: Buffer) => Buffer | null,
): Promise<Mutation | undefined> {
  const { file, tables } = random.pick(databases);
  const table = random.pick(tables);
  const { key, before, after } = await withTable(file, table, async (database) => {
    const keys = [...database.getKeys()].map((found) => Buffer.from(found));
    const chosen = keys[random.int(0, Math.max(0, keys.length - 1))];
    const found = chosen === undefined ? undefined : database.get(chosen);
    if (chosen === undefined || found === undefined) return { key: undefined, before: undefined, after: null };
    const value = Buffer.from(found);
    return { key: chosen, before: value, after: change(Buffer.from(value)) };
  });
  if (key === undefined || before === undefined || isInvisible(table, before, after)) return undefined;
  const put = (value: Buffer | null): Promise<void> =>
    withTable(file, table, async (database) => {
      if (value === null) await database.remove(key);
      else await database.put(key, value);
    });
  await put(after);
  const shown = after === null ? 'removed' : `${JSON.stringify(after.toString('latin1').slice(0, 400))}`;
  return {
    what: `${path.basename(file)}, ${table}, ${JSON.stringify(key.toString('latin1'))}: ${shown}`,
    undo: () => put(before),
  };
}

async function withTable<T>(
  file: string,
  table: string,
  use: (database: {
    getKeys(): Iterable<Buffer>;
    get(key: Buffer): Buffer | undefined;
    put(key: Buffer, value: Buffer): Promise<unknown>;
    remove(key: Buffer): Promise<unknown>;
  }) => Promise<T>,
): Promise<T> {
  const root = open<Buffer, Buffer>(file, { noSubdir: true, maxDbs: 9, encoding: 'binary', keyEncoding: 'binary' });
  try {
    return await use(root.openDB<Buffer, Buffer>({ name: table, encoding: 'binary', keyEncoding: 'binary' }));
  } finally {
    await root.close();
  }
}

function isInvisible(table: string, before: Buffer, after: Buffer | null): boolean {
  // One byte that nobody reads.
  if (table === 'owned') return after !== null;
  if (table === 'quota') return after === null && /"limit":null,"usedBytes":0,"usedMessages":0/.test(before.toString());
  if (table === 'subscr') return after === null && before.toString('utf8', 1) === '[]';
  if (after === null || table === 'record') return false;
  const [a, b] = [fieldsOf(before), fieldsOf(after)];
  if (a === undefined || b === undefined) return false;
  const ignored = WITHOUT_MEANING[table] ?? [];
  const known = (fields: Record<string, unknown>): string =>
    JSON.stringify(Object.entries(fields).filter(([name]) => name in a && !ignored.includes(name)));
  // A field that may be absent, under another name: as if it were absent.
  const same = ignored.every(
    (name) => !(name in a) || name in b || name === 'uidvalidityChosen' || name === 'retrying',
  );
  return same && sameTypes(a, b) && known(a) === known(b);
}

/** A value of another type is damage wherever it is. */
function sameTypes(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  return Object.keys(a).every((name) => {
    if (!(name in b)) return true;
    const [x, y] = [a[name], b[name]];
    if (typeof x !== typeof y || (x === null) !== (y === null)) return false;
    if (name === 'inode') return /^\d{1,20}$/.test(String(y));
    return typeof y !== 'number' || (Number.isSafeInteger(y) && (y >= 0 || name === 'finished'));
  });
}

function fieldsOf(value: Buffer): Record<string, unknown> | undefined {
  if (value[0] !== 1) return undefined;
  try {
    const fields = JSON.parse(value.toString('utf8', 1)) as unknown;
    return typeof fields === 'object' && fields !== null && !Array.isArray(fields)
      ? (fields as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
