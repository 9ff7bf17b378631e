/**
 * What a migration is compared with, on the same tree: programs that only copy, link or read it, and the machine's own
 * floor (floor/floor.cc).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));

export interface Competitor {
  readonly name: string;
  /** The command that works on `tree`; what it makes goes to `target`, which is not there yet. */
  command(tree: string, target: string): readonly string[];
}

const COPYING: readonly Competitor[] = [
  { name: 'cp -a', command: (tree, target) => ['cp', '-a', tree, target] },
  { name: 'cp -al', command: (tree, target) => ['cp', '-al', tree, target] },
  {
    name: 'cat',
    command: (tree) => ['sh', '-c', 'find "$0" -type f -print0 | xargs -0 cat > /dev/null', tree],
  },
  { name: 'rsync -a', command: (tree, target) => ['rsync', '-a', `${tree}/`, target] },
];

/** Those that are installed; `missing` is told of the others. */
export function competitors(missing: (name: string) => void): readonly Competitor[] {
  return COPYING.filter((competitor) => {
    const [program = ''] = competitor.command('', '');
    const isThere = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
    if (!isThere) missing(competitor.name);
    return isThere;
  });
}

/**
 * The floor with as many threads, compiled for this machine. Throws when there is no compiler.
 *
 * @param indexBytes bytes that are written for each message, as store.idx has them
 */
export function floor(directory: string, threads: number, indexBytes: number): Competitor {
  const program = path.join(directory, 'floor');
  if (!fs.existsSync(program)) {
    const source = path.join(PROJECT, 'bench/floor/floor.cc');
    const options = ['-std=c++20', '-O3', '-pthread', '-isystem', path.join(PROJECT, 'native/third_party')];
    execFileSync(process.env.CXX ?? 'c++', [...options, source, '-o', program]);
  }
  return {
    name: `floor, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    command: (tree, target) => [program, tree, target, String(threads), String(Math.round(indexBytes))],
  };
}
