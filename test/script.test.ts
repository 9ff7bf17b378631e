/**
 * Scripts and their caches: what a cache holds is run instead of the script, so nothing but a whole one of this script
 * and this Node may be taken. V8 does not compare texts: a cache of another script of the same length shows itself by what
 * it does.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INSIDE, project } from './support/process.js';
import { ACCOUNT, needRoot } from './upgrade/small-store.js';

const SCRIPT = `"use strict";
exports.default = "script";
exports.fail = () => {
  throw new Error("planted");
};
exports.files = () => Object.keys(require.cache);
`;
/** As long. */
const OTHER = SCRIPT.replace('"script"', '"cached"');

let top: string;
let entry: string;
let script: string;
let cache: string;

/** The entry of a thread is that of any script: it loads the one of its name. */
beforeEach(() => {
  top = fs.mkdtempSync(join(tmpdir(), 'mailhaul-script-'));
  fs.chmodSync(top, 0o755);
  fs.mkdirSync(join(top, 'dist'));
  [entry, script, cache] = ['cjs', 'code.cjs', 'code.cache'].map((end) => join(top, `dist/x.${end}`)) as [
    string,
    string,
    string,
  ];
  fs.copyFileSync(`${project}/dist/upgrade/worker.cjs`, entry);
  fs.writeFileSync(script, SCRIPT);
});

afterEach(() => fs.rmSync(top, { recursive: true }));

/** Writes the cache: as one of `of`, holding what V8 made of `made`. */
function writeCache(of: string, made: string): void {
  const program = `
    import { compile, sealed } from ${INSIDE};
    import { writeFileSync } from 'node:fs';
    const [file, cache, of, made] = process.argv.slice(1);
    const script = compile(file, Buffer.from(made));
    script.runInThisContext()({}, { cache: {} });
    writeFileSync(cache, sealed(Buffer.from(of), script.createCachedData()));`;
  const said = node({}, '--input-type=module', '-e', program, script, cache, of, made);
  expect(said).toEqual({ stdout: '', stderr: '' });
}

function node(options: { uid?: number; gid?: number }, ...args: string[]): { stdout: string; stderr: string } {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env, cwd: '/', ...options });
  return { stdout: stdout.trim(), stderr };
}

const EXPORTED = 'require(process.argv[1]).default';

/** What the script exports, loaded by a process of its own. */
function loaded(...nodeOptions: string[]): string {
  const { stdout, stderr } = node({}, ...nodeOptions, '-p', EXPORTED, entry);
  expect(stderr).toBe('');
  return stdout;
}

/** A cache that would be taken, of code that does something else. */
function writeTellingCache(): void {
  writeCache(SCRIPT, OTHER);
  expect(loaded()).toBe('cached');
}

it('a script is loaded without a cache', () => {
  expect(loaded()).toBe('script');
});

it('a script is run from its cache', () => {
  writeCache(SCRIPT, SCRIPT);
  expect(loaded()).toBe('script');
  writeTellingCache();
});

describe('a cache is not taken', () => {
  it('of another script', () => {
    writeCache(OTHER, OTHER);
    expect(loaded()).toBe('script');
  });

  it('that has lost its end, or its beginning, or is empty', () => {
    writeTellingCache();
    const whole = fs.readFileSync(cache);
    for (const part of [
      whole.subarray(0, 0),
      whole.subarray(0, 255),
      whole.subarray(0, 256),
      whole.subarray(0, whole.length >> 1),
      whole.subarray(0, whole.length - 1),
      whole.subarray(1),
      Buffer.alloc(whole.length),
    ]) {
      fs.writeFileSync(cache, part);
      expect(loaded(), `${part.length} of ${whole.length}`).toBe('script');
    }
  });

  it('with a bit that has changed, wherever it is', () => {
    writeTellingCache();
    const whole = fs.readFileSync(cache);
    for (let at = 0; at < whole.length; at += Math.ceil(whole.length / 20)) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      fs.writeFileSync(cache, changed);
      expect(loaded(), `byte ${at}`).toBe('script');
    }
  });

  it('of another Node, V8, processor or build of the same version', () => {
    writeTellingCache();
    const whole = fs.readFileSync(cache, 'latin1');
    const { version, versions, arch, execPath } = process;
    for (const word of [version, versions.v8, arch, String(fs.statSync(execPath).size)]) {
      const at = whole.indexOf(` ${word}`) + word.length;
      expect(at).toBeGreaterThan(word.length);
      fs.writeFileSync(cache, `${whole.slice(0, at)}~${whole.slice(at + 1)}`, 'latin1');
      expect(loaded(), word).toBe('script');
    }
  });

  it('when V8 is told to do otherwise', () => {
    writeTellingCache();
    expect(loaded('--max-lazy')).toBe('script');
  });

  it('when stack traces are to name the sources, whose map Node then looks for', () => {
    writeTellingCache();
    expect(loaded('--enable-source-maps')).toBe('script');
  });

  it('that cannot be read', (ctx) => {
    writeTellingCache();
    fs.rmSync(cache);
    fs.mkdirSync(cache);
    expect(loaded()).toBe('script');
    needRoot(ctx);
    fs.rmdirSync(cache);
    writeTellingCache();
    fs.chmodSync(cache, 0o600);
    expect(node(ACCOUNT, '-p', EXPORTED, entry)).toEqual({ stdout: 'script', stderr: '' });
  });
});

it('a script that cannot be read is named, cache or not', () => {
  writeTellingCache();
  fs.rmSync(script);
  expect(node({}, '-p', EXPORTED, entry).stderr).toContain(`Cannot find module '${script}'`);
});

it('a script from a cache names its file, in the package, and the line where it fails', () => {
  // Made where the package was built.
  writeCache(SCRIPT, SCRIPT);
  const moved = join(top, 'elsewhere');
  fs.mkdirSync(moved);
  fs.renameSync(join(top, 'dist'), join(moved, 'dist'));
  const program = 'require(process.argv[1]); require.cache[process.argv[2]].exports.fail()';
  const [atEntry, atScript] = [entry, script].map((file) => file.replace(top, moved)) as [string, string];
  expect(node({}, '-e', program, atEntry, atScript).stderr).toMatch(
    /Error: planted\n +at (exports\.fail|.*) ?\(?dist\/x\.code\.cjs:4:9\)?/,
  );
});

it('a script and its cache are among the code that is loaded', () => {
  writeCache(SCRIPT, SCRIPT);
  const program = 'require(process.argv[1]); Object.keys(require.cache).join()';
  expect(node({}, '-p', program, entry).stdout.split(',')).toEqual([entry, script, cache]);
  fs.rmSync(cache);
  expect(node({}, '-p', program, entry).stdout.split(',')).toEqual([entry, script]);
});
