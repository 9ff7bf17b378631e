/**
 * `npm run bench:micro`: single pieces, each over the same data, with `benchmark`: the parsers, the digest, the
 * index writer and reader, the name mapping, the readers of `.mailbox` and LDIF.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import Benchmark from 'benchmark';
import { readLdif } from '../src/directory/ldif.js';
import { crlfForm, parseMessage } from '../src/engine/message/parse.js';
import { loadAddon } from '../src/fs/addon.js';
import { closeDir, openRoot } from '../src/fs/dir.js';
import { readIndex } from '../src/source/nsms3/mailbox.js';
import { digest, loadDigest } from '../src/store/digest.js';
import { MemorySink } from '../src/store/index/io.js';
import { openIndex } from '../src/store/index/reader.js';
import { IndexBuilder } from '../src/store/index/writer.js';
import { componentName, escapeComponent, mailboxPathComponents } from '../src/store/names.js';
import { generateInstallation, HOSTILE_FOLDER_NAMES } from '../test/support/generate/index.js';

const MESSAGES = 500;
const MESSAGE_BYTES = 8192;

interface Piece {
  readonly name: string;
  /** Items that one call works on, for the rate. */
  readonly items: number;
  readonly run: () => unknown;
}

/** One folder of made-up messages, its directory and its LDIF file. */
function sample(work: string) {
  const made = generateInstallation({
    root: work,
    users: 1,
    folders: 1,
    messages: MESSAGES,
    size: MESSAGE_BYTES,
    sizes: 'fixed',
    storePaths: 1,
    singleCopy: 0,
    bareLf: 0,
    damage: 0,
    emptyUsers: 1000,
    manifest: false,
  });
  const users = fs.readdirSync(made.storePaths[0]!);
  const folder = path.join(made.storePaths[0]!, users[0]!, 'INBOX');
  const names = fs.readdirSync(folder).filter((name) => /^[0-9a-f]+\.[0-9]+$/.test(name));
  return { folder, ldif: made.ldif, messages: names.map((name) => fs.readFileSync(path.join(folder, name))) };
}

function buildIndex(messages: readonly Uint8Array[], caches: readonly { headerBytes: number; cache: Uint8Array }[]) {
  const sink = new MemorySink();
  const frame = { uidvalidity: 1, uidnext: messages.length + 1, generation: 0, keywords: [], admin: new Uint8Array() };
  const builder = new IndexBuilder(sink, frame, messages.length);
  messages.forEach((message, index) => {
    const { headerBytes, cache } = caches[index]!;
    const facts = { uid: index + 1, flags: 0, internalDate: 0, size: message.length, headerBytes };
    builder.add({ ...facts, digest: digest(message) }, [], cache);
  });
  builder.finish();
  return sink.bytes();
}

function pieces(folder: string, ldif: number, messages: readonly Buffer[]): Piece[] {
  const caches = messages.map((message) => parseMessage(message));
  const index = buildIndex(messages, caches);
  const each =
    <T>(run: (message: Buffer) => T) =>
    () => {
      for (const message of messages) run(message);
    };
  const list: Piece[] = [
    { name: 'parse a message (TypeScript)', items: messages.length, run: each(parseMessage) },
    { name: 'look for bare LF (TypeScript)', items: messages.length, run: each(crlfForm) },
    { name: 'digest a message (hash-wasm)', items: messages.length, run: each(digest) },
    {
      name: 'write store.idx, a message (with digest)',
      items: messages.length,
      run: () => buildIndex(messages, caches),
    },
    { name: 'read store.idx, a record', items: messages.length, run: () => [...openIndex(index).records()] },
    {
      name: 'folder name: 3.x to 4.x and to disk',
      items: HOSTILE_FOLDER_NAMES.length,
      run: () => HOSTILE_FOLDER_NAMES.map((name) => escapeComponent(componentName(name))),
    },
    { name: 'mailbox path (two hashes)', items: 1, run: () => mailboxPathComponents('u000001', 'user/u000001/Sent') },
    { name: 'read LDIF, an entry', items: 1006, run: () => [...readLdif(ldif, 'mail.example.com')] },
    {
      name: 'read .mailbox, a line',
      items: messages.length,
      run: () => {
        const dir = openRoot(folder);
        try {
          return readIndex(dir);
        } finally {
          closeDir(dir);
        }
      },
    },
  ];
  const addon = loadAddon();
  if (addon !== undefined) {
    const { parseMessage: parse, digest: hash, crlfForm: crlf } = addon;
    list.push(
      { name: 'parse a message (addon, one call each)', items: messages.length, run: each(parse) },
      { name: 'look for bare LF (addon, one call each)', items: messages.length, run: each(crlf) },
      { name: 'digest a message (addon, one call each)', items: messages.length, run: each(hash) },
    );
  }
  return list;
}

await loadDigest();
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-micro-'));
try {
  const { folder, ldif, messages } = sample(work);
  const ldifFd = fs.openSync(ldif, 'r');
  process.stdout.write(
    `${messages.length} messages of ${MESSAGE_BYTES} bytes; Node ${process.versions.node}, ${os.cpus()[0]?.model.trim()}\n`,
  );
  for (const { name, items, run } of pieces(folder, ldifFd, messages)) {
    const bench = new Benchmark(name, run, { maxTime: 2 });
    bench.run();
    const microseconds = (bench.stats.mean / items) * 1e6;
    process.stdout.write(
      `${name.padEnd(44)} ${microseconds.toFixed(2).padStart(9)} µs  ±${bench.stats.rme.toFixed(1)} %\n`,
    );
  }
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}
