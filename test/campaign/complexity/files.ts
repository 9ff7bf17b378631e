/** Files and trees that others write: the index of a folder, lists, exports, configuration, and a store.idx. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { openConfigDb } from '../../../src/config/configdb.js';
import { readLdif } from '../../../src/directory/ldif.js';
import { selectEngine } from '../../../src/engine/engines.js';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import { nsms3 } from '../../../src/source/nsms3/source.js';
import { check64, loadDigest } from '../../../src/store/digest.js';
import { bytesSource, fileSource } from '../../../src/store/index/io.js';
import { encodeChange, encodeJournalHeader, journalIndexOf } from '../../../src/store/index/journal.js';
import { MailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { IndexReader, openIndex } from '../../../src/store/index/reader.js';
import { IndexBuilder } from '../../../src/store/index/writer.js';
import { planFolder } from '../../../src/upgrade/plan.js';
import { parseUserList, userListHeader } from '../../../src/upgrade/userlists.js';
import { cacheEntry } from '../../store/index/support.js';
import { MemorySink } from '../../support/memory-sink.js';
import { HOST, type SmallStore, smallStore, run as upgradeFolders } from '../../upgrade/small-store.js';
import { type Case, MB, sizes } from './case.js';

async function withDir<T>(directory: string, use: (dir: Dir) => T | Promise<T>): Promise<T> {
  const dir = openRoot(directory);
  try {
    return await use(dir);
  } finally {
    closeDir(dir);
  }
}

/** Writes `head` and `n` times `token(i)`. */
function fill(file: string, head: string, token: (i: number) => string, n: number): void {
  const fd = fs.openSync(file, 'w', 0o600);
  fs.writeSync(fd, head);
  for (let i = 0; i < n; ) {
    let piece = '';
    for (; i < n && piece.length < MB; i++) piece += token(i);
    fs.writeSync(fd, piece, null, 'latin1');
  }
  fs.closeSync(fd);
}

type Shape = Omit<Case, 'engines' | 'make' | 'run'>;

/** A file `name` of `n` tokens, read by `read`. Errors with a code are answers. */
function file(
  shape: Shape,
  name: string,
  head: string,
  token: (i: number) => string,
  read: (dir: Dir, directory: string) => unknown,
): Case {
  return {
    ...shape,
    engines: false,
    make: (directory, n) => fill(path.join(directory, name), head, token, n),
    async run(directory) {
      await loadDigest();
      await withDir(directory, (dir) => read(dir, directory));
    },
  };
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
    planFolder({
      index: answered(() => nsms3.readIndex(dir)),
      scan: engine.scan(dir.fd),
      previous: undefined,
      chosenUidvalidity: 1,
      ownerUid: process.getuid?.() ?? 0,
      takeForeign: false,
      now: 1,
    });
  });
}

/** The result, or undefined where the input was refused with a code. */
function answered<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof Error && 'code' in error && /^[A-Z]+_/.test(String(error.code))) return undefined;
    throw error;
  }
}

