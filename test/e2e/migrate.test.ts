/**
 * A whole store with every kind of damage, through the real commands, with each engine; the result is compared
 * with the generator's manifest. Runs the built commands in dist/ (`npm test` builds them).
 */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareWithManifest, linesOf } from '../support/generate/compare.js';
import { generateInstallation, type Installation, removeInstallation } from '../support/generate.js';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const hasAddon = fs.existsSync(path.join(PROJECT, 'build/Release/mailhaul.node'));

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface MessagesResult {
  readonly folders: { readonly done: number; readonly skipped: number; readonly failed: number };
  readonly messages: { readonly done: number; readonly failed: number };
  readonly errors: readonly { readonly user: string; readonly file: string; readonly code: string }[];
}

let work = '';
beforeAll(() => {
  work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-e2e-'));
  fs.chmodSync(work, 0o755);
});
afterAll(() => {
  removeInstallation(work);
});

function command(name: string, args: readonly string[], instance: string): string[] {
  return [path.join(PROJECT, 'dist/cli', `${name}.js`), ...args, '--instance', instance];
}

function run(name: string, args: readonly string[], instance: string): Run {
  // SIGKILL: a command that hangs may not hear anything else.
  const options = { encoding: 'utf8', maxBuffer: 1 << 28, timeout: 60_000, killSignal: 'SIGKILL' } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, command(name, args, instance), options);
  return { status, stdout, stderr };
}

function lines(name: string, args: readonly string[], instance: string): AsyncIterable<string> {
  const child = spawn(process.execPath, command(name, args, instance), { stdio: ['ignore', 'pipe', 'ignore'] });
  return linesOf(child.stdout);
}

function compare(made: Installation, instance: string, failures: 'wait' | 'published' | 'repaired') {
  const list = lines('mboxutil', ['-l', '--json'], instance);
  return compareWithManifest(made.manifest!, list, lines('mboxutil', ['--dump', '--json'], instance), failures);
}

/** Message files that are left in the 3.x store. */
function left(made: Installation): number {
  const find = `find "$@" -name .0004x.* -prune -o -type f ! -name '.*' ! -name '__up*' ! -name upgrade4x.conf -print0 | tr -dc '\\0' | wc -c`;
  return Number(spawnSync('sh', ['-c', find, 'sh', ...made.storePaths], { encoding: 'utf8' }).stdout);
}

describe.each(['native', 'portable'] as const)('migration with the %s engine', (engine) => {
  it.skipIf(engine === 'native' && !hasAddon)('moves a damaged store, waits for repairs, then publishes', async () => {
    const made = generateInstallation({
      root: path.join(work, engine, 'old'),
      seed: 'e2e',
      users: 24,
      folders: 5,
      messages: 1500,
      spread: 'even',
      damage: 0.5,
      hostileNames: 0.4,
      singleCopy: 0.2,
      bareLf: 0.2,
      emptyUsers: 2,
      badEntries: 13,
    });
    const instance = path.join(work, engine, 'server4', 'msg-tango');
    const choice = engine === 'native' ? '--native' : '--no-native';

    const folders = run('upgrade', ['-s', '--from', made.instance, '--directory', made.ldif, '--json'], instance);
    expect(folders.status, folders.stderr).toBe(1); // the bad entries

    const first = run('upgrade', ['-m', choice, '-t', '2', '--json'], instance);
    expect(first.status, first.stderr).toBe(1);
    const result = JSON.parse(first.stdout) as MessagesResult;
    expect(result.errors.map(({ code }) => code)).toContain('MSG_NOT_REGULAR');
    const waiting = await compare(made, instance, 'wait');
    expect(waiting.problems).toEqual([]);
    expect(waiting.waiting).toBeGreaterThan(3);

    const again = run('upgrade', ['-m', choice, '--accept-failures', '--json'], instance);
    expect(again.status, again.stderr).toBe(1);
    const published = await compare(made, instance, 'published');
    expect(published.problems).toEqual([]);
    expect(published.messages).toBeGreaterThan(waiting.messages);

    const before = left(made);
    expect(run('upgrade', ['-m', choice, '-r', '--json'], instance).status).toBe(1);
    expect(left(made)).toBeLessThan(before / 2);
    expect((await compare(made, instance, 'published')).problems).toEqual([]);
  });
});
