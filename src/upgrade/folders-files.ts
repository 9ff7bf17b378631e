/**
 * The text files of `upgrade -s` in the 3.x default mailbox directory (docs/formats/instance.md): a user list
 * for each partition, and `upgrade4x.conf`, which tells a dynamic upgrade where everything is. Each is replaced
 * as a whole, durably.
 */
import { MailhaulError } from '../errors.js';
import { replaceFile } from '../fs/atomic.js';
import { type Dir, entries, type Ownership, unlinkIfThere } from '../fs/dir.js';
import { readFile } from '../fs/file.js';
import type { MappingUser } from './types.js';
import { formerListFileName, isFormerList, userListFileName, userListHeader } from './userlists.js';

export const UPGRADE_CONF = 'upgrade4x.conf';

/** Bytes; a larger file is not one of ours. */
const CONF_LIMIT = 1 << 20;

/** What `upgrade4x.conf` says. Partition paths are not in it: configdb rules. */
export interface UpgradeConf {
  readonly instance: string;
  readonly from: string;
  readonly hostName: string;
  readonly mailboxDirectory: string;
  readonly workDir: string;
  readonly serverUser: string;
  readonly serverGroup: string;
  readonly partitions: readonly PartitionOnRecord[];
  /** A dynamic upgrade removes the 3.x message files (`-r`). */
  readonly removeMessages: boolean;
}

/** A partition and its 3.x store paths. */
export interface PartitionOnRecord {
  readonly name: string;
  readonly storePath: string;
  /** Others where users of it have their mail still, in the order of their lists. */
  readonly former: readonly string[];
}

/** The option of `upgrade4x.conf` that holds the 3.x store path of a partition, or its n-th former one. */
function storePathOption(partition: string, former = 0): string {
  return `upgrade.partition.${partition}.${former === 0 ? '' : `former${former}.`}storepath`;
}

/** Names of partitions have no dot (store/partitions.ts). */
const STORE_PATH_OPTION = /^upgrade\.partition\.([^.]+)\.(?:former[1-9][0-9]*\.)?storepath$/;

/** The 3.x store paths that an `upgrade4x.conf` has for each partition. */
export function storePathsOnRecord(options: ReadonlyMap<string, string>): ReadonlyMap<string, ReadonlySet<string>> {
  const paths = new Map<string, Set<string>>();
  for (const [option, path] of options) {
    const partition = STORE_PATH_OPTION.exec(option)?.[1];
    if (partition === undefined) continue;
    const known = paths.get(partition);
    if (known === undefined) paths.set(partition, new Set([path]));
    else known.add(path);
  }
  return paths;
}

/** The text of `upgrade4x.conf`. */
function formatUpgradeConf(conf: UpgradeConf): string {
  const lines: [string, string][] = [
    ['upgrade.version', '1'],
    ['upgrade.instance', conf.instance],
    ['upgrade.from', conf.from],
    ['upgrade.hostname', conf.hostName],
    ['upgrade.mailboxdirectory', conf.mailboxDirectory],
    ['upgrade.workdir', conf.workDir],
    ['upgrade.serveruser', conf.serverUser],
    ['upgrade.servergroup', conf.serverGroup],
    ['upgrade.removemessages', conf.removeMessages ? 'yes' : 'no'],
    ...conf.partitions.flatMap(({ name, storePath, former }) =>
      [storePath, ...former].map((path, n): [string, string] => [storePathOption(name, n), path]),
    ),
  ];
  const head =
    '# Written by `upgrade -s`: what an upgrade of messages needs when a folder is first opened.\n' +
    '# upgrade.removemessages (yes or no) is kept by later runs; everything else is written anew.\n';
  return head + lines.map(([name, value]) => `${name}|${value}\n`).join('');
}

/**
 * The options of an `upgrade4x.conf` in this directory; empty when there is none.
 *
 * @throws MailhaulError WORK_DIR_NAME (exit 3): `upgrade4x.conf` is a valid uid, and may be somebody's mailbox directory
 */
