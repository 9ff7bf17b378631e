/**
 * What src/bundle.mjs makes: each file of dist/ is all of ours that its process or thread loads. A copy of the package that
 * holds nothing but these files does everything, and what is not asked for is not loaded.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as source from '../../src/index.js';
import { INSIDE, project } from '../support/process.js';
import { INDEX, smallStore } from '../upgrade/small-store.js';

/** Scripts and what loads them. */
const SCRIPTS = ['cli/upgrade', 'upgrade/folders-reader', 'upgrade/verify/worker', 'upgrade/worker'].map(
  (name) => `${name}.code.cjs`,
);
/** What Node is started with; in the package these are all files of code but the compiled msg-bench. */
const PROGRAMS = [
  'cli/configutil.js',
  'cli/hashdir.js',
  'cli/mboxutil.js',
  'cli/msg-setup.js',
  'cli/upgrade.js',
  'upgrade/folders-reader.cjs',
  'upgrade/verify/probeMain.js',
  'upgrade/verify/worker.cjs',
  'upgrade/worker.cjs',
  ...SCRIPTS,
];
const ALL = [...PROGRAMS, 'index.js', 'test/inside.js'];
const CACHES = SCRIPTS.map((name) => name.replace('.cjs', '.cache'));

/** What msgpackr, which comes with lmdb, would load if that were not switched off. */
const UNREACHED = ['msgpackr-extract'];

const text = (file: string): string => fs.readFileSync(path.join(project, file), 'utf8');
const manifest = JSON.parse(text('package.json')) as {
  types: string;
  main: string;
  exports: { '.': Record<string, string> };
  bin: Record<string, string>;
  dependencies: Record<string, string>;
};

