/**
 * What a migration is compared with, on the same tree: programs that only copy, link or read it, and the machine's own
 * floor (floor/floor.cc). With several disks each program runs once a disk, all at the same time.
 */
import { spawnSync } from 'node:child_process';

/** A store path, and where what is made of it goes: not there yet. */
export interface Journey {
  readonly tree: string;
  readonly target: string;
}

export interface Competitor {
  readonly name: string;
  /** With the messages of the tree. */
  readonly does: 'read' | 'link' | 'copy';
  /** Shell command on the parameters `tree` and `target`, quoted. */
  readonly script: (tree: string, target: string) => string;
}

export const COMPETITORS: readonly Competitor[] = [
  { name: 'cat', does: 'read', script: (tree) => `find ${tree} -type f -print0 | xargs -0 cat > /dev/null` },
  { name: 'cp -al', does: 'link', script: (tree, target) => `cp -al ${tree} ${target}` },
  { name: 'cp -a', does: 'copy', script: (tree, target) => `cp -a ${tree} ${target}` },
  { name: 'rsync -a', does: 'copy', script: (tree, target) => `rsync -a ${tree}/ ${target}` },
];

export function isInstalled({ script }: Competitor): boolean {
  return spawnSync('sh', ['-c', `command -v ${script('', '').split(' ')[0]}`]).status === 0;
}

/** One process a journey, all at the same time; fails when one of them does. */
export function commandOf({ script }: Competitor, journeys: readonly Journey[]): readonly string[] {
  const lines = journeys.map(({ tree, target }) => script(quoted(tree), quoted(target)));
  if (lines.length === 1) return ['sh', '-c', lines[0]!];
  const all = lines.map((line) => `{ ${line}; } & jobs="$jobs $!"`).join('; ');
  return ['sh', '-c', `jobs=; ${all}; for job in $jobs; do wait $job || failed=1; done; exit \${failed:-0}`];
}

/**
 * @param program the compiled floor (tools.ts)
 * @param indexBytes bytes that are written for each message, as store.idx has them
 */
export function floorCommand(
  program: string,
  { threads, indexBytes, cold }: { readonly threads: number; readonly indexBytes: number; readonly cold: boolean },
  journeys: readonly Journey[],
): readonly string[] {
  const trees = journeys.flatMap(({ tree, target }) => [tree, target]);
  return [program, String(threads), String(Math.round(indexBytes)), cold ? 'cold' : 'warm', ...trees];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
