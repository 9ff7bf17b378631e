/**
 * Makes the code in dist/: `npm run build:ts` runs this file once tsc has found no error and written dist/types.
 *
 * Each entry is one file that holds everything of ours that it may need. A command would else find, read and link a
 * hundred small modules, and each of its threads sixty more: as much processor time as all else that a start takes
 * (docs/architecture.md). What is imported with `import()` is text in the same file, evaluated when it is asked for.
 * There are no chunks that entries share: loading eighty of them costs what was won.
 *
 * dist/ holds afterwards what was built now and nothing of an earlier build.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** What Node is started with: the commands (package.json, bin), and what they start. */
const PROGRAMS = [
  'src/cli/upgrade.ts',
  'src/cli/configutil.ts',
  'src/cli/mboxutil.ts',
  'src/cli/hashdir.ts',
  'src/cli/msg-setup.ts',
  'src/upgrade/worker.ts', // a thread of a migration (upgrade/pool.ts)
  'src/upgrade/folders-reader.ts', // a thread of upgrade -s (upgrade/folders-readers.ts)
  'src/upgrade/verify/worker.ts', // a thread of a verification (upgrade/verify/runner.ts)
  'src/upgrade/verify/probeMain.ts', // a process that may die of a damaged database (upgrade/verify/probe.ts)
];

/** What programs import. */
const LIBRARIES = [
  'src/index.ts', // the library
  'test/support/inside.ts', // single modules for scripts of tests; not in the package
];

/** Packages that stay packages: lmdb has an addon, piscina starts a file of its own, few need ldapts. */
const PACKAGES = ['lmdb', 'piscina', 'ldapts'];

/** Written by tsc (tsconfig.build.json, tsconfig.bench.json). */
const OF_TSC = ['types', 'msg-bench', '.tsbuildinfo-bench'];

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(top, 'dist');

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

function bundle(entryPoints, packages) {
  return build({
    absWorkingDir: top,
    entryPoints: entryPoints.map((entry) => ({
      in: entry,
      out: entry.replace(/^src\/|\.ts$/g, '').replace('test/support', 'test'),
    })),
    outdir: dist,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: PACKAGES,
    plugins: [whenNeeded(packages)],
    // ES modules have no `require`; esbuild's stand-in takes this one.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module';\nconst require = requireFrom(import.meta.url);",
    },
    // Stack traces of users name functions and lines of dist/; with the maps and src/ they lead to the sources.
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning',
  });
}

/** The licences of the packages whose code is in the bundles. */
function licenses(inputs) {
  const names = new Set(inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]));
  names.delete(undefined);
  return [...names].sort().map((name) => {
    const directory = join(top, 'node_modules', name);
    const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined) throw new Error(`${name} has no file with its licence`);
    const { version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    return `${name} ${version}\n\n${readFileSync(join(directory, file), 'utf8').trim()}\n`;
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

const built = await Promise.all([
  bundle(PROGRAMS, PACKAGES),
  // A program that uses lmdb itself must not load it twice, with one state in its addon: here it stays an import.
  bundle(
    LIBRARIES,
    PACKAGES.filter((name) => name !== 'lmdb'),
  ),
]);
const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
const texts = join(dist, 'licenses.txt');
writeFileSync(texts, `Packages whose code is in these files:\n\n${licenses(inputs).join('\n---\n\n')}`);
const outputs = built.flatMap(({ metafile }) => Object.keys(metafile.outputs)).map((path) => join(top, path));
for (const output of outputs) if (output.endsWith('.js')) makeAscii(output);
removeOthers(dist, new Set([texts, ...outputs]));
