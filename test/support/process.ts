/**
 * Processes that tests start run what was built (`dist/`), as users do. `npm test` builds it; so must whoever calls
 * vitest directly. (Compiled on the way by tsx, a command takes three times as long to start.)
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const project = fileURLToPath(new URL('../..', import.meta.url));

const DIST = new URL('../../dist/', import.meta.url);

/** File of a command of the package, for Node to run. */
export function commandFile(name: string): string {
  return fileURLToPath(new URL(`cli/${name}.js`, DIST));
}

/** URL of inside.ts as built, quoted for the text of a script. */
export const INSIDE = JSON.stringify(new URL('test/inside.js', DIST).href);

/** Runs a command of the package to its end. */
export function runCli(command: string, ...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [commandFile(command), ...args], {
    cwd: project,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
}
