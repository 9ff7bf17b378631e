/** A directory of its own for a campaign: on a file system in memory where that can be mounted, where a sync is cheap. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export interface Ground {
  readonly root: string;
  remove(): void;
}

/** @param size of the file system, as mount takes it */
export function memoryGround(name: string, size: string): Ground {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), `mailhaul-${name}-`));
  fs.chmodSync(root, 0o755);
  const mounted =
    process.getuid?.() === 0 &&
    spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', root]).status === 0;
  const remove = (): void => {
    process.removeListener('exit', remove);
    if (mounted) spawnSync('umount', ['-l', root]);
    fs.rmSync(root, { recursive: true, force: true });
  };
  // Also when the campaign is interrupted (run.ts).
  process.once('exit', remove);
  return { root, remove };
}
