/**
 * The C++ fuzz targets (native/fuzz/*_fuzz.cc) under libFuzzer, ASan and UBSan, run as processes of their own.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addonSources, FUZZ, program } from './compile.js';
import { makePlace, watched } from './place.js';
import type { RunResult } from './runner.js';
import type { Finding } from './types.js';

export interface NativeTarget {
  readonly maxBytes: number;
  /** Other files of native/fuzz that it is made of. */
  readonly parts: readonly string[];
  /** Beginnings of the paths below native/src that it needs; everything but the Node-API layer when empty. */
  readonly sources: readonly string[];
}

/** The parser, and which vector instructions it may use. */
const PARSER = ['mime/', 'sys/processor.cc'];
/** What makes a plan of an index; `plan/ready.cc` would want the rest of the addon. */
const PLAN = ['plan/mailbox.cc', 'plan/names.cc', 'plan/plain.cc', 'sys/calls.cc', 'sys/fault.cc', 'sys/pace.cc'];

export const NATIVE_TARGETS: Readonly<Record<string, NativeTarget>> = {
  'native-message': { maxBytes: 16_384, parts: ['entry.cc', 'mutate.cc'], sources: PARSER },
  'native-lines': { maxBytes: 4096, parts: [], sources: PARSER },
  'native-mailbox': { maxBytes: 4096, parts: [], sources: PLAN },
  'native-folder': { maxBytes: 4096, parts: ['index_check.cc'], sources: [] },
};

/** Why the native targets cannot be built here; undefined when they can. */
export function nativeMissing(): string | undefined {
  const found = spawnSync('clang++', ['-print-file-name=libclang_rt.fuzzer-x86_64.a'], { encoding: 'utf8' });
  if (found.status !== 0) return 'clang++ is not installed';
  return existsSync(found.stdout.trim()) ? undefined : 'libFuzzer (Debian: libclang-rt-14-dev) is not installed';
}

function build(name: string): Promise<string> {
  const { parts, sources } = NATIVE_TARGETS[name]!;
  const own = [`${name.slice('native-'.length)}_fuzz.cc`, ...parts].map((part) => join(FUZZ, part));
  const all = addonSources().filter((path) => !/\/(addon\.cc|napi\/.*)$/.test(path));
  const used = sources.length === 0 ? all : all.filter((path) => sources.some((one) => path.includes(`/src/${one}`)));
  return program(name, [...own, ...used], ['-fsanitize=fuzzer,address,undefined']);
}

export interface NativeTask {
  readonly target: string;
  readonly seed: number;
  /** 0 with `seconds`. */
  readonly executions: number;
  readonly seconds: number;
  /** Inputs that are only read; directories and files. */
  readonly seeds: readonly string[];
  /** More of them. */
  readonly samples: readonly Uint8Array[];
  /** Directory of what is kept; a temporary one when empty. */
  readonly keep: string;
  readonly replay: boolean;
}

/** Builds and runs one target. */
export async function runNative(task: NativeTask): Promise<RunResult> {
  const fuzzer = await build(task.target);
  const work = makePlace('libfuzzer');
  try {
    const kept = task.keep === '' ? join(work, 'corpus') : task.keep;
    const artifacts = join(work, 'artifacts');
    const samples = join(work, 'samples');
    for (const directory of [kept, artifacts, samples]) mkdirSync(directory, { recursive: true });
    task.samples.forEach((sample, i) => {
      writeFileSync(join(samples, String(i)), sample);
    });
    const output = await run(fuzzer, [
      `-seed=${task.seed}`,
      `-max_len=${NATIVE_TARGETS[task.target]!.maxBytes}`,
      task.seconds > 0 ? `-max_total_time=${task.seconds}` : `-runs=${task.replay ? 0 : task.executions}`,
      `-artifact_prefix=${artifacts}/`,
      `-dict=${join(FUZZ, 'mail.dict')}`,
      // Generous: the machine may be busy.
      '-timeout=60',
      '-rss_limit_mb=3000',
      '-print_final_stats=1',
      kept,
      samples,
      ...task.seeds,
    ]);
    const findings = readdirSync(artifacts).map((name): Finding => {
      const lines = output.split('\n');
      const why = lines.filter((line) => /promise broken|ERROR|SUMMARY|runtime error|^ {4}#[0-9] /.test(line));
      return {
        signature: name.replace(/-.*/, ''),
        description: why.slice(0, 12).join('\n'),
        input: new Uint8Array(readFileSync(join(artifacts, name))),
      };
    });
    const number = (pattern: RegExp): number => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
    const executions = number(/stat::number_of_executed_units: (\d+)/g);
    if (executions === 0 && findings.length === 0) {
      findings.push({ signature: 'run', description: output.slice(-2000), input: new Uint8Array() });
    }
    const progress = {
      executions,
      corpus: number(/corp: (\d+)/g),
      branches: number(/cov: (\d+)/g),
      branchesInAll: number(/Loaded \d+ modules +\((\d+) inline/g),
    };
    return { progress, findings };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function run(fuzzer: string, arguments_: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = watched(spawn(fuzzer, arguments_, { stdio: ['ignore', 'ignore', 'pipe'] }));
    const pieces: Buffer[] = [];
    child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
    child.on('error', reject);
    child.on('close', () => resolve(Buffer.concat(pieces).toString('latin1')));
  });
}
