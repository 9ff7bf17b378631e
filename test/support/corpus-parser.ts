/**
 * Scores the message parsers against the corpus: `npx tsx test/support/corpus-parser.ts [--json ours.jsonl]`.
 *
 * Prints the share of messages whose ENVELOPE and BODYSTRUCTURE are what Dovecot and Cyrus agree on, and every one that
 * is not; also every message for which the addon, when it is built, gives other bytes. Exit code 1 when there is any.
 * `--json` writes the file that the corpus' own compare.py reads.
 */
import { writeFileSync } from 'node:fs';
import { decodeCacheEntry, type ImapValue, parseImapValue, parseMessage } from '../../src/engine/message/parse.js';
import { loadAddon } from '../../src/fs/addon.js';
import { corpusMissing, foldStructure, readConsensus, readCorpusMessage, sha256 } from './corpus.js';

const missing = corpusMissing();
if (missing !== undefined) {
  console.error(`Cannot score the parsers: ${missing}.`);
  process.exit(1);
}

const addon = loadAddon();
console.log(addon === undefined ? 'The addon is not built: only the TypeScript parser is scored.' : 'Both parsers.');

const score = { envelope: [0, 0], bodystructure: [0, 0], size: [0, 0] };
let failures = 0;
const lines: string[] = [];

function compare(field: keyof typeof score, file: string, ours: ImapValue, theirs: ImapValue | undefined): void {
  if (theirs === undefined) return;
  score[field][1]!++;
  const [a, b] = [JSON.stringify(ours), JSON.stringify(theirs)];
  if (a === b) score[field][0]!++;
  else {
    failures++;
    let at = 0;
    while (a[at] === b[at]) at++;
    const from = Math.max(0, at - 60);
    console.log(`${file}: ${field}\n   ours:   …${a.slice(from, at + 120)}\n   theirs: …${b.slice(from, at + 120)}`);
  }
}

for (const consensus of readConsensus()) {
  const message = readCorpusMessage(consensus.file);
  const hash = sha256(message);
  if (hash !== consensus.sha256) throw new Error(`${consensus.file} is not the message that was scored.`);
  const { headerBytes, cache } = parseMessage(message);
  const entry = decodeCacheEntry(cache);
  const envelope = parseImapValue(entry.envelope);
  const bodystructure = parseImapValue(entry.bodystructure);
  compare('size', consensus.file, message.length, consensus.size);
  compare('envelope', consensus.file, envelope, consensus.envelope);
  const theirs = consensus.bodystructure;
  compare('bodystructure', consensus.file, foldStructure(bodystructure), theirs && foldStructure(theirs));
  lines.push(JSON.stringify({ sha256: hash, size: message.length, envelope, bodystructure }));
  if (addon !== undefined) {
    const native = addon.parseMessage(message);
    if (native.headerBytes !== headerBytes || Buffer.compare(native.cache, cache) !== 0) {
      failures++;
      console.log(`${consensus.file}: the addon gives other bytes`);
    }
  }
}

for (const [field, [right, all]] of Object.entries(score)) {
  console.log(`${field.padEnd(14)} ${right} / ${all} = ${((100 * right!) / all!).toFixed(3)} %`);
}
const option = process.argv.indexOf('--json');
if (option !== -1) writeFileSync(process.argv[option + 1] ?? 'ours.jsonl', `${lines.join('\n')}\n`);
process.exitCode = failures === 0 ? 0 : 1;
