/**
 * The C++ fuzz targets (native/fuzz/*_fuzz.cc): built with libFuzzer, ASan and UBSan once for each state of the
 * sources, run as processes of their own.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, TOP } from './instrument.js';
import { makePlace, watched } from './place.js';
import type { RunResult } from './runner.js';
import type { Finding } from './types.js';

const NATIVE = join(TOP, 'native');
const FUZZ = join(NATIVE, 'fuzz');

export interface NativeTarget {
  readonly maxBytes: number;
  /** Other files of native/fuzz that it is made of. */
  readonly parts: readonly string[];
  /** Directories of native/src that it needs; everything but the Node-API layer when empty. */
  readonly rooms: readonly string[];
}

export const NATIVE_TARGETS: Readonly<Record<string, NativeTarget>> = {
  'native-message': { maxBytes: 16_384, parts: ['entry.cc', 'mutate.cc'], rooms: ['mime'] },
  'native-lines': { maxBytes: 4096, parts: [], rooms: ['mime'] },
  'native-folder': { maxBytes: 4096, parts: ['index_check.cc'], rooms: [] },
};

/** Why the native targets cannot be built here; undefined when they can. */
export function nativeMissing(): string | undefined {
  const found = spawnSync('clang++', ['-print-file-name=libclang_rt.fuzzer-x86_64.a'], { encoding: 'utf8' });
  if (found.status !== 0) return 'clang++ is not installed';
  return existsSync(found.stdout.trim()) ? undefined : 'libFuzzer (Debian: libclang-rt-14-dev) is not installed';
}

/** Source files of the addon, as paths. */
export function addonSources(): string[] {
  return readFileSync(join(NATIVE, 'sources.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => join(NATIVE, line));
}

/** A name for what these flags make of the sources of native/, headers and this directory included. */
export function hashOfSources(flags: readonly string[]): string {
  const hash = createHash('sha256').update(flags.join(' '));
  for (const room of ['src', 'fuzz', 'third_party']) {
    for (const name of readdirSync(join(NATIVE, room), { recursive: true, encoding: 'utf8' }).sort()) {
      if (/\.(cc|h)$/.test(name)) hash.update(name).update(readFileSync(join(NATIVE, room, name)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Compiles to `<build>/<name>-<hash>` unless it is there; older ones go. Throws with the compiler's messages. */
export function compileOnce(name: string, arguments_: readonly string[]): string {
  mkdirSync(BUILD, { recursive: true });
  const file = `${name}-${hashOfSources(arguments_)}`;
  const path = join(BUILD, file);
  if (existsSync(path)) return path;
  const unfinished = `${path}.${process.pid}`;
  const made = spawnSync('clang++', [...arguments_, '-o', unfinished], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`clang++ failed for ${name}:\n${made.stderr}`);
  for (const old of readdirSync(BUILD)) {
    if (old.startsWith(`${name}-`) && /-[0-9a-f]{16}$/.test(old)) rmSync(join(BUILD, old));
  }
  renameSync(unfinished, path);
  return path;
}

export const CXX_FLAGS: readonly string[] = [
  '-std=c++20',
  '-O1',
  '-g',
  '-Wall',
  '-Wextra',
  '-Wconversion',
  '-Wshadow',
  '-Werror',
  '-fno-omit-frame-pointer',
  '-fno-sanitize-recover=undefined',
  `-I${join(NATIVE, 'src')}`,
  `-I${FUZZ}`,
  `-isystem${join(NATIVE, 'third_party')}`,
];

function build(name: string): string {
  const { parts, rooms } = NATIVE_TARGETS[name]!;
  const own = [`${name.slice('native-'.length)}_fuzz.cc`, ...parts].map((part) => join(FUZZ, part));
  const all = addonSources().filter((path) => !/\/(addon\.cc|napi\/.*)$/.test(path));
  const used = rooms.length === 0 ? all : all.filter((path) => rooms.some((room) => path.includes(`/src/${room}/`)));
  return compileOnce(name, [...CXX_FLAGS, '-fsanitize=fuzzer,address,undefined', ...own, ...used]);
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
  const program = build(task.target);
  const work = makePlace('libfuzzer');
  try {
    const kept = task.keep === '' ? join(work, 'corpus') : task.keep;
    const artifacts = join(work, 'artifacts');
    const samples = join(work, 'samples');
    for (const directory of [kept, artifacts, samples]) mkdirSync(directory, { recursive: true });
    task.samples.forEach((sample, i) => {
      writeFileSync(join(samples, String(i)), sample);
    });
    const output = await run(program, [
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

function run(program: string, arguments_: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = watched(spawn(program, arguments_, { stdio: ['ignore', 'ignore', 'pipe'] }));
    const pieces: Buffer[] = [];
    child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
    child.on('error', reject);
    child.on('close', () => resolve(Buffer.concat(pieces).toString('latin1')));
  });
}
