/**
 * Which path each partition gets when `upgrade -s` runs, perhaps not for the first time.
 *
 * The guide: every `-s` sets the partition paths back to their defaults. Except (commands.md, 4x-store.md): a
 * partition that holds migrated mail keeps its path, because that mail would be lost to 4.x; and
 * `--keep-partition-paths` keeps all.
 */
import { hasErrno } from '../errors.js';
import { closeDir, fstat, openRoot } from '../fs/dir.js';
import type { PartitionPlan } from '../store/partitions.js';
import type { MailboxDatabase } from '../store/types.js';
import type { MappingDatabase } from './types.js';

export interface ChosenPath {
  readonly plan: PartitionPlan;
  readonly path: string;
  /** Why the path is not the default. */
  readonly kept: 'migrated' | 'option' | null;
  /** A path set with configutil that goes back to the default. */
  readonly resetFrom: string | null;
  /** `-s` makes the directory: the default of a store path, which holds no mail yet. */
  readonly make: boolean;
}

export interface PathRules {
  /** The path in configdb. */
  readonly current: (partition: string) => string | undefined;
  /** Partitions that hold migrated mail. */
  readonly inUse: ReadonlySet<string>;
  readonly keep: boolean;
}

export function choosePaths(plans: readonly PartitionPlan[], rules: PathRules): ChosenPath[] {
  return plans.map((plan, index) => {
    const current = rules.current(plan.name) ?? plan.defaultPath;
    const used = rules.inUse.has(plan.name);
    const changed = current !== plan.defaultPath;
    const kept = !changed ? null : used ? 'migrated' : rules.keep ? 'option' : null;
    const path = kept === null ? plan.defaultPath : current;
    // The first is `primary`, whose directory belongs to the instance. A directory that should hold mail and is
    // missing is an unmounted disk: it is never made again.
    const make = index > 0 && !used && path === plan.defaultPath;
    return { plan, path, kept, resetFrom: changed && kept === null ? current : null, make };
  });
}

/** Partitions with a folder whose migration has begun, or that was made in 4.x. */
export function partitionsInUse(
  mapping: Pick<MappingDatabase, 'folders'> | undefined,
  mailboxes: Pick<MailboxDatabase, 'list'> | undefined,
): Set<string> {
  const inUse = new Set<string>();
  for (const folder of mapping?.folders() ?? [])
    if (folder.root !== null || folder.migrated) inUse.add(folder.partition);
  for (const mailbox of mailboxes?.list() ?? []) {
    if (mailbox.state === 'NON-TRANSITION' || mailbox.root !== null) inUse.add(mailbox.partition);
  }
  return inUse;
}

/** Device of a path, or of its nearest parent when it is not there yet; undefined when that cannot be told. */
export function deviceOf(path: string): bigint | undefined {
  for (let current = path; ; current = current.slice(0, Math.max(1, current.lastIndexOf('/')))) {
    try {
      const dir = openRoot(current);
      try {
        return fstat(dir).dev;
      } finally {
        closeDir(dir);
      }
    } catch (error) {
      if (current === '/' || !hasErrno(error, 'ENOENT')) return undefined;
    }
  }
}