/** Reads all of a generator; refusals are answers. */
function drain(items: Iterable<unknown>): number {
  let count = 0;
  answered(() => {
    for (const _ of items) count++;
  });
  return count;
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
      await withDir(directory, (dir) => {
        planFolder({
          index: nsms3.readIndex(dir),
          scan: engine.scan(dir.fd),
          previous: undefined,
          chosenUidvalidity: 1,
          ownerUid: process.getuid?.() ?? 0,
          takeForeign: false,
          now: 1,
        });
      });
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

const ENTRY = (i: number) =>
  `dn: cn=${i},o=x\nobjectClass: mailRecipient\nuid: u${i}\nmailHost: ${HOST}\nmailDeliveryOption: mailbox\n\n`;

function ldif(
  name: string,
  unit: string,
  range: Pick<Case, 'quick' | 'long'>,
  head: string,
  token: (i: number) => string,
  limit?: string,
): Case {
  const shape = { name: `LDIF: ${name}`, unit, ...range, ...(limit === undefined ? {} : { limit }) };
  return file(shape, 'users.ldif', head, token, (_dir, directory) => {
    const fd = fs.openSync(path.join(directory, 'users.ldif'), 'r');
    try {
      drain(readLdif(fd, HOST));
    } finally {
      fs.closeSync(fd);
    }
  });
}

const USER = 'dn: cn=a,o=x\nobjectClass: mailRecipient\nuid: anna\nmailHost: mail.example.com\n';
const FACTS = { flags: 0, internalDate: 1, size: 100, headerBytes: 10, digest: new Uint8Array(16) };

function storeIndex(n: number): Uint8Array {
  const sink = new MemorySink();
  const frame = { uidvalidity: 1, uidnext: n + 1, generation: 0, keywords: [], admin: Buffer.from('{}') };
  const builder = new IndexBuilder(sink, frame);
  const cache = cacheEntry([10, 10, 10, 10], 1);
  for (let uid = 1; uid <= n; uid++) builder.add({ uid, ...FACTS }, [], cache);
  builder.finish();
  return sink.bytes();
}

/** Work on what `make` returns, in memory or below `directory`. */
function work<T>(
  shape: Shape,
  make: (n: number, directory: string) => T,
  run: (made: T, directory: string) => unknown,
): Case {
  return {
    ...shape,
    engines: false,
    async make(directory, n) {
      await loadDigest();
      return make(n, directory);
    },
    run: (directory, made) => run(made as T, directory),
  };
}

const STORE: readonly Case[] = [
  work(
    { name: 'store.idx: messages, each read', unit: 'messages', ...sizes(60_000, 1_000_000) },
    (n, directory) => fs.writeFileSync(path.join(directory, 'store.idx'), storeIndex(n)),
    (_made, directory) => {
      const fd = fs.openSync(path.join(directory, 'store.idx'), 'r');
      const reader = new IndexReader(fileSource(fd));
      for (const record of reader.records()) reader.cache(record);
      fs.closeSync(fd);
    },
  ),
  work(
    {
      name: 'store.idx: every record claims all keywords',
      unit: 'messages',
      ...sizes(16_000, 64_000),
      limit: 'records lie back to back',
    },
    overlapping,
    (bytes) => {
      answered(() => {
        const reader = openIndex(bytes);
        for (const record of reader.records()) reader.keywordRefs(record);
      });
    },
  ),
  work(
    { name: 'store.jnl: records', unit: 'records', ...sizes(60_000, 4_000_000) },
    journalOf,
    ({ bytes, journal }) => {
      const mailbox = new MailboxIndex(openIndex(bytes), bytesSource(journal));
      if (mailbox.changes === 0) throw new Error('no change was read');
    },
  ),
];

function journalOf(n: number): { bytes: Uint8Array; journal: Uint8Array } {
  const bytes = storeIndex(1000);
  const records: Uint8Array[] = [encodeJournalHeader(journalIndexOf(openIndex(bytes)))];
  for (let i = 0; i < n; i++) {
    records.push(encodeChange({ type: 'flags', uid: 1 + (i % 1000), flags: i % 32, keywords: ['a', 'b'] }));
  }
  return { bytes, journal: Buffer.concat(records) };
}

/** An index of `n` messages with `n` references, of which every record claims all. */
function overlapping(n: number): Uint8Array {
  const sink = new MemorySink();
  const frame = { uidvalidity: 1, uidnext: n + 1, generation: 0, keywords: ['k'], admin: Buffer.from('{}') };
  const builder = new IndexBuilder(sink, frame);
  const cache = cacheEntry([0, 0, 0, 0], 0);
  for (let uid = 1; uid <= n; uid++) builder.add({ uid, ...FACTS }, [0], cache);
  builder.finish();
  return forged(sink.bytes(), n);
}

/** Rewrites the keyword columns of every record and the checks over them (docs/formats/store-idx.md). */
function forged(bytes: Uint8Array, n: number): Uint8Array {
  const { header } = openIndex(bytes);
  const at = header.sections.records.offset;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < n; i++) {
    view.setUint32(at + 80 * i + 64, 0, true);
    view.setUint32(at + 80 * i + 68, n, true);
  }
  resign(bytes);
  return bytes;
}

