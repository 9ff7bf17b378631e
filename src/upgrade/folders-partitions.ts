/**
 * Which path each partition gets when `upgrade -s` runs, perhaps not for the first time.
 *
 * The guide: every `-s` sets the partition paths back to their defaults. Except (commands.md, 4x-store.md): a
 * partition that holds migrated mail keeps its path, because that mail would be lost to 4.x; and
 * `--keep-partition-paths` keeps all.
 */
import type { Instance } from '../config/instance.js';
import { hasErrno } from '../errors.js';
import { closeDir, fstat, openRoot } from '../fs/dir.js';
import type { PartitionPlan } from '../store/partitions.js';
import { identityOf } from '../store/storePaths.js';
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

export interface PartitionsInUse {
  /** Partitions with a folder whose migration has begun, or that was made in 4.x. */
  readonly names: ReadonlySet<string>;
  /** Every path in which such a folder lies. */
  readonly roots: ReadonlySet<string>;
}

export function partitionsInUse(
  mapping: Pick<MappingDatabase, 'folders'> | undefined,
  mailboxes: Pick<MailboxDatabase, 'list'> | undefined,
): PartitionsInUse {
  const names = new Set<string>();
  const roots = new Set<string>();
  for (const folder of mapping?.folders() ?? []) {
    if (folder.root !== null || folder.migrated) names.add(folder.partition);
    if (folder.root !== null) roots.add(folder.root);
  }
  for (const mailbox of mailboxes?.list() ?? []) {
    if (mailbox.state === 'NON-TRANSITION' || mailbox.root !== null) names.add(mailbox.partition);
    if (mailbox.root !== null) roots.add(mailbox.root);
  }
  return { names, roots };
}

/** The directories of 4.x that are known before a run of `-s`: none of them holds 3.x mail. Path and what it is. */
export function placesOf4x(
  instancePath: string,
  instance: Pick<Instance, 'config'> | undefined,
  roots: Iterable<string>,
): Map<string, string> {
  const places = new Map<string, string>();
  for (const root of roots) places.set(root, `the partition path ${root}`);
  for (const { option, value } of instance?.config.getByPrefix('store.partition.') ?? []) {
    if (/\.path$/i.test(option)) places.set(value, `the partition path ${value}`);
  }
  places.set(instancePath, `the 4.x instance ${instancePath}`);
  return places;
}

/** What those directories are on disk, by id; those that are not there are left out. */
export function identitiesOf(places: ReadonlyMap<string, string>): Map<string, string> {
  const ids = new Map<string, string>();
  for (const [path, what] of places) {
    const identity = identityOf(path);
    if (identity !== undefined) ids.set(identity.id, what);
  }
  return ids;
}

/** The directories of 4.x and all that they lie in: no user's mailbox directory is one of them. Ids. */
export function aboveAndAt(paths: Iterable<string>): Set<string> {
  const ids = new Set<string>();
  for (const path of paths) {
    const identity = identityOf(path);
    if (identity === undefined) continue;
    for (const id of [identity.id, ...identity.parents]) ids.add(id);
  }
  return ids;
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
