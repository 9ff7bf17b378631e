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

/** What `upgrade4x.conf` says. Partition paths are not in it: configdb rules. */
export interface UpgradeConf {
  readonly instance: string;
  readonly from: string;
  readonly hostName: string;
  readonly mailboxDirectory: string;
  readonly workDir: string;
  readonly serverUser: string;
  readonly serverGroup: string;
  readonly partitions: readonly { readonly name: string; readonly storePath: string }[];
  /** A dynamic upgrade removes the 3.x message files (`-r`). */
  readonly removeMessages: boolean;
}

/** The option of `upgrade4x.conf` that holds the 3.x store path of a partition. */
export function storePathOption(partition: string): string {
  return `upgrade.partition.${partition}.storepath`;
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
    ['upgrade.removemessages', conf.removeMessages ? 'yes' : 'no'],
    ...conf.partitions.map(({ name, storePath }): [string, string] => [storePathOption(name), storePath]),
  ];
  const head =
    '# Written by `upgrade -s`: what an upgrade of messages needs when a folder is first opened.\n' +
    '# upgrade.removemessages (yes or no) is kept by later runs; everything else is written anew.\n';
  return head + lines.map(([name, value]) => `${name}|${value}\n`).join('');
}

/** The options of an `upgrade4x.conf` in this directory; empty when there is none. */
export function readUpgradeConf(workDir: Dir): ReadonlyMap<string, string> {
  const text = readFile(workDir, UPGRADE_CONF, CONF_LIMIT)?.toString('utf8') ?? '';
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    const pipe = line.indexOf('|');
    if (pipe > 0 && !line.startsWith('#')) options.set(line.slice(0, pipe), line.slice(pipe + 1));
  }
  return options;
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
