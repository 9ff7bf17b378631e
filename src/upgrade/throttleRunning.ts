/**
 * `upgrade --throttle`: changes the limits of the runs of `-m` and `-u` that are under way, by their control file
 * (control.ts). Nothing is signalled: a process that does not listen would be ended by it.
 */
import { openInstance } from '../config/instance.js';
import { storeHolders } from '../config/store-lock.js';
import { MailhaulError } from '../errors.js';
import { displayPath } from '../fs/dir.js';
import type { LockHolder } from '../fs/holders.js';
import { CONTROL_FILE, writeControl } from './control.js';
import type { LimitsChange, RunLimits } from './limits.js';

/** Fields may be added, never removed or renamed (the `--json` promise). Null: as it was. */
export interface ThrottleChangeReport {
  readonly file: string;
  readonly limits: { readonly [Limit in keyof RunLimits]: RunLimits[Limit] | null };
  /** Processes that use the store; each run of `-m` and `-u` among them goes by the limits within a second. */
  readonly running: readonly LockHolder[];
}

/** @throws MailhaulError THROTTLE_NO_RUN, INSTANCE_* (exit 3) */
export function throttleRunning(instancePath: string, change: LimitsChange): ThrottleChangeReport {
  const instance = openInstance(instancePath);
  try {
    const { lockDir, owner } = instance;
    const running = storeHolders(lockDir);
    if (running.length === 0) {
      throw new MailhaulError('THROTTLE_NO_RUN', 'No process uses the store, so there is no run to change.', {
        where: instance.path,
        hint: 'Give the limits to `upgrade -m` or `-u` when you start it.',
      });
    }
    writeControl(lockDir, change, owner);
    const limits = { bwlimit: change.bwlimit ?? null, iops: change.iops ?? null, nice: change.nice ?? null };
    return { file: displayPath(lockDir, CONTROL_FILE), limits, running };
  } finally {
    instance.close();
  }
}
