/** Where the project lies, run from its sources or compiled, and what it is. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory of package.json: bench/ of a checkout and dist/msg-bench/bench/ of a package lie below it. */
export const PROJECT = (() => {
  let directory = path.dirname(fileURLToPath(import.meta.url));
  while (!fs.existsSync(path.join(directory, 'package.json'))) {
    const above = path.dirname(directory);
    if (above === directory) throw new Error('msg-bench lies outside its package');
    directory = above;
  }
  return directory;
})();

export const UPGRADE = path.join(PROJECT, 'dist/cli/upgrade.js');
export const CONFIGUTIL = path.join(PROJECT, 'dist/cli/configutil.js');

/** Version, and the commit of a checkout. */
export function build(): string {
  const { version } = JSON.parse(fs.readFileSync(path.join(PROJECT, 'package.json'), 'utf8')) as { version: string };
  if (!fs.existsSync(path.join(PROJECT, '.git'))) return version;
  const git = (...args: string[]) => spawnSync('git', args, { cwd: PROJECT, encoding: 'utf8' });
  const commit = git('rev-parse', '--short', 'HEAD');
  if (commit.status !== 0) return version;
  const changed = git('status', '--porcelain', '--untracked-files=no').stdout.trim() !== '';
  return `${version}, commit ${commit.stdout.trim()}${changed ? ' with changes' : ''}`;
}
