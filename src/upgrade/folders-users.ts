/**
 * The users of this server and the partitions their mail goes to. Everything here is checked before anything
 * is written: the directory is read to its end, every store path is looked at, all names are known.
 */
import type { DirectoryItem, UserDirectory } from '../directory/types.js';
import { MailhaulError } from '../errors.js';
import { type PartitionPlan, planPartitions } from '../store/partitions.js';
import { checkDistinct, checkOutside, checkStorePath, type StorePathIdentity } from '../store/storePaths.js';
import type { MailboxDatabase } from '../store/types.js';
import type { Recorder } from './folders-report.js';
import { lacksMailbox } from './originals.js';
import type { MappingDatabase, MappingFolder, MappingUser } from './types.js';

/**
 * The valid users in directory order, behind them those who left with work undone (addUnfinished): one string, two
 * numbers each, so that 1,000,000 users take some 60 MB. Column i of each array belongs to one user.
 */
export interface UserTable {
  readonly uids: string[];
  /** Bytes, 0 no limit, null server default. */
  readonly quotas: (number | null)[];
  /** Index into `paths`. */
  readonly pathOf: number[];
  /** Distinct store paths, normalised, in order of first use. */
  readonly paths: string[];
  /** Users of each path. */
  readonly usersOf: number[];
  /** Those of the paths that only users who left have. */
  readonly formerPaths: Set<string>;
}

/**
 * Reads the directory; what it could not use is recorded.
 *
 * @param mapping users of earlier runs: one of them in another case is the same user (3x-profile.md: uids are compared
 *   without case), and would get all mail a second time, or what came since in a mailbox of its own
 */
export async function collectUsers(
  directory: UserDirectory,
  defaultStorePath: string,
  recorder: Recorder,
  mapping: Pick<MappingDatabase, 'user' | 'users'> | undefined,
  signal?: AbortSignal,
): Promise<{ table: UserTable; skipped: number }> {
  const table: UserTable = { uids: [], quotas: [], pathOf: [], paths: [], usersOf: [], formerPaths: new Set() };
  const known = new Map<string, string>();
  for (const { uid } of mapping?.users() ?? []) known.set(uid.toLowerCase(), uid);
  const indexOf = new Map<string, number>();
  let skipped = 0;
  for await (const item of directory.users(signal)) {
    if (item.kind === 'problem') {
      recorder.error({ user: item.dn, folder: '', code: item.code, message: item.message });
      skipped += 1;
      continue;
    }
    if (item.kind === 'warning') {
      recorder.warning({ user: item.dn, folder: '', code: item.code, message: item.message });
      continue;
    }
    const before = known.get(item.uid.toLowerCase());
    if (before !== undefined && before !== item.uid && mapping?.user(item.uid) === undefined) {
      recorder.error({ user: item.uid, folder: '', code: 'USER_CASE', message: caseChanged(item.uid, before) });
      skipped += 1;
    } else addUser(table, indexOf, item, defaultStorePath);
  }
  return { table, skipped };
}

function caseChanged(uid: string, before: string): string {
  return (
    `An earlier \`upgrade -s\` added this user as “${before}”, and uids are compared without case: “${uid}” is skipped. ` +
    `Give the directory entry, and the mailbox directory, the name “${before}” again, or clean up with ` +
    '`upgrade --reset` first.'
  );
}

function addUser(
  table: UserTable,
  indexOf: Map<string, number>,
  user: Pick<Extract<DirectoryItem, { kind: 'user' }>, 'uid' | 'storePath' | 'quota'>,
  defaultStorePath: string,
): void {
  const path = user.storePath ?? defaultStorePath;
  let index = indexOf.get(path);
  if (index === undefined) {
    index = table.paths.push(path) - 1;
    table.usersOf.push(0);
    indexOf.set(path, index);
  }
  table.uids.push(user.uid);
  table.quotas.push(user.quota);
  table.pathOf.push(index);
  table.usersOf[index]! += 1;
}

/**
 * Users who left the directory since a run that was stopped between its databases: `-m` migrates users who left, and
 * cannot where a folder has no mailbox. They take part as they are on record.
 */
export function addUnfinished(
  table: UserTable,
  mapping: Pick<MappingDatabase, 'users' | 'foldersOf' | 'record'>,
  mailboxes: Pick<MailboxDatabase, 'get' | 'wasPublished'> | undefined,
): void {
  const present = new Set(table.uids);
  const indexOf = new Map(table.paths.map((path, index) => [path, index]));
  const isUnfinished = (folder: MappingFolder): boolean => lacksMailbox(mapping, mailboxes ?? NO_MAILBOXES, folder);
  for (const user of mapping.users()) {
    if (present.has(user.uid) || !mapping.foldersOf(user.uid).some(isUnfinished)) continue;
    if (!indexOf.has(user.storePath)) table.formerPaths.add(user.storePath);
    addUser(table, indexOf, user, user.storePath);
  }
}

