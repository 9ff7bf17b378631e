/**
 * Compares the two parsers byte for byte: `npx tsx test/support/fuzz-parser.ts [messages] [seed]`.
 *
 * Without an argument 20,000 messages, half of them mutations of the corpus (of the built-in seeds when it is absent),
 * half built from the grammar (odd-mail.ts), seed 1. The C++ side is
 * native/test/parse_cli.cc; with MAILHAUL_SANITIZE=1 it runs under ASan and UBSan. Every difference is printed with the
 * message that shows it, base64; exit code 1 when there is any.
 */
import { crlfForm, decodeCacheEntry, parseImapValue, parseMessage } from '../../src/engine/message/parse.js';
import { corpusFiles, corpusMissing, readCorpusMessage } from './corpus.js';
import { mutate, Random, seedMessages } from './messages.js';
import { buildNativeParser, compiler } from './native-parser.js';
import { oddMail } from './odd-mail.js';

const BATCH = 500;
const count = Number(process.argv[2] ?? 20_000);
const random = new Random(Number(process.argv[3] ?? 1));

const cxx = compiler();
if (cxx === undefined) {
  console.error('Cannot compare the parsers: no C++ compiler is here.');
  process.exit(1);
}
const missing = corpusMissing();
if (missing !== undefined) console.log(`Only built-in seeds: ${missing}.`);
const corpus = missing === undefined ? corpusFiles().map(readCorpusMessage) : [];
const seeds = [...seedMessages, ...corpus];
const native = buildNativeParser(cxx);
let different = 0;

function check(messages: readonly Uint8Array[]): void {
  const results = native.parse(messages);
  for (const [i, message] of messages.entries()) {
    const ours = parseMessage(message);
    const theirs = results[i]!;
    const entry = decodeCacheEntry(ours.cache);
    parseImapValue(entry.envelope);
    parseImapValue(entry.bodystructure);
    if (
      ours.headerBytes === theirs.headerBytes &&
      Buffer.compare(ours.cache, theirs.cache) === 0 &&
      Buffer.compare(crlfForm(message), theirs.crlf) === 0
    ) {
      continue;
    }
    different++;
    const shown = (cache: Uint8Array): string => Buffer.from(cache.subarray(0, 2000)).toString('latin1');
    console.log(`Different:\n  TypeScript ${shown(ours.cache)}\n  C++        ${shown(theirs.cache)}`);
    console.log(`  ${Buffer.from(message).toString('base64').slice(0, 20_000)}`);
  }
}

try {
  check(seedMessages);
  for (let i = 0; i < corpus.length; i += BATCH) check(corpus.slice(i, i + BATCH));
  for (let done = 0; done < count; done += BATCH) {
    check(
      Array.from({ length: Math.min(BATCH, count - done) }, (_, i) =>
        i % 2 ? oddMail(random) : mutate(random, seeds),
      ),
    );
  }
} finally {
  native.close();
}
console.log(`${seeds.length} messages and ${count} more: ${different} different.`);
process.exitCode = different === 0 ? 0 : 1;
