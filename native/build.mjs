/**
 * Builds the native addon: `npm install` and `npm run build:native` run this file.
 *
 *     node native/build.mjs               builds when a source is newer than the addon. Where it cannot be built, one
 *                                         line says why and that the portable engine will be used; exit code 0
 *     node native/build.mjs --required    the same, but what cannot be built is an error (exit code 1)
 *     node native/build.mjs --werror      warnings are errors (CI); implies --required
 *     node native/build.mjs --sanitize    builds and runs the C++ tests, and those of the addon in Node, under ASan and
 *                                         UBSan; those that ASan would hide without
 *     node native/build.mjs --counted     builds build/counted/counted, whose instructions and system calls
 *                                         bench/instructions counts
 */
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = dirname(fileURLToPath(import.meta.url));
const top = dirname(native);
const build = join(top, 'build');
const addon = join(build, 'Release', 'mailhaul.node');
const log = join(build, 'native.log');

const flags = new Set(process.argv.slice(2));
for (const flag of flags) {
  if (!['--required', '--werror', '--sanitize', '--counted'].includes(flag)) {
    console.error(`mailhaul: native/build.mjs does not know ${flag}`);
    process.exit(2);
  }
}
const required = flags.size > 0;

/** True when a program of this name can be run. */
function onPath(program) {
  if (program.includes('/')) return existsSync(program);
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why nothing can be built here, or undefined. */
function obstacle() {
  if (process.platform !== 'linux') return `the addon is for Linux, not ${process.platform}`;
  if (!onPath('cmake')) return 'there is no cmake';
  if (![process.env.CXX ?? 'c++', 'g++', 'clang++'].some(onPath)) return 'there is no C++ compiler';
  if (cmakeJs() === undefined) return 'cmake-js is not installed';
  return undefined;
}

function cmakeJs() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')), 'bin', 'cmake-js');
  } catch {
    return undefined;
  }
}

/** Newest modification time of the addon's sources, milliseconds. */
function newest(directory) {
  let time = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && entry.name !== 'test') time = Math.max(time, newest(path));
    if (entry.isFile()) time = Math.max(time, statSync(path).mtimeMs);
  }
  return time;
}

/** Runs a program in the top directory; undefined when it went well, else its output (or '' when that was shown). */
function run(program, args) {
  const result = spawnSync(program, args, {
    cwd: top,
    stdio: required ? 'inherit' : 'pipe',
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    env: { ...process.env, CMAKE_BUILD_PARALLEL_LEVEL: '2' },
  });
  if (result.status === 0) return undefined;
  return `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`;
}

function giveUp(reason) {
  console.error(`mailhaul: the portable engine will be used, the native addon was not built: ${reason}.`);
  process.exit(required ? 1 : 0);
}

/** What CMake noted for a checkout that was copied or moved here names the other place: it would build there. */
function forgetMoved(directory) {
  const cache = join(directory, 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  if (home === native) return;
  for (const name of ['CMakeCache.txt', 'CMakeFiles', 'build.ninja', 'Makefile']) {
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}

function buildAddon() {
  const fresh = existsSync(addon) && statSync(addon).mtimeMs >= newest(native);
  if (fresh && !flags.has('--werror')) return;
  const reason = obstacle();
  if (reason !== undefined) giveUp(reason);
  forgetMoved(build);
  const args = [cmakeJs(), flags.has('--werror') ? 'configure' : 'build', '-d', 'native', '-O', 'build'];
  let failure;
  if (flags.has('--werror')) failure = run(process.execPath, [...args, '--CDMAILHAUL_WERROR=ON']);
  args[1] = 'build';
  failure ??= run(process.execPath, args);
  if (failure === undefined) {
    // A change that left the addon as it was must not make every later call look again.
    const now = new Date();
    utimesSync(addon, now, now);
    return;
  }
  if (!required) {
    mkdirSync(build, { recursive: true });
    writeFileSync(log, failure);
  }
  giveUp(required ? 'the build failed' : `the build failed, see ${log}`);
}

function buildCounted() {
  const directory = join(build, 'counted');
  forgetMoved(directory);
  const options = ['-DMAILHAUL_COUNTED=ON', '-DMAILHAUL_WERROR=ON', '-DCMAKE_BUILD_TYPE=Release'];
  for (const args of [
    ['-S', native, '-B', directory, ...options],
    ['--build', directory],
  ]) {
    if (run('cmake', args) !== undefined) process.exit(1);
  }
}

function runSanitized() {
  const directory = join(build, 'sanitize');
  forgetMoved(directory);
  const require = createRequire(import.meta.url);
  const [api, addonApi] = ['node-api-headers', 'node-addon-api'].map((name) =>
    dirname(require.resolve(`${name}/package.json`)),
  );
  const steps = [
    [
      'cmake',
      [
        ...['-S', native, '-B', directory],
        ...['-DMAILHAUL_SANITIZE=ON', '-DMAILHAUL_WERROR=ON', '-DCMAKE_BUILD_TYPE=Debug'],
        ...[`-DMAILHAUL_NODE=${process.execPath}`, `-DMAILHAUL_NODE_INC=${join(api, 'include')};${addonApi}`],
      ],
    ],
    ['cmake', ['--build', directory]],
    ['ctest', ['--test-dir', directory, '--output-on-failure']],
  ];
  for (const [program, args] of steps) {
    if (run(program, args) !== undefined) process.exit(1);
  }
}

if (flags.has('--sanitize')) runSanitized();
else if (flags.has('--counted')) buildCounted();
else buildAddon();
