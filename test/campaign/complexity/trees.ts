/** The index of a folder, the files and folders beside it, and `upgrade -s` on the folders of one user. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { selectEngine } from '../../../src/engine/engines.js';
import type { DirectoryScan } from '../../../src/engine/types.js';
import { nsms3 } from '../../../src/source/nsms3/source.js';
import type { FolderIndex } from '../../../src/source/types.js';
import { planFolder } from '../../../src/upgrade/plan.js';
import { type SmallStore, smallStore, run as upgradeFolders } from '../../upgrade/small-store.js';
import { type Case, sizes } from './case.js';
import { answered, drain, file, fill, type Shape, withDir } from './inputs.js';

/** Plans the folder as one that was never migrated. */
function plan(index: FolderIndex | undefined, scan: DirectoryScan): void {
  planFolder({
    index,
    scan,
    previous: undefined,
    chosenUidvalidity: 1,
    ownerUid: process.getuid?.() ?? 0,
    takeForeign: false,
    now: 1,
  });
}

function index(
  name: string,
  unit: string,
  range: Pick<Case, 'quick' | 'long'>,
  token: (i: number) => string,
  limit?: string,
): Case {
  const shape = { name: `.mailbox: ${name}`, unit, ...range, ...(limit === undefined ? {} : { limit }) };
  return file(shape, '.mailbox', 'NSMB 3 100 5000000\n', token, async (dir) => {
    const engine = await selectEngine('portable');
    plan(
      answered(() => nsms3.readIndex(dir)),
      engine.scan(dir.fd),
    );
  });
}

const lines = sizes(60_000, 1_000_000);

const KEYWORDS = Array.from({ length: 1000 }, (_, i) => `,k${i}`).join('');

const INDEXES: readonly Case[] = [
  index('lines', 'lines', lines, (i) => `${i + 1} 900000000 SA 1000 name${i}\n`),
  index('lines, uids descending', 'lines', lines, (i) => `${2_000_000 - i} 900000000 - 1 n${i}\n`),
  index('lines, one uid', 'lines', lines, (i) => `1 900000000 - 1 n${i}\n`),
  index('lines, one name', 'lines', lines, (i) => `${i + 1} 900000000 - 1 n\n`),
  index('one line', 'KiB', sizes(16 * 1024, 100 * 1024), () => 'x'.repeat(1024), '1 MiB a line'),
  index('lines of 1,000 keywords', 'lines', sizes(400, 8_000), (i) => `${i + 1} 1 -${KEYWORDS} 1 n${i}\n`),
  index(
    'different keywords',
    'keywords',
    sizes(60_000, 1_000_000),
    (i) => `${i + 1} 1 ,k${i} 1 n${i}\n`,
    '1,048,576 keywords',
  ),
  index('lines that are not usable', 'lines', lines, () => 'x\n'),
];

/** A directory of `n` files whose index names them all, or none. */
function listing(name: string, listed: boolean, of: (i: number) => string, range: Pick<Case, 'quick' | 'long'>): Case {
  return {
    name,
    unit: 'files',
    ...range,
    engines: true,
    make(directory, n) {
      for (let i = 0; i < n; i++) fs.closeSync(fs.openSync(path.join(directory, of(i)), 'w', 0o600));
      const head = 'NSMB 3 100 5000000\n';
      fill(path.join(directory, '.mailbox'), head, (i) => `${i + 1} 1 - 0 ${of(i)}\n`, listed ? n : 0);
    },
    async run(directory, _made, name) {
      const engine = await selectEngine(name);
      await withDir(directory, (dir) => plan(nsms3.readIndex(dir), engine.scan(dir.fd)));
    },
  };
}

/** Directories below a mailbox, walked by the reader of folders. */
function tree(
  name: string,
  unit: string,
  range: Pick<Case, 'quick' | 'long'>,
  make: (at: string, n: number) => void,
): Case {
  return {
    name,
    unit,
    ...range,
    engines: false,
    make,
    run: (directory) => withDir(directory, (dir) => drain(nsms3.listFolders(dir))),
  };
}

/** `upgrade -s` on one user. */
function site(shape: Shape, make: (store: SmallStore, n: number) => void): Case {
  return {
    ...shape,
    engines: false,
    make(directory, n) {
      const store = smallStore(directory);
      make(store, n);
      store.finish();
      return store;
    },
    run: (_directory, made) => upgradeFolders(made as SmallStore),
  };
}

function folders(store: SmallStore, n: number, of: (i: number) => Buffer | string): void {
  store.user('anna');
  const home = `${store.mailbox}/anna/`;
  fs.mkdirSync(home, { recursive: true });
  for (let i = 0; i < n; i++) fs.mkdirSync(Buffer.concat([Buffer.from(home), Buffer.from(of(i))]), { recursive: true });
}

export const TREES: readonly Case[] = [
  ...INDEXES,
  listing('files of a folder, listed', true, (i) => `m${i}`, sizes(8_000, 1_000_000)),
  listing('files of a folder, none listed', false, (i) => `m${i}`, sizes(8_000, 200_000)),
  listing('files of a folder, names of 255 bytes', true, (i) => String(i).padStart(255, 'n'), sizes(8_000, 100_000)),
  tree('folders side by side', 'folders', sizes(8_000, 200_000), (at, n) => {
    for (let i = 0; i < n; i++) fs.mkdirSync(`${at}/f${i}`);
  }),
  tree('folders one in another', 'levels', sizes(800, 3_200), (at, n) => {
    const was = process.cwd();
    process.chdir(at);
    for (let i = 0; i < n; i++) {
      fs.mkdirSync('d');
      process.chdir('d');
    }
    process.chdir(was);
  }),
  site({ name: '-s: folders of one user', unit: 'folders', ...sizes(4_000, 200_000) }, (store, n) =>
    folders(store, n, (i) => `f${i}`),
  ),
  site({ name: '-s: folders whose 4.x names collide', unit: 'folders', ...sizes(4_000, 50_000) }, (store, n) =>
    folders(store, n, (i) => [...i.toString(4).padStart(10, '0')].map((digit) => '%*?\x01'[Number(digit)]).join('')),
  ),
  site({ name: '-s: folders in a chain of 200 levels', unit: 'folders', ...sizes(1_000, 8_000) }, (store, n) => {
    const chain = 'd/'.repeat(200);
    folders(store, n, (i) => `${chain}f${i}`);
  }),
  site(
    { name: '-s: .subscriptions of one long path', unit: 'levels', ...sizes(16_000, 64_000), limit: '64 KiB a line' },
    (store, n) => {
      folders(store, 1, () => 'f');
      fs.writeFileSync(`${store.mailbox}/anna/.subscriptions`, `${'a/'.repeat(n / 4)}a\n`.repeat(4));
    },
  ),
];
