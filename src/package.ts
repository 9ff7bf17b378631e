/**
 * Where this package lies. The same code runs from src/, from a bundle in dist/ that holds a hundred modules (bundle.mjs)
 * and in tests: its own place says nothing but which package it belongs to, so other files are found from the top.
 *
 * Found when the module is loaded: later the process may be an account that cannot look there.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOP = top();

/** The directory of package.json. */
function top(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const above = dirname(directory);
    if (above === directory) throw new Error('mailhaul runs outside its package');
    directory = above;
  }
  return directory;
}

/** Path of a file of the package. */
export function inPackage(path: string): string {
  return join(TOP, path);
}

/** Path of a file that bundle.mjs makes, for a thread or a process: they run compiled code, in tests too. */
export function builtFile(name: string): string {
  return inPackage(`dist/${name}`);
}
