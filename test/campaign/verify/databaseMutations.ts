/**
 * Changes of the values of both databases. Left out, because nothing is decided by them: the one byte of an `owned`
 * entry, and the fields below. Left out, because the 3.x files are the only other witness and may be replaced or gone:
 * a migration record that was written anew with a check that fits.
 */
import * as path from 'node:path';
import { open } from 'lmdb';
import { decodeValue, encodeValue } from '../../../src/store/values.js';
import type { Random } from '../../support/generate/random.js';
import { flip, type Ground, type Mutation, type Mutator } from './ground.js';

/** One entry of a table. */
interface Entry {
  readonly file: string;
  readonly table: string;
  readonly key: Buffer;
  readonly value: Buffer;
}

export const DATABASE_MUTATORS: Readonly<Record<string, Mutator>> = {
  'database value': (ground, random) =>
    changeOne(ground, random, ({ table, value }) => (table === 'owned' ? undefined : flip(Buffer.from(value), random))),
  'database value cut': (ground, random) =>
    changeOne(ground, random, ({ table, value }) =>
      table === 'owned' ? undefined : value.subarray(0, random.int(0, value.length - 1)),
    ),
  'database entry removed': (ground, random) =>
    changeOne(ground, random, (entry) => (isEmpty(entry) ? undefined : null)),
  'database field': (ground, random) =>
    changeOne(ground, random, ({ table, value }) =>
      table === 'owned' || table === 'record' ? undefined : changeField(table, value, random),
    ),
  'database values exchanged': async (ground, random) => {
    const entries = await entriesOf(ground, random);
    if (entries.length < 2) return undefined;
    const [a, b] = [random.pick(entries), random.pick(entries)];
    // The mapping may have two folders without a message: their records are the same but for uidvalidity.
    if (a.value.equals(b.value)) return undefined;
    await put([
      [a, b.value],
      [b, a.value],
    ]);
    return {
      what: `${name(a)} and ${name(b)} exchanged`,
      undo: () =>
        put([
          [a, a.value],
          [b, b.value],
        ]),
    };
  },
};

/** As good as no entry. */
function isEmpty({ table, value }: Entry): boolean {
  const text = value.toString('latin1');
  if (table === 'quota') return text.includes('"limit":null,"usedBytes":0,"usedMessages":0');
  return table === 'subscr' && text.endsWith('[]');
}

async function changeOne(
  ground: Ground,
  random: Random,
  change: (entry: Entry) => Buffer | null | undefined,
): Promise<Mutation | undefined> {
  const entries = await entriesOf(ground, random);
  if (entries.length === 0) return undefined;
  const entry = random.pick(entries);
  const after = change(entry);
  if (after === undefined || after?.equals(entry.value) === true) return undefined;
  await put([[entry, after]]);
  const shown = after === null ? 'removed' : JSON.stringify(after.toString('latin1').slice(0, 400));
  return { what: `${name(entry)}: ${shown}`, undo: () => put([[entry, entry.value]]) };
}

function name({ file, table, key }: Entry): string {
  return `${path.basename(file)}, ${table}, ${JSON.stringify(key.toString('latin1'))}`;
}

/** All entries of one table. */
async function entriesOf({ databases }: Ground, random: Random): Promise<Entry[]> {
  const { file, tables } = random.pick(databases);
  const table = random.pick(tables);
  const root = openFile(file);
  try {
    const database = root.openDB<Buffer, Buffer>({ name: table, encoding: 'binary', keyEncoding: 'binary' });
    const keys = [...database.getKeys()].map((key) => Buffer.from(key));
    return keys.map((key) => ({ file, table, key, value: Buffer.from(database.get(key)!) }));
  } finally {
    await root.close();
  }
}

/** All of one table. */
async function put(changes: readonly (readonly [Entry, Buffer | null])[]): Promise<void> {
  const { file, table } = changes[0]![0];
  const root = openFile(file);
  try {
    const database = root.openDB<Buffer, Buffer>({ name: table, encoding: 'binary', keyEncoding: 'binary' });
    for (const [{ key }, value] of changes) {
      if (value === null) await database.remove(key);
      else await database.put(key, value);
    }
  } finally {
    await root.close();
  }
}

function openFile(file: string) {
  return open<Buffer, Buffer>(file, { noSubdir: true, maxDbs: 9, encoding: 'binary', keyEncoding: 'binary' });
}

/**
 * Fields by which nothing is decided any more once a folder is published (docs/operations.md, "Proof"); of `missing`
 * and `sourcesRemoved` one value means something, and those have tests of their own. The next id may skip some.
 */
const WITHOUT_MEANING: Readonly<Record<string, readonly string[]>> = {
  folder: ['attempts', 'indexBytes', 'inode', 'migrated', 'uidvalidity', 'missing', 'sourcesRemoved'],
  meta: ['finished', 'id'],
};

/** Writes a value anew with another content of one field, and a check that fits. */
function changeField(table: string, value: Buffer, random: Random): Buffer | undefined {
  const content = decodeValue(value, table, (decoded) => decoded);
  // Both databases have a table `folder`.
  const ignored = 'acl' in asObject(content) ? [] : WITHOUT_MEANING[table];
  const fields = leaves(content).filter(([first]) => !(ignored ?? []).includes(String(first)));
  if (fields.length === 0) return typeof content === 'string' ? encodeValue(another(content, random)) : undefined;
  const chosen = random.pick(fields);
  const changed: unknown = structuredClone(content);
  let at = changed as Record<string, unknown>;
  for (const part of chosen.slice(0, -1)) at = at[part] as Record<string, unknown>;
  const last = chosen.at(-1)!;
  at[last] = another(at[last], random);
  return encodeValue(changed);
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

/** Paths to everything that is neither object nor array. */
function leaves(value: unknown, before: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return before.length === 0 ? [] : [[...before]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...before, key]));
}

function another(value: unknown, random: Random): unknown {
  switch (typeof value) {
    case 'number':
      return value > 0 && random.chance(0.5) ? value - 1 : value + 1;
    case 'boolean':
      return !value;
    case 'string': {
      const at = random.int(0, value.length);
      return `${value.slice(0, at)}${value[at] === 'x' ? 'y' : 'x'}${value.slice(at + 1)}`;
    }
    default:
      return random.pick<unknown>([1, 'x']);
  }
}
