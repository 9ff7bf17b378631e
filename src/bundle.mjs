/**
 * Makes the code in dist/: `npm run build:ts` runs this file once tsc has found no error and written dist/types.
 *
 * Each entry is one file that holds everything of ours that it may need. A command would else find, read and link a
 * hundred small modules, and each of its threads sixty more: as much processor time as all else that a start takes
 * (docs/architecture.md). What is imported with `import()` is text in the same file, evaluated when it is asked for.
 * There are no chunks that entries share: loading eighty of them costs what was won.
 *
 * What is large, or loaded by many threads, is a script: CommonJS, which a small entry loads with what V8 has made of it
 * (src/script.ts, src/bundle-cache.mjs). A script has no `import()` and no `import.meta` of its own.
 *
 * dist/ holds afterwards what was built now and nothing of an earlier build.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { makeCaches } from './bundle-cache.mjs';

/** What Node is started with and is small, or starts once: the commands (package.json, bin), and what they start. */
const PROGRAMS = [
  'src/cli/upgrade.ts', // loads the script cli/upgrade.code.cjs
  'src/cli/configutil.ts',
  'src/cli/mboxutil.ts',
  'src/cli/hashdir.ts',
  'src/cli/msg-setup.ts',
  'src/upgrade/verify/probeMain.ts', // a process that may die of a damaged database (upgrade/verify/probe.ts)
];

/** Scripts, each loaded by its entry (src/script.ts): what is large, or loaded by many threads. */
const SCRIPTS = {
  'cli/upgrade': 'src/cli/upgrade-main.ts',
  'upgrade/worker': 'src/upgrade/worker.ts', // a thread of a migration (upgrade/pool.ts)
  'upgrade/folders-reader': 'src/upgrade/folders-reader.ts', // a thread of upgrade -s (upgrade/folders-readers.ts)
  'upgrade/verify/worker': 'src/upgrade/verify/worker.ts', // a thread of a verification (upgrade/verify/runner.ts)
};

/** The entries of the scripts of threads, which are alike. */
const THREADS = Object.keys(SCRIPTS).filter((name) => name.startsWith('upgrade/'));

/** What programs import. */
const LIBRARIES = [
  'src/index.ts', // the library
  'test/support/inside.ts', // single modules for scripts of tests; not in the package
];

/** Packages that stay packages: lmdb has an addon, piscina starts a file of its own, few need ldapts. */
const PACKAGES = ['lmdb', 'piscina', 'ldapts'];

/** Those whose JavaScript is in the scripts all the same (V8 has compiled it); the rest of them is found from there. */
const INSIDE = ['lmdb', 'piscina'];

/** What commands need now and then, a millisecond each to load. */
const SELDOM = ['child_process', 'crypto', 'net', 'readline', 'readline/promises', 'tls', 'zlib'];

/** Written by tsc (tsconfig.build.json, tsconfig.bench.json). */
const OF_TSC = ['types', 'msg-bench', '.tsbuildinfo-bench'];

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(top, 'dist');

const COMMON = {
  absWorkingDir: top,
  outdir: dist,
  bundle: true,
  platform: 'node',
  target: 'node20',
  // Stack traces of users name functions and lines of dist/; with the maps and src/ they lead to the sources.
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
  logLevel: 'warning',
};

/**
 * An `import` of a package would be done before the first line of a bundle runs, needed or not. `require` is called when
 * the module that imports it is evaluated, and takes the package's CommonJS form: of lmdb one file instead of ten.
 */
function whenNeeded(packages) {
  return {
    name: 'packages when they are needed',
    setup({ onResolve, onLoad }) {
      const filter = new RegExp(`^(${packages.join('|')})$`);
      onResolve({ filter }, ({ path, kind }) =>
        kind === 'require-call' ? { path, external: true } : { path, namespace: 'package' },
      );
      onLoad({ filter, namespace: 'package' }, ({ path }) => ({ contents: `module.exports = require('${path}');` }));
    },
  };
}

/**
 * The JavaScript of packages in a script. A file that looks for others beside itself (`__filename`, `__dirname`: lmdb its
 * addon, piscina what its threads start with) is told where the package is installed that it was taken from.
 */
