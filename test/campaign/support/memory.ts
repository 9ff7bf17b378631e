/** A directory of its own for a campaign: on a file system in memory where that can be mounted, where a sync is cheap. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export interface Ground {
  readonly root: string;
  remove(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** @param size of the file system, as mount takes it */
export function memoryGround(name: string, size: string): Ground {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), `mailhaul-${name}-`));
  fs.chmodSync(root, 0o755);
  const mounted =
    process.getuid?.() === 0 &&
    spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', root]).status === 0;
  const interrupted = (): void => process.exit(130);
  const remove = (): void => {
    process.removeListener('exit', remove);
    for (const signal of SIGNALS) process.removeListener(signal, interrupted);
    if (mounted) spawnSync('umount', ['-l', root]);
    fs.rmSync(root, { recursive: true, force: true });
  };
  // Also when the campaign is interrupted.
  process.once('exit', remove);
  for (const signal of SIGNALS) process.once(signal, interrupted);
  return { root, remove };
}