function resign(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records = 88 + 24;
  const offset = Number(view.getBigUint64(records, true));
  const length = Number(view.getBigUint64(records + 8, true));
  view.setBigUint64(records + 16, check64(bytes.subarray(offset, offset + length)), true);
  view.setBigUint64(248, check64(bytes.subarray(0, 248)), true);
}

export const FILES: readonly Case[] = [
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
  file(
    { name: '.subscriptions: levels', unit: 'KiB', ...sizes(2_048, 100 * 1024), limit: '8 MiB, 100,000 lines' },
    '.subscriptions',
    '',
    (i) => `${i.toString(16).padStart(8, '0')}/${'a/'.repeat(507)}\n`.slice(0, -2).concat('\n'),
    (dir) => nsms3.readSubscriptions(dir),
  ),
  file(
    { name: '.acl: lines', unit: 'lines', ...sizes(60_000, 6_000_000), limit: '1 MiB, 10,000 lines' },
    '.acl',
    '',
    (i) => `user${i} lrs\n`,
    (dir) => nsms3.readAcl(dir),
  ),
  file(
    { name: '.acl: one line', unit: 'KiB', ...sizes(4 * 1024, 100 * 1024), limit: '4 KiB a line, 1 MiB' },
    '.acl',
    '',
    () => 'x'.repeat(1024),
    (dir) => nsms3.readAcl(dir),
  ),
  file(
    { name: 'user list: lines', unit: 'lines', ...sizes(60_000, 1_000_000) },
    'list',
    userListHeader('primary', '/m'),
    (i) => `user${i}\n`,
    (_dir, directory) =>
      parseUserList(
        [fs.readFileSync(path.join(directory, 'list'))],
        (uid) => ({ uid, partition: 'primary', storePath: '/m' }) as never,
        'list',
      ),
  ),
  file(
    { name: 'user list: bad lines', unit: 'lines', ...sizes(60_000, 1_000_000), limit: '10,000 errors are listed' },
    'list',
    userListHeader('primary', '/m'),
    (i) => `no such user ${i}\n`,
    (_dir, directory) => parseUserList([fs.readFileSync(path.join(directory, 'list'))], () => undefined, 'list'),
  ),
  ldif('entries', 'entries', sizes(20_000, 400_000), '', ENTRY),
  ldif('one value', 'KiB', sizes(8 * 1024, 100 * 1024), `${USER}cn: `, () => 'x'.repeat(1024), '64 KiB a value'),
  ldif(
    'one value in base64',
    'KiB',
    sizes(8 * 1024, 100 * 1024),
    `${USER}cn:: `,
    () => 'eHh4'.repeat(256),
    '64 KiB a value',
  ),
  ldif('one value folded', 'lines', sizes(100_000, 4_000_000), `${USER}cn: x`, () => '\n x', '64 KiB a value'),
  ldif('values of one attribute', 'values', sizes(60_000, 1_000_000), USER, (i) => `cn: v${i}\n`, '1 MiB a record'),
  ldif(
    'kept values among large others',
    'values',
    sizes(64, 1_000),
    USER,
    (i) => `cn: v${i}\njpegphoto:: ${'eHh4'.repeat(64 * 1024)}\n`,
  ),
  file(
    { name: 'configdb: lines', unit: 'lines', ...sizes(60_000, 500_000), limit: '16 MiB' },
    'configdb',
    '',
    (i) => `a.b${i % 50_000}|value ${i}\n`,
    (dir) => answered(() => openConfigDb(dir).get('a.b1')),
  ),
  file(
    { name: 'configdb: one line', unit: 'KiB', ...sizes(8 * 1024, 100 * 1024), limit: '16 MiB' },
    'configdb',
    'a.b|',
    () => 'x'.repeat(1024),
    (dir) => answered(() => openConfigDb(dir).get('a.b')),
  ),
  ...STORE,
];
