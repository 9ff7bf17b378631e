/**
 * Fuzzing every reader: no bytes of another hand may end in anything but an answer or an error with a code.
 *
 *     npm run campaign -- fuzz                                            seeds, regressions, 1,500 mutations a target
 *     npm run campaign -- fuzz --long [-- --minutes 10]                   every target, one after the other
 *     npm run campaign -- fuzz --long -- --target ldif,ber --minutes 3    some
 *     npm run campaign -- fuzz -- --target journal --input <file>         one input, as the report of a finding names it
 *
 * TypeScript readers run in a coverage-guided engine of our own (engine.ts, instrument.ts), the C++ code under libFuzzer
 * with ASan and UBSan (native.ts), the addon's boundary under ASan in Node (boundary.ts), LMDB on damaged files in
 * processes that may die (database.ts). A long run keeps what it found interesting in build/fuzz/corpus and goes on
 * from there the next time. What a campaign finds is in build/fuzz/findings; an input that was a defect goes into
 * regressions/<target>/ and is replayed by every run.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { addonPath } from '../../../src/fs/addon.js';
import { corpusDirectory, corpusFiles, corpusMissing } from '../../support/corpus.js';
import { mutate, Random, seedMessages } from '../../support/messages.js';
import { oddMail } from '../../support/odd-mail.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { BOUNDARY, runBoundary } from './boundary.js';
import { DATABASE, runDatabase } from './database.js';
import { BUILD, instrumented } from './instrument.js';
import { NATIVE_TARGETS, nativeMissing, runNative } from './native.js';
import { withPlace } from './place.js';
import { type RunResult, runTarget } from './runner.js';
import { TARGETS } from './targets/index.js';

const REGRESSIONS = fileURLToPath(new URL('./regressions/', import.meta.url));
const MUTATIONS = 1500;
/**
 * libFuzzer is faster; a folder is made of files: 500 took half a minute of the gate. Whatever their number, a sample
 * begins with every regression.
 */
const NATIVE_MUTATIONS = { 'native-folder': 250, others: 5000 };
/** Messages of the corpus that the portable parser starts from: small ones. */
const CORPUS_BYTES = 8192;

export const ALL_TARGETS = [...Object.keys(TARGETS), ...Object.keys(NATIVE_TARGETS), BOUNDARY, DATABASE];

interface Choice {
  readonly targets: readonly string[];
  readonly minutes: number;
  readonly input: string | undefined;
}

function choose(options: CampaignOptions): Choice {
  const { values } = parseArgs({
    args: [...options.args],
    options: { target: { type: 'string' }, minutes: { type: 'string' }, input: { type: 'string' } },
  });
  const targets = values.target?.split(',') ?? ALL_TARGETS;
  const unknown = targets.filter((name) => !ALL_TARGETS.includes(name));
  if (unknown.length > 0) throw new Error(`No target ${unknown.join(', ')}; there are ${ALL_TARGETS.join(', ')}.`);
  return { targets, minutes: options.long ? Number(values.minutes ?? 10) : 0, input: values.input };
}

/** The files of a directory; none when it is not there. */
function filesOf(directory: string): Uint8Array[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .map((name) => new Uint8Array(readFileSync(join(directory, name))));
}

function keepDirectory(target: string, long: boolean): string {
  if (!long) return '';
  const directory = join(BUILD, 'corpus', target);
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Small messages of the corpus beside the project, every `step`-th. */
function corpusSeeds(step: number): Uint8Array[] {
  if (corpusMissing() !== undefined) return [];
  return corpusFiles()
    .filter((_, i) => i % step === 0)
    .map((file) => new Uint8Array(readFileSync(join(corpusDirectory, file))))
    .filter(({ length }) => length <= CORPUS_BYTES);
}

/** What a native target starts from. */
function samplesOf(target: string): Uint8Array[] {
  if (target === 'native-folder') return FOLDERS.map((folder) => new Uint8Array(Buffer.from(folder, 'latin1')));
  if (target === 'native-mailbox') return MAILBOXES.map((mailbox) => new Uint8Array(Buffer.from(mailbox, 'latin1')));
  const random = new Random(1);
  const odd = Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? oddMail(random) : mutate(random, seedMessages)));
  return [...seedMessages, ...odd, ...corpusSeeds(40)].map((message) => new Uint8Array(message));
}

/** An index as mailbox_fuzz.cc reads it. */
const MAILBOXES = [
  'NSMB 3 77 900\n1 900000000 S 10 a\n7 900000001 SA,$Forwarded,Junk 11 bb\n9 900000002 ,junk 12 ccc\n',
  'NSMB 3 1 1\n4294967294 253402300799 SAFDTR 999999999999999 x y\n',
  'NSMB 3 4294967295 4294967295\n',
];

