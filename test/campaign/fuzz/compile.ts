/**
 * Compiles the C++ sources with clang, ASan, UBSan and libFuzzer's counters: each file once for each state of the
 * sources, into `build/fuzz/objects-<hash>/`, for all programs that are linked of it.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { BUILD, TOP } from './instrument.js';

const NATIVE = join(TOP, 'native');
export const FUZZ = join(NATIVE, 'fuzz');

/** Source files of the addon, as paths. */
export function addonSources(): string[] {
  return readFileSync(join(NATIVE, 'sources.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => join(NATIVE, line));
}

/** Compiles what is not compiled yet, on all processors, and links it all to `<build>/<name>-<hash>`. */
export async function program(name: string, sources: readonly string[], linking: readonly string[]): Promise<string> {
  const flags = compilerFlags();
  const hash = hashOfSources([...flags, ...linking]);
  const path = join(BUILD, `${name}-${hash}`);
  if (existsSync(path)) return path;
  const objects = await objectsOf(sources, flags);
  await build([...linking, ...objects], path);
  removeOthers(`${name}-`, path);
  return path;
}

async function objectsOf(sources: readonly string[], flags: readonly string[]): Promise<string[]> {
  const directory = join(BUILD, `objects-${hashOfSources(flags)}`);
  mkdirSync(directory, { recursive: true });
  removeOthers('objects-', directory);
  const objects = sources.map((source) => join(directory, `${relative(NATIVE, source).replaceAll('/', '_')}.o`));
  const queue = sources
    .map((source, i) => ({ source, object: objects[i]! }))
    .filter(({ object }) => !existsSync(object));
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      await build([...flags, '-c', next.source], next.object);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return objects;
}

function compilerFlags(): string[] {
  const require = createRequire(join(TOP, 'package.json'));
  const packageDirectory = (name: string): string => dirname(require.resolve(`${name}/package.json`));
  return [
    '-std=c++20',
    '-O1',
    '-g',
    '-Wall',
    '-Wextra',
    '-Wconversion',
    '-Wshadow',
    '-Werror',
    '-fPIC',
    '-fno-omit-frame-pointer',
    '-fsanitize=fuzzer-no-link,address,undefined',
    '-fno-sanitize-recover=undefined',
    '-DNAPI_VERSION=8',
    '-DNODE_ADDON_API_CPP_EXCEPTIONS',
    `-I${join(NATIVE, 'src')}`,
    `-I${FUZZ}`,
    `-isystem${join(NATIVE, 'third_party')}`,
    `-isystem${join(packageDirectory('node-api-headers'), 'include')}`,
    `-isystem${packageDirectory('node-addon-api')}`,
  ];
}

/** A name for what these flags make of the sources of native/, headers and this directory included. */
function hashOfSources(flags: readonly string[]): string {
  const hash = createHash('sha256').update(flags.join(' '));
  for (const room of ['src', 'fuzz', 'third_party']) {
    for (const name of readdirSync(join(NATIVE, room), { recursive: true, encoding: 'utf8' }).sort()) {
      if (/\.(cc|h)$/.test(name)) hash.update(name).update(readFileSync(join(NATIVE, room, name)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Those of earlier states of the sources. */
function removeOthers(prefix: string, kept: string): void {
  for (const old of readdirSync(BUILD)) {
    const path = join(BUILD, old);
    if (path !== kept && old.startsWith(prefix) && /-[0-9a-f]{16}$/.test(old)) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

/** Runs the compiler; the file appears when it is whole. Throws with the compiler's messages. */
async function build(arguments_: readonly string[], path: string): Promise<void> {
  const unfinished = `${path}.${process.pid}`;
  const child = spawn('clang++', [...arguments_, '-o', unfinished], { stdio: ['ignore', 'ignore', 'pipe'] });
  const messages: Buffer[] = [];
  child.stderr.on('data', (piece: Buffer) => messages.push(piece));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new Error(`clang++ failed for ${path}:\n${Buffer.concat(messages).toString()}`);
  renameSync(unfinished, path);
}
