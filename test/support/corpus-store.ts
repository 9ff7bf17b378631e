/**
 * The corpus through the whole product: a 3.x installation filled with the corpus, `upgrade -s`, `upgrade -m`,
 * `mboxutil --dump --json`, compared with what Dovecot and Cyrus agree on: `npm run corpus`.
 *
 * Prints, for each engine, the share of the answers that are equal, and every one that is not; and whether the two
 * engines wrote the same indexes. Exit code 0 only when both fields reach 99.5 % and the indexes are the same.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImapValue } from '../../src/engine/message/parse.js';
import { type Consensus, corpusDirectory, corpusMissing, foldStructure, readConsensus } from './corpus.js';
import { engineOptions, makeTestSite, type TestSite } from './site.js';

const BAR = 0.995;

export interface CorpusScore {
  readonly engine: string;
  readonly fields: Readonly<Record<'size' | 'envelope' | 'bodystructure', { equal: number; all: number }>>;
  /** One line each. */
  readonly mismatches: readonly string[];
  /** SHA-256 of every store.idx, by its path. */
  readonly indexes: ReadonlyMap<string, string>;
}

interface Dumped {
  readonly sha256: string;
  readonly size: number;
  readonly envelope: ImapValue;
  readonly bodystructure: ImapValue;
}

/** Migrates the corpus with one engine and scores the dump. */
export function scoreCorpus(engine: '--native' | '--no-native'): CorpusScore {
  const site = makeTestSite({ fromEml: corpusDirectory, users: 10, folders: 2, damage: 0, bareLf: 0, singleCopy: 0 });
  try {
    expectDone(site.folders());
    expectDone(site.messages(engine));
    const dump = site.run('mboxutil', '--dump', '--json');
    expectDone(dump);
    return score(engine, dump.stdout, indexesOf(site));
  } finally {
    site.remove();
  }
}

function expectDone(result: ReturnType<TestSite['run']>): void {
  if (result.status !== 0)
    throw new Error(`ended with ${result.status}: ${result.stderr}${result.stdout.slice(0, 2000)}`);
}

function indexesOf(site: TestSite): Map<string, string> {
  const indexes = new Map<string, string>();
  for (const { name, path: directory } of site.mailboxes()) {
    const content = fs.readFileSync(path.join(directory, 'store.idx'));
    indexes.set(name, createHash('sha256').update(content).digest('hex'));
  }
  return indexes;
}

function score(engine: string, dump: string, indexes: ReadonlyMap<string, string>): CorpusScore {
  const ours = new Map<string, Dumped>();
  for (const line of dump.split('\n')) {
    if (line === '') continue;
    const message = JSON.parse(line) as Dumped;
    ours.set(message.sha256, message);
  }
  const fields = { size: { equal: 0, all: 0 }, envelope: { equal: 0, all: 0 }, bodystructure: { equal: 0, all: 0 } };
  const mismatches: string[] = [];
  for (const consensus of readConsensus()) {
    const mine = ours.get(consensus.sha256);
    for (const field of ['size', 'envelope', 'bodystructure'] as const) {
      const expected = comparable(field, consensus);
      if (expected === undefined) continue;
      fields[field].all += 1;
      const found = mine === undefined ? 'not in the store' : comparable(field, mine);
      if (found === expected) fields[field].equal += 1;
      else
        mismatches.push(
          `${consensus.file}: ${field}\n   ours:   ${found?.slice(0, 300)}\n   theirs: ${expected.slice(0, 300)}`,
        );
    }
  }
  return { engine, fields, mismatches, indexes };
}

function comparable(field: 'size' | 'envelope' | 'bodystructure', message: Dumped | Consensus): string | undefined {
  const value = message[field];
  if (value === undefined) return undefined;
  return JSON.stringify(field === 'bodystructure' ? foldStructure(value as ImapValue) : value);
}

/** Mailboxes whose index the engines wrote differently. */
export function differentIndexes(scores: readonly CorpusScore[]): string[] {
  const [first, second] = scores;
  if (first === undefined || second === undefined) return [];
  return [...first.indexes].filter(([name, digest]) => second.indexes.get(name) !== digest).map(([name]) => name);
}

export function reachesBar({ fields }: CorpusScore): boolean {
  return Object.values(fields).every(({ equal, all }) => all > 0 && equal / all >= BAR);
}

function main(): number {
  const missing = corpusMissing();
  if (missing !== undefined) {
    console.error(`Cannot score: ${missing}.`);
    return 3;
  }
  const scores = engineOptions().map(scoreCorpus);
  for (const { engine, fields, mismatches } of scores) {
    for (const mismatch of mismatches) console.log(mismatch);
    for (const [field, { equal, all }] of Object.entries(fields)) {
      console.log(`${engine} ${field.padEnd(13)} ${equal} / ${all} = ${((100 * equal) / all).toFixed(3)} %`);
    }
  }
  const different = differentIndexes(scores);
  if (scores.length === 2) {
    console.log(
      `store.idx of ${scores[0]?.indexes.size} folders: ${different.length} differ between the engines ${different.join(' ')}`,
    );
  }
  return scores.every(reachesBar) && different.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