/**
 * Folders as folder_fuzz.cc reads them: options, number of files, for each the length of its name, the name, its kind,
 * the length of its content, the content; then a byte of lies for each.
 */
const FOLDERS = [
  '\x08\x03\x01a\x05\x10Subject: x\r\n\r\ny\r\n\x01b\x05\x06a: b\n\n\x01c\x05\x00\x00\x00\x80',
  '\x1f\x05\x01l\x00\x00\x01f\x01\x00\x01d\x02\x00\x01w\x03\x03x\n\n\x01o\x04\x03x\n\n\x00\x00\x00\x00\x00',
  '\x00\x02\x04../x\x05\x02\n\n\x04.acl\x05\x02\n\n\x00\x00',
];

async function runOne(target: string, choice: Choice, options: CampaignOptions): Promise<RunResult> {
  const { long, seed, log } = options;
  const regressions = join(REGRESSIONS, target);
  const milliseconds = choice.minutes * 60_000;
  const keep = choice.input === undefined ? keepDirectory(target, long) : '';
  const replay = choice.input !== undefined;
  if (target in NATIVE_TARGETS) {
    const beside = target === 'native-message' && long && corpusMissing() === undefined ? [corpusDirectory] : [];
    const seeds = replay ? [choice.input] : [regressions, ...beside].filter((path) => existsSync(path));
    const number = Number.parseInt(createHash('sha1').update(seed).digest('hex').slice(0, 7), 16) + 1;
    const seconds = Math.round(milliseconds / 1000);
    const executions = target === 'native-folder' ? NATIVE_MUTATIONS[target] : NATIVE_MUTATIONS.others;
    const samples = replay ? [] : samplesOf(target);
    return runNative({ target, seed: number, executions, seconds, seeds, samples, keep, replay });
  }
  const own = replay ? [new Uint8Array(readFileSync(choice.input))] : filesOf(regressions);
  if (target === BOUNDARY) return runBoundary({ seed, milliseconds, long });
  if (target === DATABASE) return runDatabase({ seed, milliseconds, inputs: own, long });
  const found = replay ? [] : [...filesOf(keep), ...(target === 'message' ? corpusSeeds(long ? 1 : 40) : [])];
  const task = { target, seed, executions: MUTATIONS, milliseconds, inputs: [...own, ...found], replay, keep };
  let told = performance.now();
  return runTarget(instrumented('worker'), task, ({ executions, corpus, branches }) => {
    if (performance.now() - told < 60_000) return;
    told = performance.now();
    log(`${target}: ${executions} executions, ${corpus} inputs kept, ${branches} branches`);
  });
}

/** Keeps the input of a finding, and says how to see it again. */
function describe(target: string, { signature, description, input }: RunResult['findings'][number]): string {
  const directory = join(BUILD, 'findings');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${target}-${createHash('sha1').update(input).digest('hex').slice(0, 12)}`);
  writeFileSync(file, input);
  const shown = Buffer.from(input.subarray(0, 300)).toString('base64');
  return (
    `${target}: ${signature}\n    ${description.split('\n').slice(0, 8).join('\n    ')}\n    input ${shown} (base64)\n` +
    `    again: npm run campaign -- fuzz -- --target ${target} --input ${file}`
  );
}

async function run(options: CampaignOptions): Promise<CampaignOutcome> {
  const choice = choose(options);
  // Threads find the addon beside the compiled sources otherwise.
  process.env.MAILHAUL_ADDON ??= addonPath();
  const notes: string[] = [];
  const problems: string[] = [];
  const missing = nativeMissing();
  if (missing !== undefined) notes.push(`The native targets were not run: ${missing}.`);
  if (!existsSync(process.env.MAILHAUL_ADDON)) notes.push('The parsers were not compared: the addon is not built.');
  let cases = 0;
  for (const target of choice.targets) {
    if (missing !== undefined && (target in NATIVE_TARGETS || target === BOUNDARY)) continue;
    const started = performance.now();
    const { progress, findings, note } = await runOne(target, choice, options);
    const seconds = (performance.now() - started) / 1000;
    cases += progress.executions;
    problems.push(...findings.map((finding) => describe(target, finding)));
    const time = seconds < 100 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`;
    const line =
      `${target.padEnd(15)} ${String(progress.executions).padStart(9)} executions, ${time}, ` +
      `${progress.branches} of ${progress.branchesInAll} branches, ${progress.corpus} inputs kept, ` +
      `${findings.length} findings${note === undefined ? '' : `; ${note}`}`;
    notes.push(line);
    if (options.long) options.log(line);
  }
  return { cases, problems, notes };
}

export const campaign: Campaign = {
  about:
    'bytes of another hand in every reader: coverage-guided, native code under ASan and UBSan, seeds and regressions',
  run: (options) => withPlace(() => run(options)),
};
