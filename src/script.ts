/**
 * Loads the script of an entry: `upgrade.js` loads `upgrade.code.cjs`, which holds all that the entry needs (bundle.mjs).
 * An entry is small; of the script V8 would compile a megabyte again at every start, and each of its threads more. What V8
 * made of it when the package was built lies beside it (`upgrade.code.cache`, bundle-cache.mjs) and is used instead.
 *
 * A cache is code that nobody checks any more: V8 compares lengths and versions, and runs what it finds. So only one that
 * is whole, was made of this very script, and by this very Node counts, which its first line tells; without it Node loads
 * the script as any other. Caches are read from nowhere but the script's own directory, and never written here.
 *
 * Both files are in `require.cache`, as all code that a thread has loaded (upgrade/worker.ts tells of it).
 */
import { readFileSync, statSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { dirname } from 'node:path';
import { Script } from 'node:vm';
import { crc32 } from 'node:zlib';

/** Bytes of the first line, padded: V8 would copy data that does not begin at a multiple of eight. */
const HEAD_BYTES = 256;

type Wrapper = (exports: unknown, require: NodeJS.Require, module: Module, file: string, directory: string) => void;

/** What the script of the entry that lies in `entry` exports. */
export function loadScript<Exports>(entry: string): Exports {
  const file = entry.replace(/\.c?js$/, '.code.cjs');
  const require = createRequire(file);
  const script = cachedScript(file);
  if (script === undefined) return require(file) as Exports;
  const module = new Module(file);
  module.filename = file;
  for (const loaded of [module, new Module(cacheOf(file))]) require.cache[loaded.id] = loaded;
  const wrapper = script.runInThisContext() as Wrapper;
  wrapper.call(module.exports, module.exports, require, module, file, dirname(file));
  module.loaded = true;
  return module.exports as Exports;
}

/** Where the cache of a script lies. */
export function cacheOf(file: string): string {
  return file.replace(/\.cjs$/, '.cache');
}

/** undefined: without a cache, or with one that is of no use. */
function cachedScript(file: string): Script | undefined {
  // Of scripts that it has not loaded itself Node looks for no source map.
  if (process.sourceMapsEnabled === true) return undefined;
  try {
    const cache = readFileSync(cacheOf(file));
    const script = readFileSync(file);
    const data = cache.subarray(HEAD_BYTES);
    if (!cache.subarray(0, HEAD_BYTES).equals(head(script, data))) return undefined;
    // Where Node was told to run V8 otherwise, V8 compiles it.
    return compile(file, script, data);
  } catch {
    // Unreadable to this account, say. If it is the script that cannot be read, Node says so.
    return undefined;
  }
}

/** Scripts as Node compiles them, by another name: stack traces tell the one that the cache was made with. */
export function compile(file: string, script: Buffer, data?: Buffer): Script {
  // From the top of the package, which lies elsewhere when it is installed.
  const filename = file.slice(file.lastIndexOf('/dist/') + 1);
  return new Script(Module.wrap(script.toString('latin1')), {
    filename,
    ...(data === undefined ? {} : { cachedData: data }),
  });
}

/** The text of a cache file, of what V8 made of the script. */
export function sealed(script: Buffer, data: Buffer): Buffer {
  return Buffer.concat([head(script, data), data]);
}

/**
 * Node's version says which code it is, the size of its file which of several builds: what V8 saves tells of the
 * places of things within.
 */
function head(script: Buffer, data: Buffer): Buffer {
  const node = `${process.version} ${process.versions.v8} ${process.arch} ${statSync(process.execPath).size}`;
  const line = `mailhaul code cache: node ${node}, script ${crc32(script)}, data ${data.length} ${crc32(data)}`;
  return Buffer.from(`${line.padEnd(HEAD_BYTES - 1)}\n`);
}