describe('a file of dist', () => {
  it('is one of these, and those that package.json names are there', () => {
    const files = fs.readdirSync(`${project}/dist`, { recursive: true, encoding: 'utf8' });
    const code = files.filter((file) => /\.(c?js|cache)$/.test(file) && !file.startsWith('msg-bench/'));
    expect(code.sort()).toEqual([...ALL, ...CACHES].sort());
    const named = [
      manifest.main,
      manifest.types,
      ...Object.values(manifest.exports['.']),
      ...Object.values(manifest.bin),
    ];
    for (const file of named) expect(fs.existsSync(path.join(project, file)), file).toBe(true);
  });

  it('is ASCII, of which V8 keeps a byte a character and not two', () => {
    for (const name of ALL)
      expect(
        fs.readFileSync(`${project}/dist/${name}`).findIndex((byte) => byte > 127),
        name,
      ).toBe(-1);
  });

  it('imports no other file of ours, and no package that is not installed with it', () => {
    for (const name of ALL) {
      const code = text(`dist/${name}`);
      const imported = [
        ...code.matchAll(/(?:^import .*|^\} ?from|\bimport\(|\brequire\(|__require\() ?["']([^"'\n]+)["']/gm),
      ];
      const names = imported.map(([, wanted]) => wanted!);
      expect(names, name).toContain('node:fs');
      const others = names.filter((wanted) => !isBuiltin(wanted) && !(wanted in manifest.dependencies));
      expect(others, name).toEqual(name === 'cli/upgrade.code.cjs' ? UNREACHED : []);
    }
  });

  it('that is a script has no import(), which V8 refuses where it knows of no module', () => {
    for (const name of SCRIPTS) expect(text(`dist/${name}`), name).not.toMatch(/\bimport\(/);
  });

  it('that holds code of packages comes with their licences', () => {
    const maps = ALL.map((name) => JSON.parse(text(`dist/${name}.map`)) as { sources: string[] });
    const places = maps.flatMap(({ sources }) =>
      sources.map((file) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]),
    );
    const packages = new Set(places.filter((name) => name !== undefined));
    expect(packages).toContain('commander');
    for (const name of packages) expect(text('dist/licenses.txt')).toMatch(new RegExp(`^${name} \\d`, 'm'));
  });
});

describe('a package of these files alone', () => {
  let top: string;
  beforeEach(() => {
    top = fs.mkdtempSync(`${tmpdir()}/mailhaul-package-`);
    // The server account starts the process that reads databases.
    fs.chmodSync(top, 0o755);
    fs.writeFileSync(`${top}/package.json`, text('package.json').replace(/"version": ".*?"/, '"version": "9.8.7"'));
    for (const name of [...PROGRAMS, 'index.js']) fs.cpSync(`${project}/dist/${name}`, `${top}/dist/${name}`);
    fs.symlinkSync(`${project}/node_modules`, `${top}/node_modules`);
    fs.symlinkSync(`${project}/build`, `${top}/build`);
  });
  afterEach(() => fs.rmSync(top, { recursive: true, force: true }));

  const node = (...args: string[]) => spawnSync(process.execPath, args, { cwd: top, encoding: 'utf8' });
  const command = (name: string, ...args: string[]): string => {
    const { stdout, stderr, status } = node(`${top}/dist/cli/${name}.js`, ...args);
    expect({ name, args, stderr, status }).toEqual({ name, args, stderr: '', status: 0 });
    return stdout;
  };

  const filesOf = (directory: string) => fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();

  it('migrates with threads, verifies with threads, lists; without caches it makes none', () => {
    const before = filesOf(`${top}/dist`);
    const store = smallStore();
    try {
      store.user('alice');
      // As many as --verify takes threads for.
      const names = Array.from({ length: 1_001 }, (_, i) => `m${i}`);
      for (const name of ['INBOX', 'INBOX/f']) {
        const lines = names.map((message, i) => `${i + 1} 9 S 5 ${message}\n`).join('');
        const folder = store.folder(store.mailbox, 'alice', name, `${INDEX(7, 2_000)}${lines}`);
        for (const message of names) fs.writeFileSync(`${folder}/${message}`, 'a: b\n');
      }
      store.finish();
      const at = ['--instance', store.instance];
      command('upgrade', '-s', '--from', store.from, '--directory', store.ldif, ...at);
      const moved = JSON.parse(command('upgrade', '-m', '-t', '2', '--json', ...at)) as { folders: object };
      expect(moved.folders).toMatchObject({ done: 2, failed: 0 });
      expect(command('upgrade', '--verify', '-t', '2', ...at)).toMatch(/2[,]?002 messages/);
      expect(command('mboxutil', '-l', ...at).match(/alice/g)?.length).toBe(2);
      expect(command('configutil', ...at)).toContain('store.');
      expect(command('hashdir', 'alice')).not.toBe('');
      expect(filesOf(`${top}/dist`)).toEqual(before);
    } finally {
      store.remove();
    }
  });

  it('names file and line of an internal error, from a cache and without, and of the source with its map', () => {
    const file = `${top}/dist/cli/upgrade.code.cjs`;
    const code = fs.readFileSync(file, 'utf8').replace('async function perform(flags) {', "$& null.planted = '';");
    expect(code).toContain('null.planted');
    fs.writeFileSync(file, code);
    fs.copyFileSync(`${project}/dist/cli/upgrade.code.cjs.map`, `${file}.map`);
    const program = `
      import { cacheOf, compile, sealed } from ${INSIDE};
      import { readFileSync, writeFileSync } from 'node:fs';
      const [, file] = process.argv;
      const script = readFileSync(file);
      writeFileSync(cacheOf(file), sealed(script, compile(file, script).createCachedData()));`;
    for (const from of ['script', 'cache']) {
      if (from === 'cache') expect(node('--input-type=module', '-e', program, file).stderr).toBe('');
      const { status, stderr } = node(`${top}/dist/cli/upgrade.js`, '-m', '--instance', '/nowhere');
      const line = code.slice(0, code.indexOf('null.planted')).split('\n').length;
      const place = from === 'cache' ? 'dist/cli/upgrade.code.cjs' : file;
      expect(status).toBe(4);
      expect(stderr).toMatch(/INTERNAL: TypeError: Cannot set properties of null/);
      expect(stderr).toContain(`(${place}:${line}:`);
    }
    const traced = node('--enable-source-maps', `${top}/dist/cli/upgrade.js`, '-m', '--instance', '/nowhere');
    expect(traced.stderr).toContain('/src/cli/upgrade-command.ts:');
  });

  it('loads no package before it is needed, and says which version it is', () => {
    fs.unlinkSync(`${top}/node_modules`);
    for (const name of ['upgrade', 'configutil', 'hashdir', 'msg-setup']) {
      expect(command(name, '--help')).toContain(`Usage: ${name}`);
      expect(command(name, '--version')).toBe('9.8.7\n');
    }
  });

  it('is a library that exports what its sources do, and shares lmdb with a program that imports it', () => {
    const script = `
      import * as library from 'mailhaul';
      import 'lmdb';
      import { createRequire } from 'node:module';
      const again = Object.keys(createRequire(import.meta.url).cache).filter((file) => /lmdb.*\\.c?js$/.test(file));
      console.log(JSON.stringify({ names: Object.keys(library), again }));`;
    const { stdout, stderr } = node('--input-type=module', '-e', script);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ names: Object.keys(source).sort(), again: [] });
  });
});

it('a command within another file does not start when that file is run', () => {
  const file = `${project}/dist/test/inside.js`;
  expect(fs.readFileSync(file, 'utf8')).toContain('startIfMain(import.meta.url, "mboxutil"');
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, '--help'], { encoding: 'utf8' });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
});
