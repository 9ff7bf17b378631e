/**
 * Makes the caches of the scripts in dist/ (script.ts): what V8 has compiled of each when commands have really been run,
 * on a small 3.x installation in a temporary directory. A function that nobody calls at a start is not in them.
 *
 * Each run begins with what the runs before it have left, and adds to it. Without caches everything works: a build where
 * they cannot be made (an account or the addon of lmdb is missing, say) has none, and says so in one line.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';

const RUN_MS = 60_000;

/** @param scripts files in dist/ */
export async function makeCaches(top, scripts) {
  const place = mkdtempSync(join(tmpdir(), 'mailhaul-cache-'));
  try {
    await makeAll(top, scripts, place);
  } catch (error) {
    for (const script of scripts) for (const file of cacheFiles(script)) rmSync(file, { force: true });
    console.error(
      `No caches of compiled code: commands work, and start slower. ${String(error.message).replace(/\s+/g, ' ')}`,
    );
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** The cache of a script (cacheOf in script.ts, which may not have been built), and what it is while it is written. */
function cacheFiles(script) {
  const file = script.replace(/\.cjs$/, '.cache');
  return [file, `${file}.new`];
}

async function makeAll(top, scripts, place) {
  // The server account goes through it.
  chmodSync(place, 0o755);
  // What is recorded becomes code, and is for nobody else to write.
  const records = join(place, 'records');
  const { compile, sealed } = await import(join(top, 'dist/test/inside.js'));
  const put = (script, data) => {
    const [file, unfinished] = cacheFiles(script);
    writeFileSync(unfinished, sealed(readFileSync(script), data), { mode: 0o644 });
    renameSync(unfinished, file);
  };
  for (const script of scripts) put(script, compile(script, readFileSync(script)).createCachedData());
  for (const words of commands(top, place)) {
    rmSync(records, { recursive: true, force: true });
    mkdirSync(records, { mode: 0o700 });
    run(top, ['--require', join(top, 'src/bundle-record.cjs'), ...words], { MAILHAUL_RECORD: records });
    for (const script of scripts) {
      const data = largest(records, relative(top, script).replaceAll('/', '+'));
      if (data !== undefined) put(script, data);
    }
  }
}

/** What is run, in this order: all that a migration is made of, and once more with nothing left to do. */
function* commands(top, place) {
  const store = join(place, 'store');
  const generator = ['--import', 'tsx', 'test/support/generate.ts', '--root', store, '--no-manifest'];
  run(top, [...generator, '--users', '3', '--messages', '2500', '--size', '500', '--damage', '0', '--stores', '1'], {});
  const server = join(store, 'server3');
  const from = join(server, readdirSync(server)[0]);
  const upgrade = ['dist/cli/upgrade.js', '--instance', join(store, 'server4/msg-new')];
  yield [...upgrade, '-s', '--from', from, '--directory', join(store, 'users.ldif')];
  // One thread: what it has compiled is all that threads compile.
  yield [...upgrade, '-m', '-t', '1'];
  yield [...upgrade, '-m', '-t', '1'];
  yield [...upgrade, '--verify', '-t', '2'];
}

/** Throws when it fails. */
function run(top, words, more) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_|MAILHAUL_|MSG_)/.test(name)));
  const { status, signal, stderr, error } = spawnSync(process.execPath, words, {
    cwd: top,
    env: { ...env, ...more },
    encoding: 'utf8',
    timeout: RUN_MS,
    killSignal: 'SIGKILL',
  });
  if (error !== undefined) throw error;
  if (status === 0) return;
  const command = words.map((word) => basename(word)).join(' ');
  throw new Error(`${command}: ended with ${signal ?? status}: ${stderr.trim().replace(/\s+/g, ' ').slice(0, 300)}`);
}

/** What the thread that has compiled most of a script has recorded. */
function largest(records, name) {
  const all = readdirSync(records).filter((file) => file.startsWith(`${name}.`));
  const [most] = all.map((file) => readFileSync(join(records, file))).sort((a, b) => b.length - a.length);
  return most === undefined || most.length === 0 ? undefined : most;
}