export function readUpgradeConf(workDir: Dir): ReadonlyMap<string, string> {
  const text = readConf(workDir)?.toString('utf8') ?? '';
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    const pipe = line.indexOf('|');
    if (pipe > 0 && !line.startsWith('#')) options.set(line.slice(0, pipe), line.slice(pipe + 1));
  }
  return options;
}

function readConf(workDir: Dir): Buffer | undefined {
  try {
    return readFile(workDir, UPGRADE_CONF, CONF_LIMIT);
  } catch (error) {
    if (!(error instanceof MailhaulError && error.code === 'FS_NOT_REGULAR')) throw error;
    throw new MailhaulError('WORK_DIR_NAME', 'Something else has the name of a file of `upgrade -s`.', {
      where: `${workDir.path}/${UPGRADE_CONF}`,
      hint: 'If it is a mailbox directory, name another directory for these files with --work-dir; else remove it.',
      cause: error,
    });
  }
}

export function writeUpgradeConf(workDir: Dir, conf: UpgradeConf, owner: Ownership): void {
  replaceFile(workDir, UPGRADE_CONF, formatUpgradeConf(conf), owner);
}

/**
 * Writes `__up.<partition>.txt` for each partition, and one more list for each store path where users of a partition
 * have been left behind: every user of the mapping database is in exactly one. Returns the names.
 */
export function writeUserLists(workDir: Dir, lists: ListsOfUsers, owner: Ownership): string[] {
  const names: string[] = [];
  for (const [partition, byPath] of lists) {
    for (const [n, [storePath, uids]] of inListOrder(byPath).entries()) {
      const name = n === 0 ? userListFileName(partition) : formerListFileName(partition, n);
      const body = uids.length === 0 ? '' : `${uids.join('\n')}\n`;
      replaceFile(workDir, name, userListHeader(partition, storePath) + body, owner);
      names.push(name);
    }
  }
  removeFormerLists(workDir, new Set(names));
  return names;
}

/**
 * The partitions of a run, then those that only users of earlier runs have: nobody lists them now, or their store path
 * is not mounted. `upgrade4x.conf` and the lists number former store paths alike.
 */
export function partitionsOnRecord(lists: ListsOfUsers): PartitionOnRecord[] {
  return Array.from(lists, ([name, byPath]) => {
    const [storePath, ...former] = inListOrder(byPath).map(([path]) => path);
    return { name, storePath: storePath!, former };
  });
}

/** The partition's own store path is the first; the others in an order that no run changes. */
function inListOrder<T>(byPath: ReadonlyMap<string, T>): [string, T][] {
  const [own, ...others] = byPath;
  return [own!, ...others.sort(([a], [b]) => (a < b ? -1 : 1))];
}

/** Partition → store path → uids. The first path of a partition is that of the partition itself. */
export type ListsOfUsers = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** @param partitions store paths by partition name, `primary` first: they have a list also when nobody is in it */
export function listsOf(partitions: ReadonlyMap<string, string>, users: Iterable<MappingUser>): ListsOfUsers {
  const lists = new Map<string, Map<string, string[]>>();
  for (const [name, storePath] of partitions) lists.set(name, new Map([[storePath, []]]));
  for (const { uid, partition, storePath } of users) {
    let byPath = lists.get(partition);
    if (byPath === undefined) {
      byPath = new Map();
      lists.set(partition, byPath);
    }
    const uids = byPath.get(storePath);
    if (uids === undefined) byPath.set(storePath, [uid]);
    else uids.push(uid);
  }
  return lists;
}

/** Lists of users who have followed their partition since: `-u` would report each of them. */
function removeFormerLists(workDir: Dir, written: ReadonlySet<string>): void {
  const names = [...entries(workDir)].map(({ name }) => name.toString('latin1'));
  for (const name of names) if (isFormerList(name) && !written.has(name)) unlinkIfThere(workDir, name);
}