function inside(packages) {
  return {
    name: 'packages in scripts',
    setup({ resolve, onResolve, onLoad }) {
      const main = {};
      const filter = new RegExp(`^(${packages.join('|')})$`);
      onResolve({ filter }, async ({ path, kind, resolveDir, pluginData }) => {
        if (pluginData === 'found') return undefined;
        if (kind === 'require-resolve') return { path, external: true };
        const found = await resolve(path, { kind: 'require-call', resolveDir, pluginData: 'found' });
        main[path] = found.path;
        return found;
      });
      const files = new RegExp(`/node_modules/(${packages.join('|')})/.*\\.c?js$`);
      onLoad({ filter: files }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        if (!/\b__(filename|dirname)\b/.test(text)) return { contents: text };
        const name = files.exec(path)[1];
        if (dirname(path) !== dirname(main[name]))
          throw new Error(`${path}: no longer beside the main file of ${name}`);
        const place =
          `var __dirname = require('node:path').dirname(require.resolve('${name}')), ` +
          `__filename = require('node:path').join(__dirname, '${basename(path)}');`;
        return { contents: place + text.replace(/^(['"])use strict\1;/, '') };
      });
    },
  };
}

/** Modules of Node that are loaded when one of their functions is called, and not when it is imported. */
function whenCalled(modules) {
  return {
    name: 'modules of Node when they are needed',
    setup({ onResolve, onLoad }) {
      const filter = new RegExp(`^(node:)?(${modules.join('|')})$`);
      onResolve({ filter }, ({ path, namespace }) =>
        namespace === 'builtin' ? { path, external: true } : { path: path.replace('node:', ''), namespace: 'builtin' },
      );
      onLoad({ filter, namespace: 'builtin' }, async ({ path }) => {
        const names = Object.keys(await import(`node:${path}`)).filter((name) => name !== 'default');
        return {
          contents: `let loaded;
            for (const name of ${JSON.stringify(names)}) {
              const get = () => (loaded ??= require('node:${path}'))[name];
              Object.defineProperty(exports, name, { enumerable: true, get });
            }`,
        };
      });
    },
  };
}

/** Makes ES modules of `entryPoints`. */
function bundle(entryPoints, packages) {
  return build({
    ...COMMON,
    entryPoints,
    format: 'esm',
    external: PACKAGES,
    plugins: [whenNeeded(packages)],
    // ES modules have no `require`; esbuild's stand-in takes this one.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module';\nconst require = requireFrom(import.meta.url);",
    },
  });
}

/** Makes scripts (CommonJS). */
function script(entryPoints) {
  return build({
    ...COMMON,
    entryPoints,
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    external: ['msgpackr-extract'],
    plugins: [inside(INSIDE), whenNeeded(PACKAGES.filter((name) => !INSIDE.includes(name))), whenCalled(SELDOM)],
    banner: { js: "'use strict'; const ownUrl = require('node:url').pathToFileURL(__filename).href;" },
    define: {
      // esbuild leaves it empty.
      'import.meta.url': 'ownUrl',
      // msgpackr comes with lmdb, which encodes nothing here: its addon would be loaded for nothing.
      'process.env.MSGPACKR_NATIVE_ACCELERATION_DISABLED': '"true"',
    },
  });
}

/** Entry points that lie in dist/ as in src/. */
function likeSources(entries) {
  return entries.map((entry) => ({
    in: entry,
    out: entry.replace(/^src\/|\.ts$/g, '').replace('test/support', 'test'),
  }));
}

/** The licences of the packages whose code is in the bundles. */
function licenses(inputs) {
  const names = new Set(inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]));
  names.delete(undefined);
  return [...names].sort().map((name) => {
    const directory = join(top, 'node_modules', name);
    const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
    const { version, license, author } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    if (file === undefined && license === undefined) throw new Error(`${name} has no licence`);
    // weak-lru-cache comes without the text of it.
    const text =
      file === undefined ? `${license}, by ${author?.name ?? author}` : readFileSync(join(directory, file), 'utf8');
    return `${name} ${version}\n\n${text.trim()}\n`;
  });
}

/**
 * One dash in a comment, and V8 keeps a text of a million characters in two bytes each. esbuild writes everything but
 * comments in ASCII; a character more or less there changes no position that the source map knows.
 */
function makeAscii(file) {
  const text = readFileSync(file, 'utf8');
  const ascii = text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\x00-\x7f]/g, '?'));
  if (ascii !== text) writeFileSync(file, ascii);
}

/** Removes what is not among `files`, and directories that are empty then. */
function removeOthers(directory, files) {
  let left = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    const keep =
      files.has(path) ||
      (directory === dist && OF_TSC.includes(entry.name)) ||
      (entry.isDirectory() && removeOthers(path, files));
    if (keep) left += 1;
    else rmSync(path, { recursive: true });
  }
  return left > 0;
}

const scripts = Object.entries(SCRIPTS).map(([name, entry]) => ({ in: entry, out: `${name}.code` }));
const threads = THREADS.map((name) => ({ in: 'src/upgrade/thread.ts', out: name }));
const built = await Promise.all([
  bundle(likeSources(PROGRAMS), PACKAGES),
  script([...scripts, ...threads]),
  // A program that uses lmdb itself must not load it twice, with one state in its addon: here it stays an import.
  bundle(
    likeSources(LIBRARIES),
    PACKAGES.filter((name) => name !== 'lmdb'),
  ),
]);
const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
const texts = join(dist, 'licenses.txt');
writeFileSync(texts, `Packages whose code is in these files:\n\n${licenses(inputs).join('\n---\n\n')}`);
const outputs = built.flatMap(({ metafile }) => Object.keys(metafile.outputs)).map((path) => join(top, path));
for (const output of outputs) if (/\.c?js$/.test(output)) makeAscii(output);
removeOthers(dist, new Set([texts, ...outputs]));
await makeCaches(
  top,
  scripts.map(({ out }) => join(dist, `${out}.cjs`)),
);