const NO_MAILBOXES = { get: () => undefined, wasPublished: () => false };

export interface StorePlan {
  /** Every usable store path; `primary` first. */
  readonly partitions: readonly PartitionPlan[];
  /** Partition by store path; a path that is missing here is not used, and its users are skipped. */
  readonly byPath: ReadonlyMap<string, PartitionPlan>;
  /** What each usable store path is on disk. */
  readonly identities: ReadonlyMap<string, StorePathIdentity>;
  /** Why a store path is not used. */
  readonly refused: ReadonlyMap<string, MailhaulError>;
}

export interface StorePlanInput {
  readonly table: UserTable;
  readonly defaultStorePath: string;
  readonly primaryPath: string;
  readonly accountUid: number;
  /** Normalised; named with `--store-path`. */
  readonly exempt: ReadonlySet<string>;
  /** Directories of 4.x, what each is, by id. */
  readonly places: ReadonlyMap<string, string>;
  /** Users of earlier runs: a path that only they have keeps its name. */
  readonly known: Iterable<MappingUser>;
}

/**
 * Checks all store paths and names the partitions.
 *
 * @throws MailhaulError (exit 3) STORE_PATH_* for the default path, PARTITION_NAMES, STORE_PATHS_OVERLAP
 */
export function planStores(input: StorePlanInput): StorePlan {
  const { table, defaultStorePath } = input;
  const identities = new Map<string, StorePathIdentity>();
  const refused = new Map<string, MailhaulError>();
  const check = (path: string): StorePathIdentity => {
    const identity = checkStorePath(path, input.accountUid, input.exempt.has(path));
    checkOutside(path, identity, input.places);
    return identity;
  };
  identities.set(defaultStorePath, check(defaultStorePath));
  for (const path of table.paths) {
    if (path === defaultStorePath) continue;
    try {
      const identity = check(path);
      if (table.formerPaths.has(path)) checkFormer(path, identity, identities);
      identities.set(path, identity);
    } catch (error) {
      if (!(error instanceof MailhaulError)) throw error;
      refused.set(path, error);
    }
  }
  const { onRecord, left } = earlierPaths(input);
  // A path that is not there (an unmounted disk) takes part in the names: all collisions are told at once. So does one
  // that is refused now and was not before: its name is that of the partition in which its users' mail is.
  const takesPart = (path: string): boolean =>
    (refused.get(path)?.code ?? 'STORE_PATH_MISSING') === 'STORE_PATH_MISSING' || onRecord.has(path);
  const uses = table.paths
    .map((path, index) => ({ path, users: table.usersOf[index]! }))
    .filter(({ path }) => takesPart(path));
  const named = planPartitions([...uses, ...left], { defaultStorePath, primaryPath: input.primaryPath });
  checkDistinct(identities);
  const partitions = named.filter(({ path }) => identities.has(path));
  return { partitions, byPath: new Map(partitions.map((plan) => [plan.path, plan])), identities, refused };
}

/** Nobody can correct the entry of a user who left: that its store path is another's too refuses nobody else. */
function checkFormer(path: string, identity: StorePathIdentity, others: ReadonlyMap<string, StorePathIdentity>): void {
  try {
    checkDistinct(new Map([...others, [path, identity]]));
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    const hint = 'Only users who left the directory have it.';
    throw new MailhaulError(error.code, error.message, { where: path, hint, cause: error });
  }
}

interface EarlierPaths {
  /** Store paths of all users of earlier runs. */
  readonly onRecord: ReadonlySet<string>;
  /** Those that only users have who are in the directory no more. */
  readonly left: readonly { readonly path: string; readonly users: number }[];
}

function earlierPaths({ table, defaultStorePath, known }: StorePlanInput): EarlierPaths {
  const current = new Set(table.paths);
  const onRecord = new Set<string>();
  const counts = new Map<string, number>();
  let uids: Set<string> | undefined;
  for (const { uid, storePath } of known) {
    onRecord.add(storePath);
    if (current.has(storePath) || storePath === defaultStorePath) continue;
    uids ??= new Set(table.uids);
    if (!uids.has(uid)) counts.set(storePath, (counts.get(storePath) ?? 0) + 1);
  }
  return { onRecord, left: [...counts].map(([path, users]) => ({ path, users })) };
}
