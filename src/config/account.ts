/**
 * The server account: names to numbers.
 *
 * Accounts may come from LDAP, NIS or files, so NSS is asked through getent(1); where that is missing, the
 * local files answer.
 */
import { spawnSync } from 'node:child_process';
import { MailhaulError } from '../errors.js';
import { closeDir, openRoot, readFile } from '../fs/dir.js';

export interface Account {
  readonly user: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
  /** All groups of the user, `gid` first. */
  readonly groups: readonly number[];
}

/** User and group by name. Throws MailhaulError CONF_ACCOUNT (exit 3) when one does not exist. */
export function lookupAccount(user: string, group: string): Account {
  const uid = lookupId('passwd', user);
  const gid = lookupId('group', group);
  if (uid === undefined || gid === undefined) {
    const [kind, name] = uid === undefined ? ['user', user] : ['group', group];
    throw new MailhaulError('CONF_ACCOUNT', `The server ${kind} does not exist on this machine.`, {
      where: JSON.stringify(name),
      hint: `Create it, or correct ${uid === undefined ? 'ServerUser' : 'ServerGroup'} in the configuration.`,
    });
  }
  return { user, group, uid, gid, groups: [gid, ...groupsOf(user).filter((id) => id !== gid)] };
}

/** Names that a passwd or group file can hold; also keeps them apart from options. */
function plausible(name: string): boolean {
  return /^[^\s:,\-\0][^\s:,\0]{0,255}$/u.test(name);
}

/** Lines of an NSS database: one entry, or all of the local file when getent is missing. */
function lines(database: 'passwd' | 'group' | 'initgroups', key: string): string[] {
  const asked = spawnSync('getent', [database, key], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  if (asked.error === undefined && (asked.status === 0 || asked.status === 2)) return asked.stdout.split('\n');
  return database === 'initgroups' ? [] : localLines(database);
}

function localLines(database: 'passwd' | 'group'): string[] {
  const etc = openRoot('/etc');
  try {
    return (readFile(etc, database)?.toString('utf8') ?? '').split('\n');
  } finally {
    closeDir(etc);
  }
}

/** Third field of the entry with exactly this name (getent also answers to numbers). */
function lookupId(database: 'passwd' | 'group', name: string): number | undefined {
  if (!plausible(name)) return undefined;
  for (const line of lines(database, name)) {
    const fields = line.split(':');
    if (fields[0] === name && /^\d{1,10}$/.test(fields[2] ?? '')) return Number(fields[2]);
  }
  return undefined;
}

function groupsOf(user: string): number[] {
  // "user   4 24 27"
  const answer = lines('initgroups', user)[0]?.trim().split(/\s+/) ?? [];
  if (answer[0] === user)
    return answer
      .slice(1)
      .filter((id) => /^\d{1,10}$/.test(id))
      .map(Number);
  return localLines('group').flatMap((line) => {
    const fields = line.split(':');
    return (fields[3] ?? '').split(',').includes(user) && /^\d{1,10}$/.test(fields[2] ?? '') ? [Number(fields[2])] : [];
  });
}
