/**
 * The text files of `upgrade -s` in the 3.x default mailbox directory (docs/formats/instance.md): a user list
 * for each partition, and `upgrade4x.conf`, which tells a dynamic upgrade where everything is. Each is replaced
 * as a whole, durably.
 */
import { replaceFile } from '../fs/atomic.js';
import { type Dir, type Ownership, readFile } from '../fs/dir.js';
import type { MappingUser } from './types.js';
import { userListFileName, userListHeader } from './userlists.js';

export const UPGRADE_CONF = 'upgrade4x.conf';

/** Bytes; a larger file is not one of ours. */
const CONF_LIMIT = 1 << 20;

/** What `upgrade4x.conf` says; `options` are `store.partition.<name>.path` and the like. */
export interface UpgradeConf {
  readonly instance: string;
  readonly from: string;
  readonly hostName: string;
  readonly mailboxDirectory: string;
  readonly workDir: string;
  readonly serverUser: string;
  readonly serverGroup: string;
  readonly partitions: readonly { readonly name: string; readonly path: string; readonly storePath: string }[];
}

/** The text of `upgrade4x.conf`. */
export function formatUpgradeConf(conf: UpgradeConf): string {
  const lines: [string, string][] = [
    ['upgrade.version', '1'],
    ['upgrade.instance', conf.instance],
    ['upgrade.from', conf.from],
    ['upgrade.hostname', conf.hostName],
    ['upgrade.mailboxdirectory', conf.mailboxDirectory],
    ['upgrade.workdir', conf.workDir],
    ['upgrade.serveruser', conf.serverUser],
    ['upgrade.servergroup', conf.serverGroup],
    ['upgrade.removemessages', 'no'],
    ...conf.partitions.flatMap(({ name, path, storePath }): [string, string][] => [
      [`upgrade.partition.${name}.path`, path],
      [`upgrade.partition.${name}.storepath`, storePath],
    ]),
  ];
  const head = '# Written by `upgrade -s` for the upgrade of messages when a folder is first opened; do not edit.\n';
  return head + lines.map(([name, value]) => `${name}|${value}\n`).join('');
}

/** The 4.x instance that an `upgrade4x.conf` in this directory belongs to; undefined when there is none. */
export function readUpgradeConfInstance(workDir: Dir): string | undefined {
  const text = readFile(workDir, UPGRADE_CONF, CONF_LIMIT)?.toString('utf8') ?? '';
  return /^upgrade\.instance\|(.+)$/m.exec(text)?.[1];
}

export function writeUpgradeConf(workDir: Dir, conf: UpgradeConf, owner: Ownership): void {
  replaceFile(workDir, UPGRADE_CONF, formatUpgradeConf(conf), owner);
}

/**
 * Writes `__up.<partition>.txt` for each partition, with all users of the mapping database. Returns the names.
 *
 * @param partitions store paths by partition name: lists to write, also when nobody is in them
 */
export function writeUserLists(
  workDir: Dir,
  partitions: ReadonlyMap<string, string>,
  users: Iterable<MappingUser>,
  owner: Ownership,
): string[] {
  const lists = new Map<string, { storePath: string; uids: string[] }>();
  for (const [name, storePath] of partitions) lists.set(name, { storePath, uids: [] });
  for (const { uid, partition, storePath } of users) {
    let list = lists.get(partition);
    if (list === undefined) {
      list = { storePath, uids: [] };
      lists.set(partition, list);
    }
    if (list.storePath === storePath) list.uids.push(uid);
  }
  return [...lists].map(([partition, { storePath, uids }]) => {
    const name = userListFileName(partition);
    const body = uids.length === 0 ? '' : `${uids.join('\n')}\n`;
    replaceFile(workDir, name, userListHeader(partition, storePath) + body, owner);
    return name;
  });
}
