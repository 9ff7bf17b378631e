/**
 * The checks of `upgrade -s` that need the users: the directory is read to its end, every store path is looked
 * at and held, every partition has its name and path. Nothing is written.
 */
import { resolve } from 'node:path';
import { partitionPathOption, primaryPartitionPath } from '../config/instance.js';
import { openDirectory } from '../directory/open.js';
import { MailhaulError } from '../errors.js';
import { closeDir, type Dir, fstat, openRoot } from '../fs/dir.js';
import { checkPartitionDirectory } from '../store/partitions.js';
import type { FoldersOptions } from './folders-options.js';
import {
  type ChosenPath,
  choosePaths,
  deviceOf,
  identitiesOf,
  type PartitionsInUse,
  partitionsInUse,
  placesOf4x,
} from './folders-partitions.js';
import type { FoldersReport, Recorder } from './folders-report.js';
import type { Site } from './folders-site.js';
import { addUnfinished, collectUsers, planStores, type StorePlan, type UserTable } from './folders-users.js';
import { DIRECTORY_OPTION } from './setup.js';

interface Checked {
  readonly table: UserTable;
  readonly plan: StorePlan;
  readonly inUse: PartitionsInUse;
  /** Directories of 4.x, and what each is. */
  readonly places: ReadonlyMap<string, string>;
}

export async function readDirectory(
  options: FoldersOptions,
  site: Site,
  report: FoldersReport,
  recorder: Recorder,
): Promise<Checked> {
  const { configuration } = site;
  const carried = (option: string): string | undefined => site.instance?.config.get(option);
  const location = options.directory ?? carried(DIRECTORY_OPTION.url) ?? configuration.directory.url ?? undefined;
  if (location === undefined) {
    throw new MailhaulError('DIR_NONE', 'Nobody said where the users are.', {
      hint: 'Name the directory with --directory <LDAP URL or LDIF file>, or set LdapUrl in NscpMail.conf.',
    });
  }
  const directory = openDirectory({
    location,
    hostName: configuration.hostName,
    baseDn: carried(DIRECTORY_OPTION.baseDn) ?? configuration.directory.baseDn ?? undefined,
    bindDn: carried(DIRECTORY_OPTION.bindDn) ?? configuration.directory.bindDn ?? undefined,
    passwordFile: carried(DIRECTORY_OPTION.passwordFile) ?? configuration.directory.bindPasswordFile ?? undefined,
    startTls: options.directoryTls?.startTls,
    caFile: options.directoryTls?.caFile,
    pageSize: options.pageSize,
    timeoutSeconds: options.directoryTimeoutSeconds,
  });
  const defaultStorePath = configuration.mailboxDirectory;
  try {
    const { table, skipped } = await collectUsers(directory, defaultStorePath, recorder, site.mapping, options.signal);
    const isEmpty = table.uids.length === 0;
    if (site.mapping !== undefined) addUnfinished(table, site.mapping, site.mailboxes);
    const inUse = partitionsInUse(site.mapping, site.mailboxes);
    const places = placesOf4x(site.instancePath, site.instance, inUse.roots);
    const plan = planStores({
      table,
      defaultStorePath,
      primaryPath: primaryPartitionPath(site.instancePath),
      accountUid: site.account.uid,
      exempt: new Set((options.storePaths ?? []).map((path) => resolve(path))),
      places: identitiesOf(places),
      known: site.mapping?.users() ?? [],
    });
    report.users.skipped = skipped;
    if (isEmpty) {
      const message = `${directory.description} holds no user of ${configuration.hostName}.`;
      recorder.warning({ user: '', folder: '', code: 'DIR_NO_USERS', message });
    }
    return { table, plan, inUse, places };
  } finally {
    await directory.close();
  }
}

/** Opens every store path; each must be the directory that was checked. */
export function openStores(plan: StorePlan): Map<string, Dir> {
  const stores = new Map<string, Dir>();
  try {
    for (const [path, { id }] of plan.identities) {
      const dir = openRoot(path);
      stores.set(path, dir);
      const { dev, ino } = fstat(dir);
      if (`${dev}:${ino}` === id) continue;
      throw new MailhaulError('STORE_PATH_CHANGED', 'A mail store path was replaced while it was checked.', {
        where: path,
      });
    }
    return stores;
  } catch (error) {
    for (const dir of stores.values()) closeDir(dir);
    throw error;
  }
}

export function checkPartitions(
  options: FoldersOptions,
  site: Site,
  { plan, inUse }: Pick<Checked, 'plan' | 'inUse'>,
  stores: ReadonlyMap<string, Dir>,
  report: FoldersReport,
  recorder: Recorder,
): ChosenPath[] {
  const chosen = choosePaths(plan.partitions, {
    current: (name) => site.instance?.partitionPath(name),
    inUse: inUse.names,
    keep: options.keepPartitionPaths === true,
  });
  for (const { plan: partition, path, kept, resetFrom, make } of chosen) {
    const store = stores.get(partition.path)!;
    if (make && !checkPartitionDirectory(store, partition.name, site.owner)) {
      const message =
        `${partition.path} is read-only, so ${path} cannot be made. Before \`upgrade -m\`, make another directory ` +
        `and name it with \`configutil -o ${partitionPathOption(partition.name)} -v <path>\`.`;
      recorder.warning({ user: '', folder: '', code: 'PARTITION_READ_ONLY', message });
    }
    if (resetFrom !== null) {
      recorder.notice(`partition ${partition.name}: the path is ${path} again, it was ${resetFrom}`);
    }
    if (kept === 'migrated') recorder.notice(`partition ${partition.name} holds migrated mail: its path stays ${path}`);
    const device = deviceOf(path);
    report.partitions.push({
      name: partition.name,
      storePath: partition.path,
      path,
      users: partition.users,
      folders: 0,
      indexBytes: 0,
      kept,
      resetFrom,
      moves: device === undefined ? null : device === fstat(store).dev ? 'link' : 'copy',
    });
  }
  return chosen;
}
