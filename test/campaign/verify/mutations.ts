/**
 * Single random changes of the files of a migrated store, each with the way back. Only such that `--verify` must
 * report: what no verification can see (docs/operations.md, "Proof") is left out, by name.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Random } from '../../support/generate/random.js';
import { DATABASE_MUTATORS } from './databaseMutations.js';
import {
  addFile,
  aside,
  flip,
  type Ground,
  type Mutation,
  type Mutator,
  move,
  reference,
  replaceByLink,
  rewrite,
} from './ground.js';
import { SOURCE_MUTATORS } from './sourceMutations.js';

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
    const names = [
      'stray',
      '.new-7',
      'store.idx.new',
      '=+gone',
      '7.msg',
      'core',
      '\u00fc\n',
      'store.idx~',
      'store.jnl',
    ];
    const store = ['store', 'store/mboxlist', 'store/user'].map((name) => path.join(ground.site.instance, name));
    const stray = path.join(random.pick([...ground.directories, ...store]), random.pick(names));
    return addFile(stray, 'x');
  },
  'link in place of a file': (ground, random) =>
    replaceByLink(ground, random.pick([...ground.messages, ...ground.indexes, ...ground.files])),
  'link in place of a directory': (ground, random) =>
    replaceByLink(ground, random.pick(ground.directories.filter((name) => !ground.site.partitions.includes(name)))),
  'upgrade4x.conf': (ground, random) => {
    const file = path.join(ground.site.stores[0]!, 'upgrade4x.conf');
    return rewrite(file, (content) => changeLine(content, random, /^upgrade\./), 'a line', reference(ground));
  },
  configdb: (ground, random) => {
    const file = path.join(ground.site.instance, 'config/configdb');
    // The others are the operator's.
    const ours = /^(?:store\.partition\.|local\.upgrade\.from|local\.server[ug]id)/;
    return rewrite(file, (content) => changeLine(content, random, ours), 'a line', reference(ground));
  },
  mode: (ground, random) => {
    const file = random.pick([...ground.files, ...ground.directories, ...ground.instanceDirectories]);
    const before = fs.statSync(file).mode & 0o7777;
    const after = before ^ (1 << random.int(0, 11));
    fs.chmodSync(file, after);
    return { what: `mode ${after.toString(8)} of ${file}`, undo: () => fs.chmodSync(file, before) };
  },
  owner: (ground, random) => {
    if (process.geteuid?.() !== 0) return undefined;
    const file = random.pick([...ground.files, ...ground.directories, ...ground.instanceDirectories]);
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
  ...SOURCE_MUTATORS,
  ...DATABASE_MUTATORS,
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

/** One byte of the name or the value of a line that begins like this. Changes that leave another line are none. */
function changeLine(content: Buffer, random: Random, wanted: RegExp): Buffer {
  const lines = content.toString('latin1').split('\n');
  const chosen = random.pick([...lines.keys()].filter((i) => wanted.test(lines[i]!)));
  const line = Buffer.from(lines[chosen]!, 'latin1');
  const at = random.int(0, line.length - 1);
  // Not into a line end, nor another letter case, which options do not have.
  const letter = random.pick([...'abcxyz019/'].filter((text) => text !== String.fromCharCode(line[at]!).toLowerCase()));
  line[at] = letter.charCodeAt(0);
  lines[chosen] = line.toString('latin1');
  return Buffer.from(lines.join('\n'), 'latin1');
}
