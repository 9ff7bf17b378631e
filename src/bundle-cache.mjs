/**
 * Makes the caches of the scripts in dist/ (script.ts): what V8 has compiled of each when commands have really been run,
 * on a small 3.x installation in a temporary directory. A function that nobody calls at a start is not in them.
 *
 * Each run begins with what the runs before it have left, and adds to it. Without caches everything works, and a build
 * where they cannot be made, since the account `mail` is missing say, has none and says so in one line.
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
  const { cacheOf, compile, sealed } = await import('../dist/test/inside.js');
  const put = (script, data) => {
    const file = cacheOf(script);
    writeFileSync(`${file}.new`, sealed(readFileSync(script), data), { mode: 0o644 });
    renameSync(`${file}.new`, file);
  };
  const place = mkdtempSync(join(tmpdir(), 'mailhaul-cache-'));
  try {
    // The server account goes through it; what is recorded becomes code, and is for nobody else to write.
    chmodSync(place, 0o755);
    const records = join(place, 'records');
    for (const script of scripts) put(script, compile(script, readFileSync(script)).createCachedData());
    for (const words of commands(top, place)) {
      rmSync(records, { recursive: true, force: true });
      mkdirSync(records, { mode: 0o700 });
      runRecorded(top, records, words);
      for (const script of scripts) {
        const data = largest(records, relative(top, script).replaceAll('/', '+'));
        if (data !== undefined) put(script, data);
      }
    }
  } catch (error) {
    for (const script of scripts) rmSync(cacheOf(script), { force: true });
    console.error(`No caches of compiled code were made, commands start slower without: ${error.message}`);
  } finally {
    rmSync(place, { recursive: true, force: true });
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

function runRecorded(top, records, words) {
  run(top, ['--require', join(top, 'src/bundle-record.cjs'), ...words], { MAILHAUL_RECORD: records });
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
  const said = stderr.trim().split('\n').at(-1);
  if (status !== 0) throw new Error(`${basename(words.at(-1))} ended with ${signal ?? status} (${said})`);
}

/** What the thread that has compiled most of a script has recorded. */
function largest(records, name) {
  const all = readdirSync(records).filter((file) => file.startsWith(`${name}.`));
  const [most] = all.map((file) => readFileSync(join(records, file))).sort((a, b) => b.length - a.length);
  return most === undefined || most.length === 0 ? undefined : most;
}
