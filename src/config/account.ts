/** The server account: names to numbers. */
import { MailhaulError } from '../errors.js';
import { type AccountIds, loadAddon } from '../fs/addon.js';
import { accountIdsByCommand } from './nss.js';

export interface Account {
  readonly user: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
  /** All groups of the user, `gid` first. */
  readonly groups: readonly number[];
}

type Lookup = (user: string, group: string) => AccountIds;

/**
 * User and group by name.
 *
 * @throws MailhaulError CONF_ACCOUNT when one does not exist, CONF_ACCOUNT_LOOKUP when nobody can tell (exit 3)
 */
export function lookupAccount(user: string, group: string, lookup: Lookup = accountLookup()): Account {
  if (!plausible(user)) throw missing('user', user);
  if (!plausible(group)) throw missing('group', group);
  const { uid, gid, groups } = ask(user, group, lookup);
  if (uid === undefined) throw missing('user', user);
  if (gid === undefined) throw missing('group', group);
  return { user, group, uid, gid, groups };
}

function accountLookup(): Lookup {
  const addon = loadAddon();
  return addon === undefined ? accountIdsByCommand : (user, group) => addon.accountIds(user, group);
}

/** Code points that a name may have. */
const NAME_LIMIT = 256;

/**
 * Names that a passwd or group file can hold; also keeps them apart from options, and from numbers, which getent takes
 * for ids.
 */
function plausible(name: string): boolean {
  // Not in one expression: a counted repetition over code points takes the engine longer to compile than all else here.
  if (name === '' || name.startsWith('-') || /[\s:,\0]|^\d+$/.test(name)) return false;
  return name.length <= NAME_LIMIT || (name.length <= 2 * NAME_LIMIT && [...name].length <= NAME_LIMIT);
}

function ask(user: string, group: string, lookup: Lookup): AccountIds {
  try {
    return lookup(user, group);
  } catch (cause) {
    throw new MailhaulError('CONF_ACCOUNT_LOOKUP', 'It cannot be told whether the server account exists.', {
      where: `${JSON.stringify(user)}, ${JSON.stringify(group)}`,
      hint: 'A user database of this machine (/etc/nsswitch.conf) does not answer: repair that, then run the same command again.',
      cause,
    });
  }
}

function missing(kind: 'user' | 'group', name: string): MailhaulError {
  return new MailhaulError('CONF_ACCOUNT', `The server ${kind} does not exist on this machine.`, {
    where: JSON.stringify(name),
    hint: `Create it, or correct ${kind === 'user' ? 'ServerUser' : 'ServerGroup'} in the configuration.`,
  });
}
